package ikev1

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// bigVendorIDs make the first messages larger than a small datagram.
func bigVendorIDs(n int) (ids [][]byte) {
	for i := range n {
		ids = append(ids, bytes.Repeat([]byte{byte(i), 0xee}, 100))
	}
	return ids
}

// fragmentPair is a pair whose first messages and Quick Modes are large.
func fragmentPair(t *testing.T, a, b FragmentPolicy) *pair {
	pa, pb := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	pb.Children[0].Local, pb.Children[0].Remote = pb.Children[0].Remote, pb.Children[0].Local
	pa.Fragmentation, pb.Fragmentation = a, b
	var many []spd.Proposal
	for _, encr := range []string{"aes128", "aes192", "aes256", "3des"} {
		for _, integ := range []string{"sha1", "sha256", "sha384", "sha512", "md5"} {
			many = append(many, spd.MustParseProposal(spd.ProtoESP, encr+"-"+integ+"-noesn"))
		}
	}
	pa.Children[0].Proposals = many
	pb.Children[0].Proposals = many
	return newPair(t, pa, pb, func(a, b *Config) { a.VendorIDs, b.VendorIDs = bigVendorIDs(6), bigVendorIDs(6) })
}

func isFragment(b []byte) bool { return isakmp.PayloadType(b[16]) == isakmp.PayloadFragment }

func TestFragmentation(t *testing.T) {
	const (
		phase1 = isakmp.ExchangeIdentityProtection
		quick  = isakmp.ExchangeQuickMode
	)
	for _, c := range []struct {
		a, b FragmentPolicy
		// The exchanges that fragments of each side belong to; whether the
		// first message is one.
		fromA, fromB []isakmp.ExchangeType
		first, up    bool
	}{
		{FragmentOn, FragmentOn, []isakmp.ExchangeType{quick}, []isakmp.ExchangeType{phase1}, false, true},
		{FragmentForce, FragmentOn, []isakmp.ExchangeType{phase1, quick}, []isakmp.ExchangeType{phase1}, true, true},
		{FragmentOn, FragmentOff, nil, nil, false, true},
		{FragmentOff, FragmentOn, nil, nil, false, true},
		{FragmentOff, FragmentOff, nil, nil, false, true},
		{FragmentForce, FragmentOff, []isakmp.ExchangeType{phase1}, nil, true, false},
	} {
		t.Run(fmt.Sprint(c.a, c.b), func(t *testing.T) {
			p := fragmentPair(t, c.a, c.b)
			got := map[*Endpoint][]isakmp.ExchangeType{}
			var order []bool
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				order = append(order, isFragment(tx.Packet))
				x := isakmp.ExchangeType(tx.Packet[18])
				if isFragment(tx.Packet) {
					require.LessOrEqual(t, len(tx.Packet), 576-32)
					require.Zero(t, tx.Packet[19]&byte(isakmp.FlagEncryption), "a fragment is in clear")
					if !slices.Contains(got[from], x) {
						got[from] = append(got[from], x)
					}
				}
				return true
			}
			id := p.initiate()
			s, _ := p.a.Session(id)
			require.Equal(t, c.up, s.Up)
			require.Equal(t, c.first, order[0])
			require.Equal(t, c.fromA, got[p.a])
			require.Equal(t, c.fromB, got[p.b])
			if c.up {
				require.Len(t, s.Children, 1)
			}
		})
	}
}

