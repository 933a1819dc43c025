package ikev2

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// Tests of what an unauthenticated sender can do to the core: rows A of the
// security list. The codec has its own tests of the same rows.

// initRequest is A's IKE_SA_INIT request, to be changed.
func initRequestOf(t testing.TB) (*scene, *message.Message) {
	s := newScene(t).initiate()
	m := inClear(t, s.A.take("init"))
	return s, m
}

func (s *scene) datagram(b []byte) []ike.Transmit {
	s.B.out = nil
	s.B.HandleDatagram(s.now, reverse(pathAB()), b)
	s.work()
	return s.B.out
}

// stateless requires that B has kept nothing.
func (s *scene) stateless(about ...any) {
	s.t.Helper()
	require.Empty(s.t, s.B.sessions, about...)
	require.Empty(s.t, s.B.sas, about...)
	require.Empty(s.t, s.B.initial, about...)
	require.Zero(s.t, s.B.Held().Addresses, about...)
	require.Zero(s.t, s.B.HalfOpen(), about...)
	require.Zero(s.t, s.B.Held().Timers, about...)
	require.Zero(s.t, s.B.Held().Jobs, about...)
}

func encode(t testing.TB, m *message.Message) []byte {
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

func TestA01_Lengths(t *testing.T) {
	s, m := initRequestOf(t)
	b := encode(t, m)
	for n := range b {
		require.Empty(t, s.datagram(b[:n]), "cut after %d octets", n)
		s.stateless(n)
	}
	for _, length := range []uint32{0, 1, 27, 28, uint32(len(b)) - 1, uint32(len(b)) + 1, 0xffffffff} {
		c := slices.Clone(b)
		binary.BigEndian.PutUint32(c[24:], length)
		require.Empty(t, s.datagram(c), "length %d", length)
		s.stateless(length)
	}
	require.Empty(t, s.datagram(append(slices.Clone(b), 0)), "trailing octet")
	s.stateless()
	require.EqualValues(t, s.B.Stats().Received, s.B.Stats().Malformed)
	require.Len(t, s.datagram(b), 1)
}

func TestA02_Versions(t *testing.T) {
	for version := range 256 {
		s, m := initRequestOf(t)
		b := encode(t, m)
		b[17] = byte(version)
		out := s.datagram(b)
		switch major := version >> 4; {
		case major == 2: // any minor version
			require.Len(t, out, 1)
			require.Len(t, s.B.sessions, 1)
		case major > 2:
			require.Len(t, out, 1, "version %#x", version)
			a := inClear(t, out[0])
			require.Equal(t, message.NotifyInvalidMajorVersion, onlyNotify(a))
			require.Equal(t, message.Version2, a.Header.Version)
			require.True(t, a.Header.IsResponse())
			require.LessOrEqual(t, len(out[0].Packet), len(b))
			s.stateless()
		default:
			require.Empty(t, out)
			s.stateless()
		}
	}
	// A response of a higher version is not answered: no ping-pong.
	s, m := initRequestOf(t)
	b := encode(t, m)
	b[17], b[19] = 0x30, byte(message.FlagResponse)
	require.Empty(t, s.datagram(b))
}

func TestA03_PayloadLength(t *testing.T) {
	s, m := initRequestOf(t)
	b := encode(t, m)
	for at := message.HeaderLen; at < len(b); {
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		for _, length := range []uint16{0, 1, 2, 3, uint16(len(b)), 0xffff} {
			c := slices.Clone(b)
			binary.BigEndian.PutUint16(c[at+2:], length)
			require.Empty(t, s.datagram(c), "payload at %d of length %d", at, length)
			s.stateless()
		}
		at += n
	}
}

func TestA05_MissingPayloads(t *testing.T) {
	// IKE_SA_INIT.
	_, m := initRequestOf(t)
	for i, p := range m.Payloads {
		s, m := initRequestOf(t)
		m.Payloads = slices.Delete(slices.Clone(m.Payloads), i, i+1)
		out := s.datagram(encode(t, m))
		switch p.PayloadType() {
		case message.PayloadSA, message.PayloadKE, message.PayloadNonce:
			require.Len(t, out, 1)
			require.Equal(t, message.NotifyInvalidSyntax, onlyNotify(inClear(t, out[0])))
			s.stateless(p)
		default:
			require.Len(t, s.B.sessions, 1, "without %v", p)
		}
		s2, m2 := initRequestOf(t)
		m2.Payloads = append(m2.Payloads, p) // twice
		s2.datagram(encode(t, m2))
	}

	// IKE_AUTH: what B answers to a request without each payload.
	full := func(t testing.TB) (*scene, message.Payloads) {
		s := newScene(t).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		return s, s.A.anySA().req.payloads
	}
	_, payloads := full(t)
	for i, p := range payloads {
		s, payloads := full(t)
		a := s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, slices.Delete(slices.Clone(payloads), i, i+1)...))
		require.NotNil(t, a, "without %v", p)
		switch p.PayloadType() {
		case message.PayloadIDi:
			require.Equal(t, message.NotifyInvalidSyntax, onlyNotify(a))
		case message.PayloadAUTH:
			require.Equal(t, message.NotifyAuthenticationFailed, onlyNotify(a))
		case message.PayloadSA, message.PayloadTSi, message.PayloadTSr:
			require.NotNil(t, a.AUTH(), "the IKE SA stands")
			require.NotNil(t, a.ErrorNotify(), "the Child SA does not")
			require.Zero(t, s.B.Held().ChildSAs)
			continue
		default:
			continue
		}
		require.Empty(t, s.B.sessions, "without %v", p)
		require.Empty(t, find[ike.SessionUp](s.B.happened))
	}

	// CREATE_CHILD_SA.
	s := newScene(t).establish()
	s.A.rekeyChild()
	payloads = s.A.anySA().req.payloads
	s.A.out = nil
	for i, p := range payloads {
		before := s.B.Held().ChildSAs
		a := s.A.asks(message.ExchangeCreateChildSA, slices.Delete(slices.Clone(payloads), i, i+1)...)
		require.NotNil(t, a)
		if p.PayloadType() != message.PayloadNotify { // without REKEY_SA it is another Child SA
			require.NotNil(t, a.ErrorNotify(), "without %v", p)
			require.Equal(t, before, s.B.Held().ChildSAs)
		}
	}
	require.NotNil(t, s.A.asks(message.ExchangeInformational))
}

