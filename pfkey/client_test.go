package pfkey_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

var (
	addrA = netip.MustParseAddr("10.9.0.1")
	addrB = netip.MustParseAddr("10.9.0.7")
	net1  = netip.MustParsePrefix("192.168.1.0/24")
	net2  = netip.MustParsePrefix("192.168.2.0/24")
)

// kernels are the dialects that have a fake kernel.
var kernels = []*pfkey.Dialect{pfkey.Linux, pfkey.FreeBSD, pfkey.NetBSD, pfkey.MacOS}

func each(t *testing.T, f func(t *testing.T, d *pfkey.Dialect)) {
	for _, d := range kernels {
		t.Run(d.String(), func(t *testing.T) { f(t, d) })
	}
}

func newClient(t testing.TB, k *pfkeytest.Kernel, cfg pfkey.ClientConfig) *pfkey.Client {
	t.Helper()
	c, err := pfkey.NewClient(k.Connect(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func number(t testing.TB, d *pfkey.Dialect, kind pfkey.AlgKind, name string) uint8 {
	a, ok := d.AlgorithmByName(kind, name)
	require.True(t, ok, name)
	return a.ID
}

func cbcEntry(t testing.TB, d *pfkey.Dialect, spi spd.SPI) *pfkey.SAEntry {
	return &pfkey.SAEntry{
		Type: pfkey.SATypeESP, SPI: spi, Src: addrA, Dst: addrB, Mode: pfkey.ModeTransport, ReqID: 7, ReplayWindow: 32,
		Auth: number(t, d, pfkey.AlgAuth, "hmac-sha1"), Encrypt: number(t, d, pfkey.AlgEncrypt, "aes-cbc"),
		AuthKey: make(spd.Key, 20), EncryptKey: make(spd.Key, 16),
	}
}

// TestClientSAs makes each request about SAs of each kernel.
func TestClientSAs(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		c := newClient(t, k, pfkey.ClientConfig{Dialect: d})

		auth, encrypt, err := c.Register(ctx, pfkey.SATypeESP)
		require.NoError(t, err)
		require.NotEmpty(t, auth)
		again, _, err := c.Register(ctx, pfkey.SATypeESP)
		require.NoError(t, err, "twice is no error")
		require.Equal(t, auth, again)
		require.NotEmpty(t, encrypt)

		for range c.Dump(ctx, pfkey.SATypeUnspec) {
			t.Fatal("nothing is there")
		}

		spi, err := c.GetSPI(ctx, pfkey.SPIRequest{Type: pfkey.SATypeESP, Src: addrA, Dst: addrB, ReqID: 7, Min: 0x1000, Max: 0x1fff})
		require.NoError(t, err)
		require.True(t, spi >= 0x1000 && spi <= 0x1fff)
		e := cbcEntry(t, d, spi)
		require.NoError(t, c.Update(ctx, e))
		e2 := cbcEntry(t, d, 0x2001)
		e2.Hard, e2.Soft = &pfkey.Lifetime{Bytes: 1000}, &pfkey.Lifetime{Bytes: 800}
		require.NoError(t, c.Add(ctx, e2))
		err = c.Add(ctx, e2)
		require.ErrorIs(t, err, pfkey.EEXIST)
		var ke *pfkey.KernelError
		require.ErrorAs(t, err, &ke)
		require.Equal(t, pfkey.MsgAdd, ke.Type)

		got, err := c.Get(ctx, e2.Key())
		require.NoError(t, err)
		require.Equal(t, addrA, got.Src)
		require.Equal(t, pfkey.StateMature, got.State)
		require.EqualValues(t, 1000, got.Hard.Bytes)
		require.Equal(t, e2.Encrypt, got.Encrypt)
		require.Equal(t, 32, got.ReplayWindow)
		require.EqualValues(t, 7, got.ReqID)

		var spis []spd.SPI
		for s, err := range c.Dump(ctx, pfkey.SATypeESP) {
			require.NoError(t, err)
			spis = append(spis, s.SPI)
		}
		require.ElementsMatch(t, []spd.SPI{spi, 0x2001}, spis)

		require.NoError(t, c.Delete(ctx, e.Key()))
		err = c.Delete(ctx, e.Key())
		require.True(t, errors.Is(err, pfkey.ENOENT) || errors.Is(err, pfkey.ESRCH), err)
		require.NoError(t, c.Flush(ctx, pfkey.SATypeUnspec))
		require.Empty(t, k.SAs())
	})
}

// TestClientPolicies makes each request about policies of each kernel.
func TestClientPolicies(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		ctx := t.Context()
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		c := newClient(t, k, pfkey.ClientConfig{Dialect: d})
		p := &pfkey.PolicyEntry{Src: net1, Dst: net2, Policy: pfkey.Policy{Type: pfkey.PolicyIPsec, Dir: pfkey.DirOut, Priority: 100, Requests: []pfkey.Request{{
			Proto: pfkey.IPProtoESP, Mode: pfkey.ModeTunnel, Level: pfkey.LevelUnique, ReqID: 77,
			Src: pfkey.SockAddr{Addr: addrA}, Dst: pfkey.SockAddr{Addr: addrB}}}}}
		id, err := c.SPDAdd(ctx, p)
		require.NoError(t, err)
		require.NotZero(t, id)
		_, err = c.SPDAdd(ctx, p)
		require.ErrorIs(t, err, pfkey.EEXIST)
		id, err = c.SPDUpdate(ctx, p)
		require.NoError(t, err)
		if d == pfkey.Linux {
			_, err = c.SPDSetIdx(ctx, p)
			require.ErrorIs(t, err, pfkey.EEXIST)
		} else {
			id, err = c.SPDSetIdx(ctx, p)
			require.NoError(t, err)
		}
		got, err := c.SPDGet(ctx, pfkey.DirOut, id)
		require.NoError(t, err)
		require.Equal(t, net1, got.Src)
		require.Equal(t, p.Policy.Requests, got.Policy.Requests)
		if d.HasPriority() {
			require.EqualValues(t, 100, got.Policy.Priority)
		}
		q := *p
		q.Proto, q.DstPort, q.Policy = 6, 80, pfkey.Policy{Type: pfkey.PolicyDiscard, Dir: pfkey.DirOut}
		_, err = c.SPDAdd(ctx, &q)
		require.NoError(t, err)
		n := 0
		for x, err := range c.SPDDump(ctx) {
			require.NoError(t, err)
			require.Equal(t, net2, x.Dst)
			n++
		}
		require.Equal(t, 2, n)
		require.NoError(t, c.SPDDelete(ctx, &q))
		require.Error(t, c.SPDDelete(ctx, &q))
		require.NoError(t, c.SPDDeleteID(ctx, pfkey.DirOut, id))
		require.Empty(t, k.Policies())
		_, err = c.SPDAdd(ctx, p)
		require.NoError(t, err)
		require.NoError(t, c.SPDFlush(ctx))
		require.Empty(t, k.Policies())
	})
}

