package daemon

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/spmdaemon"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/spmif"
)

// spmdKernel is the part of a kernel that spmd's policies are in.
type spmdKernel struct {
	*sharedKernel
	theirs *spd.Memory
}

func (k *spmdKernel) ForeignPolicies(ctx context.Context) ([]spd.InstalledPolicy, error) {
	return k.theirs.InstalledPolicies(ctx)
}

// A spmdProcess is the policy daemon with one rule, that of the site.
type spmdProcess struct {
	plane  *spd.Memory
	daemon *spmdaemon.Daemon
	stop   func()
}

// startSpmd starts it. With open ends, the local end of the tunnel is whatever
// address packets have.
func startSpmd(t *testing.T, socket string, open bool, direction spd.RuleDirection) *spmdProcess {
	pol := policy(t, "10.2.0.0/16")
	rule := spd.Rule{Name: "site", Local: []spd.TrafficSelector{pol.Selector.Local}, Remote: []spd.TrafficSelector{pol.Selector.Remote}, Action: spd.ActionProtect, Mode: spd.ModeTunnel,
		LocalAddr: pol.Local, RemoteAddr: pol.Remote, Priority: 1 << 20, Direction: direction}
	if open {
		rule.LocalAddr = netip.Addr{}
	}
	l, err := spmif.Listen(spmif.ListenConfig{Path: socket})
	require.NoError(t, err)
	s := &spmdProcess{plane: spd.NewMemory(spd.MemoryConfig{})}
	ready := make(chan struct{})
	rules := spmdaemon.Policies{Rules: func(func(string) []netip.Addr) ([]spd.Rule, []string) { return []spd.Rule{rule}, nil },
		Rule: func(string) (spd.Rule, bool) { return rule, true }}
	s.daemon = spmdaemon.New(spmdaemon.Options{DataPlane: s.plane, Listener: l, Policies: rules, Ready: func() { close(ready) }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.daemon.Run(ctx) }()
	<-ready
	s.stop = func() { cancel(); <-done }
	t.Cleanup(s.stop)
	return s
}

// ends are the outer addresses of all policies.
func (s *spmdProcess) ends(t *testing.T) spd.AddrPair {
	list := s.plane.Policies()
	require.NotEmpty(t, list)
	for _, p := range list {
		require.Equal(t, list[0].Local, p.Local)
		require.Equal(t, list[0].Remote, p.Remote)
	}
	return spd.AddrPair{Local: list[0].Local, Remote: list[0].Remote}
}

func newMoved(t *testing.T, socket, file string) *movedPolicies {
	return newMovedPolicies(file, func(ctx context.Context) (policyService, error) {
		c, err := spmif.Dial(ctx, socket, nil)
		if err != nil {
			return nil, err
		}
		return c, nil
	}, slog.New(slog.DiscardHandler))
}

// TestMovedPolicies: spmd's policies follow a peer that moves, whichever ends they
// have and however often it moves, and go home with its last SA.
func TestMovedPolicies(t *testing.T) {
	home, second, third := netip.MustParseAddrPort("192.0.2.2:4500"), netip.MustParseAddrPort("198.51.100.2:4500"), netip.MustParseAddrPort("198.51.100.3:4500")
	for name, c := range map[string]struct {
		open      bool
		direction spd.RuleDirection
	}{"both ends": {}, "local end open": {open: true}, "outbound": {direction: spd.OnlyOutbound}, "inbound": {direction: spd.OnlyInbound}} {
		t.Run(name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			socket, file := filepath.Join(dir, "spmif"), filepath.Join(dir, "iked.moved")
			s := startSpmd(t, socket, c.open, c.direction)
			began := s.ends(t)
			at := func(a netip.AddrPort) spd.AddrPair { return spd.AddrPair{Local: began.Local, Remote: a.Addr()} }
			k := &spmdKernel{newSharedKernel(), s.plane}
			p := newFollowingPlane(k, k, true, nil)
			m := newMoved(t, socket, file)
			p.moved = m

			in, out := bundle(t, 0x1001), bundle(t, 0x2001)
			inID, outID := in.ID(spd.In, 0), out.ID(spd.Out, 0)
			move := func(to netip.AddrPort) {
				e := spd.Endpoints{Local: in.Local, Remote: to}
				require.NoError(t, p.MovePeer(ctx, inID, e))
				require.NoError(t, p.MovePeer(ctx, outID, e))
				outID.Dst = to.Addr()
			}
			require.NoError(t, p.InstallInbound(ctx, in))
			require.NoError(t, p.InstallOutbound(ctx, out))
			move(netip.MustParseAddrPort("192.0.2.2:1024"))
			require.Equal(t, began, s.ends(t), "a port is nothing to a policy")
			require.True(t, m.none())
			for _, to := range []netip.AddrPort{second, third, home, third} {
				move(to)
				require.Equal(t, at(to), s.ends(t))
				require.Equal(t, to == home, m.none())
			}

			// What is moved is remembered: iked may be killed.
			next := newMoved(t, socket, file)
			next.settle(ctx)
			require.Equal(t, began, s.ends(t))
			require.True(t, next.none())
			require.NoFileExists(t, file)
			m.settle(ctx)
			require.Equal(t, at(third), s.ends(t), "whoever has SAs there says so again")

			// A rekey, and the end of the old SAs.
			in2, out2 := bundle(t, 0x1002), bundle(t, 0x2002)
			in2.Remote, out2.Remote = third, third
			require.NoError(t, p.InstallInbound(ctx, in2))
			require.NoError(t, p.InstallOutbound(ctx, out2))
			for _, id := range []spd.SAID{inID, outID} {
				_, err := p.Remove(ctx, id)
				require.NoError(t, err)
			}
			m.settle(ctx)
			require.Equal(t, at(third), s.ends(t))

			// The rekey of a data plane that cannot move an SA.
			in3, out3 := bundle(t, 0x1003), bundle(t, 0x2003)
			in3.Remote, out3.Remote = second, second
			require.NoError(t, p.InstallInbound(ctx, in3))
			require.NoError(t, p.InstallOutbound(ctx, out3))
			require.Equal(t, at(second), s.ends(t))

			for _, id := range []spd.SAID{in2.ID(spd.In, 0), out2.ID(spd.Out, 0), in3.ID(spd.In, 0), out3.ID(spd.Out, 0)} {
				_, err := p.Remove(ctx, id)
				require.NoError(t, err)
			}
			<-m.poke
			m.settle(ctx)
			require.Equal(t, began, s.ends(t))
			require.True(t, m.none())
			require.NoFileExists(t, file)
			require.Empty(t, p.lineOf)
			require.Empty(t, p.lines)
		})
	}
}

