package pfkey

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// replay is a kernel that knows one recorded dialogue by heart: it compares
// what is written with the recorded request and gives the recorded answers.
type replay struct {
	t     *testing.T
	lines []recorded
	last  string
	mu    sync.Mutex
	wake  *sync.Cond
	queue [][]byte
	done  bool
}

func newReplay(t *testing.T) *replay {
	r := &replay{t: t}
	for _, x := range recordings(t) {
		if x.dialogue == "pfkey" {
			r.lines = append(r.lines, x)
		}
	}
	r.wake = sync.NewCond(&r.mu)
	return r
}

func (r *replay) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 {
		if r.done {
			return 0, errors.New("closed")
		}
		r.wake.Wait()
	}
	n := copy(b, r.queue[0])
	r.queue = r.queue[1:]
	return n, nil
}

// Write finds the recorded request of the same octets.
func (r *replay) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var closest string
	for i, x := range r.lines {
		if x.dir != "req" {
			continue
		}
		if h := x.octets; len(h) >= headerSize && string(h[8:12]) == string(b[8:12]) && h[1] == b[1] {
			closest = x.name + " " + hex.EncodeToString(h)
		}
		if !sameRequest(x.octets, b) {
			continue
		}
		r.last = x.name
		for _, y := range r.lines[i+1:] {
			switch {
			case y.dir == "req":
				return len(b), nil
			case y.dir == "write-error":
				return 0, Errno(netBSDLittle.Errno(y.errno))
			case strings.HasPrefix(y.dir, "reply") && (y.octets[1] == b[1] || b[1] == 11):
				r.queue = append(r.queue, slices.Clone(y.octets))
				r.wake.Signal()
			}
		}
		return len(b), nil
	}
	return 0, fmt.Errorf("no such request was recorded:\n%x\nthe recorded one with its number: %s", b, closest)
}

// sameRequest compares requests octet by octet, but for the order of their
// extensions, which has no meaning.
func sameRequest(a, b []byte) bool {
	if len(a) != len(b) || len(a) < headerSize || string(a[:headerSize]) != string(b[:headerSize]) {
		return false
	}
	split := func(b []byte) (r []string) {
		for b = b[headerSize:]; len(b) >= 8; {
			n := int(b[0])*8 + int(b[1])*8*256
			if n == 0 || n > len(b) {
				return nil
			}
			r = append(r, string(b[:n]))
			b = b[n:]
		}
		slices.Sort(r)
		return r
	}
	return slices.Equal(split(a), split(b))
}

// say lets the kernel tell what it told by itself.
func (r *replay) say(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.lines {
		if x.name == name {
			r.queue = append(r.queue, slices.Clone(x.octets))
		}
	}
	r.wake.Signal()
}

func (r *replay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
	r.wake.Broadcast()
	return nil
}

