package ikev2

import (
	"encoding/binary"
	"fmt"
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

func TestA23_VendorIDs(t *testing.T) {
	s, m := initRequestOf(t)
	for i := range 60 {
		m.Payloads = append(m.Payloads, &message.VendorID{ID: make([]byte, i*4)})
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
