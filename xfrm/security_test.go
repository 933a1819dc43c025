package xfrm_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// setUp is what key management does for a Child SA of a peer that has a trap,
// with its own way back, as internal/child goes it.
func setUp(p *xfrm.DataPlane, in, out *spd.Bundle) error {
	spi, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: in.Local.Addr(), Remote: in.Remote.Addr(), ReqID: in.ReqID})
	if err != nil {
		return err
	}
	in.SAs[0].SPI = spi
	if err := p.InstallInbound(ctx, in); err != nil {
		_ = p.ReleaseSPI(ctx, in.ID(spd.In, 0))
		return err
	}
	if err := p.InstallOutbound(ctx, out); err != nil {
		_, _ = p.Remove(ctx, in.ID(spd.In, 0))
		return err
	}
	if err := p.SetPolicies(ctx, 1, bundlePolicies(out)); err != nil {
		_, _ = p.Remove(ctx, out.ID(spd.Out, 0))
		_, _ = p.Remove(ctx, in.ID(spd.In, 0))
		return err
	}
	return nil
}

// TestC20_KernelErrors: whatever request of a Child SA's installation the
// kernel refuses, does not answer or loses, what was installed goes again, and
// no packet that the trap protects leaves in clear in between.
func TestC20_KernelErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which a request that is not answered ends at once
		for _, errno := range []xfrm.Errno{xfrm.ENOMEM, xfrm.EEXIST, xfrm.ESRCH, xfrm.ENOENT, xfrm.EINVAL, xfrmtest.Silence, xfrmtest.Lost} {
			for step := 0; ; step++ {
				k, p := newFake(t)
				in, out := gateway(0), gateway(0x1001)
				require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{trap(out)}))
				watchClear(t, k, outFlow)
				n, failed := 0, xfrm.MessageType(0)
				k.Do(func() {
					k.Fail = func(m xfrm.Message) xfrm.Errno {
						if n++; n-1 == step {
							failed = m.MessageType()
							return errno
						}
						return 0
					}
				})
				if errno >= xfrmtest.Silence {
					xfrm.SetTimeout(p.Client(), 5*time.Millisecond)
				}
				err := setUp(p, in, out)
				k.Do(func() { k.Fail = nil })
				if failed == 0 {
					require.NoError(t, err)
					require.Greater(t, step, 5, "the steps of an installation")
					break
				}
				name := fmt.Sprintf("step %d, %v, error %d: %v", step, failed, errno, err)
				takenOver := failed == xfrm.MsgNewPolicy && errno == xfrm.EEXIST || failed == xfrm.MsgUpdSA && errno == xfrm.ESRCH
				if takenOver && err == nil {
					// Somebody else's policy was there, or the reservation was over.
					require.Equal(t, xfrmtest.Protected, k.LookOut(outFlow), name)
					continue
				}
				require.Error(t, err, name)
				if errno >= xfrmtest.Silence {
					require.ErrorIs(t, err, xfrm.ErrNoAnswer, name)
				} else if !takenOver {
					require.ErrorIs(t, err, errno, name)
				}
				for _, sa := range k.SAs() {
					require.Equal(t, xfrm.MsgAllocSPI, failed, "%s: an SA is left: %v", name, sa.Key())
					require.Equal(t, xfrmtest.Silence, errno, name) // its own time limit ends it
				}
				require.Len(t, k.Policies(), 1, name)
				require.Equal(t, xfrmtest.Held, k.LookOut(outFlow), name)

				// The next attempt succeeds.
				require.NoError(t, setUp(p, gateway(0), gateway(0x1001)), name)
				require.Equal(t, xfrmtest.Protected, k.LookOut(outFlow), name)
			}
		}
	})
}

// TestC20_PolicyChange: a change of policies that fails at any step leaves them
// as they were, and what both sets protect is protected throughout.
func TestC20_PolicyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which a request that is not answered ends at once
		wide, narrow := gateway(0x1001), gateway(0x1002)
		narrow.RemoteTS = []spd.TrafficSelector{spd.FromPrefix(prefix("10.2.0.0/24")), spd.FromRange(addr("10.2.5.1"), addr("10.2.5.9"))}
		for _, errno := range []xfrm.Errno{xfrm.ENOMEM, xfrm.EINVAL, xfrmtest.Lost, xfrmtest.Silence} {
			for step := 0; ; step++ {
				k, p := newFake(t)
				require.NoError(t, p.InstallOutbound(ctx, wide))
				require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(wide)))
				before := k.Policies()
				watchClear(t, k, outFlow)
				n, failed := 0, false
				k.Do(func() {
					k.Fail = func(m xfrm.Message) xfrm.Errno {
						if n++; n-1 == step {
							failed = true
							return errno
						}
						return 0
					}
				})
				if errno >= xfrmtest.Silence {
					xfrm.SetTimeout(p.Client(), 5*time.Millisecond)
				}
				err := p.SetPolicies(ctx, 1, bundlePolicies(narrow))
				k.Do(func() { k.Fail = nil })
				if !failed {
					require.NoError(t, err)
					require.NotEqual(t, before, k.Policies())
					require.Greater(t, step, 10)
					break
				}
				require.Error(t, err)
				var left []xfrm.PolicyKey
				for _, pol := range k.Policies() {
					key := pol.Key()
					left = append(left, key)
				}
				var want []xfrm.PolicyKey
				for _, pol := range before {
					want = append(want, pol.Key())
				}
				require.ElementsMatch(t, want, left, "step %d, error %d", step, errno)
				require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(narrow)))
				k.Do(func() { k.After = nil })
				require.NoError(t, p.SetPolicies(ctx, 1, nil))
				require.Empty(t, k.Policies())
			}
		}
	})
}

