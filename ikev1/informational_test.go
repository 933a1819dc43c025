package ikev1

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// other is the endpoint at the other side.
func (p *pair) other(e *Endpoint) *Endpoint {
	if e == p.a {
		return p.b
	}
	return p.a
}

// from is the path that an endpoint's datagrams come by.
func (p *pair) from(e *Endpoint) ike.Path {
	if e == p.a {
		return reverse(pathAB())
	}
	return pathAB()
}

// inform sends an Informational message past the network; hash is nil for the
// right one. It returns the datagram.
func (p *pair) inform(e *Endpoint, hash func(x *exchange, covered []byte) secret.Bytes, payloads ...isakmp.Payload) []byte {
	p.t.Helper()
	sa := only(p.t, e).current
	var id [4]byte
	require.NoError(p.t, e.Random(id[:]))
	x := sa.prepare(isakmp.ExchangeInformational, binary.BigEndian.Uint32(id[:])|1, true, nil)
	if hash == nil {
		hash = func(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }
	}
	packets, _, err := sa.seal(p.now, sa.header(x.kind, x.id), x.iv, func(covered []byte) secret.Bytes { return hash(x, covered) }, payloads)
	require.NoError(p.t, err)
	require.Len(p.t, packets, 1)
	p.other(e).HandleDatagram(p.now, p.from(e), packets[0])
	p.run()
	return packets[0]
}

func (p *pair) del(protocol spd.Protocol, size uint8, spis ...[]byte) *isakmp.Delete {
	return &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: protocol, SPISize: size, SPIs: bytes.Join(spis, nil)}
}

// C04: a HASH that is missing, wrong, doubled or of another message: nothing
// happens.
func TestC04_HashOfInformational(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	sa := only(t, p.a).current
	spi := quickmode.AppendSPI(nil, only(t, p.a).Children.All()[0].Info.In)
	payload := p.del(spd.ProtoESP, 4, spi)
	i, r := sa.cookiePair()
	whole := p.del(spd.ProtoIKE, 16, isakmp.AppendCookies(nil, i, r))
	require.Equal(t, spd.Delivered, p.pa.Send(p.pb, inner, 1).Outcome)
	for name, hash := range map[string]func(x *exchange, covered []byte) secret.Bytes{
		"zero":         func(x *exchange, covered []byte) secret.Bytes { return make(secret.Bytes, 32) },
		"other octets": func(x *exchange, covered []byte) secret.Bytes { return x.messageHash(append(covered, 0)) },
		"another ID":   func(x *exchange, covered []byte) secret.Bytes { return sa.keys.messageHash(x.id^1, covered) },
		"half of it": func(x *exchange, covered []byte) secret.Bytes {
			return append(x.messageHash(covered)[:16], make([]byte, 16)...)
		},
		"hash of phase1": func(x *exchange, covered []byte) secret.Bytes { return sa.keys.quickHash3(x.id, covered, covered) },
	} {
		before := p.b.Stats().BadIntegrity
		p.inform(p.a, hash, payload)
		p.inform(p.a, hash, whole)
		require.Equal(t, before+2, p.b.Stats().BadIntegrity, name)
	}
	// None, not first, twice.
	send := func(payloads ...isakmp.Payload) {
		x := sa.prepare(isakmp.ExchangeInformational, uint32(len(payloads))<<8|77, true, nil)
		packets, _, err := sa.seal(p.now, sa.header(x.kind, x.id), x.iv, nil, payloads)
		require.NoError(t, err)
		before := p.b.Stats()
		p.b.HandleDatagram(p.now, p.from(p.a), packets[0])
		p.run()
		require.Equal(t, before.BadIntegrity+before.Malformed+1, p.b.Stats().BadIntegrity+p.b.Stats().Malformed)
	}
	zero := &isakmp.HASH{Data: make([]byte, 32)}
	send(payload)
	send(payload, zero)
	send(zero, payload, zero)
	p.agree(1)
	require.Empty(t, find[ike.ChildDown](p.evB))
	p.delivers(inner)
	p.inform(p.a, nil, payload) // the right one does it
	require.Len(t, find[ike.ChildDown](p.evB), 1)
}

