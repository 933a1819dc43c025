package kink

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// Several Child SAs in one CREATE, in transport mode.
func TestCreateSeveral(t *testing.T) {
	hosts := func(s ...string) (all []spd.TrafficSelector) {
		for _, x := range s {
			all = append(all, spd.MustParseTrafficSelector(x))
		}
		return all
	}
	a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
	a.Children[0].Local, a.Children[0].Remote = hosts("10.1.0.0/16", "10.3.0.0/16"), hosts("10.2.0.0/16", "10.4.0.0/16")
	b.Children[0].Local, b.Children[0].Remote = a.Children[0].Remote, a.Children[0].Local
	p := newPair(t, a, b, nil)
	creates := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if h, _ := message.ParseHeader(tx.Packet); h.Type == message.Create {
			creates++
		}
		return true
	}
	p.initiate()
	p.same(4)
	require.Equal(t, 1, creates)
	require.Len(t, find[ike.ChildUp](p.evB), 4)

	a, b = peerOf("b", nameB, spd.MustParseTrafficSelector("192.0.2.1/32"), spd.MustParseTrafficSelector("192.0.2.2/32")), peerOf("a", nameA, spd.MustParseTrafficSelector("192.0.2.2/32"), spd.MustParseTrafficSelector("192.0.2.1/32"))
	a.Children[0].Mode, b.Children[0].Mode = spd.ModeTransport, spd.ModeTransport
	p = newPair(t, a, b, nil)
	p.initiate()
	p.same(1)
	require.Equal(t, spd.ModeTransport, find[ike.ChildUp](p.evB)[0].Child.Mode)
}

// The responder remembers by principal, epoch and XID what it has answered: a
// command that comes again, with another authenticator, gets the same content under
// a new AP-REP, and is not served again.
func TestResponderIsIdempotent(t *testing.T) {
	p := plainPair(t)
	var replies [][]byte
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.b {
			replies = append(replies, slices.Clone(tx.Packet))
			return len(replies) > 2
		}
		return true
	}
	p.initiate()
	p.advance(10 * time.Second)
	require.Len(t, replies, 3)
	p.same(1)
	require.Len(t, find[ike.ChildUp](p.evB), 1)
	require.Equal(t, 2, int(p.b.Count.Repeated))
	require.NotEqual(t, replies[0], replies[1])
}

// A command that comes again while it is worked on is answered once, for its
// latest authenticator.
func TestRepeatedMeanwhile(t *testing.T) {
	p := plainPair(t)
	c := newCaller(p)
	first := c.command(message.Create, nil, c.wants(0x1001))
	p.now = p.now.Add(time.Second)
	second := c.command(message.Create, nil, c.wants(0x1001))
	var held []ike.Job
	p.hold = func(_ *Endpoint, j ike.Job) bool { held = append(held, j); return true }
	require.Nil(t, c.ask(first))
	p.hold = nil
	require.Nil(t, c.ask(second))
	require.Len(t, held, 1)
	var stamps []krb.Stamp
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		m, err := message.Parse(tx.Packet)
		require.NoError(t, err)
		s, err := krb.OpenAPRep(m.APRep().Data, c.ticket.Key)
		require.NoError(t, err)
		stamps = append(stamps, s)
		return false
	}
	p.b.HandleResult(p.now, held[0].Do(t.Context()))
	p.run()
	m, err := message.Parse(second)
	require.NoError(t, err)
	ap, err := krb.ParseAPReq(m.APReq().Data)
	require.NoError(t, err)
	from, err := (&krb.Acceptor{Keys: p.kb}).Accept(p.now, addrA.Addr(), ap)
	require.NoError(t, err)
	require.Equal(t, []krb.Stamp{from.Stamp}, stamps)
}

// A CREATE that was sent twice and of which one was held back makes no SAs when the
// answer to the other is forgotten; another transaction does.
func TestCreateHeldBack(t *testing.T) {
	p := plainPair(t)
	c := newCaller(p)
	held := c.command(message.Create, nil, c.wants(0x1001))
	p.now = p.now.Add(time.Second)
	accepted(t, c.ask(c.command(message.Create, nil, c.wants(0x1001))))
	d, err := message.NewISAKMP(&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPISize: 4, SPIs: []byte{0, 0, 0x10, 1}})
	require.NoError(t, err)
	require.NotNil(t, c.ask(c.command(message.Delete, nil, d)))
	p.advance(2 * time.Minute)
	require.Empty(t, p.b.served)
	require.Nil(t, c.ask(held))
	require.Empty(t, p.b.sessions)
	require.Empty(t, p.pb.SAs())
	accepted(t, c.ask(c.command(message.Create, nil, c.wants(0x1001))))

	p.b.past.add(p.now.Add(time.Hour), servedKey{}, time.Minute)
	require.Len(t, p.b.past.until, 1, "not for ever")
}