// TestC20_Answers: answers that no kernel gives are errors, not crashes, and
// nothing hangs.
func TestC20_Answers(t *testing.T) {
	damage := map[string]func(b []byte) []byte{
		"nothing":            func([]byte) []byte { return nil },
		"short header":       func(b []byte) []byte { return b[:15] },
		"length 0":           func(b []byte) []byte { binary.NativeEndian.PutUint32(b, 0); return b },
		"length too large":   func(b []byte) []byte { binary.NativeEndian.PutUint32(b, 1<<31); return b },
		"cut":                func(b []byte) []byte { binary.NativeEndian.PutUint32(b, 18); return b[:18] },
		"unknown type":       func(b []byte) []byte { binary.NativeEndian.PutUint16(b[4:], 999); return b },
		"other sequence":     func(b []byte) []byte { b[8]++; return b },
		"oversize":           func(b []byte) []byte { return append(b, make([]byte, 100<<10)...) },
		"error out of range": func(b []byte) []byte { b[4] = 2; b[5] = 0; copy(b[16:], []byte{1, 2, 3, 4}); return b },
		"done":               func(b []byte) []byte { binary.NativeEndian.PutUint16(b[4:], xfrm.CtlDone); return b },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, p := newFake(t)
				b := gateway(0x1001)
				require.NoError(t, p.InstallOutbound(ctx, b))
				k.Do(func() { k.Answer = f })
				xfrm.SetTimeout(p.Client(), 5*time.Millisecond)
				_, err := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: b.Local.Addr(), Remote: b.Remote.Addr()})
				require.Error(t, err)
				require.Error(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
				_, err = p.Query(ctx, b.ID(spd.Out, 0))
				require.Error(t, err)
				k.Do(func() { k.Answer = nil })
				_, err = p.Query(ctx, b.ID(spd.Out, 0))
				require.NoError(t, err, "the next request has an answer of its own")
				require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(b)))
			})
		})
	}
}

// TestC20_Events: events that no kernel sends are passed over.
func TestC20_Events(t *testing.T) {
	k, p := newFake(t)
	require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{trap(gateway(0x1001))}))
	for _, d := range [][]byte{nil, {1}, make([]byte, 16), {255, 255, 255, 255, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 128<<10)} {
		k.Inject(xfrm.GroupAcquire, d)
	}
	for mt := range uint16(0x40) {
		k.Inject(xfrm.GroupExpire, xfrm.AppendMessage(nil, xfrm.Header{Type: mt}, func(b []byte) []byte { return append(b, 1, 2, 3, 4) }))
		k.Inject(xfrm.GroupExpire, xfrm.AppendMessage(nil, xfrm.Header{Type: mt}, func(b []byte) []byte { return append(b, make([]byte, 400)...) }))
	}
	k.Output(outFlow, 1)
	for {
		if ev := event[spd.AcquireEvent](t, p); ev.Policy == trap(gateway(0x1001)) {
			break // it still listens
		}
	}
}

