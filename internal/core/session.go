package core

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// A Protocol is what a session's protocol does on the wire. The session of a
// protocol embeds a Session and adds these methods.
type Protocol interface {
	child.Host
	// Probe asks the peer for a sign of life, unless something is under way
	// that will show the same. With Session.Seen set, it asks there too.
	Probe(now time.Time)
}

// A Session is one authenticated relation with a peer, apart from what its
// protocol says on the wire: who it is with and where, its Child SAs, what it
// has borrowed, and how it ends. Child SAs belong to the session, so a rekey of
// the IKE SA has nothing to hand over.
type Session struct {
	ID       ike.SessionID
	Name     string        // the configured peer's, "" while it is not known
	Acquire  spd.AcquireID // to be answered
	Replaces ike.SessionID // reauthenticated by this one
	Path     ike.Path
	Seen     *ike.Path // where ESP shows the peer to be, if that is elsewhere; see mapped
	Timing   *ike.Timing

	LocalID, RemoteID ike.Identity
	Children          child.Set
	Network           *ike.NetworkConfig  // from the peer (client), or leased to it (gateway)
	Leased            *ike.AddressRequest // what Network was leased for
	Assign            ike.AddressAssigner // that has leased it
	Asked             *ike.ConfigRequest  // what a client asks of its gateway

	Initiator           bool // this side began it
	Up, Dead            bool
	Ending              bool // a Delete of the IKE SA was asked for
	EndReason           ike.DownReason
	NATLocal, NATRemote bool // who is behind a NAT
	ForceEncap          bool // ESP travels in UDP even without a NAT
	NonIKE              bool // ESP in UDP shares the port of IKE behind the non-IKE marker (IKEv1, drafts 00 and 01)
	// ESPPort is the UDP port of ESP apart from that of IKE, as Cisco had it
	// before NAT traversal; 0: ESP goes where IKE goes.
	ESPPort uint16

	EndErr      error
	Successor   ike.SessionID // that has reauthenticated it
	Established time.Time
	LastAlive   time.Time // last authenticated message

	core   *Core
	self   Protocol
	seldom *seldom

	// Ended, if set, is called when an established session has ended and its
	// counters are final.
	Ended func(now time.Time, reason ike.DownReason)

	LivenessTimer  child.Timer
	KeepaliveTimer child.Timer
}

// seldom is what few sessions have, or only for a moment: sessions are many.
type seldom struct {
	outer     map[*child.SA][]SAKey // further SAs of bundles, that events come by
	early     []ike.Event           // see Emit
	espRemote netip.AddrPort        // with ESPPort, where the peer's packets come from
}

// some returns what the session has of it, to be changed.
func (s *Session) some() *seldom {
	if s.seldom == nil {
		s.seldom = new(seldom)
	}
	return s.seldom
}

// Init makes the embedded part of a session.
func (s *Session) Init(c *Core, self Protocol, path ike.Path, initiator bool, timing *ike.Timing) {
	s.core, s.self = c, self
	s.ID, s.Path, s.Initiator, s.Timing = c.NewSessionID(), path, initiator, timing
	s.Children.Init(self, c.plane)
}

// Establish counts and tells that both sides are authenticated.
func (s *Session) Establish(now time.Time, info ike.SessionInfo) {
	c := s.core
	s.Up, s.Established, s.LastAlive = true, now, now
	c.Count.Established++
	c.Load.AddSessions(1)
	c.perPeer[s.Name]++
	s.ArmLiveness(now)
	s.ArmKeepalive(now)
	c.Emit(ike.SessionUp{EventHeader: s.EventHeader(now), Info: info})
	if m := s.seldom; m != nil {
		for _, ev := range m.early {
			c.Emit(ev)
		}
		if m.early = nil; m.outer == nil && !m.espRemote.IsValid() {
			s.seldom = nil
		}
	}
}