// C05: protocols and SPIs that make no sense, unknown ones, and ones named
// twice.
func TestC05_SPIsOfNotifiesAndDeletes(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	info := only(t, p.a).Children.All()[0].Info
	spi := quickmode.AppendSPI(nil, info.In)
	for _, pl := range []isakmp.Payload{
		p.del(0, 4, spi), p.del(1, 4, spi), p.del(spd.ProtoAH, 4, spi), p.del(9, 4, spi), p.del(255, 4, spi),
		p.del(spd.ProtoESP, 8, append([]byte{0, 0, 0, 0}, spi...)), p.del(spd.ProtoESP, 2, spi[:2]), p.del(spd.ProtoESP, 0),
		p.del(spd.ProtoESP, 4, []byte{1, 2, 3, 4}), p.del(spd.ProtoESP, 4, make([]byte, 4)), p.del(spd.ProtoESP, 4),
		p.del(spd.ProtoIKE, 8, make([]byte, 8)), p.del(spd.ProtoIKE, 16, make([]byte, 16)), p.del(spd.ProtoIPComp, 2, []byte{1, 2}),
		&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: 0, SPI: spi, Type: isakmp.NotifyInvalidSPI},
		&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: isakmp.NotifyInvalidSPI},
		&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPI: make([]byte, 200), Type: isakmp.NotifyNoProposalChosen},
		&isakmp.Notify{DOI: 77, Protocol: 99, SPI: spi, Type: isakmp.NotifyRUThere, Data: []byte{1, 2, 3}},
		&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyResponderLifetime, Data: []byte{1, 2, 3}},
		&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyUnityLoadBalance, Data: []byte{1, 2, 3}},
		&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: isakmp.NotifyConnected},
	} {
		p.inform(p.a, nil, pl)
		p.agree(1)
	}
	require.Empty(t, find[ike.ChildDown](p.evB))
	p.delivers(inner)
	p.inform(p.a, nil, p.del(spd.ProtoESP, 4, spi, spi, spi)) // of the right one, thrice
	require.Len(t, find[ike.ChildDown](p.evB), 1)
	require.Zero(t, only(t, p.b).Children.Len())
	require.Empty(t, p.pb.SAs())
	p.inform(p.a, nil, p.del(spd.ProtoESP, 4, spi))
	require.Len(t, find[ike.ChildDown](p.evB), 1)
}

// C08: Deletes twice in a message, of the ISAKMP SA with more behind it, while
// something is under way.
func TestC08_Deletes(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	sa := only(t, p.a).current
	i, r := sa.cookiePair()
	ike16 := p.del(spd.ProtoIKE, 16, isakmp.AppendCookies(nil, i, r))
	ask := sa.notify(isakmp.NotifyRUThere, isakmp.AppendSequenceData(nil, 1))

	// The ISAKMP SA goes, the Child SA lives on; what follows finds no SA.
	p.inform(p.a, nil, ike16, ask, ike16, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyInitialContact})
	s := only(t, p.b)
	require.Nil(t, s.current)
	p.advance(leaveTime)
	require.Empty(t, s.sas)
	require.Equal(t, 1, s.Children.Len())
	require.Equal(t, spd.Delivered, p.pa.Send(p.pb, inner, 1).Outcome)
	require.Empty(t, find[ike.SessionDown](p.evB))
	// There is something to say: a new ISAKMP SA is made for it.
	p.rekey(p.b)
	p.advance(20 * time.Second)
	p.agree(1)
	p.delivers(inner)

	// Everything in one message, twice.
	p = childPair(t, nil)
	p.initiate()
	sa = only(t, p.a).current
	i, r = sa.cookiePair()
	ike16 = p.del(spd.ProtoIKE, 16, isakmp.AppendCookies(nil, i, r))
	spi := p.del(spd.ProtoESP, 4, quickmode.AppendSPI(nil, only(t, p.a).Children.All()[0].Info.In))
	p.inform(p.a, nil, spi, ike16, spi, ike16, ask)
	require.Empty(t, p.b.sessions)
	require.Empty(t, p.b.sas)
	require.Len(t, find[ike.SessionDown](p.evB), 1)
	require.Equal(t, ike.DownRemote, find[ike.SessionDown](p.evB)[0].Reason)
	require.Len(t, find[ike.ChildDown](p.evB), 1)
	require.Empty(t, p.pb.Leaks())

	// While a rekey of it is under way, at each of its messages.
	for n := 1; n <= 4; n++ {
		p := childPair(t, nil)
		p.initiate()
		old := only(t, p.a).Children.All()[0].Info
		quick := 0
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			if isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeQuickMode {
				if quick++; quick == n {
					p.filter = nil
					only(t, p.a).current.sendDeleteSPI(p.now, spd.ProtoESP, old.In)
				}
			}
			return true
		}
		p.rekey(p.a)
		p.advance(30 * time.Second)
		p.agree(1)
		p.delivers(inner)
		require.NotEqual(t, old.In, only(t, p.a).Children.All()[0].Info.In)
		require.Equal(t, len(find[ike.ChildUp](p.evB)), 1+len(find[ike.ChildDown](p.evB)), "each that is up has come up")
		require.Empty(t, p.pb.Larval())
		require.Len(t, p.pb.SAs(), 2)
	}
}

