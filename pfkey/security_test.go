package pfkey_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

// TestC20_InstallFails: the kernel fails at each step of an installation, in
// each way. What was installed goes again, the error tells, and what the policy
// wants protected does not leave in clear.
func TestC20_InstallFails(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		steps := []pfkey.MsgType{pfkey.MsgGetSPI, pfkey.MsgAdd, pfkey.MsgSPDAdd}
		for _, step := range steps {
			for _, e := range []pfkey.Errno{pfkey.EINVAL, pfkey.ENOENT, pfkey.EEXIST, pfkey.ENOMEM, pfkey.EPERM, 0} {
				for _, at := range []int{0, 1, 2} {
					synctest.Test(t, func(t *testing.T) {
						name := fmt.Sprintf("%v %v, number %d", step, e, at)
						k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
						p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
						defer p.Close()
						// A trap is there before and after.
						trap := childPolicies(7)[:1]
						trap[0].Action, trap[0].Priority = spd.ActionTrap, 2000
						require.NoError(t, p.SetPolicies(t.Context(), 1, trap))
						before := k.Policies()
						failing := step
						if step == pfkey.MsgSPDAdd {
							failing = []pfkey.MsgType{pfkey.MsgSPDUpdate, pfkey.MsgSPDAdd, pfkey.MsgSPDAdd}[at] // the trap's place is taken first
							if at == 2 {
								k.FailNext(failing, 0)
							}
							if failing == pfkey.MsgSPDAdd && (e == pfkey.EEXIST || at == 2 && !d.HasForward()) {
								return // taken over, or there is no third
							}
						} else {
							for range at {
								k.FailNext(failing, 0)
							}
						}
						if e == 0 {
							if at > 0 {
								return
							}
							k.Ignore(failing, 1)
						} else {
							k.FailNext(failing, e)
						}
						err := tryInstall(t.Context(), t, p, 7)
						if step != pfkey.MsgSPDAdd && at > 0 && err == nil {
							return // there is no such step
						}
						if err == nil && failing == pfkey.MsgSPDUpdate && k.Requests(failing) == 0 {
							return // the trap is what is wanted already
						}
						if err == nil {
							t.Fatalf("%s: no error", name)
						}
						if e == 0 {
							require.ErrorIs(t, err, pfkey.ErrNoAnswer, name)
						}
						require.Empty(t, k.SAs(), name)
						require.Equal(t, len(before), len(k.Policies()), name)
						v, _ := k.Packet(flowOut, 10)
						require.Equal(t, pfkeytest.Waits, v, name)
					})
				}
			}
		}
	})
}

// tryInstall does what a Child SA does, with its roll-back.
func tryInstall(ctx context.Context, t *testing.T, p *pfkey.DataPlane, reqID uint32) error {
	spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: reqID})
	if err != nil {
		return err
	}
	in, out := tunnel(t, anySuite, spi, reqID), tunnel(t, anySuite, 0x9000, reqID)
	ah := spd.SA{Protocol: spd.ProtoAH, SPI: 0x9000, Mode: spd.ModeTransport, Integrity: out.SAs[0].Integrity, IntegKey: keyOf(20, 1)}
	if p.Capabilities().Bundles {
		out.SAs = append(out.SAs, ah) // so that a bundle fails in its midst
	}
	if err := p.InstallInbound(ctx, in); err != nil {
		_ = p.ReleaseSPI(ctx, in.ID(spd.In, 0))
		return err
	}
	if err := p.InstallOutbound(ctx, out); err != nil {
		_, _ = p.Remove(ctx, in.ID(spd.In, 0))
		return err
	}
	if err := p.SetPolicies(ctx, 2, childPolicies(reqID)); err != nil {
		for _, id := range append(out.IDs(spd.Out), in.ID(spd.In, 0)) {
			_, _ = p.Remove(ctx, id)
		}
		return err
	}
	return nil
}

// TestC20_ForeignMessages: short, unknown, oversize and contradictory messages
// from the kernel's side are passed over; requests work on.
func TestC20_ForeignMessages(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		_, out := establish(t, p, 7)
		valid, err := d.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgExpire, SAType: pfkey.SATypeESP}, Exts: []pfkey.Extension{
			&pfkey.SA{SPI: out.SPI}, &pfkey.Lifetime{Type: pfkey.ExtLifetimeHard}, &pfkey.Lifetime{Type: pfkey.ExtLifetimeCurrent},
			&pfkey.Address{Type: pfkey.ExtAddressSrc, SockAddr: pfkey.SockAddr{Addr: addrA}}}})
		require.NoError(t, err)
		for i := range valid {
			k.Inject(valid[:i])
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			b := append([]byte(nil), valid...)
			for range 1 + rnd.IntN(4) {
				b[4+rnd.IntN(len(b)-4)] = byte(rnd.Uint32())
			}
			k.Inject(b)
		}
		for typ := range 256 {
			b := append([]byte(nil), valid...)
			b[1] = byte(typ)
			k.Inject(b)
		}
		big := append([]byte(nil), valid[:16]...)
		big = append(big, make([]byte, 1<<17)...)
		k.Inject(big)
		_, err = p.Query(t.Context(), out)
		require.NoError(t, err)
	})
}