// End takes away what the session holds, and tells how it ended when that is
// done. The protocol forgets it, and its IKE SAs, at once.
func (s *Session) End(now time.Time, reason ike.DownReason, err error) {
	c := s.core
	c.StopTimer(&s.LivenessTimer)
	c.StopTimer(&s.KeepaliveTimer)
	s.Dead = true
	if s.Up {
		c.Load.AddSessions(-1)
		if c.perPeer[s.Name]--; c.perPeer[s.Name] == 0 {
			delete(c.perPeer, s.Name)
		}
	} else if err != nil {
		c.Count.Failed++
		c.Emit(ike.SessionFailed{EventHeader: s.EventHeader(now), Initiator: s.Initiator, Err: err})
	}
	s.AnswerAcquire(now, err)
	s.Children.RemoveAll(now, reason, err, func(now time.Time) {
		if s.Up {
			c.Emit(ike.SessionDown{EventHeader: s.EventHeader(now), Reason: reason, Err: err, Successor: s.Successor})
			if s.Ended != nil {
				s.Ended(now, reason)
			}
		}
		s.releaseLease() // another may have the address when it is no SA's any more
	})
}

// Info is what all protocols tell of an established session.
func (s *Session) Info() ike.SessionInfo {
	return ike.SessionInfo{Initiator: s.Initiator, LocalID: s.LocalID, RemoteID: s.RemoteID,
		LocalNAT: s.NATLocal, RemoteNAT: s.NATRemote, Config: s.Network}
}

// State is a snapshot of the session. The protocol adds the IKE SA's state.
func (s *Session) State(info ike.SessionInfo) ike.SessionState {
	st := ike.SessionState{ID: s.ID, Peer: s.Name, Path: s.Path, Up: s.Up, Info: info, Established: s.Established, LastAlive: s.LastAlive}
	for _, a := range s.Children.All() {
		c := ike.ChildState{ChildInfo: a.Info, State: a.State.String()}
		c.FormerIn, c.FormerOut = a.Counted()
		in, out := a.SAIDs()
		c.InSA, c.OutSA = append(c.InSA, in...), append(c.OutSA, out...)
		st.Children = append(st.Children, c)
	}
	s.addDeadlines(&st)
	return st
}

// releaseLease gives the addresses of a client back.
func (s *Session) releaseLease() {
	if s.Leased == nil || s.Assign == nil {
		return
	}
	assign, r, cfg := s.Assign, *s.Leased, s.Network
	s.Leased = nil
	s.Cleanup(ike.JobAddress, 0, func(ctx context.Context) (any, error) {
		assign.Release(ctx, r, cfg)
		return nil, nil
	}, nil)
}

// AnswerAcquire tells the data plane what became of the acquire that began the
// session, if it has not been told yet.
func (s *Session) AnswerAcquire(now time.Time, err error) {
	id := s.Acquire
	s.Acquire = 0
	s.AcquireDone(id, err)
}

// AcquireDone answers an acquire; 0 is none.
func (s *Session) AcquireDone(id spd.AcquireID, err error) {
	if id == 0 {
		return
	}
	plane := s.core.plane
	s.Cleanup(ike.JobAcquireDone, 0, func(ctx context.Context) (any, error) {
		return nil, plane.AcquireDone(ctx, id, err)
	}, nil)
}

// The Session is the child.Host of its Child SAs, as far as that is no matter
// of the protocol.

// Job implements child.Host.
func (s *Session) Job(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error),
	done func(now time.Time, v any, err error), abandon func(v any)) {
	s.core.job(s, kind, order, run, done, abandon)
}

// Cleanup implements child.Host.
func (s *Session) Cleanup(kind ike.JobKind, order uint64, run func(ctx context.Context) (any, error), done func(now time.Time, v any, err error)) {
	s.core.job(nil, kind, order, run, done, nil)
}

// SetTimer implements child.Host.
func (s *Session) SetTimer(t *child.Timer, at time.Time) { s.core.SetTimer(t, at) }

