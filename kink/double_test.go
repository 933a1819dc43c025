package kink

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A double stands in for the responder b of a pair: it reads a's commands with b's
// keytab and says what the test wants.
type double struct {
	t        testing.TB
	p        *pair
	acceptor krb.Acceptor
	epoch    message.Epoch
	commands []*command
	answer   func(c *command)
}

// A command is one of a's that the double has read.
type command struct {
	d      *double
	octets []byte
	m      *message.Message
	raw    *krb.APReq
	from   *krb.Accepted
	ps     message.Payloads
}

// newDouble takes b's place; answer is called with each command.
func newDouble(p *pair, answer func(c *command)) *double {
	d := &double{t: p.t, p: p, acceptor: krb.Acceptor{Keys: p.kb}, epoch: 77, answer: answer}
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a {
			d.take(tx.Packet)
		}
		return false
	}
	return d
}

func (d *double) take(b []byte) {
	m, err := message.Parse(b)
	require.NoError(d.t, err)
	if m.APReq() == nil {
		d.commands = append(d.commands, &command{d: d, octets: b, m: m})
		d.answer(d.commands[len(d.commands)-1])
		return
	}
	req, err := krb.ParseAPReq(m.APReq().Data)
	require.NoError(d.t, err)
	from, err := d.acceptor.Accept(d.p.now, addrA.Addr(), req)
	require.NotNil(d.t, from, "%v", err)
	require.NoError(d.t, m.Verify(from.Key))
	ps, err := m.Open(from.Key)
	require.NoError(d.t, err)
	c := &command{d, b, m, req, from, ps}
	d.commands = append(d.commands, c)
	d.answer(c)
}

// reply answers as kinkd does: to port 910, with an AP-REP, and the rest encrypted.
func (c *command) reply(ackReq bool, content ...message.Payload) {
	c.send(c.sealed(ackReq, content...))
}

func (c *command) sealed(ackReq bool, content ...message.Payload) []byte {
	rep, err := krb.AppendAPRep(nil, c.from.Key, c.from.Stamp, rand.Reader)
	require.NoError(c.d.t, err)
	b, err := c.d.p.a.sealed(message.Header{Type: message.Reply, XID: c.m.Header.XID, AckReq: ackReq}, &message.APRep{Epoch: c.d.epoch, Data: rep}, c.from.Key, content)
	require.NoError(c.d.t, err)
	return b
}

// plain answers without protection.
func (c *command) plain(content ...message.Payload) {
	b, err := plain(message.Header{Type: message.Reply, XID: c.m.Header.XID}, content...)
	require.NoError(c.d.t, err)
	c.send(b)
}

func (c *command) send(b []byte) { c.d.p.a.HandleDatagram(c.d.p.now, pathAB(), b) }

// sa is the answer that takes the proposal offered first, with changes. Without ID
// payloads, as kinkd has it.
func (c *command) sa(change func(p *isakmp.Proposal), more ...isakmp.Payload) *message.ISAKMP {
	ps, err := c.ps.ISAKMP().Payloads()
	require.NoError(c.d.t, err)
	p := ps.SA().Proposals[0]
	p.SPI = []byte{0x0b, 0xad, 0xca, byte(len(c.d.commands))}
	p.Transforms = p.Transforms[:1]
	if change != nil {
		change(&p)
	}
	q, err := message.NewISAKMP(append([]isakmp.Payload{&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{p}}}, more...)...)
	require.NoError(c.d.t, err)
	return q
}

func krbError(code krb.Code, now time.Time, from *krb.Accepted) *message.KRBError {
	k := &krb.KRBError{Code: code, ServerTime: krb.StampOf(now), Server: krb.Principal{Name: nameB, Realm: realm}}
	if from != nil {
		k.ClientTime, k.Client = from.Stamp, from.Client
	}
	der, err := k.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return &message.KRBError{Data: der}
}

// types are those of the commands that have come.
func (d *double) types() (all []message.Type) {
	for _, c := range d.commands {
		all = append(all, c.m.Header.Type)
	}
	return all
}

// An answer like kinkd's: the first proposal, no ID payloads, no nonce.
func TestDoubleLikeKinkd(t *testing.T) {
	p := plainPair(t)
	newDouble(p, func(c *command) {
		c.reply(false, c.sa(nil))
	})
	p.initiate()
	up := find[ike.ChildUp](p.evA)
	require.Len(t, up, 1)
	require.EqualValues(t, 0x0badca01, up[0].Child.Out)
	require.Len(t, p.pa.SAs(), 2)
}

