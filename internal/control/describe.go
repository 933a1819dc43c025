package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

func idText[T ike.SessionID | ike.ChildID](id T) string { return strconv.FormatUint(uint64(id), 10) }

func ikeSPI(spi uint64) string { return fmt.Sprintf("%016x", spi) }

func spiText(spi spd.SPI) string { return fmt.Sprintf("%08x", uint32(spi)) }

func protocolText(p spd.Protocol) string { return strings.ToLower(p.String()) }

// timeAt leaves the zero time out of JSON.
func timeAt(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Round(0) // without the monotonic reading
	return &t
}

// texts returns what the elements print.
func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func addrPortText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// describeSession makes the JSON form of a snapshot.
func describeSession(st *ike.SessionState, v racoon.Version) Session {
	i := &st.Info
	out := Session{
		ID: idText(st.ID), Peer: st.Peer, Version: v.String(), State: strings.ToLower(st.State), Up: st.Up, Initiator: i.Initiator,
		Local: addrPortText(st.Path.Local), Remote: addrPortText(st.Path.Remote), LocalNAT: i.LocalNAT, RemoteNAT: i.RemoteNAT,
		LocalSPI: ikeSPI(i.LocalSPI), RemoteSPI: ikeSPI(i.RemoteSPI), Fragmentation: i.Fragmentation,
		User: i.User, Groups: i.Groups, Vendors: i.Vendors, Network: describeNetwork(i.Config),
		Established: timeAt(st.Established), LastAlive: timeAt(st.LastAlive), Children: []ChildSA{},
	}
	if st.Up {
		out.LocalID, out.RemoteID, out.Proposal = i.LocalID.String(), i.RemoteID.String(), i.Proposal.String()
	}
	for _, d := range st.Deadlines {
		switch {
		case d.Child != 0:
		case d.What == ike.DeadlineRekey:
			out.Rekey = earlier(out.Rekey, d.At)
		case d.What == ike.DeadlineExpire:
			out.Expire = earlier(out.Expire, d.At)
		case d.What == ike.DeadlineReauth:
			out.Reauth = timeAt(d.At)
		}
	}
	for i := range st.Children {
		c := describeChild(&st.Children[i].ChildInfo, st.Path)
		c.Session, c.Peer, c.State = out.ID, out.Peer, st.Children[i].State
		for _, d := range st.Deadlines {
			switch {
			case d.Child != st.Children[i].ID:
			case d.What == ike.DeadlineRekey:
				c.Rekey = earlier(c.Rekey, d.At)
			case d.What == ike.DeadlineExpire:
				c.Expire = earlier(c.Expire, d.At)
			}
		}
		out.Children = append(out.Children, c)
	}
	return out
}

func earlier(old *time.Time, t time.Time) *time.Time {
	if old != nil && old.Before(t) {
		return old
	}
	return timeAt(t)
}

func describeChild(c *ike.ChildInfo, path ike.Path) ChildSA {
	out := ChildSA{
		ID: idText(c.ID), Name: c.Name, Protocol: protocolText(c.Protocol), Mode: c.Mode.String(),
		SPIIn: spiText(c.In), SPIOut: spiText(c.Out), ReqID: c.ReqID,
		LocalTS: texts(c.LocalTS), RemoteTS: texts(c.RemoteTS), Proposal: c.Proposal.String(), IPComp: c.IPComp, UDPEncap: c.UDPEncap,
		Installed: timeAt(c.Installed),
	}
	if c.UDPEncap {
		out.Local, out.Remote = addrPortText(path.Local), addrPortText(path.Remote)
	} else {
		out.Local, out.Remote = addrText(path.Local.Addr()), addrText(path.Remote.Addr())
	}
	return out
}