// TestNetBSDDialogue has the client make the recorded requests: its octets are
// those that were recorded, and the recorded answers drive it right.
func TestNetBSDDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplay(t)
		c, err := NewClient(r, ClientConfig{Dialect: netBSDLittle, PID: 4242, FirstSeq: 1})
		require.NoError(t, err)
		defer c.Close()
		ctx := t.Context()
		seq := func(n uint32) { c.mu.Lock(); c.seq = n - 1; c.mu.Unlock() }
		a, b := netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.7")
		a6, b6 := netip.MustParseAddr("fd00:9::1"), netip.MustParseAddr("fd00:9::7")
		key := func(first byte, n int) spd.Key {
			k := make(spd.Key, n)
			for i := range k {
				k[i] = first + byte(i)
			}
			return k
		}

		// REGISTER: what the kernel has, and what is made of it.
		auth, encrypt, err := c.Register(ctx, SATypeESP)
		require.NoError(t, err)
		require.Equal(t, "R001-register-esp.req", r.last)
		require.Len(t, auth, 7)
		require.Len(t, encrypt, 11)
		_, _, err = c.Register(ctx, SATypeAH)
		require.NoError(t, err)
		_, _, err = c.Register(ctx, SATypeIPComp)
		require.NoError(t, err)
		caps := c.d.capabilities(auth, encrypt)
		for _, id := range []uint16{spd.EncrAESGCM16, spd.EncrAESCBC, spd.EncrAESCTR, spd.EncrNULLAESGMAC} {
			require.True(t, caps.Supports(spd.ProtoESP, spd.Transform{Type: spd.TransformENCR, ID: id, KeyLen: 256}), id)
		}
		require.True(t, caps.Supports(spd.ProtoESP, spd.Transform{Type: spd.TransformINTEG, ID: spd.IntegHMACSHA256_128}))

		// GETSPI, and UPDATE of what it gave.
		seq(10)
		spi, err := c.GetSPI(ctx, SPIRequest{Type: SATypeESP, Src: a, Dst: b, Mode: ModeTransport, ReqID: 7, Min: 0x1000, Max: 0x1fff})
		require.NoError(t, err)
		require.EqualValues(t, 0x1513, spi)
		spi, err = c.GetSPI(ctx, SPIRequest{Type: SATypeESP, Src: a6, Dst: b6, Mode: ModeTunnel, Min: 0x2000, Max: 0x2000})
		require.NoError(t, err)
		require.EqualValues(t, 0x2000, spi)
		require.Equal(t, "R007-getspi-v6-one.req", r.last)
		seq(13)
		spi, err = c.GetSPI(ctx, SPIRequest{Type: SATypeESP, Src: a, Dst: b})
		require.NoError(t, err)
		require.EqualValues(t, 0x0d699281, spi)
		v6 := &SAEntry{Type: SATypeESP, SPI: 0x2000, Src: a6, Dst: b6, Mode: ModeTunnel, ReplayWindow: 256, Auth: 5, Encrypt: 12,
			AuthKey: key(0x10, 32), EncryptKey: key(0x40, 16)}
		require.NoError(t, c.Update(ctx, v6))
		require.Equal(t, "R010-update-larval.req", r.last)

		// ADD with each algorithm, as the data plane makes it of a bundle.
		p := &DataPlane{d: netBSDLittle}
		for _, x := range []struct {
			seq      uint32
			proposal string
			mode     spd.Mode
			reqID    uint32
			spi      spd.SPI
			err      error
		}{
			{111, "aes128-sha256", spd.ModeTransport, 0, 0x3001, nil},
			{112, "aes128-sha256", spd.ModeTransport, 0, 0x3001, EEXIST},
			{113, "aes256-sha1", spd.ModeTunnel, 9, 0x3002, nil},
			{114, "3des-md5", spd.ModeTransport, 0, 0x3003, nil},
			{116, "aes128gcm16", spd.ModeTransport, 0, 0x3005, nil},
			{117, "aes256gcm16", spd.ModeTransport, 0, 0x3006, nil},
			{119, "aes128gcm12", spd.ModeTransport, 0, 0x3008, EINVAL},
			{120, "aes128ctr-sha256", spd.ModeTransport, 0, 0x3009, nil},
			{123, "aes192-sha384", spd.ModeTransport, 0, 0x300c, nil},
			{124, "aes128-aesxcbc", spd.ModeTransport, 0, 0x300d, nil},
		} {
			proposal, err := spd.ParseProposal(spd.ProtoESP, x.proposal)
			require.NoError(t, err)
			encr, _ := proposal.Get(spd.TransformENCR)
			integ, _ := proposal.Get(spd.TransformINTEG)
			bundle := &spd.Bundle{Local: netip.AddrPortFrom(a, 0), Remote: netip.AddrPortFrom(b, 0),
				LocalTS: []spd.TrafficSelector{spd.AnyIPv4}, RemoteTS: []spd.TrafficSelector{spd.AnyIPv4},
				SAs: []spd.SA{{Protocol: spd.ProtoESP, SPI: x.spi, Mode: x.mode, Encryption: encr, Integrity: integ, ReplayWindow: 256,
					EncrKey: key(0x40, encr.KeymatLen()), IntegKey: key(0x10, integ.KeymatLen())}}}
			seq(x.seq)
			err = c.Add(ctx, p.entry(spd.Out, bundle, 0, x.reqID))
			if x.err == nil {
				require.NoError(t, err, x.proposal)
			} else {
				require.ErrorIs(t, err, x.err, x.proposal)
			}
		}

		// NAT-T with an original address and a fragment size; lifetimes and identities.
		cbc := SAEntry{Type: SATypeESP, SPI: 0x3020, Src: a, Dst: b, Mode: ModeTunnel, ReplayWindow: 256, Auth: 5, Encrypt: 12,
			AuthKey: key(0x10, 32), EncryptKey: key(0x40, 16)}
		natt := cbc
		natt.Encap = &Encap{SrcPort: 4500, DstPort: 54500, OriginalSrc: netip.MustParseAddr("192.0.2.9"), FragmentSize: 1400}
		seq(60)
		require.NoError(t, c.Add(ctx, &natt))
		require.Equal(t, "R033-add-natt.req", r.last)
		life := cbc
		life.SPI, life.Mode = 0x3022, ModeTransport
		life.Hard = &Lifetime{Allocations: 1000, Bytes: 1 << 30, AddTime: 86400, UseTime: 3600}
		life.Soft = &Lifetime{Allocations: 900, Bytes: 1 << 29, AddTime: 80000, UseTime: 3000}
		life.SrcID, life.DstID = &Identity{Kind: IdentityFQDN, Name: []byte("a.test")}, &Identity{Kind: IdentityFQDN, Name: []byte("b.test")}
		seq(62)
		require.NoError(t, c.Add(ctx, &life))
		require.Equal(t, "R035-add-life-ident.req", r.last)

		// GET, with ports inside the addresses; nothing there; DUMP.
		seq(70)
		got, err := c.Get(ctx, SAKey{Type: SATypeESP, SPI: 0x3001, Src: a, Dst: b})
		require.NoError(t, err)
		require.Equal(t, key(0x40, 16), got.EncryptKey)
		got, err = c.Get(ctx, natt.Key())
		require.NoError(t, err)
		require.Equal(t, &Encap{Type: 2, SrcPort: 4500, DstPort: 54500, FragmentSize: 1400}, got.Encap)
		require.Equal(t, a, got.Src)
		_, err = c.Get(ctx, SAKey{Type: SATypeESP, SPI: 0x9999, Src: a, Dst: b})
		require.ErrorIs(t, err, ENOENT)
		seq(80)
		var spis []spd.SPI
		for s, err := range c.Dump(ctx, SATypeUnspec) {
			require.NoError(t, err)
			require.Equal(t, s.SPI == 0x3020 || s.SPI == 0x3021, s.Encap != nil)
			spis = append(spis, s.SPI)
		}
		require.Len(t, spis, 26)
		for _, err = range c.Dump(ctx, SATypeAH) {
			require.NoError(t, err)
		}
		for _, err = range c.Dump(ctx, SATypeRSVP) {
		}
		require.ErrorIs(t, err, EOPNOTSUPP)

		// An extension that the kernel does not know: it says so from write().
		seq(93)
		m, err := netBSDLittle.Parse(recording(t, "R056-err-unknownext.req"))
		require.NoError(t, err)
		_, err = c.Do(ctx, m)
		require.ErrorIs(t, err, EINVAL)
		require.Equal(t, "R056-err-unknownext.req", r.last)

		// Policies.
		host := func(s string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(s), 32) }
		transport := Policy{Type: PolicyIPsec, Dir: DirOut, Requests: []Request{{Proto: IPProtoESP, Mode: ModeTransport, Level: LevelRequire}}}
		seq(200)
		id, err := c.SPDAdd(ctx, &PolicyEntry{Src: host("10.9.0.1"), Dst: host("10.9.0.8"), Policy: transport})
		require.NoError(t, err)
		require.EqualValues(t, 1, id)
		tunnel := Policy{Type: PolicyIPsec, Dir: DirOut, Requests: []Request{{Proto: IPProtoESP, Mode: ModeTunnel, Level: LevelUnique, ReqID: 77,
			Src: SockAddr{Addr: a}, Dst: SockAddr{Addr: b}}}}
		seq(202)
		id, err = c.SPDAdd(ctx, &PolicyEntry{Src: netip.MustParsePrefix("192.168.1.0/24"), Dst: netip.MustParsePrefix("192.168.2.0/24"), Policy: tunnel})
		require.NoError(t, err)
		require.EqualValues(t, 3, id)
		seq(205)
		ike := &PolicyEntry{Src: host("10.9.0.1"), Dst: host("10.9.0.9"), SrcPort: 500, DstPort: 500, Proto: 17, Policy: Policy{Type: PolicyNone, Dir: DirOut}}
		id, err = c.SPDAdd(ctx, ike)
		require.NoError(t, err)
		require.EqualValues(t, 6, id)
		seq(207)
		_, err = c.SPDAdd(ctx, &PolicyEntry{Src: host("10.9.0.1"), Dst: host("10.9.0.8"), Policy: transport})
		require.ErrorIs(t, err, EEXIST)

		// Direction 3 never gets an answer.
		forward := transport
		forward.Dir = DirForward
		seq(209)
		begin := time.Now()
		_, err = c.SPDAdd(ctx, &PolicyEntry{Src: host("10.9.0.1"), Dst: host("10.9.0.12"), Policy: forward})
		require.ErrorIs(t, err, ErrNoAnswer)
		require.Equal(t, DefaultTimeout, time.Since(begin))
		require.Equal(t, "R079-spdadd-fwd.req", r.last)

		limited := transport
		seq(210)
		_, err = c.SPDAdd(ctx, &PolicyEntry{Src: host("10.9.0.1"), Dst: host("10.9.0.13"), Policy: limited, Hard: &Lifetime{AddTime: 2}})
		require.NoError(t, err)
		use := transport
		use.Requests = []Request{{Proto: IPProtoESP, Mode: ModeTransport, Level: LevelUse}}
		seq(211)
		id, err = c.SPDUpdate(ctx, &PolicyEntry{Src: host("10.9.0.1"), Dst: host("10.9.0.8"), Policy: use})
		require.NoError(t, err)
		require.EqualValues(t, 9, id)
		seq(214)
		n := 0
		for x, err := range c.SPDDump(ctx) {
			require.NoError(t, err)
			require.True(t, x.Src.IsValid())
			n++
		}
		require.Equal(t, 10, n)
		pol, err := c.SPDGet(ctx, DirAny, 2)
		require.NoError(t, err)
		require.Equal(t, DirIn, pol.Policy.Dir)
		seq(218)
		_, err = c.SPDGet(ctx, DirAny, 16385)
		require.ErrorIs(t, err, ENOENT)
		require.NoError(t, c.SPDDeleteID(ctx, DirAny, 2))
		require.NoError(t, c.SPDDelete(ctx, ike))
		require.Equal(t, "R088-spddelete.req", r.last)

		// What the kernel tells by itself.
		r.say("R094-acquire-esp-transport.reply00")
		m = (<-c.Notifications()).Message
		require.Equal(t, MsgAcquire, m.Type)
		require.EqualValues(t, 12, m.Policy().ID)
		r.say("R087-spdexpire-late.reply00")
		require.Equal(t, MsgSPDExpire, (<-c.Notifications()).Message.Type)

		// DELETE, FLUSH, and empty dumps.
		seq(310)
		k := SAKey{Type: SATypeESP, SPI: 0x3001, Src: a, Dst: b}
		require.NoError(t, c.Delete(ctx, k))
		require.ErrorIs(t, c.Delete(ctx, k), ENOENT)
		seq(312) // a dump was asked for besides, whether it is there after all
		k.SPI = 0
		require.NoError(t, c.Delete(ctx, k))
		require.Equal(t, "R105-delete-nospi.req", r.last)
		require.NoError(t, c.Promiscuous(ctx, true))
		require.NoError(t, c.Flush(ctx, SATypeAH))
		require.NoError(t, c.Promiscuous(ctx, false))
		require.NoError(t, c.Flush(ctx, SATypeUnspec))
		for range c.Dump(ctx, SATypeUnspec) {
			t.Fatal("an empty SAD")
		}
		require.NoError(t, c.SPDFlush(ctx))
		for range c.SPDDump(ctx) {
			t.Fatal("an empty SPD")
		}
		require.Equal(t, "R112-spddump-empty.req", r.last)
		require.NoError(t, c.Err())
	})
}

// TestNetBSDExpire: an EXPIRE that was recorded, with the SA that it is about
// installed as it was then.
func TestNetBSDExpire(t *testing.T) {
	var octets []byte
	for _, r := range recordings(t) {
		if r.name == "Aexpire006-expire.reply01" {
			octets = r.octets
		}
	}
	m, err := netBSDLittle.Parse(octets)
	require.NoError(t, err)
	p := &DataPlane{d: netBSDLittle, sas: map[spd.SAID]*installed{}, dying: map[spd.SAID]bool{}, cfg: DataPlaneConfig{Now: time.Now}}
	p.out = spd.NewEventQueue(4)
	id := spd.SAID{Direction: spd.Out, Protocol: spd.ProtoESP, SPI: 0xa0001, Dst: netip.MustParseAddr("10.9.0.2")}
	p.sas[id] = &installed{id: id}
	p.handle(t.Context(), m)
	p.handle(t.Context(), m)
	ev := (<-p.out.Events()).(spd.ExpireEvent)
	require.Equal(t, id, ev.ID)
	require.False(t, ev.Hard)
	require.NotZero(t, ev.Counters.Bytes)
	require.Empty(t, p.out.Events(), "once")
}