func TestA06_UnknownPayloads(t *testing.T) {
	for _, typ := range []message.PayloadType{1, 32, 49, 200, 255} {
		for _, critical := range []bool{false, true} {
			s, m := initRequestOf(t)
			m.Payloads = append(m.Payloads, &message.Unknown{Type: typ, Critical: critical, Body: []byte("what is this")})
			out := s.datagram(encode(t, m))
			require.Len(t, out, 1)
			a := inClear(t, out[0])
			if !critical {
				require.NotNil(t, a.SA(), "%d is skipped", typ)
				continue
			}
			require.Equal(t, message.NotifyUnsupportedCriticalPayload, onlyNotify(a))
			which, err := a.Payloads[0].(*message.Notify).UnsupportedPayload()
			require.NoError(t, err)
			require.Equal(t, typ, which)
			s.stateless()
		}
		// Inside SK, in an established SA: the request is refused, the SA lives.
		s := newScene(t).establish()
		require.Empty(t, s.A.asks(message.ExchangeInformational, &message.Unknown{Type: typ}).Payloads)
		a := s.A.asks(message.ExchangeInformational, &message.Unknown{Type: typ, Critical: true})
		require.Equal(t, message.NotifyUnsupportedCriticalPayload, onlyNotify(a))
		s.A.rekeyChild()
		s.pass(10 * time.Second)
		s.converged(1)
	}
	s, m := initRequestOf(t)
	for range message.MaxPayloads {
		m.Payloads = append(m.Payloads, &message.Unknown{Type: 200})
	}
	b := slices.Clone(encodeMany(t, m))
	s.datagram(b)
	s.stateless()
}

