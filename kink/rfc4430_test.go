package kink

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A caller is a peer of b's that says what a test wants, and gets b's answers.
type caller struct {
	p      *pair
	ticket *krb.Ticket
	stamps krb.Stamper
	xid    uint32
}

func newCaller(p *pair) *caller {
	ticket, err := p.ka.ServiceTicket(p.t.Context(), p.now, p.kb.Principal(), krb.TicketOptions{})
	require.NoError(p.t, err)
	return &caller{p: p, ticket: ticket}
}

// command builds a message; change may spoil what is under the checksum.
func (c *caller) command(kind message.Type, change func(b []byte) []byte, content ...message.Payload) []byte {
	t := c.p.t
	b, err := c.p.a.request(message.Header{Type: kind, XID: c.xid}, c.ticket, c.stamps.Next(c.p.now), content)
	require.NoError(t, err)
	if change == nil {
		return b
	}
	n := len(b) - int(binary.BigEndian.Uint16(b[14:]))
	b = change(b[:n:n])
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[14], b[15] = 0, 0
	n = len(b)
	b, err = c.ticket.Key.AppendChecksum(b, b[:message.HeaderLen], b[message.HeaderLen:])
	require.NoError(t, err)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-n))
	return b
}

// ask gives b a message and returns its answer, opened; nil if there is none.
func (c *caller) ask(b []byte) message.Payloads {
	p := c.p
	c.xid++
	var answer message.Payloads
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.b {
			m, err := message.Parse(tx.Packet)
			require.NoError(p.t, err)
			answer = m.Payloads
			if len(m.Checksum) > 0 {
				require.NoError(p.t, m.Verify(c.ticket.Key))
				answer, err = m.Open(c.ticket.Key)
				require.NoError(p.t, err)
			}
		}
		return false
	}
	p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: addrA}, b)
	p.run()
	return answer
}

// wants is the KINK_ISAKMP payload for an SA between the two networks.
func (c *caller) wants(spi uint32, more ...isakmp.Payload) *message.ISAKMP {
	policy := quickmode.Policy{Proposals: c.p.b.peers.Peer("a").Children[0].Proposals, Life: quickmode.LifetimeOf(time.Hour, 0)}
	sa, err := policy.Offer(0, quickmode.SPIs{spd.ProtoESP: spd.SPI(spi)})
	require.NoError(c.p.t, err)
	ci, _ := isakmp.NewSelectorID(netA)
	cr, _ := isakmp.NewSelectorID(netB)
	q, err := message.NewISAKMP(append([]isakmp.Payload{sa, &isakmp.Nonce{Data: make([]byte, 16)}, &ci, &cr}, more...)...)
	require.NoError(c.p.t, err)
	return q
}

func accepted(t *testing.T, ps message.Payloads) {
	t.Helper()
	require.NotNil(t, ps.ISAKMP())
	qs, err := ps.ISAKMP().Payloads()
	require.NoError(t, err)
	require.NotNil(t, qs.SA(), "%v", ps)
}

// What a receiver has to ignore: reserved bits and octets, padding of any content,
// octets behind the message (RFC 4430 4, 4.1).
func TestIgnored(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"minor version":       func(b []byte) []byte { b[1] |= 0x0f; return b },
		"reserved flags":      func(b []byte) []byte { b[13] |= 0x7f; return b },
		"reserved of payload": func(b []byte) []byte { b[message.HeaderLen+1] = 0xff; return b },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(plainPair(t))
			accepted(t, c.ask(c.command(message.Create, change, c.wants(0x1001))))
		})
	}
	t.Run("octets behind", func(t *testing.T) {
		c := newCaller(plainPair(t))
		accepted(t, c.ask(append(c.command(message.Create, nil, c.wants(0x1001)), "behind"...)))
	})
	t.Run("status notify", func(t *testing.T) { // 5.5: unknown types
		c := newCaller(plainPair(t))
		accepted(t, c.ask(c.command(message.Create, nil, c.wants(0x1001,
			&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: 40000}, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: 9000}))))
	})
}