// TestC21_NoClearText: before its SA is there, through a rekey and after a
// crash, a protected packet does not leave in clear, and none is taken in.
func TestC21_NoClearText(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{})
		protected := func(when string) {
			t.Helper()
			v, _ := k.Packet(flowOut, 10)
			require.NotEqual(t, pfkeytest.Clear, v, when)
			require.Equal(t, pfkeytest.Drop, k.Receive(pfkey.DirIn, flowIn), when)
		}
		require.NoError(t, p.SetPolicies(ctx, 1, childPolicies(7)))
		protected("before its SA")
		in, out := establish(t, p, 7)
		protected("with its SA")
		// A rekey: the new SAs are there before the old ones go.
		spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: 7})
		require.NoError(t, err)
		require.NoError(t, p.InstallInbound(ctx, tunnel(t, anySuite, spi, 7)))
		require.NoError(t, p.InstallOutbound(ctx, tunnel(t, anySuite, 0x9999, 7)))
		for _, id := range []spd.SAID{out, in} {
			_, err = p.Remove(ctx, id)
			require.NoError(t, err)
			v, via := k.Packet(flowOut, 10)
			require.Equal(t, pfkeytest.Protect, v)
			require.EqualValues(t, 0x9999, via[len(via)-1].SPI)
		}
		require.NoError(t, p.SetPolicies(ctx, 7, nil))
		protected("the other owner's policies are the same")
		// The kernel loses all SAs.
		for _, s := range k.SAs() {
			k.DropSA(s.Key())
		}
		protected("without SAs")
		// Its owner crashes: what is in the kernel stays.
		protected("after a crash")
	})
}

// TestC23_ManyCalls: 10,000 calls with contexts that end at any time, a reader
// of events that does not read, and a Close in the midst. Nothing hangs.
func TestC23_ManyCalls(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		p := newPlane(t, k, d, pfkey.DataPlaneConfig{EventBuffer: 2})
		trap := childPolicies(7)[0]
		trap.Action = spd.ActionTrap
		require.NoError(t, p.SetPolicies(t.Context(), 1, []spd.Policy{trap}))
		var wg sync.WaitGroup
		for g := range 10 {
			wg.Go(func() {
				for i := range 1000 {
					ctx, cancel := context.WithCancel(context.Background())
					if i%3 == 0 {
						go cancel()
					}
					reqID := uint32(g*1000 + i + 1)
					switch i % 5 {
					case 0:
						_, _ = p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA, Remote: addrB, ReqID: reqID})
					case 1:
						b := tunnel(t, anySuite, spd.SPI(0x1000+reqID), 50)
						if p.InstallOutbound(ctx, b) == nil {
							_, _ = p.Remove(ctx, b.ID(spd.Out, 0))
						}
					case 2:
						_ = p.SetPolicies(ctx, spd.Owner(reqID), childPolicies(50))
						_ = p.SetPolicies(ctx, spd.Owner(reqID), nil)
					case 3:
						_, _ = k.Packet(flowOut, 10)
						k.Advance(time.Minute)
					case 4:
						for range p.Client().Dump(ctx, pfkey.SATypeESP) {
							break
						}
					}
					cancel()
				}
			})
		}
		time.AfterFunc(time.Second, func() { _ = p.Close() })
		wg.Wait()
		require.NoError(t, p.Close())
		_, err := p.AllocSPI(context.Background(), spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrA})
		require.ErrorIs(t, err, spd.ErrClosed)
	})
}

// TestC25_NoSecretsInLogs: messages, entries and errors show no key, in any
// form of printing.
func TestC25_NoSecretsInLogs(t *testing.T) {
	secret := spd.Key("hunter2-hunter2-0123")
	e := cbcEntry(t, pfkey.Linux, 0x1000)
	e.AuthKey = secret
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
	c := newClient(t, k, pfkey.ClientConfig{Dialect: pfkey.Linux})
	require.NoError(t, c.Add(t.Context(), e))
	got, err := c.Get(t.Context(), e.Key())
	require.NoError(t, err)
	require.Equal(t, secret, got.AuthKey)
	key := &pfkey.Key{Type: pfkey.ExtKeyAuth, Key: secret}
	js, err := json.Marshal(map[string]any{"entry": got, "key": key})
	require.NoError(t, err)
	text := string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		text += fmt.Sprintf(verb, got) + fmt.Sprintf(verb, *got) + fmt.Sprintf(verb, key)
	}
	err = c.Add(t.Context(), e)
	require.Error(t, err)
	text += err.Error()
	bad := tunnel(t, anySuite, 0x1000, 1)
	bad.SAs[0].IntegKey = secret[:19]
	p := newPlane(t, k, pfkey.Linux, pfkey.DataPlaneConfig{})
	text += p.InstallInbound(t.Context(), bad).Error()
	for _, leak := range []string{"unter2", "68756e746572", "104 117 110", "aHVudGVy", "68, 75", "0x68"} {
		require.NotContains(t, text, leak)
	}
}