// Fragments of Base Mode have a capability of their own.
func TestFragmentCapabilities(t *testing.T) {
	p := fragmentPair(t, FragmentOn, FragmentOn)
	sa := &isakmpSA{ep: p.a, s: p.a.newSession(p.a.peers.index.All()[0], pathAB(), true), mode: MainMode}
	require.Zero(t, sa.fragmentSize())
	sa.peerVIDs.Add(append(slices.Clone(ownFragments([]*Peer{{}}).Append(nil))[:16], 0x40, 0, 0, 0))
	require.Zero(t, sa.fragmentSize(), "Base Mode only")
	sa.mode = BaseMode
	require.Equal(t, 576, sa.fragmentSize())
	sa.mode = AggressiveMode
	require.Zero(t, sa.fragmentSize())
	sa.peerVIDs.Add(ownFragments([]*Peer{{Modes: []Mode{MainMode}}}).Append(nil))
	require.Equal(t, 576, sa.fragmentSize())
	require.Equal(t, []byte{0xc0, 0, 0, 0}, ownFragments([]*Peer{{Modes: []Mode{MainMode, BaseMode}}}).Append(nil)[16:])
	require.Equal(t, []byte{0x80, 0, 0, 0}, ownFragments([]*Peer{{Modes: []Mode{AggressiveMode}}}).Append(nil)[16:])
	sa.s.Path = ike.Path{Local: netip.MustParseAddrPort("[2001:db8::1]:500"), Remote: netip.MustParseAddrPort("[2001:db8::2]:500")}
	require.Equal(t, 1280, sa.fragmentSize())
	for _, n := range []int{1, 1200, 1201, 5000, 65000} {
		m := make([]byte, isakmp.HeaderLen+n)
		_, err := rand.Read(m[isakmp.HeaderLen:])
		require.NoError(t, err)
		h := isakmp.Header{CookieI: 1, Version: isakmp.Version1, Exchange: isakmp.ExchangeAggressive, NextPayload: isakmp.PayloadSA, Length: uint32(len(m))}
		_, _ = h.AppendBinary(m[:0])
		packets := sa.cut(m)
		for _, p := range packets {
			require.LessOrEqual(t, len(p), 1280-40-8-4)
		}
		require.Equal(t, n > 1200, len(packets) > 1, n)
		require.Equal(t, m, joinFragments(packets))
	}
}

// A large message that is not answered may not have come through.
func TestFragmentsOfUnansweredMessages(t *testing.T) {
	p := fragmentPair(t, FragmentOn, FragmentOn)
	for _, e := range []*Endpoint{p.a, p.b} {
		e.peers.index.All()[0].FragmentSize = 9000
	}
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		// A network that takes no IP fragments, and a first message that is
		// small enough.
		return len(tx.Packet) < 600 || isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeIdentityProtection
	}
	id := p.initiate()
	s, _ := p.a.Session(id)
	require.True(t, s.Up)
	require.Empty(t, s.Children)
	p.advance(10 * time.Second)
	s, _ = p.a.Session(id)
	require.Len(t, s.Children, 1)

	// The same for a responder's message: it learns of it by the repetitions.
	p = fragmentPair(t, FragmentForce, FragmentOn)
	p.b.peers.index.All()[0].FragmentSize = 9000
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool { return len(tx.Packet) < 600 }
	id = p.initiate()
	s, _ = p.a.Session(id)
	require.False(t, s.Up)
	p.advance(20 * time.Second)
	s, _ = p.a.Session(id)
	require.True(t, s.Up)
	require.Len(t, s.Children, 1)
}