// encodeMany encodes more payloads than the codec takes back.
func encodeMany(t testing.TB, m *message.Message) []byte {
	few := *m
	few.Payloads = m.Payloads[:1]
	b := encode(t, &few)
	b[message.HeaderLen] = byte(m.Payloads[1].PayloadType())
	for i, p := range m.Payloads[1:] {
		next := byte(0)
		if i+2 < len(m.Payloads) {
			next = byte(m.Payloads[i+2].PayloadType())
		}
		body := p.AppendBody(nil)
		b = append(b, next, 0, byte((4+len(body))>>8), byte(4+len(body)))
		b = append(b, body...)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b
}

func TestA07_IKEv1Payloads(t *testing.T) {
	// IKEv1's payload types 1 to 13 are unknown ones here.
	for typ := message.PayloadType(1); typ <= 13; typ++ {
		s, m := initRequestOf(t)
		m.Payloads[0] = &message.Unknown{Type: typ, Body: m.Payloads[0].AppendBody(nil)}
		out := s.datagram(encode(t, m))
		require.Len(t, out, 1)
		require.Equal(t, message.NotifyInvalidSyntax, onlyNotify(inClear(t, out[0])), "no SA payload")
		s.stateless()
	}
}

func TestA08_Proposals(t *testing.T) {
	encr := spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}
	prf := spd.Transform{Type: spd.TransformPRF, ID: spd.PRFHMACSHA256}
	ke := spd.Transform{Type: spd.TransformKE, ID: spd.KECurve25519}
	good := []spd.Transform{encr, prf, ke}
	sa := func(transforms ...[]spd.Transform) *message.SA {
		p := &message.SA{}
		for i, ts := range transforms {
			w := message.Proposal{Num: uint8(i + 1), Protocol: spd.ProtoIKE}
			for _, tr := range ts {
				w.Transforms = append(w.Transforms, message.Transform{Transform: tr})
			}
			p.Proposals = append(p.Proposals, w)
		}
		return p
	}
	many := make([][]spd.Transform, 254)
	for i := range many {
		many[i] = []spd.Transform{{Type: spd.TransformENCR, ID: uint16(1000 + i)}, prf, ke}
	}
	odd := sa(good)
	odd.Proposals[0].Transforms[0].KeyLen = 0
	odd.Proposals[0].Transforms[0].Attributes = []message.Attribute{{Type: 14, Value: []byte{0}}}
	for name, c := range map[string]struct {
		sa   message.Payload
		want message.NotifyType // 0: accepted
	}{
		"good":                   {sa(good), 0},
		"the last of 255":        {sa(append(many, good)...), 0},
		"none of 254":            {sa(many...), message.NotifyNoProposalChosen},
		"duplicate transforms":   {sa([]spd.Transform{encr, encr, prf, prf, ke, ke}), 0},
		"no key exchange":        {sa([]spd.Transform{encr, prf}), message.NotifyNoProposalChosen},
		"no PRF":                 {sa([]spd.Transform{encr, ke}), message.NotifyNoProposalChosen},
		"no encryption":          {sa([]spd.Transform{prf, ke}), message.NotifyNoProposalChosen},
		"no transforms":          {sa(nil), message.NotifyNoProposalChosen},
		"no proposals":           {raw(message.PayloadSA), message.NotifyInvalidSyntax},
		"unknown transform type": {sa(append([]spd.Transform{{Type: 13, ID: 1}}, good...)), message.NotifyNoProposalChosen},
		"key length 0":           {sa([]spd.Transform{{Type: spd.TransformENCR, ID: spd.EncrAESGCM16}, prf, ke}), message.NotifyNoProposalChosen},
		"key length 129":         {sa([]spd.Transform{{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 129}, prf, ke}), message.NotifyNoProposalChosen},
		"attribute cut short":    {odd, message.NotifyNoProposalChosen},
		"lying transform count":  {raw(message.PayloadSA, 0, 0, 0, 16, 1, 1, 0, 9, 0, 0, 0, 8, 1, 0, 0, 20), message.NotifyInvalidSyntax},
		"for ESP":                {&message.SA{Proposals: []message.Proposal{{Num: 1, Protocol: spd.ProtoESP, SPI: []byte{1, 2, 3, 4}, Transforms: sa(good).Proposals[0].Transforms}}}, message.NotifyNoProposalChosen},
	} {
		t.Run(name, func(t *testing.T) {
			s, m := initRequestOf(t)
			m.Payloads[0] = c.sa
			out := s.datagram(encode(t, m))
			if c.want == 0 {
				require.Len(t, s.B.sessions, 1)
				return
			}
			if len(out) > 0 {
				require.Equal(t, c.want, onlyNotify(inClear(t, out[0])))
			} else {
				require.Equal(t, message.NotifyInvalidSyntax, c.want, "silence is for what cannot be read")
			}
			s.stateless()
		})
	}
}