// TestClientNoAnswer: NetBSD never answers a policy of direction 3. Time-out
// and context end the wait, and the client works on.
func TestClientNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD})
		c, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: pfkey.NetBSD, Timeout: 3 * time.Second})
		require.NoError(t, err)
		defer c.Close()
		p := &pfkey.PolicyEntry{Src: net1, Dst: net2, Policy: pfkey.Policy{Type: pfkey.PolicyNone, Dir: pfkey.DirForward}}
		begin := time.Now()
		_, err = c.SPDAdd(t.Context(), p)
		require.ErrorIs(t, err, pfkey.ErrNoAnswer)
		require.Equal(t, 3*time.Second, time.Since(begin))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.SPDAdd(ctx, p)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 4*time.Second, time.Since(begin))

		k.Ignore(pfkey.MsgDump, 1)
		for _, err = range c.Dump(t.Context(), pfkey.SATypeUnspec) {
		}
		require.ErrorIs(t, err, pfkey.ErrNoAnswer)
		require.NoError(t, c.SPDFlush(t.Context()))
	})
}

// TestClientOverflow: a socket that overflowed spoils a dump, not the client;
// readers of notifications learn of it.
func TestClientOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.FreeBSD})
		c, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: pfkey.FreeBSD})
		require.NoError(t, err)
		defer c.Close()
		k.Ignore(pfkey.MsgDump, 1)
		go func() {
			time.Sleep(time.Second)
			k.Overflow()
		}()
		for _, err = range c.Dump(t.Context(), pfkey.SATypeUnspec) {
		}
		require.ErrorIs(t, err, pfkey.ErrIncomplete)
		require.EqualValues(t, 1, (<-c.Notifications()).Lost)
		require.NoError(t, c.Add(t.Context(), cbcEntry(t, pfkey.FreeBSD, 0x1000)))
	})
}