// An SPI that is in use already is refused with INVALID-SPI (RFC 4430 3.2).
func TestExistingSPI(t *testing.T) {
	p := plainPair(t)
	id := p.initiate()
	s := p.a.sessions[id]
	first := s.Children.All()[0].Info.In
	c := &creation{s: s, cfg: s.peer.Children[0], initiator: true, local: netA, remote: netB}
	c.policy = s.policyOf(c.cfg)
	c.own[spd.ProtoESP] = first
	c.ni = make([]byte, 32)
	offer, err := c.policy.Offer(0, c.own)
	require.NoError(t, err)
	content, err := c.payload(offer, c.ni)
	require.NoError(t, err)
	var answer message.Payloads
	s.command(p.now, message.Create, []message.Payload{content}, func(_ time.Time, ps message.Payloads, err error) {
		require.NoError(t, err)
		answer = ps
	})
	p.run()
	ps, err := answer.ISAKMP().Payloads()
	require.NoError(t, err)
	require.Equal(t, isakmp.NotifyInvalidSPI, ps.ErrorNotify().Type)
	require.Len(t, find[ike.ChildFailed](p.evB), 1)
	p.same(1)
}

// DELETE of what is not there is answered with INVALID-SPI, and is good as any
// answer.
func TestDeleteUnknown(t *testing.T) {
	p := plainPair(t)
	id := p.initiate()
	for s := range p.b.Sessions() {
		require.NoError(t, p.b.Forget(p.now, s.ID, ike.DownLocal))
	}
	p.run()
	invalid := false
	p.b.cfg.Trace = func(r ike.TraceRecord) {
		m, err := message.Parse(r.Message)
		require.NoError(t, err)
		if q := m.Payloads.ISAKMP(); q != nil && r.Outbound {
			ps, err := q.Payloads()
			require.NoError(t, err)
			invalid = ps.HasNotify(isakmp.NotifyInvalidSPI)
		}
	}
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(10 * time.Second)
	require.True(t, invalid)
	p.same(0)
	require.Empty(t, p.a.sessions)
}

// A side that has given an association up, without telling, has another epoch for
// that peer, and so the peer gives it up too.
func TestEpochAfterLoss(t *testing.T) {
	p := plainPair(t)
	id := p.initiate()
	old := p.a.cfg.Epochs.of(krb.Principal{Name: nameB, Realm: realm})
	require.NoError(t, p.a.Forget(p.now, id, ike.DownLocal))
	require.NotEqual(t, old, p.a.cfg.Epochs.of(krb.Principal{Name: nameB, Realm: realm}))
	require.Equal(t, old, p.a.cfg.Epochs.of(krb.Principal{Name: "kink/c.example.com", Realm: realm}), "nobody else is told")
	p.advance(2 * time.Minute)
	down := find[ike.SessionDown](p.evB)
	require.Len(t, down, 1)
	require.ErrorIs(t, down[0].Err, ErrPeerRestarted)
	p.same(0)
}

// A peer that is silent is dead after a cycle of retransmission.
func TestSilence(t *testing.T) {
	p := plainPair(t)
	p.initiate()
	p.filter = func(from *Endpoint, tx ike.Transmit) bool { return false }
	p.advance(5 * time.Minute)
	down := find[ike.SessionDown](p.evA)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownDead, down[0].Reason)
	timeout, ok := errors.AsType[*TimeoutError](down[0].Err)
	require.True(t, ok)
	require.Equal(t, message.Status, timeout.Command)
}

// User-to-user: neither side has a keytab. A responder that has another TGT
// meanwhile sends that, and the command is begun anew (RFC 4430 3.7.1).
func TestUserToUser(t *testing.T) {
	a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
	a.UserToUser, b.UserToUser = UserToUserRequest, UserToUserAccept
	p := newPair(t, a, b, nil)
	p.ka.SetKeytab(nil)
	p.kb.SetKeytab(nil)
	p.realm.RequireUserToUser(nameB)
	p.initiate()
	p.same(1)
	p.kb.Forget()
	p.b.acceptor.TGTs = nil
	child := only(t, p.a).Children.All()[0].Info.ID
	require.NoError(t, p.a.RekeyChild(p.now, only(t, p.a).ID, child))
	p.advance(20 * time.Second)
	require.Len(t, find[ike.ChildRekeyed](p.evA), 1)
	p.same(1)
}

// That a peer wants user-to-user authentication, the KDC may say, or the peer.
func TestUserToUserWanted(t *testing.T) {
	for name, change := range map[string]func(p *pair){
		"KDC":  func(p *pair) { p.realm.RequireUserToUser(nameB) },
		"peer": func(p *pair) {},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
			a.UserToUser, b.UserToUser = UserToUserAccept, UserToUserAccept
			p := newPair(t, a, b, func(_, cb *Config) { cb.Kerberos = noKeytab{cb.Kerberos.(*krbtest.Host)} })
			change(p)
			p.initiate()
			p.same(1)
		})
	}
}

type noKeytab struct{ *krbtest.Host }

func (noKeytab) ServiceKeys(krb.Principal, krb.EType, uint32) ([]*krb.Key, error) {
	return nil, krb.APErrNoKey
}