// Attributes must be those of the optimistic proposal; a lifetime may be shorter,
// not longer (RFC 4430 3.2).
func TestAnswerLifetime(t *testing.T) {
	for name, c := range map[string]struct {
		seconds uint32
		ok      bool
	}{"shorter": {600, true}, "longer": {1 << 20, false}} {
		t.Run(name, func(t *testing.T) {
			p := plainPair(t)
			d := newDouble(p, func(q *command) {
				if q.m.Header.Type != message.Create {
					q.reply(false)
					return
				}
				q.reply(false, q.sa(func(prop *isakmp.Proposal) {
					tr := &prop.Transforms[0]
					for i := range tr.Attributes {
						if tr.Attributes[i].Type == uint16(isakmp.Phase2LifeDuration) {
							tr.Attributes[i] = isakmp.Variable(isakmp.Phase2LifeDuration, []byte{byte(c.seconds >> 24), byte(c.seconds >> 16), byte(c.seconds >> 8), byte(c.seconds)})
						}
					}
				}))
			})
			p.initiate()
			if !c.ok {
				require.Empty(t, find[ike.ChildUp](p.evA))
				failed := find[ike.SessionFailed](p.evA)
				require.Len(t, failed, 1)
				require.ErrorContains(t, failed[0].Err, "longer lifetime")
				require.Contains(t, d.types(), message.Delete, "the peer is told")
				require.Empty(t, p.pa.SAs())
				return
			}
			require.Len(t, find[ike.ChildUp](p.evA), 1)
			s := only(t, p.a)
			require.Equal(t, 10*time.Minute, s.Children.All()[0].Config.Lifetime)
		})
	}
}

// An answer may only choose: it can neither leave the KE payload out nor add one,
// nor be for other traffic.
func TestAnswerOfAnother(t *testing.T) {
	id := func(s spd.TrafficSelector) isakmp.Payload {
		id, ok := isakmp.NewSelectorID(s)
		require.True(t, ok)
		return &id
	}
	nonce := &isakmp.Nonce{Data: make([]byte, 32)}
	for name, c := range map[string]struct {
		proposal string
		more     []isakmp.Payload
		want     string
	}{
		"no KE":      {"aes128-sha1-noesn-ecp256", []isakmp.Payload{nonce}, "KE payload: false"},
		"KE":         {"aes128-sha1-noesn", []isakmp.Payload{nonce, &isakmp.KE{Data: make([]byte, 64)}}, "KE payload: true"},
		"our side":   {"aes128-sha1-noesn", []isakmp.Payload{id(netB), id(netB)}, "peer answered for"},
		"their side": {"aes128-sha1-noesn", []isakmp.Payload{id(netA), id(netA)}, "peer answered for"},
	} {
		t.Run(name, func(t *testing.T) {
			p := plainPair(t, c.proposal)
			d := newDouble(p, func(r *command) {
				switch r.m.Header.Type {
				case message.Create:
					r.reply(c.proposal == "aes128-sha1-noesn-ecp256", r.sa(nil, c.more...))
				case message.Delete:
					r.reply(false)
				}
			})
			p.initiate()
			p.advance(time.Minute)
			failed := find[ike.SessionFailed](p.evA)
			require.Len(t, failed, 1)
			require.ErrorContains(t, failed[0].Err, c.want)
			require.Contains(t, d.types(), message.Delete, "the peer has it")
			require.Empty(t, p.pa.SAs())
			require.Empty(t, p.pa.Larval())
		})
	}
}

// A KE that is refused is left out in another transaction, if the configuration
// can do without.
func TestKERefused(t *testing.T) {
	for proposal, again := range map[string]bool{"aes128gcm16-ecp256-noesn": false, "aes128gcm16-ecp256-none-noesn": true} {
		p := plainPair(t, proposal)
		var xids []uint32
		newDouble(p, func(c *command) {
			ps, err := c.ps.ISAKMP().Payloads()
			require.NoError(t, err)
			xids = append(xids, c.m.Header.XID)
			if ps.KE() != nil {
				c.reply(false, notify(spd.ProtoESP, nil, isakmp.NotifyInvalidPayloadType, string([]byte{byte(isakmp.PayloadKE)})))
				return
			}
			c.reply(false, c.sa(nil))
		})
		p.initiate()
		if again {
			require.Len(t, xids, 2, "%v", p.evA)
			require.NotEqual(t, xids[0], xids[1])
			require.Len(t, find[ike.ChildUp](p.evA), 1)
		} else {
			require.Len(t, xids, 1)
			require.ErrorContains(t, find[ike.SessionFailed](p.evA)[0].Err, "INVALID-PAYLOAD-TYPE")
		}
		require.Empty(t, p.pa.Larval())
	}
}