// TestMovedSpmdRestarts: spmd is told again after it has ended, also what happened
// while it was away.
func TestMovedSpmdRestarts(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	socket := filepath.Join(dir, "spmif")
	s := startSpmd(t, socket, false, spd.BothDirections)
	began := s.ends(t)
	k := &spmdKernel{newSharedKernel(), s.plane}
	p := newFollowingPlane(k, k, true, nil)
	p.moved = newMoved(t, socket, "")
	out := bundle(t, 0x2001)
	id := out.ID(spd.Out, 0)
	require.NoError(t, p.InstallOutbound(ctx, out))
	move := func(to string) {
		e := spd.Endpoints{Local: out.Local, Remote: netip.MustParseAddrPort(to)}
		require.NoError(t, p.MovePeer(ctx, id, e))
		id.Dst = e.Remote.Addr()
	}
	move("198.51.100.2:4500")
	require.Equal(t, "198.51.100.2", s.ends(t).Remote.String())

	// spmd's policies stay in a kernel while it is away; here they are at home again.
	s.stop()
	p.moved.settle(ctx)
	require.True(t, p.moved.failed)
	s = startSpmd(t, socket, false, spd.BothDirections)
	require.Equal(t, began, s.ends(t))
	end := time.Now().Add(time.Minute)
	run, stop := context.WithCancel(ctx)
	defer stop()
	go p.moved.run(run)
	for s.ends(t).Remote.String() != "198.51.100.2" { // without that anything else happens
		require.True(t, time.Now().Before(end))
		time.Sleep(20 * time.Millisecond)
	}
	p.moved.close(ctx)
	require.Equal(t, began, s.ends(t), "the end of the daemon sends it home")
}

// TestMovedOfOthers: a policy that leads to another peer too stays.
func TestMovedOfOthers(t *testing.T) {
	ctx := t.Context()
	socket := filepath.Join(t.TempDir(), "spmif")
	s := startSpmd(t, socket, false, spd.BothDirections)
	began := s.ends(t)
	k := &spmdKernel{newSharedKernel(), s.plane}
	p := newFollowingPlane(k, k, true, nil)
	p.moved = newMoved(t, socket, "")
	one, other := bundle(t, 0x2001), bundle(t, 0x2002)
	other.ReqID = 8
	require.NoError(t, p.InstallOutbound(ctx, one))
	require.NoError(t, p.InstallOutbound(ctx, other))
	to := spd.Endpoints{Local: one.Local, Remote: netip.MustParseAddrPort("198.51.100.2:4500")}
	require.NoError(t, p.MovePeer(ctx, one.ID(spd.Out, 0), to))
	require.Equal(t, began, s.ends(t))

	// Nor does one move to whoever comes from elsewhere.
	stranger := bundle(t, 0x2003)
	stranger.ReqID, stranger.Remote = 9, to.Remote
	require.NoError(t, p.InstallOutbound(ctx, stranger))
	require.Equal(t, began, s.ends(t))
	pol := policy(t, "10.2.0.0/16")
	pol.Remote = to.Remote.Addr()
	require.ErrorIs(t, p.SetPolicies(ctx, 3, []spd.Policy{pol}), errOccupied)

	// When the last other one has moved there too, it does.
	require.NoError(t, p.MovePeer(ctx, other.ID(spd.Out, 0), to))
	require.Equal(t, to.Remote.Addr(), s.ends(t).Remote)
}

// TestMovedFile: a file that is none is no reason not to start.
func TestMovedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "iked.moved")
	for _, text := range []string{"", "{", "[null]", `[{"Name":"x","Home":"y"}]`, "[]"} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.True(t, newMoved(t, "", file).none(), text)
	}
	m := newMoved(t, "", file)
	pair := func(remote string) spd.AddrPair { return spd.AddrPair{Remote: netip.MustParseAddr(remote)} }
	require.True(t, m.note("x", 7, pair("192.0.2.2"), pair("192.0.2.3"), false))
	for i := range 3 * maxBefore {
		m.away[0].goTo(pair(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()))
	}
	require.LessOrEqual(t, len(m.away[0].Before), maxBefore)
	b, err := json.Marshal(m.away)
	require.NoError(t, err)
	require.NotContains(t, string(b), "lines")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}