// Who asks for our ticket-granting ticket gets it only where that is configured,
// and only so often.
func TestGETTGTRefused(t *testing.T) {
	p := plainPair(t)
	ask, err := plain(message.Header{Type: message.GetTGT, XID: 5}, &message.TGTReq{Principal: []byte(nameB + "@" + realm)})
	require.NoError(t, err)
	p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: addrA}, ask)
	tx, ok := p.b.PollTransmit()
	require.True(t, ok)
	m, err := message.Parse(tx.Packet)
	require.NoError(t, err)
	require.Equal(t, message.U2UDenied, m.Error().Code)

	b := peerOf("a", nameA, netB, netA)
	b.UserToUser = UserToUserAccept
	p = newPair(t, peerOf("b", nameB, netA, netB), b, nil)
	given := 0
	for range 100 {
		p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: addrA}, ask)
		for j, ok := p.b.PollJob(); ok; j, ok = p.b.PollJob() {
			p.b.HandleResult(p.now, j.Do(t.Context()))
		}
		for _, ok := p.b.PollTransmit(); ok; _, ok = p.b.PollTransmit() {
			given++
		}
	}
	require.Equal(t, tgtBurst, given)
}

// A peer of another realm, through the trust between them; and one of a group of
// principals.
func TestCrossRealmAndWildcard(t *testing.T) {
	for _, principal := range []string{nameA + "@" + realm, "kink/*@" + realm} {
		other := krbtest.NewRealm("OTHER.ORG", rand.Reader, krb.AES256SHA384)
		hostB := other.Host(nameB)
		a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
		a.Principal, b.Principal = nameB+"@OTHER.ORG", principal
		p := newPair(t, a, b, func(_, cb *Config) { cb.Kerberos = hostB })
		p.realm.Trust(other)
		p.initiate()
		p.same(1)
		require.Equal(t, "krb5:"+nameA+"@"+realm, find[ike.SessionUp](p.evB)[0].Info.RemoteID.String())
	}
	wild := peerOf("a", nameA, netB, netA)
	wild.Principal = "kink/*@" + realm
	require.True(t, wild.matches(krb.Principal{Name: "kink/x.example.com", Realm: realm}))
	require.False(t, wild.matches(krb.Principal{Name: "kink/x/admin", Realm: realm}))
	require.False(t, wild.matches(krb.Principal{Name: "kink/x", Realm: "EVIL.ORG"}))
	require.False(t, wild.matches(krb.Principal{Name: "host/x", Realm: realm}))
}

// The program decides about the authenticated principal, on both sides, and about
// selectors.
func TestCallbacks(t *testing.T) {
	refused := errors.New("not today")
	for name, change := range map[string]func(ca, cb *Config){
		"responder": func(_, cb *Config) {
			cb.Authorize = func(_ context.Context, r ike.AuthorizeRequest) error {
				require.False(t, r.Initiator)
				require.Contains(t, r.Why, "principal matches "+nameA)
				require.Equal(t, "krb5:"+nameA+"@"+realm, r.RemoteID.String())
				return refused
			}
		},
		"initiator": func(ca, _ *Config) {
			ca.Authorize = func(_ context.Context, r ike.AuthorizeRequest) error {
				require.True(t, r.Initiator)
				require.Equal(t, "called by this side", r.Why)
				require.Equal(t, "krb5:"+nameB+"@"+realm, r.RemoteID.String())
				return refused
			}
		},
		"selectors": func(_, cb *Config) {
			cb.Narrow = func(context.Context, ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
				return nil, nil, refused
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA), change)
			p.initiate()
			p.advance(5 * time.Minute)
			require.Empty(t, find[ike.ChildUp](p.evA))
			p.same(0)
			require.Empty(t, p.a.sessions)
			require.Empty(t, p.b.sessions)
		})
	}
}

// A NAT is explained, on both sides.
func TestNATExplained(t *testing.T) {
	a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
	b.Port = 911
	p := newPair(t, a, b, nil)
	p.initiate()
	require.ErrorContains(t, find[ike.SessionFailed](p.evA)[0].Err, "there is a NAT on the path")
	require.ErrorIs(t, find[ike.SessionFailed](p.evB)[0].Err, ErrNAT)
}

// What the end of a ticket means for a Child SA is configured.
func TestTicketPolicy(t *testing.T) {
	for policy, want := range map[TicketPolicy]time.Duration{TicketBounds: 20 * time.Minute, TicketIgnored: 66 * time.Minute} {
		a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
		a.Tickets, b.Tickets = policy, policy
		p := newPair(t, a, b, nil)
		p.realm.SetLifetime(20 * time.Minute)
		p.initiate()
		require.InDelta(t, want.Seconds(), only(t, p.a).Children.All()[0].Config.Lifetime.Seconds(), 2)
		p.advance(3 * time.Hour)
		p.same(1)
		require.Empty(t, find[ike.ChildDown](p.evA))
	}
}

// The service's key changes: the responder reads its keytab again, or the
// initiator gets another ticket.
func TestKeyVersion(t *testing.T) {
	p := plainPair(t)
	p.realm.Rekey(nameB)
	p.initiate()
	p.same(1)
}