// A10, A11: bad public values of every group are refused, and leave nothing.
func TestA10_PublicValues(t *testing.T) {
	for _, g := range []struct {
		text string
		id   dh.ID
		bad  [][]byte
	}{
		{"modp2048", dh.MODP2048, [][]byte{nil, {0}, make([]byte, 256), append(make([]byte, 255), 1), slices.Repeat([]byte{0xff}, 256), make([]byte, 255), make([]byte, 257)}},
		{"ecp256", dh.ECP256, [][]byte{nil, make([]byte, 64), slices.Repeat([]byte{0xff}, 64), make([]byte, 65), append([]byte{4}, make([]byte, 64)...)}},
		{"x25519", dh.Curve25519, [][]byte{nil, make([]byte, 32), append([]byte{1}, make([]byte, 31)...), make([]byte, 31), make([]byte, 33)}},
	} {
		for i, v := range g.bad {
			t.Run(fmt.Sprint(g.text, i), func(t *testing.T) {
				s := newScene(t, groups(g.text, g.text)).initiate()
				m := inClear(t, s.A.take("init"))
				m.Payloads[1] = raw(message.PayloadKE, append([]byte{byte(g.id >> 8), byte(g.id), 0, 0}, v...)...)
				out := s.datagram(encode(t, m))
				require.LessOrEqual(t, len(out), 1)
				if len(out) == 1 {
					require.Equal(t, message.NotifyInvalidSyntax, onlyNotify(inClear(t, out[0])))
				}
				require.Empty(t, s.B.sessions)
				require.Empty(t, s.B.plane.Leaks())
				s.pass(time.Minute)
				require.Zero(t, s.B.HalfOpen())

				if len(v) == 0 {
					return // cannot even be read: as if lost
				}
				// In a response.
				s = newScene(t, groups(g.text, g.text)).initiate()
				s.A.sends("init")
				a := inClear(t, s.B.take("init:ok"))
				a.Payloads[1] = m.Payloads[1]
				s.B.hand(ike.Transmit{Path: reverse(pathAB()), Packet: encode(t, a)}, "init:ok")
				s.pass(10 * time.Second)
				require.Empty(t, find[ike.SessionUp](s.A.happened))
			})
		}
	}
}

func TestA13_PrivateGroup(t *testing.T) {
	for _, group := range []uint16{0, 1, 24, 36, 1024, 1025, 1030, 65535} {
		s, m := initRequestOf(t)
		m.Payloads[1] = &message.KE{Group: group, Data: make([]byte, 32)}
		out := s.datagram(encode(t, m))
		require.Len(t, out, 1, "group %d", group)
		require.Equal(t, message.NotifyInvalidKEPayload, onlyNotify(inClear(t, out[0])))
		s.stateless()
	}
}

func TestA15_Nonces(t *testing.T) {
	for n, ok := range map[int]bool{0: false, 15: false, 16: true, 32: true, 256: true, 257: false} {
		s, m := initRequestOf(t)
		m.Payloads[2] = raw(message.PayloadNonce, make([]byte, n)...)
		s.datagram(encode(t, m))
		if ok {
			require.Len(t, s.B.sessions, 1, "%d octets", n)
		} else {
			s.stateless(n)
		}
		// In a response.
		s = newScene(t).initiate()
		s.A.sends("init")
		a := inClear(t, s.B.take("init:ok"))
		a.Payloads[2] = raw(message.PayloadNonce, make([]byte, n)...)
		s.B.hand(ike.Transmit{Path: reverse(pathAB()), Packet: encode(t, a)}, "init:ok")
		require.Equal(t, ok, s.A.anySA().state == stateAuth, "%d octets", n)
	}
}

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
	s.B.out = nil
	s.tick(5 * time.Minute)
	require.Empty(t, s.B.out, "no unsolicited retransmission")
	s.pass(time.Minute)

	s2 := newScene(t, alwaysCookie).initiate()
	b = s2.A.take("init").Packet
	require.Less(t, len(s2.datagram(b)[0].Packet), len(b))
}