// TestC21_NoClearText: from the trap to the end of a session, through rekeys,
// failures, moves and takeover, the protected flow never leaves in clear, and
// never comes in in clear once inbound policies are set.
func TestC21_NoClearText(t *testing.T) {
	k, p := newFake(t)
	first := gateway(0x1001)
	trapIn := bundlePolicies(first)[1]
	trapIn.Priority++
	require.NoError(t, p.SetPolicies(ctx, 9, []spd.Policy{trap(first), trapIn}))
	watchClear(t, k, outFlow)
	clearIn := func() {
		t.Helper()
		require.Equal(t, xfrmtest.Dropped, k.Input(inFlow, false, 1))
		require.Equal(t, xfrmtest.Dropped, k.Input(inFlow, true, 1))
	}
	clearIn()
	require.Equal(t, xfrmtest.Held, k.LookOut(outFlow))
	require.NoError(t, setUp(p, gateway(0), first))
	clearIn()
	second := gateway(0x1002)
	require.NoError(t, p.InstallOutbound(ctx, second))
	require.NoError(t, p.SetPolicies(ctx, 1, bundlePolicies(second)))
	_, err := p.Remove(ctx, first.ID(spd.Out, 0))
	require.NoError(t, err)
	to := spd.Endpoints{Local: second.Local, Remote: netip.MustParseAddrPort("198.51.100.99:4500"), UDPEncap: true}
	require.NoError(t, p.MovePeer(ctx, second.ID(spd.Out, 0), to))
	require.Equal(t, xfrmtest.Protected, k.LookOut(outFlow))
	clearIn()
	// The kernel refuses the move back at each step.
	moved := *second
	moved.Remote, moved.UDPEncap = to.Remote, true
	for step := range 6 {
		n := 0
		k.Do(func() {
			k.Fail = func(xfrm.Message) xfrm.Errno {
				if n++; n-1 == step {
					return xfrm.ENOMEM
				}
				return 0
			}
		})
		if p.MovePeer(ctx, moved.ID(spd.Out, 0), spd.Endpoints{Local: second.Local, Remote: second.Remote}) == nil {
			break
		}
	}
	k.Do(func() { k.Fail = nil })
	// Another session takes over with a ReqID of its own.
	other := gateway(0x2001)
	other.ReqID = 8
	require.NoError(t, p.InstallOutbound(ctx, other))
	require.NoError(t, p.SetPolicies(ctx, 2, bundlePolicies(other)))
	clearIn()
	require.NoError(t, p.SetPolicies(ctx, 1, nil))
	require.Equal(t, xfrmtest.Protected, k.LookOut(outFlow))
	for _, b := range []*spd.Bundle{second, &moved, other} {
		_, _ = p.Remove(ctx, b.ID(spd.Out, 0))
	}
	require.NoError(t, p.SetPolicies(ctx, 2, nil))
	require.Equal(t, xfrmtest.Held, k.LookOut(outFlow), "the trap is left")
	clearIn()
}

// TestC21_Takeover: while two sessions have policies with the same selectors,
// packets of both SAs are taken.
func TestC21_Takeover(t *testing.T) {
	k, p := newFake(t)
	first, second := gateway(0x1001), gateway(0x1002)
	second.ReqID = 8
	for i, b := range []*spd.Bundle{first, second} {
		require.NoError(t, p.InstallInbound(ctx, b))
		require.NoError(t, p.SetPolicies(ctx, spd.Owner(i), bundlePolicies(b)))
	}
	for _, spi := range []uint32{0x1001, 0x1002} {
		require.Equal(t, xfrmtest.Protected, k.Input(inFlow, true, 1, xfrm.SAKey{Dst: addr("192.0.2.1"), SPI: spi, Proto: xfrm.ProtoESP}))
	}
	require.Equal(t, xfrmtest.Dropped, k.Input(inFlow, true, 1))
	require.NoError(t, p.SetPolicies(ctx, 0, nil))
	for _, pol := range k.Policies() {
		require.EqualValues(t, 8, pol.Templates[0].ReqID)
	}
}

// TestC23_Concurrency: many callers at once, some of which give up, and a
// reader that does not read: nothing hangs, and nothing is left.
func TestC23_Concurrency(t *testing.T) {
	k, p := newFake(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 40 {
				ctx, cancel := context.WithCancel(ctx)
				if n%5 == 0 {
					go cancel()
				}
				b := gateway(spd.SPI(0x1000 + i*100 + n))
				b.ReqID = uint32(i + 1)
				b.LocalTS = []spd.TrafficSelector{spd.FromAddr(netip.AddrFrom4([4]byte{10, 1, 2, byte(i)}))}
				_ = p.InstallOutbound(ctx, b)
				_ = p.SetPolicies(ctx, spd.Owner(i), bundlePolicies(b))
				k.Output(spd.Flow{Src: b.LocalTS[0].First, Dst: outFlow.Dst, Protocol: 6}, 1)
				_, _ = p.Query(ctx, b.ID(spd.Out, 0))
				cancel()
				_ = p.SetPolicies(context.Background(), spd.Owner(i), nil)
				_, _ = p.Remove(context.Background(), b.ID(spd.Out, 0))
			}
		})
	}
	wg.Wait()
	for _, sa := range k.SAs() {
		require.NotZero(t, sa.Seq, "only acquires are left") // their time limit ends them
	}
	require.Empty(t, k.Policies())
	require.NoError(t, p.Close())
}