// TestC26_LengthsThatLie: each length in a message is looked at before it is
// used: every octet of real messages takes every value that a length may lie
// with, and every message ends at every octet.
func TestC26_LengthsThatLie(t *testing.T) {
	for _, d := range pfkey.Dialects() {
		m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgGet, SAType: pfkey.SATypeESP}, Exts: []pfkey.Extension{
			&pfkey.SA{SPI: 1}, &pfkey.Address{Type: pfkey.ExtAddressSrc, SockAddr: pfkey.SockAddr{Addr: addrA}},
			&pfkey.Address{Type: pfkey.ExtAddressDst, SockAddr: pfkey.SockAddr{Addr: netip.MustParseAddr("fd00::1")}},
			&pfkey.Key{Type: pfkey.ExtKeyAuth, Key: keyOf(20, 1)}, &pfkey.Identity{Type: pfkey.ExtIdentitySrc, Name: []byte("name")},
			&pfkey.Sensitivity{Bitmap: make([]byte, 8), Integ: make([]byte, 8)}, &pfkey.Proposal{Combs: make([]pfkey.Comb, 1)},
		}}
		for _, e := range []pfkey.Extension{
			&pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirIn, Requests: []pfkey.Request{{Proto: 50, Mode: pfkey.ModeTunnel,
				Src: pfkey.SockAddr{Addr: addrA}, Dst: pfkey.SockAddr{Addr: addrB}}, {Proto: 51}}},
			&pfkey.SecCtx{Context: []byte("ctx")}, &pfkey.KMAddress{Local: pfkey.SockAddr{Addr: addrA}, Remote: pfkey.SockAddr{Addr: addrB}},
			&pfkey.SAStat{Entries: make([]pfkey.SAStatEntry, 2)}, &pfkey.Tag{Name: "tag"}, &pfkey.IPsecIf{IPsec: "ipsec0"},
		} {
			if d.KnowsExt(e.Ext()) {
				m.Exts = append(m.Exts, e)
			}
		}
		b, err := d.Append(nil, m)
		require.NoError(t, err)
		try := func(b []byte) {
			if m, err := d.Parse(b); err == nil {
				_, _ = d.SAEntry(m)
				_, _ = d.PolicyEntry(m)
			} else {
				require.ErrorIs(t, err, pfkey.ErrMessage)
			}
		}
		for i := range b {
			try(b[:i])
			cut := append([]byte(nil), b[:i]...)
			if i >= 6 {
				binary.NativeEndian.PutUint16(cut[4:], uint16(i/8))
			}
			try(cut)
			for _, v := range []byte{0, 1, 2, 3, 7, 15, 16, 27, 28, 32, 127, 128, 254, 255} {
				bad := append([]byte(nil), b...)
				bad[i] = v
				try(bad)
			}
		}
	}
}

// TestC26_Permission: who may not open the socket is told so.
func TestC26_Permission(t *testing.T) {
	conn, err := pfkey.OpenSocket()
	if err == nil {
		_ = conn.Close()
		t.Skip("this process may")
	}
	require.True(t, errors.Is(err, pfkey.ErrNoSystem) || strings.Contains(err.Error(), "permitted"), err)
}

// TestC27_Oversized: what a message makes us allocate is bounded by its length.
func TestC27_Oversized(t *testing.T) {
	d := pfkey.Linux
	for _, e := range []pfkey.Extension{
		&pfkey.Proposal{Combs: make([]pfkey.Comb, 7000)},
		&pfkey.Supported{Type: pfkey.ExtSupportedAuth, Algs: make([]pfkey.Alg, 65000)},
		&pfkey.Identity{Type: pfkey.ExtIdentitySrc, Name: []byte(strings.Repeat("x", 500000))},
		&pfkey.SecCtx{Context: make([]byte, 65535)},
	} {
		b, err := d.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgAcquire}, Exts: []pfkey.Extension{e}})
		require.NoError(t, err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = d.Parse(b)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(3*len(b)+4096), "%T", e)
	}
	_, err := d.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgAdd}, Exts: []pfkey.Extension{
		&pfkey.Identity{Type: pfkey.ExtIdentitySrc, Name: make([]byte, 600000)}}})
	require.ErrorIs(t, err, pfkey.ErrMessage)
	many := &pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirIn, Requests: make([]pfkey.Request, 1000)}
	b, err := d.AppendPolicy(nil, many)
	require.NoError(t, err)
	_, err = d.ParsePolicy(b)
	require.ErrorIs(t, err, pfkey.ErrMessage, "more requests than any kernel has")
}