// A protected KRB_AP_ERR_SKEW is believed once: the authenticators have the peer's
// time from then on. Unprotected it is not.
func TestSkewError(t *testing.T) {
	const ahead = 20 * time.Minute
	for name, protected := range map[string]bool{"protected": true, "not protected": false} {
		t.Run(name, func(t *testing.T) {
			p := plainPair(t)
			d := newDouble(p, func(c *command) {
				far := c.from.Stamp.Time().Sub(p.now.Add(ahead)).Abs() > time.Second
				switch {
				case far && protected:
					c.reply(false, krbError(krb.APErrSkew, p.now.Add(ahead), c.from))
				case far:
					c.plain(krbError(krb.APErrSkew, p.now.Add(ahead), c.from))
				default:
					c.reply(false, c.sa(nil))
				}
			})
			d.acceptor.Skew = time.Hour
			p.initiate()
			if protected {
				require.Len(t, d.commands, 2)
				require.NotEqual(t, d.commands[0].m.Header.XID, d.commands[1].m.Header.XID)
				require.Len(t, find[ike.ChildUp](p.evA), 1)
				return
			}
			require.Len(t, d.commands, 1)
			require.Zero(t, only(t, p.a).offset)
			p.advance(5 * time.Minute)
			failed := find[ike.SessionFailed](p.evA)
			require.Len(t, failed, 1)
			require.ErrorContains(t, failed[0].Err, "somebody there says, unprotected")
		})
	}
}

// A peer that goes on about the clock is not followed for ever.
func TestSkewErrorOnce(t *testing.T) {
	p := plainPair(t)
	d := newDouble(p, func(c *command) { c.reply(false, krbError(krb.APErrSkew, p.now.Add(time.Hour), c.from)) })
	d.acceptor.Skew = 100 * time.Hour
	p.initiate()
	require.Len(t, d.commands, 2)
	require.ErrorIs(t, find[ike.SessionFailed](p.evA)[0].Err, krb.APErrSkew)
}

// For an expired ticket, or another key version, another ticket is fetched and the
// command begun anew, once. What is not protected may have that done too, and ends
// nothing.
func TestTicketErrors(t *testing.T) {
	for _, protected := range []bool{true, false} {
		for _, code := range []krb.Code{krb.APErrTktExpired, krb.APErrBadKeyVer, krb.APErrBadIntegrity} {
			p := plainPair(t)
			var keys []string
			d := newDouble(p, func(c *command) {
				keys = append(keys, c.m.String())
				switch {
				case len(keys) > 1:
					c.reply(false, c.sa(nil))
				case protected:
					c.reply(false, krbError(code, p.now, c.from))
				default:
					c.plain(krbError(code, p.now, nil))
				}
			})
			p.initiate()
			require.Len(t, d.commands, 2, "%v %v", code, protected)
			require.NotEqual(t, d.commands[0].m.Header.XID, d.commands[1].m.Header.XID)
			require.NotEqual(t, d.commands[0].from.Key, d.commands[1].from.Key)
			require.Len(t, find[ike.ChildUp](p.evA), 1)
			require.Empty(t, p.pa.Larval())
			require.Len(t, p.pa.SAs(), 2)
		}
	}
}

// Forged answers of every kind end nothing, and cost few requests to the KDC.
func TestForgedErrors(t *testing.T) {
	p := plainPair(t)
	asked := p.realm.Requests()
	n := 0
	newDouble(p, func(c *command) {
		if n++; n < 5 {
			for range 20 {
				c.plain(krbError(krb.APErrBadIntegrity, p.now, nil))
				c.plain(krbError(krb.APErrTktExpired, p.now, nil))
				c.plain(&message.Error{Code: message.IntErr})
				c.plain(krbError(krb.ErrGeneric, p.now, nil))
				c.plain(&message.TGTRep{TGT: []byte("forged")})
			}
			return
		}
		c.reply(false, c.sa(nil))
	})
	p.initiate()
	p.advance(30 * time.Second)
	require.Len(t, find[ike.ChildUp](p.evA), 1)
	require.LessOrEqual(t, p.realm.Requests()-asked, 1+maxAsked)
}

// Each retransmission has the same XID and ticket and a new authenticator; an
// answer to any of them is taken, and one to none of them is not (RFC 4430 9).
func TestRetransmission(t *testing.T) {
	p := plainPair(t)
	var late []byte
	d := newDouble(p, func(c *command) {
		if len(c.d.commands) == 1 {
			late = c.sealed(false, c.sa(nil))
		}
	})
	p.initiate()
	p.advance(4 * time.Second)
	require.GreaterOrEqual(t, len(d.commands), 3)
	stamps := map[krb.Stamp]bool{}
	for _, c := range d.commands {
		require.Equal(t, d.commands[0].m.Header.XID, c.m.Header.XID)
		require.Equal(t, d.commands[0].from.EndTime, c.from.EndTime)
		require.Equal(t, d.commands[0].raw.Ticket, c.raw.Ticket)
		stamps[c.from.Stamp] = true
	}
	require.Len(t, stamps, len(d.commands))
	wrong := *d.commands[0]
	other := *wrong.from
	other.Stamp++
	wrong.from = &other
	bad := p.a.Count.BadIntegrity
	wrong.reply(false, wrong.sa(nil))
	require.Equal(t, bad+1, p.a.Count.BadIntegrity)
	require.Empty(t, find[ike.ChildUp](p.evA))
	d.commands[0].send(late)
	p.run()
	require.Len(t, find[ike.ChildUp](p.evA), 1)
}