// Notifications are told, with what they say.
func TestNotifies(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	sa := only(t, p.a).current
	i, r := sa.cookiePair()
	spi := isakmp.AppendCookies(nil, i, r)
	n := func(protocol spd.Protocol, spi []byte, t isakmp.NotifyType, data string) isakmp.Payload {
		return &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: protocol, SPI: spi, Type: t, Data: []byte(data)}
	}
	p.inform(p.a, nil, n(spd.ProtoIKE, spi, isakmp.NotifyReplayStatus, "\x00\x00\x00\x01"), n(spd.ProtoIKE, spi, 40503, "\x01\x02"), n(spd.ProtoIKE, spi, 54321, "x"))
	told := find[ike.PeerNotify](p.evB)
	require.Len(t, told, 3)
	require.Contains(t, told[0].Text, "REPLAY-STATUS")
	require.Contains(t, told[0].Text, "true")
	require.Contains(t, told[1].Text, "UNITY-GROUP-HASH")
	require.Equal(t, uint16(54321), told[2].Type)

	p.evB = nil
	p.inform(p.a, nil, n(spd.ProtoIKE, spi, isakmp.NotifyAttributesNotSupported, "no such thing"), n(spd.ProtoIKE, spi, isakmp.NotifyUnityLoadBalance, "\xc0\x00\x02\x63"))
	w := find[ike.Warning](p.evB)
	require.Len(t, w, 2)
	require.ErrorContains(t, w[0].Err, `ATTRIBUTES-NOT-SUPPORTED "no such thing"`)
	var lb *LoadBalanceError
	require.ErrorAs(t, w[1].Err, &lb)
	require.Equal(t, "192.0.2.99", lb.Gateway.String())
	require.ErrorContains(t, lb, "192.0.2.99")

	// INVALID-SPI: the peer has lost an SA, which is made anew.
	out := only(t, p.b).Children.All()[0].Info.Out
	p.evB = nil
	p.inform(p.a, nil, n(spd.ProtoESP, quickmode.AppendSPI(nil, out), isakmp.NotifyInvalidSPI, ""))
	p.advance(20 * time.Second)
	p.agree(1)
	require.NotEqual(t, out, only(t, p.b).Children.All()[0].Info.Out)

	// RESPONDER-LIFETIME of the ISAKMP SA, which racoon tells when it is up.
	life := only(t, p.a).current.negotiated.life
	p.inform(p.b, nil, n(spd.ProtoIKE, spi, isakmp.NotifyResponderLifetime, string(isakmp.AppendAttributes(nil, isakmp.AppendLifetime(nil, spd.ProtoIKE, isakmp.Lifetime{Seconds: 600})...))))
	require.Equal(t, uint32(600), only(t, p.a).current.negotiated.life.Seconds)
	require.Greater(t, life.Seconds, uint32(600))
	first := only(t, p.a).current
	p.advance(11 * time.Minute)
	require.NotSame(t, first, only(t, p.a).current)
	p.agree(1)
}