// KINK_ENCRYPT is optional (RFC 4430 6): the payloads may be under the checksum alone.
func TestCreateInClear(t *testing.T) {
	c := newCaller(plainPair(t))
	ap, err := c.ticket.APReq(nil, c.stamps.Next(c.p.now), c.p.a.Rand())
	require.NoError(t, err)
	b := message.NewBuilder(nil, message.Header{Type: message.Create, XID: 5})
	b.Add(&message.APReq{Epoch: 1, Data: ap})
	b.Add(c.wants(0x1001))
	wire, err := b.Sign(c.ticket.Key)
	require.NoError(t, err)
	accepted(t, c.ask(wire))
}

// One DELETE for several SAs: each is named in the answer, by its other SPI or by
// INVALID-SPI (RFC 4430 3.3); the same SPI twice is not there the second time.
func TestDeleteSeveral(t *testing.T) {
	a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
	p := newPair(t, a, b, nil)
	c := newCaller(p)
	var own []spd.SPI
	for i := range uint32(2) {
		ps := c.ask(c.command(message.Create, nil, c.wants(0x2001+i)))
		accepted(t, ps)
		qs, err := ps.ISAKMP().Payloads()
		require.NoError(t, err)
		own = append(own, spd.SPI(binary.BigEndian.Uint32(qs.SA().Proposals[0].SPI)))
	}
	var spis []byte
	for _, spi := range []spd.SPI{0x2001, 0x7777, 0x2002} {
		spis = quickmode.AppendSPI(spis, spi)
	}
	q, err := message.NewISAKMP(&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPISize: 4, SPIs: spis})
	require.NoError(t, err)
	ps := c.ask(c.command(message.Delete, nil, q))
	qs, err := ps.ISAKMP().Payloads()
	require.NoError(t, err)
	var gone []spd.SPI
	for d := range qs.Deletes() {
		for spi := range d.IPsecSPIs() {
			gone = append(gone, spi)
		}
	}
	require.ElementsMatch(t, own, gone)
	require.True(t, qs.HasNotify(isakmp.NotifyInvalidSPI))
	p.advance(time.Minute)
	require.Empty(t, p.pb.SAs())
}

// All encryption types that there are, in both roles, with either pseudorandom
// function. DES3 has to be asked for, and pads what it encrypts.
func TestEncryptionTypes(t *testing.T) {
	for _, etype := range []krb.EType{krb.DES3SHA1, krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384} {
		for _, racoon2 := range []bool{false, true} {
			t.Run(fmt.Sprint(etype, racoon2), func(t *testing.T) {
				a, b := peerOf("b", nameB, netA, netB, "3des-sha1-noesn"), peerOf("a", nameA, netB, netA, "3des-sha1-noesn")
				a.Racoon2, b.Racoon2 = racoon2, racoon2
				for _, allowed := range []bool{true, false} {
					p := newPair(t, a, b, func(ca, cb *Config) {
						r := krbtest.NewRealm(realm, ca.Rand, etype)
						ca.Kerberos, cb.Kerberos = r.Host(nameA), r.Host(nameB)
						if allowed {
							ca.ETypes, cb.ETypes = []krb.EType{etype}, []krb.EType{etype}
						}
					})
					id := p.initiate()
					if !allowed && etype == krb.DES3SHA1 {
						require.Empty(t, find[ike.ChildUp](p.evA), "off by default")
						require.ErrorIs(t, find[ike.SessionFailed](p.evB)[0].Err, krb.KDCErrETypeNoSupp)
						continue
					}
					p.same(1)
					require.NoError(t, p.a.RekeyChild(p.now, id, find[ike.ChildUp](p.evA)[0].Child.ID))
					p.run()
					p.advance(10 * time.Second)
					p.same(1)
				}
			})
		}
	}
}
