package ikev2

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

// flood sends an IKE_SA_INIT request from each address.
func flood(s *scene, n int, addr func(i int) netip.AddrPort) {
	s.initiate()
	m := inClear(s.t, s.A.take("init"))
	for i := range n {
		m.Header.SPIi = message.SPI(i + 1)
		s.B.HandleDatagram(s.now, ike.Path{Local: addrB, Remote: addr(i)}, encode(s.t, m))
		s.work()
		s.B.out = nil
	}
}

func anyAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 500)
}

func TestA16_Flood(t *testing.T) {
	limits := func(_, _ *Peer, _, cb *Config) {
		cb.Limits = ike.Limits{HalfOpen: 100, CookieThreshold: 50, HalfOpenPerIP: 5}
	}
	// From one address.
	s := newScene(t, limits)
	flood(s, 1000, func(i int) netip.AddrPort { return netip.AddrPortFrom(addrA.Addr(), uint16(i+1)) })
	require.Len(t, s.B.sessions, 5)
	require.EqualValues(t, 995, s.B.Stats().Limited)
	s.tick(10 * time.Minute)
	s.stateless()

	// From many: a COOKIE is demanded, nothing more is kept.
	s = newScene(t, limits)
	flood(s, 1000, anyAddr)
	require.Len(t, s.B.sessions, 50)
	require.EqualValues(t, 950, s.B.Stats().CookiesSent)

	// From many that return their cookies: the hard limit. An established
	// session is served all the same.
	s = newScene(t, limits).establish()
	other := newScene(t)
	flood(other, 0, nil)
	m := saInitOf(other)
	for i := range 300 {
		m.Header.SPIi = message.SPI(i + 1)
		path := ike.Path{Local: addrB, Remote: anyAddr(i)}
		m.Payloads = m.Payloads[len(m.Payloads)-4:]
		m.Payloads = saInitOf(other).Payloads
		if s.B.HalfOpen() >= 50 {
			nonce := m.Nonce().Data
			m.Payloads = append(message.Payloads{&message.Notify{Type: message.NotifyCookie, Data: s.B.cookies.make(path, m.Header.SPIi, nonce)}}, m.Payloads...)
		}
		s.B.HandleDatagram(s.now, path, encode(t, m))
		s.work()
		s.B.out = nil
	}
	require.Equal(t, 100, s.B.HalfOpen())
	require.Len(t, s.B.sessions, 101)
	s.A.rekeyChild()
	s.A.sends("rekey-child")
	s.B.sends("rekey-child:ok")
}

// TestA16_LargeRequests: what a half-open SA keeps of a request is bounded, and a
// request that is too large leaves nothing.
func TestA16_LargeRequests(t *testing.T) {
	s := newScene(t)
	s.initiate()
	m := inClear(t, s.A.take("init"))
	padded := func(n int) []byte {
		m := *m
		vendor := &message.VendorID{}
		m.Payloads = append(slices.Clone(m.Payloads), vendor)
		vendor.ID = make([]byte, n-len(encode(t, &m)))
		return encode(t, &m)
	}
	path := ike.Path{Local: addrB, Remote: anyAddr(1)}
	large := padded(maxInitSize + 1)
	require.Len(t, large, maxInitSize+1)
	s.B.HandleDatagram(s.now, path, large)
	require.Zero(t, s.B.HalfOpen())
	require.Empty(t, s.B.sessions)
	require.EqualValues(t, 1, s.B.Stats().Malformed)
	s.B.HandleDatagram(s.now, path, padded(maxInitSize))
	require.Equal(t, 1, s.B.HalfOpen())
	s.work()
	s.B.out = nil
}

func saInitOf(s *scene) *message.Message {
	for _, sa := range s.A.sas {
		m, err := message.Parse(slices.Clone(sa.hs.messageI))
		require.NoError(s.t, err)
		return m
	}
	require.FailNow(s.t, "A has begun nothing")
	return nil
}