// A26: fragments that are lost, reordered, repeated, mixed with those of other
// messages.
func TestA26_FragmentsLostReorderedRepeated(t *testing.T) {
	type network struct {
		name   string
		mangle func(round int, set [][]byte) [][]byte
		late   bool // it takes retransmissions
	}
	var previous [][]byte
	for _, n := range []network{
		{"as sent", func(_ int, s [][]byte) [][]byte { return s }, false},
		{"reversed", func(_ int, s [][]byte) [][]byte { slices.Reverse(s); return s }, false},
		{"last one first", func(_ int, s [][]byte) [][]byte { return append([][]byte{s[len(s)-1]}, s[:len(s)-1]...) }, false},
		{"each twice", func(_ int, s [][]byte) [][]byte { return append(s, s...) }, false},
		{"last one again", func(_ int, s [][]byte) [][]byte { return append(s, s[len(s)-1]) }, false},
		{"last one again and again", func(_ int, s [][]byte) [][]byte { return append(append(s, s[len(s)-1]), s[len(s)-1], s[0]) }, false},
		{"interleaved repetition", func(_ int, s [][]byte) [][]byte {
			var out [][]byte
			for _, f := range s {
				out = append(out, f, f)
			}
			return out
		}, false},
		{"behind those of the message before", func(_ int, s [][]byte) [][]byte {
			old := previous
			previous = slices.Clone(s)
			return append(slices.Clone(old), s...)
		}, false},
		{"behind the last one of the message before", func(_ int, s [][]byte) [][]byte {
			old := previous
			previous = slices.Clone(s)
			if len(old) > 0 {
				old = old[len(old)-1:]
			}
			return append(slices.Clone(old), s...)
		}, false},
		{"first one lost", func(r int, s [][]byte) [][]byte {
			if r == 0 {
				return s[1:]
			}
			return s
		}, true},
		{"last one lost, then only the first ones", func(r int, s [][]byte) [][]byte {
			switch r {
			case 0:
				return s[:len(s)-1]
			case 1:
				return s[1:]
			}
			return s
		}, true},
		{"alternately one or the other", func(r int, s [][]byte) [][]byte { return [][]byte{s[r%len(s)]} }, true},
	} {
		t.Run(n.name, func(t *testing.T) {
			previous = nil
			p := fragmentPair(t, FragmentForce, FragmentForce)
			for _, e := range []*Endpoint{p.a, p.b} {
				times := e.peers.index.All()[0].timing
				times.RetransmitTries, times.RetransmitMax, times.HalfOpen = 30, time.Second, 10*time.Minute
			}
			sets := map[*Endpoint][][]byte{}
			rounds := map[string]int{}
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				if !isFragment(tx.Packet) {
					return true
				}
				sets[from] = append(sets[from], bytes.Clone(tx.Packet))
				if tx.Packet[isakmp.HeaderLen+7]&isakmp.FragmentLast == 0 {
					return false
				}
				set := sets[from]
				sets[from] = nil
				key := string(set[0])
				round := rounds[key]
				rounds[key]++
				to := p.b
				if from == p.b {
					to = p.a
				}
				for _, b := range n.mangle(round, set) {
					to.HandleDatagram(p.now, reverse(tx.Path), b)
				}
				return false
			}
			id := p.initiate()
			if n.late {
				p.advance(40 * time.Second)
			}
			s, ok := p.a.Session(id)
			if !ok || !s.Up || len(s.Children) != 1 {
				p.explain()
			}
			require.True(t, s.Up)
			require.Len(t, s.Children, 1)
			require.GreaterOrEqual(t, len(rounds), 3, "first message, answer, Quick Mode")
			if !n.late {
				require.Zero(t, p.a.Stats().Retransmitted)
			}
			p.advance(2 * time.Minute)
			for _, e := range []*Endpoint{p.a, p.b} {
				require.Zero(t, e.fragments.early.octets+e.fragments.late.octets)
				require.Zero(t, e.fragments.early.sets.Len()+e.fragments.late.sets.Len())
				for _, sa := range e.sas {
					require.Empty(t, sa.collecting)
				}
			}
		})
	}
}

// craftFragment makes a fragment by hand.
func craftFragment(h isakmp.Header, id uint16, index, flags uint8, data []byte) []byte {
	h.NextPayload, h.Version = isakmp.PayloadFragment, isakmp.Version1
	h.Length = uint32(isakmp.HeaderLen + isakmp.FragmentLen + len(data))
	b, _ := h.AppendBinary(nil)
	n := isakmp.FragmentLen + len(data)
	b = append(b, 0, 0, byte(n>>8), byte(n), byte(id>>8), byte(id), index, flags)
	return append(b, data...)
}

// headerOf is the beginning of a message of a size.
func headerOf(h isakmp.Header, size int) []byte {
	h.NextPayload, h.Version, h.Length = isakmp.PayloadSA, isakmp.Version1, uint32(size)
	b, _ := h.AppendBinary(nil)
	return b
}