func TestA20_WrongOrder(t *testing.T) {
	// Before keys exist.
	s := newScene(t).initiate()
	s.B.slow[ike.JobKeyExchange] = true
	s.A.sends("init")
	var b *ikeSA
	for _, sa := range s.B.sas {
		b = sa
	}
	for _, x := range []message.ExchangeType{message.ExchangeIKEAuth, message.ExchangeCreateChildSA, message.ExchangeInformational, 43, 99} {
		h := message.Header{SPIi: s.A.anySA().local, SPIr: b.local, Exchange: x, Flags: message.FlagInitiator, MessageID: 1}
		m := message.Message{Header: h, Payloads: message.Payloads{&message.SK{First: message.PayloadIDi, Body: make([]byte, 64)}}}
		before := s.B.Stats().Unprotected
		s.B.HandleDatagram(s.now, reverse(pathAB()), encode(t, &m))
		s.work()
		require.Equal(t, before+1, s.B.Stats().Unprotected)
	}
	s.B.release()
	require.Len(t, s.B.sessions, 1)

	// With keys, before anybody is authenticated: only IKE_AUTH, at either side.
	s = newScene(t).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	for _, x := range []message.ExchangeType{message.ExchangeCreateChildSA, message.ExchangeInformational, 43} {
		require.Nil(t, s.A.injects(s.A.protect(x, 1, false)), "%v to the responder", x)
		require.Nil(t, s.B.injects(s.B.protect(x, 0, false)), "%v to the initiator", x)
	}
	require.Nil(t, s.A.injects(s.A.protect(message.ExchangeInformational, 1, false, &message.Delete{Protocol: spd.ProtoIKE})))
	s.flush()
	s.converged(1)
}

func TestA21_UnprotectedMessages(t *testing.T) {
	s := newScene(t).establish()
	payloads := map[string]message.Payloads{
		"empty":           nil,
		"delete":          {&message.Delete{Protocol: spd.ProtoIKE}},
		"invalid SPI":     {&message.Notify{Type: message.NotifyInvalidIKESPI}},
		"auth failed":     {&message.Notify{Type: message.NotifyAuthenticationFailed}},
		"initial contact": {&message.Notify{Type: message.NotifyInitialContact}},
	}
	for name, p := range payloads {
		for _, x := range []message.ExchangeType{message.ExchangeIKEAuth, message.ExchangeCreateChildSA, message.ExchangeInformational} {
			for _, response := range []bool{false, true} {
				for _, a := range []*actor{s.A, s.B} {
					sa := a.anySA()
					m := message.Message{Header: sa.header(x, response, sa.sendID), Payloads: p}
					require.Nil(t, a.injects(ike.Transmit{Path: sa.s.Path, Packet: encode(t, &m)}), name)
				}
			}
		}
	}
	// Payloads beside SK would escape the protection.
	good := s.A.protect(message.ExchangeInformational, s.A.nextID(), false)
	beside := slices.Clone(good.Packet)
	beside = slices.Insert(beside, message.HeaderLen, byte(message.PayloadSK), 0, 0, 8, 0, 0, 0x40, 0)
	beside[16] = byte(message.PayloadNotify)
	binary.BigEndian.PutUint32(beside[24:], uint32(len(beside)))
	require.Nil(t, s.A.injects(ike.Transmit{Path: good.Path, Packet: beside}))
	// An IKEv1 packet with our SPIs.
	v1 := slices.Clone(good.Packet)
	v1[17] = 0x10
	require.Nil(t, s.A.injects(ike.Transmit{Path: good.Path, Packet: v1}))
	// Unknown SPIs.
	for _, at := range []int{0, 7, 8, 15} {
		other := slices.Clone(good.Packet)
		other[at] ^= 1
		before := s.B.Stats().UnknownSPI
		require.Nil(t, s.A.injects(ike.Transmit{Path: good.Path, Packet: other}))
		require.Equal(t, before+1, s.B.Stats().UnknownSPI)
	}
	require.Empty(t, s.A.happened)
	require.Empty(t, s.B.happened)
	s.converged(1)
}

