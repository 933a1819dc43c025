package ikev2

import (
	"encoding/binary"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

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
	// So they do if the peer itself has sealed them: they are in the AAD.
	sa := s.A.anySA()
	c, err := sa.keys.sealer()
	require.NoError(t, err)
	sealed, err := sa.sealOne(c, sa.header(message.ExchangeInformational, false, sa.sendID), 200, func(b *message.Builder) {
		b.Add(&message.Notify{Type: 0x4000})
		b.BeginSK(c.IVSize())
	})
	require.NoError(t, err)
	unprotected := s.B.Stats().Unprotected
	require.Nil(t, s.A.injects(ike.Transmit{Path: good.Path, Packet: sealed}))
	require.Equal(t, unprotected+1, s.B.Stats().Unprotected)
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