// A25: hostile fragments cost a bounded amount of memory and time, change
// nothing, and do not keep genuine ones out.
func TestA25_HostileFragments(t *testing.T) {
	p := fragmentPair(t, FragmentForce, FragmentForce)
	from := reverse(pathAB())
	first := isakmp.Header{CookieI: 0xaaaa, Exchange: isakmp.ExchangeIdentityProtection}
	clean := func(t *testing.T) {
		t.Helper()
		require.Zero(t, p.b.HalfOpen())
		require.Empty(t, p.b.sessions)
		_, ok := p.b.PollTransmit()
		require.False(t, ok, "something was answered")
	}
	data := make([]byte, 400)

	for name, b := range map[string][]byte{
		"number 0":               craftFragment(first, 1, 0, 1, data),
		"no data":                craftFragment(first, 1, 2, 1, nil),
		"first shorter than 28":  craftFragment(first, 1, 1, 1, data[:27]),
		"payload beside it":      append(craftFragment(first, 1, 1, 0, data), 0, 0, 0, 8, 1, 2, 3, 4),
		"length below 8":         func() []byte { b := craftFragment(first, 1, 1, 0, data); b[31] = 7; b[30] = 0; return b }(),
		"length beyond":          func() []byte { b := craftFragment(first, 1, 1, 0, data); b[30] = 9; return b }(),
		"length short":           func() []byte { b := craftFragment(first, 1, 1, 0, data); b[31]--; return b }(),
		"next payload":           func() []byte { b := craftFragment(first, 1, 1, 0, data); b[28] = 13; return b }(),
		"of an exchange":         craftFragment(isakmp.Header{CookieI: 1, Exchange: isakmp.ExchangeQuickMode, MessageID: 7}, 1, 1, 1, data),
		"of an SA nobody has":    craftFragment(isakmp.Header{CookieI: 1, CookieR: 2, Exchange: isakmp.ExchangeIdentityProtection}, 1, 1, 1, data),
		"cookie 0":               craftFragment(isakmp.Header{Exchange: isakmp.ExchangeIdentityProtection}, 1, 1, 1, data),
		"whole, but nested":      craftFragment(first, 1, 1, 1, craftFragment(first, 1, 1, 1, data)),
		"whole, but other":       craftFragment(first, 1, 1, 1, append(headerOf(isakmp.Header{CookieI: 0xbbbb, Exchange: first.Exchange}, 428), data...)),
		"whole, another message": craftFragment(first, 1, 1, 1, append(headerOf(isakmp.Header{CookieI: 0xaaaa, Exchange: first.Exchange, MessageID: 1}, 428), data...)),
		"whole, but garbage":     craftFragment(first, 1, 1, 1, append(headerOf(first, 428), data...)),
	} {
		if len(b) != int(b[26])<<8|int(b[27]) {
			b[26], b[27] = byte(len(b)>>8), byte(len(b))
		}
		before := p.b.Stats()
		p.b.HandleDatagram(p.now, from, b)
		after := p.b.Stats()
		require.Greater(t, after.Malformed+after.Unexpected+after.UnknownSPI, before.Malformed+before.Unexpected+before.UnknownSPI, name)
		require.Zero(t, p.b.fragments.early.octets, name)
		clean(t)
	}

	// Only tails, half-filled sets: of 10,000 senders.
	for i := range 10_000 {
		path := from
		path.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 500)
		h := first
		h.CookieI = isakmp.Cookie(i + 1)
		p.b.HandleDatagram(p.now, path, craftFragment(h, 1, 255, 1, data))
		p.b.HandleDatagram(p.now, path, craftFragment(h, 1, 2, 0, data))
		require.LessOrEqual(t, p.b.fragments.early.octets, maxCollected)
	}
	clean(t)
	require.Greater(t, p.b.fragments.early.sets.Len(), 5000)

	// More than a message may have, and a total that changes with each one.
	big := make([]byte, 1400)
	for i := range 300 {
		p.b.HandleDatagram(p.now, from, craftFragment(first, 1, uint8(2+i%250), 0, big))
		if r := p.b.fragments.firsts[initKey{first.CookieI, from.Remote}]; r != nil {
			require.LessOrEqual(t, r.size, maxFragmentedEarly)
		}
	}
	for i := range 255 {
		p.b.HandleDatagram(p.now, from, craftFragment(first, 1, uint8(255-i), 1, data))
	}
	r := p.b.fragments.firsts[initKey{first.CookieI, from.Remote}]
	require.Len(t, r.parts, 1, "a last one ends what was behind it")
	clean(t)

	// The genuine peer gets through all the same.
	s := p.initiate()
	st, _ := p.a.Session(s)
	require.True(t, st.Up)
	require.Len(t, st.Children, 1)

	// What is never completed goes.
	p.advance(2 * fragmentTime)
	for _, c := range []*collection{&p.b.fragments.early, &p.b.fragments.late} {
		require.Zero(t, c.octets)
		require.Zero(t, c.sets.Len())
	}
	require.Empty(t, p.b.fragments.firsts)
}