func TestA23_VendorIDs(t *testing.T) {
	s, m := initRequestOf(t)
	for i := range 60 {
		m.Payloads = append(m.Payloads, &message.VendorID{ID: make([]byte, i*13)})
	}
	require.Len(t, s.datagram(encode(t, m)), 1)
	s, m = initRequestOf(t)
	for range 1000 {
		m.Payloads = append(m.Payloads, &message.VendorID{ID: []byte("x")})
	}
	s.datagram(encodeMany(t, m))
	s.stateless()
}

func TestA24_Identities(t *testing.T) {
	for name, id := range map[string]message.Payload{
		"empty":             raw(message.PayloadIDi, 2, 0, 0, 0),
		"no header":         raw(message.PayloadIDi, 2),
		"unknown type":      raw(message.PayloadIDi, 77, 0, 0, 0, 1, 2, 3),
		"type 0":            raw(message.PayloadIDi, 0, 0, 0, 0, 1, 2, 3),
		"IPv4, 3 octets":    raw(message.PayloadIDi, 1, 0, 0, 0, 1, 2, 3),
		"IPv4, 5 octets":    raw(message.PayloadIDi, 1, 0, 0, 0, 1, 2, 3, 4, 5),
		"IPv6, 4 octets":    raw(message.PayloadIDi, 5, 0, 0, 0, 1, 2, 3, 4),
		"huge":              raw(message.PayloadIDi, append([]byte{2, 0, 0, 0}, slices.Repeat([]byte("a"), 60000)...)...),
		"DN cut short":      raw(message.PayloadIDi, 9, 0, 0, 0, 0x30, 0x20, 0x31),
		"NUL":               raw(message.PayloadIDi, append([]byte{2, 0, 0, 0}, "a.example\x00.evil"...)...),
		"format and shell":  raw(message.PayloadIDi, append([]byte{2, 0, 0, 0}, "%s%n$(reboot)\r\n\x1b[2J"...)...),
		"right, other type": raw(message.PayloadIDi, append([]byte{11, 0, 0, 0}, "a.example"...)...),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).initiate()
			s.A.sends("init")
			s.B.sends("init:ok")
			payloads := slices.Clone(s.A.anySA().req.payloads)
			payloads[0] = id
			a := s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...))
			require.NotNil(t, a)
			require.Contains(t, []message.NotifyType{message.NotifyAuthenticationFailed, message.NotifyInvalidSyntax}, onlyNotify(a))
			require.Empty(t, s.B.sessions)
			failed := find[ike.SessionFailed](s.B.happened)
			require.Len(t, failed, 1)
			for _, o := range failed[0].Err.Error() {
				require.True(t, o >= ' ' && o != 0x7f, "%q", failed[0].Err.Error())
			}
			require.Less(t, len(failed[0].Err.Error()), 2000)
		})
	}
}

