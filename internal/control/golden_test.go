package control

import (
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares the JSON form of a value with that in testdata, which is what
// programs that read it rely on.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	got = append(got, '\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func proposal(t *testing.T, p spd.Protocol, s string) spd.Proposal {
	t.Helper()
	l, err := spd.ParseProposal(p, s)
	require.NoError(t, err)
	return l
}

func child(t *testing.T) ike.ChildInfo {
	from, err := spd.ParseTrafficSelector("10.1.0.0/24")
	require.NoError(t, err)
	to, err := spd.ParseTrafficSelector("10.2.0.0/16[tcp/443]")
	require.NoError(t, err)
	return ike.ChildInfo{ID: 7, Name: "net", Protocol: spd.ProtoESP, ChildSPIs: ike.ChildSPIs{In: 0xc0000001, Out: 0xc0ffee}, ReqID: 16385,
		LocalTS: []spd.TrafficSelector{from}, RemoteTS: []spd.TrafficSelector{to}, Proposal: proposal(t, spd.ProtoESP, "aes256gcm16"),
		UDPEncap: true, Installed: noon}
}

func header() ike.EventHeader {
	return ike.EventHeader{Time: noon, Session: 72057594037927937, Peer: "office", Path: ike.Path{
		Local: netip.MustParseAddrPort("192.0.2.1:4500"), Remote: netip.MustParseAddrPort("[2001:db8::2]:4500")}}
}

func info(t *testing.T) ike.SessionInfo {
	local, err := ike.ParseIdentity("alice@example.org")
	require.NoError(t, err)
	remote, err := ike.ParseIdentity("C=CH, CN=gw")
	require.NoError(t, err)
	return ike.SessionInfo{Initiator: true, LocalID: local, RemoteID: remote, LocalSPI: 0x0102030405060708, RemoteSPI: 0xfffefdfcfbfaf9f8,
		Proposal: proposal(t, spd.ProtoIKE, "aes256gcm16-prfsha256-x25519"), RemoteNAT: true, Fragmentation: true, User: "alice",
		Groups: []string{"staff"}, Vendors: []string{"strongSwan"}, Config: &ike.NetworkConfig{
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.7/32")}, DNS: []netip.Addr{netip.MustParseAddr("10.9.0.1")},
			Subnets: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, Domains: []string{"corp.example"}, DefaultDomain: "example.org",
			Banner: "welcome\x1b[31m"}}
}

func TestGoldenSession(t *testing.T) {
	h := header()
	st := &ike.SessionState{ID: h.Session, Peer: h.Peer, Path: h.Path, Up: true, State: "ESTABLISHED", Info: info(t), Established: noon,
		LastAlive: noon.Add(time.Minute), Exchanges: 5,
		Children: []ike.ChildState{{ChildInfo: child(t), State: "mature"}},
		Deadlines: []ike.Deadline{{At: noon.Add(time.Hour), What: ike.DeadlineRekey}, {At: noon.Add(2 * time.Hour), What: ike.DeadlineExpire},
			{At: noon.Add(3 * time.Hour), What: ike.DeadlineExpire}, {At: noon.Add(30 * time.Minute), What: ike.DeadlineRekey, Child: 7},
			{At: noon.Add(33 * time.Minute), What: ike.DeadlineExpire, Child: 7}, {At: noon.Add(24 * time.Hour), What: ike.DeadlineReauth}}}
	s := describeSession(st, racoon.IKEv2)
	s.addStats(racoon.SessionStats{IKERekeys: 1, Exchanges: 5, Received: spd.Counters{Bytes: 1400, Packets: 1, LastUsed: noon}, Children: []racoon.ChildStats{
		{ChildSA: racoon.ChildSA{ChildInfo: child(t)}, Sent: spd.Counters{Bytes: 2800, Packets: 2, ReplayDrops: 3}}}})
	golden(t, "session", s)
}

func TestGoldenEvents(t *testing.T) {
	h, c := header(), child(t)
	why := errors.New("no proposal chosen")
	moved := h.Path
	moved.Remote = netip.MustParseAddrPort("198.51.100.7:61000")
	var out []Event
	for _, ev := range []ike.Event{
		ike.SessionUp{EventHeader: h, Info: info(t)},
		ike.SessionFailed{EventHeader: h, Initiator: true, Err: why},
		ike.SessionDown{EventHeader: h, Reason: ike.DownReauth, Successor: 72057594037927938},
		ike.SessionRekeyed{EventHeader: h, LocalSPI: 1, RemoteSPI: 2, Proposal: info(t).Proposal},
		ike.SessionMoved{EventHeader: h, Old: moved},
		ike.AddressAssigned{EventHeader: h, Config: &ike.NetworkConfig{Banner: "hello"}},
		ike.ChildUp{EventHeader: h, Child: c},
		ike.ChildRekeyed{EventHeader: h, Child: c, Initiator: true},
		ike.ChildDown{EventHeader: h, Child: c, Reason: ike.DownRemote, In: spd.Counters{Bytes: 1}},
		ike.ChildFailed{EventHeader: h, Name: "net", Err: why},
		ike.RekeyFailed{EventHeader: h, Child: 7, Name: "net", Err: why},
		ike.ReauthNeeded{EventHeader: h},
		ike.PeerNotify{EventHeader: h, Type: 16384, Text: "INITIAL_CONTACT"},
		ike.PeerAlive{EventHeader: h},
		ike.Warning{EventHeader: h, Err: why},
		racoon.EventsLost{EventHeader: h, Count: 9},
	} {
		e := describeEvent(ev)
		require.NotEmpty(t, e.Type, "%T", ev)
		out = append(out, e)
	}
	golden(t, "events", out)
}

func TestGoldenOthers(t *testing.T) {
	c := child(t)
	golden(t, "policy", describePolicy(&spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: c.LocalTS[0], Remote: c.RemoteTS[0]},
		Action: spd.ActionProtect, Priority: 1100, ReqID: 7, Protocol: spd.ProtoESP, Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2")}))
	golden(t, "peer", describePeer(&racoon.PeerStatus{Name: "office", Remote: "gw.example.org", RemoteAddrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Versions: []racoon.Version{racoon.IKEv2, racoon.IKEv1}, Wanted: true, Failures: 2, Next: noon, Children: []racoon.ChildStatus{
			{Name: "net", Protocol: spd.ProtoESP, Local: c.LocalTS, RemoteDynamic: true, Start: racoon.StartTrap}}}))
	golden(t, "reloaded", describeChanges([]racoon.Change{{Peer: "office", Child: "net", Field: "Remote", Effect: racoon.EffectDelete, Sessions: 1}}))
	golden(t, "stats", describeStats(racoon.Stats{Sessions: 1, ESP: 3, IKE: ike.CoreStats{BadIntegrity: 2}}))
	golden(t, "status", Status{Daemon: "iked", Version: "1", PID: 4, Started: noon, Addresses: []string{"[::]:500"}, LogLevel: "info"})
	golden(t, "done", Done{Sessions: 2, Children: 1, Pending: 1, Errors: []string{"x"}})
	golden(t, "error", &Error{Status: 404, Code: CodeNotFound, Message: "no session is like that"})
	golden(t, "due", Due{At: noon, What: "rekey", Peer: "office", Session: "1", Child: "7", Name: "net"})
	golden(t, "certificate", Certificate{Session: "1", Peer: "office", RemoteID: "gw", Chain: [][]byte{{0x30, 0}}})
	golden(t, "establish", EstablishRequest{Peer: "office", User: "alice", Password: Password("secret"), Wait: true})
}