// INITIAL-CONTACT that comes in a message of its own, as racoon sends it.
func TestLateInitialContact(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	p.advance(time.Minute)
	require.NoError(t, p.a.Forget(p.now, only(t, p.a).ID, ike.DownLocal)) // it restarts
	p.run()
	p.filter = func(from *Endpoint, tx ike.Transmit) bool { return true }
	p.a.peers.index.All()[0].NoInitialContact = true
	p.initiate()
	s := only(t, p.b)
	require.Len(t, s.sas, 2, "joined")
	p.inform(p.a, nil, only(t, p.a).current.notify(isakmp.NotifyInitialContact, nil))
	require.Len(t, s.sas, 1)
	p.agree(1)
	p.delivers(inner)
	// Said later it changes nothing, not even what is older than the ISAKMP SA.
	p.rekey(p.a)
	require.NoError(t, p.a.RekeyIKE(p.now, only(t, p.a).ID))
	p.advance(time.Minute)
	told := len(find[ike.InitialContact](p.evB))
	p.inform(p.a, nil, only(t, p.a).current.notify(isakmp.NotifyInitialContact, nil))
	require.Len(t, find[ike.InitialContact](p.evB), told)
	p.agree(1)
	p.delivers(inner)
}

// clocked gives both data planes the virtual clock.
func clocked(t *testing.T, edit func(a, b *Peer)) *pair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	edit(a, b)
	var p *pair
	now := func() time.Time { return p.now }
	var pa, pb *spd.Memory
	p = newPair(t, a, b, func(a, b *Config) {
		pa, pb = spd.NewMemory(spd.MemoryConfig{Now: now}), spd.NewMemory(spd.MemoryConfig{Now: now})
		a.DataPlane, b.DataPlane = pa, pb
	})
	p.pa, p.pb = pa, pb
	return p
}

func TestDPD(t *testing.T) {
	only10 := func(a, b *Peer) { a.Timing.Liveness, b.Timing.Liveness = 10*time.Second, -1 }
	count := func(p *pair) *int {
		n := new(int)
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			if from == p.a {
				*n++
			}
			return true
		}
		return n
	}
	// Idle: asked once an interval, answered.
	p := clocked(t, only10)
	p.initiate()
	n := count(p)
	p.advance(65 * time.Second)
	require.Equal(t, 6, *n)
	require.False(t, only(t, p.a).current.dpd.waiting)
	p.agree(1)

	// Traffic is proof enough.
	p = clocked(t, only10)
	p.initiate()
	n = count(p)
	for range 30 {
		p.delivers(inner)
		p.advance(3 * time.Second)
	}
	require.Zero(t, *n)

	// On demand: only when something was sent.
	p = clocked(t, func(a, b *Peer) { only10(a, b); a.Timing.OnDemand = true })
	p.initiate()
	n = count(p)
	p.advance(time.Minute)
	require.Zero(t, *n)
	p.pa.Encapsulate(inner, 1)
	p.advance(11 * time.Second)
	require.Equal(t, 1, *n)
	p.advance(time.Minute)
	require.Equal(t, 1, *n)

	// The peer is gone.
	p = clocked(t, only10)
	p.initiate()
	p.filter = func(*Endpoint, ike.Transmit) bool { return false }
	p.advance(4 * time.Minute)
	require.Empty(t, p.a.sessions)
	down := find[ike.SessionDown](p.evA)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownDead, down[0].Reason)
	require.Empty(t, p.pa.SAs())

	// Its IKE is silent, its traffic is not.
	p = clocked(t, only10)
	p.initiate()
	p.filter = func(*Endpoint, ike.Transmit) bool { return false }
	p.advance(20 * time.Second)
	require.True(t, only(t, p.a).current.dpd.waiting)
	for range 60 {
		p.pb.Send(p.pa, inner.Reverse(), 1)
		p.advance(3 * time.Second)
	}
	require.Len(t, p.a.sessions, 1)

	// The ISAKMP SA is gone: a new one shows that the peer lives.
	p = clocked(t, only10)
	p.initiate()
	only(t, p.a).current.kill(p.now, errGone)
	p.advance(15 * time.Second)
	require.NotNil(t, only(t, p.a).current)
	p.agree(1)
	p.delivers(inner)

	// A peer without DPD is not asked.
	p = clocked(t, only10)
	p.initiate()
	only(t, p.a).current.peerVIDs = [1]isakmpSA{}[0].peerVIDs
	n = count(p)
	p.advance(time.Minute)
	require.Zero(t, *n)
	p.agree(1)
}

