package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/spd"
)

// keptKernel outlives the daemon.
type keptKernel struct{ *spd.Memory }

func (keptKernel) Close() error { return nil }

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func bundle(t *testing.T, spi spd.SPI) *spd.Bundle {
	p, err := spd.ParseProposal(spd.ProtoESP, "aes128gcm16")
	require.NoError(t, err)
	ts := func(s string) []spd.TrafficSelector {
		ts, err := spd.ParseTrafficSelector(s)
		require.NoError(t, err)
		return []spd.TrafficSelector{ts}
	}
	encr, _ := p.Get(spd.TransformENCR)
	b := &spd.Bundle{SAs: []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Mode: spd.ModeTunnel, Encryption: encr, EncrKey: make(spd.Key, 20)}}, ReqID: 7}
	b.Local, b.Remote = netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500")
	b.LocalTS, b.RemoteTS = ts("10.1.0.0/16"), ts("10.2.0.0/16")
	return b
}

func policy(t *testing.T, remote string) spd.Policy {
	l, err := spd.ParseTrafficSelector("10.1.0.0/16")
	require.NoError(t, err)
	r, err := spd.ParseTrafficSelector(remote)
	require.NoError(t, err)
	return spd.Policy{Direction: spd.Out, Selector: spd.Selector{Local: l, Remote: r}, Action: spd.ActionProtect, Priority: 1000, ReqID: 7, Protocol: spd.ProtoESP,
		Mode: spd.ModeTunnel, Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("192.0.2.2")}
}