// A25: a message is looked at as often as it came, not once for each fragment
// that somebody sends: the cost is linear.
func TestA25_LinearCost(t *testing.T) {
	p := fragmentPair(t, FragmentForce, FragmentForce)
	p.initiate()
	for _, sa := range p.b.sas {
		h := sa.header(isakmp.ExchangeQuickMode, 0x12345678)
		const parts = 100
		size := isakmp.HeaderLen + parts*500
		send := func(index uint8, fill byte) {
			data := bytes.Repeat([]byte{fill}, 500)
			if index == 1 {
				h := h
				h.Flags = isakmp.FlagEncryption
				data = append(headerOf(h, size), data...)
			}
			var flags uint8
			if index == parts {
				flags = isakmp.FragmentLast
			}
			p.b.HandleDatagram(p.now, reverse(pathAB()), craftFragment(h, 1, index, flags, data))
		}
		for i := range parts {
			send(uint8(i+1), 0)
		}
		looked := func() uint64 { s := p.b.Stats(); return s.Malformed + s.BadIntegrity + s.Unexpected }
		before := looked()
		for i := range 1000 {
			send(2, byte(i+1))
		}
		require.LessOrEqual(t, looked()-before, uint64(maxMixtures))
		// A few SAs' worth of messages, no more.
		for i := range 1000 {
			h.MessageID = uint32(i + 1)
			send(2, 0)
		}
		require.Len(t, sa.collecting, maxCollecting)
	}
}

// A25, A26: whoever spoils a message with a forged fragment does not keep the
// retransmission out.
func TestA25_ForgedFragmentInBetween(t *testing.T) {
	p := fragmentPair(t, FragmentForce, FragmentForce)
	forged := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a && isFragment(tx.Packet) && tx.Packet[34] == 2 && forged < 5 {
			forged++
			evil := bytes.Clone(tx.Packet)
			evil[60] ^= 0xff
			p.b.HandleDatagram(p.now, reverse(tx.Path), evil) // before the genuine one
		}
		return true
	}
	id := p.initiate()
	s, _ := p.a.Session(id)
	require.True(t, s.Up)
	require.Len(t, s.Children, 1)
	require.NotZero(t, forged)
	require.Zero(t, p.a.Stats().Retransmitted)
}

func FuzzFragments(f *testing.F) {
	f.Add([]byte{1, 0, 10, 2, 1, 20})
	f.Fuzz(func(t *testing.T, script []byte) {
		r := &reassembly{}
		for len(script) >= 3 {
			fr := &isakmp.Fragment{Index: script[0], Flags: script[1] & 1, Data: bytes.Repeat([]byte{script[1]}, 1+int(script[2]))}
			script = script[3:]
			if fr.Index == 0 {
				continue
			}
			if fr.Index == 1 {
				fr.Data = append(make([]byte, isakmp.HeaderLen), fr.Data...)
				fr.Data[27] = byte(len(fr.Data))
			}
			changed := r.add(fr)
			size := 0
			for i, p := range r.parts {
				size += len(p.data)
				require.True(t, i == 0 || p.index > r.parts[i-1].index)
				require.True(t, !p.last || i == len(r.parts)-1)
			}
			require.Equal(t, size, r.size)
			if r.whole(changed) {
				require.Len(t, r.parts, int(r.parts[len(r.parts)-1].index))
			}
		}
	})
}