func TestA17_Cookies(t *testing.T) {
	s := newScene(t, alwaysCookie).initiate()
	m := inClear(t, s.A.take("init"))
	challenge := s.datagram(encode(t, m))
	require.Len(t, challenge, 1)
	cookie := inClear(t, challenge[0]).Notify(message.NotifyCookie).Data
	require.LessOrEqual(t, len(cookie), 64)
	with := func(c []byte, at int) []byte {
		w := *m
		w.Payloads = slices.Insert(slices.Clone(m.Payloads), at, message.Payload(&message.Notify{Type: message.NotifyCookie, Data: c}))
		return encode(t, &w)
	}
	challenged := func(b []byte, from netip.AddrPort, why string) {
		t.Helper()
		s.B.out = nil
		s.B.HandleDatagram(s.now, ike.Path{Local: addrB, Remote: from}, b)
		s.work()
		s.stateless(why)
		for _, tx := range s.B.out {
			require.Equal(t, message.NotifyCookie, onlyNotify(inClear(t, tx)), why)
		}
	}
	wrong := slices.Clone(cookie)
	wrong[len(wrong)-1] ^= 1
	challenged(with(wrong, 0), addrA, "a changed one")
	challenged(with(cookie[:len(cookie)-1], 0), addrA, "a short one")
	challenged(with(nil, 0), addrA, "an empty one")
	challenged(with(make([]byte, 65), 0), addrA, "a long one")
	challenged(with(cookie, 1), addrA, "not the first payload")
	challenged(with(cookie, 0), netip.MustParseAddrPort("192.0.2.9:500"), "from another address")
	challenged(with(cookie, 0), netip.MustParseAddrPort("192.0.2.1:501"), "from another port")
	other := *m
	other.Header.SPIi++
	other.Payloads = slices.Insert(slices.Clone(m.Payloads), 0, message.Payload(&message.Notify{Type: message.NotifyCookie, Data: cookie}))
	challenged(encode(t, &other), addrA, "for another SPI")
	other = *m
	other.Payloads = slices.Insert(slices.Clone(m.Payloads), 0, message.Payload(&message.Notify{Type: message.NotifyCookie, Data: cookie}))
	other.Payloads[3] = &message.Nonce{Data: make([]byte, 32)}
	challenged(encode(t, &other), addrA, "for another nonce")

	// The secret changes; the one before is still good, older ones are not.
	at := s.now
	s.now = at.Add(cookieLife + time.Second)
	challenged(encode(t, m), addrA, "a new one is made")
	s.now = s.now.Add(2 * (cookieLife + time.Second))
	challenged(encode(t, m), addrA, "and another")
	challenged(with(cookie, 0), addrA, "replayed after the secret has changed twice")

	s.now = at
	s2 := newScene(t, alwaysCookie).initiate()
	m2 := inClear(t, s2.A.take("init"))
	c2 := inClear(t, s2.datagram(encode(t, m2))[0]).Notify(message.NotifyCookie).Data
	s2.now = s2.now.Add(cookieLife + time.Second)
	m2.Payloads = slices.Insert(m2.Payloads, 0, message.Payload(&message.Notify{Type: message.NotifyCookie, Data: c2}))
	s2.datagram(encode(t, m2))
	require.Len(t, s2.B.sessions, 1, "of the secret before")
}

// Nothing that an unknown sender can say makes us send more than it has sent,
// once: no retransmission by a responder.
func TestA18_Amplification(t *testing.T) {
	s, m := initRequestOf(t)
	b := encode(t, m)
	out := s.datagram(b)
	require.Len(t, out, 1)
	require.LessOrEqual(t, len(out[0].Packet), len(b)+64, "about as long as the request")
	// An answered request is answered again, but nothing else under its SPI.
	require.Equal(t, out[0].Packet, s.datagram(b)[0].Packet)
	m.Nonce().Data[0] ^= 1
	require.Empty(t, s.datagram(encode(t, m)))
	s.B.out = nil
	s.tick(5 * time.Minute)
	require.Empty(t, s.B.out, "no unsolicited retransmission")
	s.pass(time.Minute)

	s2 := newScene(t, alwaysCookie).initiate()
	b = s2.A.take("init").Packet
	require.Less(t, len(s2.datagram(b)[0].Packet), len(b))
}