// TestClientLostDump: a message that is missing in the midst of a dump is
// noticed.
func TestClientLostDump(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		c := newClient(t, k, pfkey.ClientConfig{Dialect: d})
		for i := range 5 {
			require.NoError(t, c.Add(t.Context(), cbcEntry(t, d, spd.SPI(0x1000+i))))
		}
		for _, lost := range []int{1, 2, 3} {
			if lost == 3 && d == pfkey.Linux {
				continue // the last one's number tells nothing there; but Linux waits for room
			}
			k.LoseDumped(lost)
			var last error
			for _, err := range c.Dump(t.Context(), pfkey.SATypeESP) {
				last = err
			}
			require.ErrorIs(t, last, pfkey.ErrIncomplete, lost)
		}
		for _, err := range c.Dump(t.Context(), pfkey.SATypeESP) {
			require.NoError(t, err)
		}
	})
}

// TestClientNoBuffers: a kernel without buffers refuses the write; the client
// tries again.
func TestClientNoBuffers(t *testing.T) {
	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD})
	c := newClient(t, k, pfkey.ClientConfig{Dialect: pfkey.NetBSD})
	k.FailNext(pfkey.MsgAdd, pfkey.ENOBUFS, pfkey.ENOBUFS)
	require.NoError(t, c.Add(t.Context(), cbcEntry(t, pfkey.NetBSD, 0x1000)))
	require.Equal(t, 3, k.Requests(pfkey.MsgAdd))
}

// TestClientConcurrent: many requests at once, among them dumps, each get
// their own answer.
func TestClientConcurrent(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		c := newClient(t, k, pfkey.ClientConfig{Dialect: d})
		other := newClient(t, k, pfkey.ClientConfig{Dialect: d, PID: 99})
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				by := c
				if g%2 == 1 {
					by = other
				}
				for i := range 50 {
					e := cbcEntry(t, d, spd.SPI(0x1000+g*0x100+i))
					if err := by.Add(t.Context(), e); err != nil {
						t.Error(err)
					}
					got, err := by.Get(t.Context(), e.Key())
					if err != nil || got.SPI != e.SPI {
						t.Error(err, got)
					}
					if i%10 == 0 {
						for _, err := range by.Dump(t.Context(), pfkey.SATypeESP) {
							if err != nil {
								t.Error(err)
							}
						}
					}
				}
			})
		}
		wg.Wait()
		require.Len(t, k.SAs(), 400)
	})
}

// TestClientClose: requests that wait end, those after it too.
func TestClientClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
		c, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: pfkey.Linux})
		require.NoError(t, err)
		k.Ignore(pfkey.MsgFlush, 1)
		got := make(chan error)
		go func() { got <- c.Flush(context.Background(), pfkey.SATypeUnspec) }()
		synctest.Wait()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-got, pfkey.ErrClosed)
		require.ErrorIs(t, c.Flush(t.Context(), pfkey.SATypeUnspec), pfkey.ErrClosed)
		_, open := <-c.Notifications()
		require.False(t, open)
	})
}

// TestClientPromiscuous hears of other programs' requests.
func TestClientPromiscuous(t *testing.T) {
	each(t, func(t *testing.T, d *pfkey.Dialect) {
		k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: d})
		listener := newClient(t, k, pfkey.ClientConfig{Dialect: d, PID: 5, Broadcasts: true})
		other := newClient(t, k, pfkey.ClientConfig{Dialect: d, PID: 6})
		require.NoError(t, listener.Promiscuous(t.Context(), true))
		require.NoError(t, other.Flush(t.Context(), pfkey.SATypeESP))
		for n := range listener.Notifications() {
			m := n.Message
			if m.Type == pfkey.MsgPromisc && m.Inner != nil {
				var err error
				m, err = d.Parse(m.Inner)
				require.NoError(t, err)
			}
			if m.Type == pfkey.MsgFlush && m.PID == 6 {
				break
			}
		}
		require.NoError(t, listener.Promiscuous(t.Context(), false))
	})
}