// TestC25_NoSecretsInErrors: neither errors nor logs show keys, and what the
// kernel says cannot disturb a log.
func TestC25_NoSecretsInErrors(t *testing.T) {
	var log strings.Builder
	k := xfrmtest.NewKernel()
	p := openFake(t, k, xfrm.Config{Capabilities: fakeCapabilities(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	k.Do(func() { k.Fail = func(xfrm.Message) xfrm.Errno { return xfrm.EINVAL } })
	b := gateway(0x1001)
	err := p.InstallOutbound(ctx, b)
	require.Error(t, err)
	sa := fullSA()
	for _, s := range []string{err.Error(), fmt.Sprintf("%+v %#v %v", sa, sa, &xfrm.NewSA{SA: sa}), log.String()} {
		require.NotContains(t, s, "0123456789abcdef")
		require.NotContains(t, s, fmt.Sprintf("%x", "0123456789abcdef"))
		require.NotContains(t, s, "48 49 50 51")
	}
	k.Do(func() {
		k.Fail = nil
		k.Answer = func([]byte) []byte {
			return nil
		}
	})
	evil := xfrm.AppendAck(nil, xfrm.Header{Seq: 1}, xfrm.EINVAL, "no\nERROR root logged in\x1b[2J"+strings.Repeat("x", 5000))
	c, err := xfrm.NewClient(func(xfrm.Protocol, xfrm.Groups) (xfrm.Conn, error) { return &parrot{answer: evil}, nil })
	require.NoError(t, err)
	err = c.AddSA(ctx, &sa)
	require.ErrorIs(t, err, xfrm.EINVAL)
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "\x1b")
	require.Less(t, len(err.Error()), 500)
}

// TestC26_Wiped: a request's octets are wiped once they are sent.
func TestC26_Wiped(t *testing.T) {
	var sent []byte
	c, err := xfrm.NewClient(func(xfrm.Protocol, xfrm.Groups) (xfrm.Conn, error) {
		return &parrot{keep: &sent, answer: xfrm.AppendAck(nil, xfrm.Header{Seq: 1}, 0, "")}, nil
	})
	require.NoError(t, err)
	sa := fullSA()
	require.NoError(t, c.AddSA(ctx, &sa))
	require.NotEmpty(t, sent)
	require.NotContains(t, string(sent), "0123456789abcdef")
}

// parrot answers each request with the same message.
type parrot struct {
	seq    []byte
	answer []byte
	keep   *[]byte
}

func (p *parrot) Send(b []byte) error {
	p.seq = append([]byte(nil), b[8:12]...)
	if p.keep != nil {
		*p.keep = b // as no Conn should
	}
	return nil
}

func (p *parrot) Receive(_ context.Context, b []byte) (int, error) {
	copy(p.answer[8:], p.seq)
	return copy(b, p.answer), nil
}

func (p *parrot) Close() error { return nil }

// yes acknowledges every request and has no events.
type yes struct{ parrot }

func (y *yes) Receive(ctx context.Context, b []byte) (int, error) {
	if y.seq == nil {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return copy(b, xfrm.AppendAck(nil, xfrm.Header{Seq: binary.NativeEndian.Uint32(y.seq)}, 0, "")), nil
}

// TestC27_Bounded: labels, names, bitmaps and attribute lists that claim more
// than there is, or more than makes sense, are refused.
func TestC27_Bounded(t *testing.T) {
	var sa xfrm.SA
	head := (&xfrm.NewSA{SA: sa}).Append(nil)
	attr := func(t uint16, v ...byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(v)))
		b = binary.NativeEndian.AppendUint16(b, t)
		b = append(b, v...)
		return append(b, make([]byte, -len(b)&3)...)
	}
	u32 := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	for name, a := range map[string][]byte{
		"bitmap":         attr(23, append(u32(0x40000000), make([]byte, 20)...)...),
		"key":            attr(2, append(make([]byte, 64), u32(0xffffffff)...)...),
		"name":           attr(2, append([]byte(strings.Repeat("x", 64)), u32(0)...)...),
		"label":          attr(8, 0, 0, 8, 0, 1, 1, 0xff, 0xff),
		"attribute":      {0xff, 0xff, 1, 0},
		"zero attribute": {0, 0, 1, 0},
		"many":           []byte(strings.Repeat(string(attr(500, 1)), 1000)),
	} {
		_, err := xfrm.Parse(xfrm.MsgNewSA, append(append([]byte(nil), head...), a...))
		require.ErrorIs(t, err, xfrm.ErrSyntax, name)
		var pe *xfrm.ParseError
		require.True(t, errors.As(err, &pe))
		require.Equal(t, xfrm.MsgNewSA, pe.Message)
	}
	_, err := xfrm.Parse(xfrm.MsgNewPolicy, append((&xfrm.NewPolicy{}).Append(nil), attr(5, make([]byte, 64*7)...)...))
	require.ErrorIs(t, err, xfrm.ErrSyntax)
}