// StopTimer implements child.Host.
func (s *Session) StopTimer(t *child.Timer) { s.core.StopTimer(t) }

// Jitter implements child.Host.
func (s *Session) Jitter(d time.Duration, fraction float64) time.Duration {
	return s.core.Jitter(d, fraction)
}

// Emit implements child.Host. A responder's first Child SA may be decided
// before its session is up; what is to be told about it follows SessionUp. If it
// ends before, nothing is told.
func (s *Session) Emit(e ike.Event) {
	if !s.Up {
		switch e := e.(type) {
		case ike.ChildUp, ike.ChildRekeyed, ike.ChildFailed:
			s.some().early = append(s.some().early, e)
			return
		case ike.ChildDown:
			if s.seldom == nil {
				return
			}
			s.seldom.early = slices.DeleteFunc(s.seldom.early, func(o ike.Event) bool {
				up, isUp := o.(ike.ChildUp)
				rekeyed, isRekeyed := o.(ike.ChildRekeyed)
				return isUp && up.Child.ID == e.Child.ID || isRekeyed && rekeyed.Child.ID == e.Child.ID
			})
			return
		}
	}
	s.core.Emit(e)
}

// EventHeader implements child.Host.
func (s *Session) EventHeader(now time.Time) ike.EventHeader {
	return ike.EventHeader{Time: now, Session: s.ID, Path: s.Path, Peer: s.Name}
}

// Warn tells something that ends nothing.
func (s *Session) Warn(now time.Time, err error) {
	s.core.Emit(ike.Warning{EventHeader: s.EventHeader(now), Err: err})
}

// AddChild puts a new, larval Child SA into the session; old is the one that it
// will replace, or nil. Missing numbers are filled in.
func (s *Session) AddChild(info ike.ChildInfo, cfg *child.Config, initiator bool, old *child.SA) *child.SA {
	c := s.core
	info.ID = c.NewChildID()
	if info.ReqID == 0 {
		info.ReqID = c.NewReqID()
	}
	c.childSAs++
	c.owners[SAKey{SPI: info.In}] = s
	if info.Out != 0 {
		c.owners[SAKey{SPI: info.Out, Remote: s.RemoteAddr()}] = s
	}
	return s.Children.Add(info, cfg, initiator, old)
}

// SetOutbound tells the peer's SPI of a Child SA that was added without: its
// inbound side was installed before the peer had answered.
func (s *Session) SetOutbound(a *child.SA, spi spd.SPI) {
	a.Info.Out = spi
	s.core.owners[SAKey{SPI: spi, Remote: s.RemoteAddr()}] = s
}

// AddOuter has the events of a Child SA's outermost SAs come to it, where they
// are not the ones that it is named after: AH around ESP.
func (s *Session) AddOuter(a *child.SA, spis ike.ChildSPIs) {
	keys := []SAKey{{SPI: spis.In}, {SPI: spis.Out, Remote: s.RemoteAddr()}}
	for _, k := range keys {
		s.core.owners[k] = s
	}
	m := s.some()
	if m.outer == nil {
		m.outer = make(map[*child.SA][]SAKey)
	}
	m.outer[a] = keys
}

// Removed implements child.Host.
func (s *Session) Removed(now time.Time, a *child.SA) {
	s.core.childSAs--
	keys := []SAKey{{SPI: a.Info.In}, {SPI: a.Info.Out, Remote: s.RemoteAddr()}}
	if m := s.seldom; m != nil {
		keys = append(keys, m.outer[a]...)
		delete(m.outer, a)
	}
	for _, k := range keys {
		if s.core.owners[k] == s {
			delete(s.core.owners, k)
		}
	}
}

// LocalAddr is the own outer address.
func (s *Session) LocalAddr() netip.Addr { return s.Path.Local.Addr().Unmap() }

// RemoteAddr is the peer's outer address.
func (s *Session) RemoteAddr() netip.Addr { return s.Path.Remote.Addr().Unmap() }