// TestC21_KilledDaemon: what a killed daemon has left is found, and only that.
// SAs go at once; policies stay until the new ones stand.
func TestC21_KilledDaemon(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	kernel := keptKernel{spd.NewMemory(spd.MemoryConfig{})}
	var removed []storedSA
	remove := func(_ context.Context, sa storedSA) error { removed = append(removed, sa); return nil }
	first, err := remember(ctx, dir, "iked", kernel, remove, discardLog())
	require.NoError(t, err)
	require.Empty(t, removed)

	require.NoError(t, first.InstallInbound(ctx, bundle(t, 0x1001)))
	require.NoError(t, first.InstallOutbound(ctx, bundle(t, 0x2001)))
	require.NoError(t, first.InstallInbound(ctx, bundle(t, 0x1002)))
	require.Error(t, first.InstallInbound(ctx, bundle(t, 0x1002)), "it is there")
	_, err = first.Remove(ctx, bundle(t, 0x1002).ID(spd.In, 0))
	require.NoError(t, err)
	stays, goes := policy(t, "10.2.0.0/16"), policy(t, "10.3.0.0/16")
	require.NoError(t, first.SetPolicies(ctx, 1, []spd.Policy{stays, goes}))
	require.NoError(t, first.SetPolicies(ctx, 2, []spd.Policy{policy(t, "10.4.0.0/16")}))
	require.NoError(t, first.SetPolicies(ctx, 2, nil))

	// The daemon is killed while it writes. The kernel forgets who its owners were.
	f, err := os.OpenFile(filepath.Join(dir, "iked.sas"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`+ {"protocol":3,"spi":77,"sr`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	kernel.Crash()

	second, err := remember(ctx, dir, "iked", kernel, remove, discardLog())
	require.NoError(t, err)
	local, peer := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	require.ElementsMatch(t, []storedSA{
		{Protocol: spd.ProtoESP, SPI: 0x1001, Src: peer, Dst: local}, {Protocol: spd.ProtoESP, SPI: 0x2001, Src: local, Dst: peer},
	}, removed)
	require.Equal(t, 2, second.stale())
	require.Len(t, kernel.Policies(), 2, "protected meanwhile")
	require.NoError(t, second.SetPolicies(ctx, 1, []spd.Policy{stays}))
	require.NoError(t, second.dropStale(ctx))
	require.NoError(t, second.dropStale(ctx))
	require.Equal(t, []spd.Policy{stays}, kernel.Policies())

	// It is killed again: the third finds what the second had.
	kernel.Crash()
	removed = nil
	third, err := remember(ctx, dir, "iked", kernel, remove, discardLog())
	require.NoError(t, err)
	require.Empty(t, removed)
	require.Equal(t, 1, third.stale())
	require.NoError(t, third.dropStale(ctx))
	require.Empty(t, kernel.Policies())

	// What cannot be removed is not forgotten.
	require.NoError(t, third.InstallInbound(ctx, bundle(t, 0x1003)))
	broken := errors.New("no")
	_, err = remember(ctx, dir, "iked", kernel, func(context.Context, storedSA) error { return broken }, discardLog())
	require.ErrorIs(t, err, broken)
	removed = nil
	_, err = remember(ctx, dir, "iked", kernel, remove, discardLog())
	require.NoError(t, err)
	require.Len(t, removed, 1)
}

// A second daemon does not take what the first has in the kernel for a dead one's,
// with files of the process ID and control sockets of their own neither.
func TestC21_SecondDaemon(t *testing.T) {
	if runtime.GOOS == "windows" {
		testhost.Missing(t, "no kernel's data plane on this system")
	}
	for _, kind := range []string{"xfrm", "pfkey"} {
		d := newInstance(t, fmt.Sprintf("[daemon]\nlisten = [\"127.0.0.1:0\"]\nlisten-natt = []\n[dataplane]\nkind = %q\n[control]\nsocket = \"\"\n", kind))
		first, err := lockKernel(&conf.DataPlane{Kind: kind}, d.path("state"), "iked")
		require.NoError(t, err)
		var out testhost.Log
		code := Program{Name: "iked"}.Run(t.Context(), []string{"-c", d.path("racoon.toml"), "-state", d.path("state"), "-p", d.path("other.pid")}, Env{Getenv: func(string) string { return "" }}, &out, &out)
		require.Equal(t, 1, code)
		require.Contains(t, out.String(), "the daemon runs already", "before it opens the data plane")
		left, err := os.ReadDir(d.path("state"))
		require.NoError(t, err)
		require.Len(t, left, 1, "%v", left)
		first.Remove()
	}
	none, err := lockKernel(&conf.DataPlane{Kind: "userspace"}, t.TempDir(), "iked")
	require.NoError(t, err)
	require.Nil(t, none, "what dies with the process needs no lock")
}

// A peer that moves takes its SAs along.
func TestStaleMoved(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	kernel := keptKernel{spd.NewMemory(spd.MemoryConfig{})}
	var removed []storedSA
	remove := func(_ context.Context, sa storedSA) error { removed = append(removed, sa); return nil }
	p, err := remember(ctx, dir, "iked", kernel, remove, discardLog())
	require.NoError(t, err)
	b := bundle(t, 0x2001)
	require.NoError(t, p.InstallOutbound(ctx, b))
	to := spd.Endpoints{Local: b.Local, Remote: netip.MustParseAddrPort("198.51.100.9:4500"), UDPEncap: true}
	require.NoError(t, p.MovePeer(ctx, b.ID(spd.Out, 0), to))
	kernel.Crash()
	_, err = remember(ctx, dir, "iked", kernel, remove, discardLog())
	require.NoError(t, err)
	require.Equal(t, []storedSA{{Protocol: spd.ProtoESP, SPI: 0x2001, Src: b.Local.Addr(), Dst: to.Remote.Addr()}}, removed)
}

// A file that others could have written decides nothing.
func TestStaleFileOfOthers(t *testing.T) {
	at := filepath.Join(t.TempDir(), "sas")
	require.NoError(t, os.WriteFile(at, []byte("something\n"), 0o600))
	_, _, err := openSAFile(at)
	require.ErrorContains(t, err, "is not a file of SAs")
	require.NoError(t, os.WriteFile(at, []byte(saFileHeader+"\n"), 0o600))
	require.NoError(t, os.Chmod(at, 0o666))
	_, _, err = openSAFile(at)
	require.ErrorContains(t, err, "its owner alone may write")
	require.NoError(t, os.Chmod(at, 0o600))
	s, old, err := openSAFile(at)
	require.NoError(t, err)
	require.Empty(t, old)
	// It does not grow with what is gone.
	for i := range 5000 {
		sa := storedSA{Protocol: spd.ProtoESP, SPI: spd.SPI(i + 256)}
		require.NoError(t, s.add(sa))
		s.remove(sa)
	}
	info, err := os.Stat(at)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(200<<10))
	require.NoError(t, s.close())
	require.Error(t, s.add(storedSA{SPI: 1}))
}