func TestA25_HostileFragments(t *testing.T) {
	inner := func(s *scene) (message.PayloadType, []byte) {
		c := message.NewChainBuilder(nil)
		c.Add(&message.Notify{Type: message.NotifyInitialContact, Data: make([]byte, 3000)})
		b, err := c.Finish()
		require.NoError(t, err)
		return c.First(), b
	}
	type part struct{ number, total uint16 }
	for name, parts := range map[string][]part{
		"number 0":           {{0, 2}, {2, 2}},
		"number above total": {{1, 2}, {3, 2}},
		"total 0":            {{1, 0}},
		"total 65535":        {{1, 65535}, {65535, 65535}},
		"only the last ones": {{2, 3}, {3, 3}},
		"the same again":     {{1, 2}, {1, 2}, {1, 2}},
		"fewer later":        {{1, 3}, {2, 3}, {2, 2}},
		"growing":            {{1, 2}, {1, 3}, {1, 4}, {1, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t).establish()
			first, text := inner(s)
			for _, p := range parts {
				f := first
				if p.number != 1 {
					f = 0
				}
				require.Nil(t, s.A.injects(s.A.fragment(message.ExchangeInformational, s.A.nextID(), p.number, p.total, f, text[:100])))
			}
			// The true message is taken all the same.
			n := uint16(6)
			for i := range n {
				at := int(i) * 510
				f := message.PayloadNone
				if i == 0 {
					f = first
				}
				a := s.A.injects(s.A.fragment(message.ExchangeInformational, s.A.nextID(), i+1, n, f, text[at:min(at+510, len(text))]))
				require.Equal(t, i == n-1, a != nil, "fragment %d", i+1)
			}
			require.Nil(t, s.B.anySA().partial[0])
			s.A.anySA().sendID++
			s.A.rekeyChild()
			s.pass(10 * time.Second)
			s.converged(1)
		})
	}
	t.Run("not authentic", func(t *testing.T) {
		s := newScene(t).establish()
		first, text := inner(s)
		tx := s.A.fragment(message.ExchangeInformational, s.A.nextID(), 1, 2, first, text[:100])
		for at := range tx.Packet {
			if at >= 16 && at < 20 || at >= 24 && at < 32 {
				continue // what makes it another message
			}
			b := slices.Clone(tx.Packet)
			b[at] ^= 0x10
			require.Nil(t, s.A.injects(ike.Transmit{Path: tx.Path, Packet: b}), "octet %d", at)
			require.Nil(t, s.B.anySA().partial[0], "octet %d", at)
		}
	})
	t.Run("too much", func(t *testing.T) {
		s := newScene(t).establish()
		for i := range uint16(maxFragments) {
			s.A.injects(s.A.fragment(message.ExchangeInformational, s.A.nextID(), i+1, maxFragments, 0, make([]byte, 1200)))
			if r := s.B.anySA().partial[0]; r != nil {
				require.LessOrEqual(t, r.size, maxReassembled)
			}
		}
		require.NotZero(t, s.B.Stats().Limited)
	})
	t.Run("nested", func(t *testing.T) {
		s := newScene(t).establish()
		a := s.A.asks(message.ExchangeInformational, raw(message.PayloadSKF, 0, 1, 0, 1, 0, 0, 0, 0))
		require.NotNil(t, a)
		require.Nil(t, s.B.anySA().partial[0])
	})
	// What a half-open peer can make us keep is much less.
	t.Run("before authentication", func(t *testing.T) {
		s := newScene(t).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		s.A.out = nil
		most := 0
		for i := range uint16(maxFragments) {
			s.A.injects(s.A.fragment(message.ExchangeIKEAuth, 1, i+1, maxFragments, 0, make([]byte, 1200)))
			if r := s.B.anySA().partial[0]; r != nil {
				most = max(most, r.size)
			}
		}
		require.LessOrEqual(t, most, maxUnauthenticated)
		s.tick(time.Minute)
		require.Empty(t, s.B.sessions, "expired")
	})
}

func TestA26_Fragments(t *testing.T) {
	selectors := func(n int) sceneOption {
		return func(a, b *Peer, _, _ *Config) {
			a.FragmentSize, b.FragmentSize = 300, 300
			a.Children[0].Local, b.Children[0].Remote = nil, nil
			for i := range n {
				ts := spd.MustParseTrafficSelector(fmt.Sprintf("10.1.%d.0/24", 2*i)) // none adjoins another
				a.Children[0].Local, b.Children[0].Remote = append(a.Children[0].Local, ts), append(b.Children[0].Remote, ts)
			}
		}
	}
	big := selectors(100)
	begin := func(t *testing.T) *scene {
		s := newScene(t, big).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		require.Greater(t, len(s.A.out), 2, "IKE_AUTH is fragmented")
		for _, tx := range s.A.out {
			require.LessOrEqual(t, len(tx.Packet)+32, 576)
		}
		return s
	}
	t.Run("reversed", func(t *testing.T) {
		s := begin(t)
		slices.Reverse(s.A.out)
		s.flush()
		s.converged(1)
	})
	t.Run("each twice", func(t *testing.T) {
		s := begin(t)
		s.A.out = append(slices.Clone(s.A.out), s.A.out...)
		slices.Reverse(s.A.out)
		s.flush()
		s.converged(1)
	})
	t.Run("one lost", func(t *testing.T) {
		s := begin(t)
		s.A.out = s.A.out[1:]
		s.flush()
		s.pass(3 * time.Second)
		s.converged(1)
	})
	t.Run("answer lost", func(t *testing.T) {
		s := begin(t)
		n := len(s.A.out)
		for _, tx := range slices.Clone(s.A.out) {
			s.A.hand(tx, "auth")
		}
		s.A.out = nil
		answer := s.B.out
		require.Greater(t, len(answer), 1)
		s.B.out = nil
		s.tick(time.Second)
		require.Len(t, s.A.out, n, "all fragments again")
		// Of a repeated request only the first fragment brings the answer again.
		for i, tx := range slices.Clone(s.A.out) {
			s.B.out = nil
			s.A.hand(tx, "auth")
			if i == 0 {
				require.Equal(t, packets(answer), packets(s.B.out), "RFC 7383 2.6.1")
			} else {
				require.Empty(t, s.B.out)
			}
		}
		for _, tx := range answer {
			s.B.hand(tx, "auth:ok")
		}
		s.A.out = nil
		s.pass(time.Second)
		s.converged(1)
	})
	t.Run("path MTU", func(t *testing.T) {
		// A path that swallows datagrams above 700 octets: the third try is of
		// smaller pieces (RFC 7383 2.5.2).
		s := newScene(t, func(a, b *Peer, ca, cb *Config) {
			selectors(40)(a, b, ca, cb)
			a.FragmentSize, b.FragmentSize = 0, 600
		}).initiate()
		s.A.sends("init")
		s.B.sends("init:ok")
		require.Len(t, s.A.out, 1)
		require.Greater(t, len(s.A.out[0].Packet), 700)
		for range 20 {
			s.A.out = slices.DeleteFunc(s.A.out, func(tx ike.Transmit) bool { return len(tx.Packet) > 700 })
			s.flush()
			s.tick(time.Second)
		}
		require.Len(t, find[ike.SessionUp](s.A.happened), 1)
		require.Len(t, find[ike.SessionUp](s.B.happened), 1)
	})
}