// C11: questions and answers of dead peer detection that are replayed, forged,
// or come in masses.
func TestC11_DPD(t *testing.T) {
	p := childPair(t, func(a, b *Peer) { a.Timing.Liveness, b.Timing.Liveness = -1, -1 })
	p.initiate()
	sa := only(t, p.a).current
	answers := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.b {
			answers++
		}
		return true
	}
	ask := func(seq uint32) []byte {
		p.now = p.now.Add(time.Second)
		return p.inform(p.a, nil, sa.notify(isakmp.NotifyRUThere, isakmp.AppendSequenceData(nil, seq)))
	}
	recorded := ask(100)
	require.Equal(t, 1, answers)
	ask(101)
	ask(101) // its answer may be lost
	require.Equal(t, 3, answers)
	ask(99)
	ask(1)
	require.Equal(t, 3, answers, "older ones")
	p.b.HandleDatagram(p.now, p.from(p.a), recorded)
	p.run()
	require.Equal(t, 3, answers, "a recorded message")

	// Of another SA, malformed, in clear.
	for _, n := range []*isakmp.Notify{
		{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: make([]byte, 16), Type: isakmp.NotifyRUThere, Data: []byte{0, 0, 1, 0}},
		{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: make([]byte, 8), Type: isakmp.NotifyRUThere, Data: []byte{0, 0, 1, 0}},
		{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyRUThere, Data: []byte{0, 0, 1}},
		{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyRUThere},
	} {
		p.inform(p.a, nil, n)
		require.Equal(t, 3, answers)
		b := isakmp.NewBuilder(nil, sa.header(isakmp.ExchangeInformational, 99))
		b.Add(n)
		clear, err := b.Finish()
		require.NoError(t, err)
		before := p.b.Stats().Unprotected
		p.b.HandleDatagram(p.now, p.from(p.a), clear)
		p.run()
		require.Equal(t, before+1, p.b.Stats().Unprotected)
	}

	// A storm is answered in part.
	for i := range uint32(100) {
		p.inform(p.a, nil, sa.notify(isakmp.NotifyRUThere, isakmp.AppendSequenceData(nil, 200+i)))
	}
	require.Equal(t, 3+maxDPDAnswers, answers)
	require.Less(t, len(only(t, p.b).current.exchanges), 3)
	p.now = p.now.Add(2 * time.Second)
	ask(1000)
	require.Equal(t, 4+maxDPDAnswers, answers)

	// Answers that nobody asked for, or to an older question.
	require.NoError(t, p.b.CheckLiveness(p.now, only(t, p.b).ID))
	d := &only(t, p.b).current.dpd
	require.True(t, d.waiting)
	for _, seq := range []uint32{d.sent - 1, d.sent + 1, 0} {
		p.inform(p.a, nil, sa.notify(isakmp.NotifyRUThereAck, isakmp.AppendSequenceData(nil, seq)))
	}
	require.Zero(t, d.sent>>31, "RFC 3706 7.2")
	p.run()
	require.False(t, d.waiting)
	p.agree(1)
}