func describeNetwork(c *ike.NetworkConfig) *NetworkConfig {
	if c == nil {
		return nil
	}
	return &NetworkConfig{
		Addresses: texts(c.Addresses), DNS: texts(c.DNS), NBNS: texts(c.NBNS), DHCP: texts(c.DHCP), Subnets: texts(c.Subnets),
		Domains: c.Domains, DefaultDomain: c.DefaultDomain, LocalLANExclude: texts(c.LocalLANExclude), BackupServers: c.BackupServers,
		Banner: c.Banner, Application: c.Application,
	}
}

func describeCounters(c spd.Counters) Counters {
	return Counters{Bytes: c.Bytes, Packets: c.Packets, LastUsed: timeAt(c.LastUsed), ReplayDrops: c.ReplayDrops, AuthDrops: c.AuthDrops,
		SelectorDrops: c.SelectorDrops, OtherDrops: c.OtherDrops}
}

// addStats fills in the counters of a session and its Child SAs.
func (s *Session) addStats(st racoon.SessionStats) {
	s.Stats = &SessionStats{Rekeys: st.IKERekeys, Exchanges: st.Exchanges, In: describeCounters(st.Received), Out: describeCounters(st.Sent)}
	for _, c := range st.Children {
		id := idText(c.ID)
		// While it is rekeyed there are two, which count together.
		i := slices.IndexFunc(s.Children, func(a ChildSA) bool { return a.ID == id })
		if i < 0 {
			continue
		}
		in, out := describeCounters(c.Received), describeCounters(c.Sent)
		s.Children[i].In, s.Children[i].Out = &in, &out
	}
}

func describePolicy(p *spd.Policy) Policy {
	out := Policy{Direction: p.Direction.String(), Local: p.Selector.Local.String(), Remote: p.Selector.Remote.String(),
		Action: p.Action.String(), Priority: p.Priority, ReqID: p.ReqID}
	if p.Action == spd.ActionProtect || p.Action == spd.ActionTrap {
		out.Protocol, out.Mode = protocolText(p.Protocol), p.Mode.String()
		out.LocalGW, out.RemoteGW = addrText(p.Local), addrText(p.Remote)
	}
	return out
}

func describePeer(p *racoon.PeerStatus) Peer {
	out := Peer{Name: p.Name, Remote: p.Remote, RemoteAddrs: texts(p.RemoteAddrs), Versions: texts(p.Versions), Children: []PeersChild{},
		UserPrompt: p.UserPrompt, Wanted: p.Wanted, Calling: p.Calling, Failures: p.Failures, Next: timeAt(p.Next)}
	for _, c := range p.Children {
		pc := PeersChild{Name: c.Name, Protocol: protocolText(c.Protocol), Mode: c.Mode.String(), Start: c.Start.String(),
			Local: texts(c.Local), Remote: texts(c.Remote)}
		if c.LocalDynamic {
			pc.Local = append(pc.Local, "dynamic")
		}
		if c.RemoteDynamic {
			pc.Remote = append(pc.Remote, "dynamic")
		}
		out.Children = append(out.Children, pc)
	}
	return out
}

func describeChanges(changes []racoon.Change) Reloaded {
	out := Reloaded{Changes: []Change{}}
	for _, c := range changes {
		out.Changes = append(out.Changes, Change{Peer: c.Peer, Child: c.Child, Field: c.Field, Effect: c.Effect.String(), Sessions: c.Sessions})
	}
	return out
}

func describeStats(s racoon.Stats) Stats {
	return Stats{Sessions: s.Sessions, HalfOpen: s.HalfOpen, Calls: s.Calls, JobsQueued: s.JobsQueued, Received: s.Received, Sent: s.Sent,
		SendErrors: s.SendErrors, ReadErrors: s.ReadErrors, Keepalives: s.Keepalives, ESP: s.ESP, Malformed: s.Malformed,
		QueueFull: s.QueueFull, EventsLost: s.EventsLost, Jobs: s.Jobs, IKEReceived: s.IKEReceived, IKE: CoreStats(s.IKE)}
}