func packets(out []ike.Transmit) (p [][]byte) {
	for _, tx := range out {
		p = append(p, tx.Packet)
	}
	return p
}

// Crafted packets leave no memory behind.
func TestA31_NoLeak(t *testing.T) {
	s, m := initRequestOf(t)
	bad := [][]byte{encode(t, m)[:100]}
	none := *m
	none.Payloads = m.Payloads[1:]
	bad = append(bad, encode(t, &none))
	wrong := *m
	wrong.Payloads = slices.Clone(m.Payloads)
	wrong.Payloads[1] = &message.KE{Group: 14, Data: make([]byte, 256)}
	bad = append(bad, encode(t, &wrong))
	send := func(n int) {
		for i := range n {
			b := bad[i%len(bad)]
			binary.BigEndian.PutUint64(b, uint64(i+1))
			s.B.HandleDatagram(s.now, ike.Path{Local: addrB, Remote: anyAddr(i)}, b)
			s.work()
			s.B.out, s.B.happened = nil, nil
			clear(s.B.heard)
			clear(s.B.kinds)
		}
		s.stateless()
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	send(10_000)
	before := heap()
	send(100_000)
	require.Less(t, heap(), before+1<<20)
}

func TestA32_NATDetection(t *testing.T) {
	hash := func(n int, t message.NotifyType) message.Payload {
		return &message.Notify{Type: t, Data: make([]byte, n)}
	}
	for name, c := range map[string]struct {
		payloads message.Payloads
		nat      bool
	}{
		"none":         {nil, false},
		"only one":     {message.Payloads{hash(20, message.NotifyNATDetectionSourceIP)}, false},
		"wrong length": {message.Payloads{hash(19, message.NotifyNATDetectionSourceIP), hash(21, message.NotifyNATDetectionDestinationIP)}, true},
		"both wrong":   {message.Payloads{hash(20, message.NotifyNATDetectionSourceIP), hash(20, message.NotifyNATDetectionDestinationIP)}, true},
	} {
		s, m := initRequestOf(t)
		m.Payloads = append(slices.Clone(m.Payloads[:3]), c.payloads...)
		require.Len(t, s.datagram(encode(t, m)), 1, name)
		for _, se := range s.B.sessions {
			if name != "wrong length" && name != "only one" { // either is tolerable
				require.Equal(t, c.nat, se.Encap(), name)
			}
		}
	}
	// Many source hashes, one of them right (RFC 7296 2.23).
	s, m := initRequestOf(t)
	for range 64 {
		m.Payloads = append(m.Payloads, hash(20, message.NotifyNATDetectionSourceIP))
	}
	require.Len(t, s.datagram(encode(t, m)), 1)
	for _, se := range s.B.sessions {
		require.False(t, se.Encap())
	}
}