// A peer behind a NAT that has forgotten its mapping is followed by an
// authentic message only, and by each only once.
func TestRebindingByAuthenticMessage(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	s := only(t, p.b)
	s.NATRemote = true
	sa := only(t, p.a).current
	old := s.Path
	moved := old
	moved.Remote = netip.MustParseAddrPort("198.51.100.9:4321")
	x := sa.prepare(isakmp.ExchangeInformational, 4711, true, nil)
	packets, _, err := sa.seal(p.now, sa.header(x.kind, x.id), x.iv, x.messageHash, []isakmp.Payload{sa.notify(isakmp.NotifyReplayStatus, []byte{0, 0, 0, 1})})
	require.NoError(t, err)
	forged := bytes.Clone(packets[0])
	forged[len(forged)-1] ^= 1
	p.b.HandleDatagram(p.now, moved, forged)
	require.Equal(t, old, s.Path)
	b := isakmp.NewBuilder(nil, sa.header(isakmp.ExchangeInformational, 99))
	b.Add(sa.notify(isakmp.NotifyReplayStatus, []byte{0, 0, 0, 1}))
	clear, err := b.Finish()
	require.NoError(t, err)
	p.b.HandleDatagram(p.now, moved, clear)
	require.Equal(t, old, s.Path)
	p.b.HandleDatagram(p.now, moved, packets[0])
	require.Equal(t, moved, s.Path)
	p.run()
	require.Len(t, find[ike.SessionMoved](p.evB), 1)
	require.Equal(t, moved.Remote.Addr(), p.pb.Bundles()[1].Bundle.Remote.Addr())
	p.b.HandleDatagram(p.now, old, packets[0]) // recorded, and sent from elsewhere
	require.Equal(t, moved, s.Path)
	// Nobody else is followed, and nobody who is not behind a NAT.
	s.NATRemote = false
	x = sa.prepare(isakmp.ExchangeInformational, 4712, true, nil)
	packets, _, err = sa.seal(p.now, sa.header(x.kind, x.id), x.iv, x.messageHash, []isakmp.Payload{sa.notify(isakmp.NotifyReplayStatus, []byte{0, 0, 0, 1})})
	require.NoError(t, err)
	p.b.HandleDatagram(p.now, old, packets[0])
	require.Equal(t, moved, s.Path)
}

// A31: a million crafted messages leave nothing behind.
func TestA31_MemoryUnderCraftedMessages(t *testing.T) {
	p := childPair(t, func(a, b *Peer) { a.Timing.Liveness, b.Timing.Liveness = -1, -1 })
	p.initiate()
	p.advance(2 * time.Minute)
	sa := only(t, p.b).current
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	rounds := 200_000
	if testing.Short() {
		rounds = 20_000
	}
	before := heap()
	body := bytes.Repeat([]byte{0x5a}, 256)
	for i := range rounds {
		for _, x := range []isakmp.ExchangeType{isakmp.ExchangeQuickMode, isakmp.ExchangeInformational, isakmp.ExchangeTransaction, isakmp.ExchangeAggressive, isakmp.ExchangeNewGroupMode} {
			h := sa.header(x, uint32(i))
			h.Flags = isakmp.Flags(i & 1)
			h.NextPayload = isakmp.PayloadHASH
			h.Length = uint32(isakmp.HeaderLen + len(body))
			b, _ := h.AppendBinary(make([]byte, 0, isakmp.HeaderLen+len(body)))
			binary.BigEndian.PutUint64(body[8:], uint64(i))
			p.b.HandleDatagram(p.now, p.from(p.a), append(b, body...))
		}
		h := sa.header(isakmp.ExchangeQuickMode, uint32(i))
		p.b.HandleDatagram(p.now, p.from(p.a), craftFragment(h, uint16(i), uint8(i%255+1), 0, body))
		if i%1000 == 0 {
			p.now = p.now.Add(time.Second)
			p.b.HandleTimeout(p.now)
		}
	}
	require.Less(t, len(sa.exchanges), 2)
	require.Less(t, len(sa.used.ids), 100)
	p.advance(2 * time.Minute)
	require.InDelta(t, before, heap(), 256<<10)
	p.agree(1)
}

// Authentic messages in masses are bounded too.
func TestExchangeLimits(t *testing.T) {
	p := childPair(t, func(a, b *Peer) { a.Timing.Liveness, b.Timing.Liveness = -1, -1 })
	p.initiate()
	for range 3000 {
		p.inform(p.a, nil, only(t, p.a).current.notify(isakmp.NotifyReplayStatus, []byte{0, 0, 0, 1}))
	}
	sa := only(t, p.b).current
	require.Len(t, sa.used.ids, maxUsedIDs)
	for range 300 {
		p.quick(&isakmp.Nonce{Data: make([]byte, 16)})
	}
	require.LessOrEqual(t, len(sa.exchanges), maxEnded)
	require.LessOrEqual(t, len(sa.ended), maxEnded)
	p.advance(2 * time.Minute)
	require.Empty(t, sa.exchanges)
	require.NoError(t, p.a.CreateChild(p.now, only(t, p.a).ID, "net", 0, nil))
	p.advance(time.Minute)
	p.agree(1)
}
