package ikev1

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/testpki"
)

// crafted is a roadwarrior whose client the test plays: phase 1 is through, the
// gateway has asked for name and password, and no answer has come. The
// authenticator accepts anybody, and tells whom.
type crafted struct {
	*pair
	client, gateway *isakmpSA
	asked           []ike.UserRequest
	leases          *leases
	request         *exchange // of the gateway
}

func craft(t *testing.T) *crafted {
	c := &crafted{leases: &leases{t: t, give: prefixes("10.9.0.7/32")}}
	c.pair = pskRoadwarrior(t, func(_, g *Peer) {
		g.Assign = c.leases
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			if r.Round == 0 {
				return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword}, nil
			}
			c.asked = append(c.asked, r)
			return ike.UserAccepted{}, nil
		})
	})
	c.hold = func(_ *Endpoint, j ike.Job) bool { return j.Kind == ike.JobPrompt }
	c.initiate()
	c.client, c.gateway = c.a.anySA(), c.b.anySA()
	require.Len(t, c.gateway.exchanges, 1)
	for _, x := range c.gateway.exchanges {
		c.request = x
	}
	return c
}

// answer is a REPLY to the gateway's request, with any payloads.
func (c *crafted) answer(payloads ...isakmp.Payload) {
	x := c.client.exchanges[c.request.id]
	require.NotNil(c.t, x)
	x.answer(c.now, x.messageHash, payloads...)
	c.run()
}

func (c *crafted) reply(attributes ...isakmp.ConfigAttribute) {
	c.answer(&isakmp.Attributes{Type: isakmp.ConfigReply, Attributes: attributes})
}

// begin sends the first message of a Transaction exchange of the client, and
// returns what came back.
func (c *crafted) begin(a *isakmp.Attributes) (answer *isakmp.Attributes) {
	c.client.transact(c.now, a, time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { answer = a })
	c.run()
	return answer
}

func text(t isakmp.ConfigAttributeType, s string) isakmp.ConfigAttribute {
	return isakmp.ConfigAttribute{Type: t, Data: []byte(s)}
}

// requireOutside checks that the client is not in: not even after a long time,
// and with no job that it is not worth.
func (c *crafted) requireOutside() {
	c.t.Helper()
	require.Empty(c.t, find[ike.SessionUp](c.evB))
	require.NotEqual(c.t, stateEstablished, c.gateway.state)
	require.Empty(c.t, c.asked)
	require.Empty(c.t, c.leases.asked)
	c.advance(10 * time.Minute)
	require.Empty(c.t, find[ike.SessionUp](c.evB))
	require.Len(c.t, find[ike.SessionFailed](c.evB), 1)
	require.Empty(c.t, c.b.sas)
	require.Empty(c.t, c.b.sessions)
	require.Zero(c.t, c.b.HalfOpen())
	require.Zero(c.t, c.b.Held().Timers)
}

var goodAnswer = []isakmp.ConfigAttribute{text(isakmp.AttrXAuthUserName, "alice"), text(isakmp.AttrXAuthUserPassword, "secret")}

// The tests below mean something only if a proper answer lets the client in.
func TestB18_ProperAnswer(t *testing.T) {
	c := craft(t)
	c.reply(goodAnswer...)
	require.Len(t, c.asked, 1)
	require.Equal(t, stateEstablished, c.gateway.state)
}

// A client says itself that it is in, where its credentials are wanted.
func TestB18_StatusInReply(t *testing.T) {
	for _, status := range []isakmp.ConfigAttribute{
		basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusOK), {Type: isakmp.AttrXAuthStatus, Data: []byte{0, 1}}, emptyAttribute(isakmp.AttrXAuthStatus),
		basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusFail), basicAttribute(isakmp.AttrCheckPointXAuthStatus, 1),
	} {
		for name, with := range map[string][]isakmp.ConfigAttribute{"alone": nil, "with credentials": goodAnswer} {
			t.Run(fmt.Sprintf("%v %s", status, name), func(t *testing.T) {
				if status.Type == isakmp.AttrCheckPointXAuthStatus && with != nil {
					t.Skip("Check Point's numbers count where there are no others")
				}
				c := craft(t)
				c.reply(append(with[:len(with):len(with)], status)...)
				c.requireOutside()
			})
		}
	}
}

// A client begins: it says OK, acknowledges what was not said, asks for a
// configuration, asks the gateway for a password.
func TestB18_TransactionBeforeLogin(t *testing.T) {
	for name, a := range map[string]*isakmp.Attributes{
		"SET OK":      {Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusOK)}},
		"ACK":         {Type: isakmp.ConfigAck, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthStatus)}},
		"REPLY":       {Type: isakmp.ConfigReply, Attributes: goodAnswer},
		"mode config": {Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrInternalIP4Address)}},
		"XAuth":       {Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthUserPassword)}},
		"empty":       {Type: isakmp.ConfigSet},
		"of no type":  {Type: 77},
	} {
		t.Run(name, func(t *testing.T) {
			c := craft(t)
			before := c.b.Stats().Sent
			require.Nil(t, c.begin(a))
			require.Equal(t, before, c.b.Stats().Sent, "it is not answered")
			require.Len(t, c.gateway.exchanges, 1)
			c.requireOutside()
		})
	}
}

// A client sends its password unasked while the gateway waits for its back end,
// and says OK.
func TestB18_WhileTheBackEndIsAsked(t *testing.T) {
	c := craft(t)
	var held []ike.Job
	c.hold = func(of *Endpoint, j ike.Job) bool {
		if of == c.b && j.Kind == ike.JobUser {
			held = append(held, j)
		}
		return j.Kind == ike.JobUser || j.Kind == ike.JobPrompt
	}
	c.reply(goodAnswer...)
	require.Len(t, held, 1)
	c.begin(&isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusOK)}})
	c.reply(text(isakmp.AttrXAuthUserName, "bob"), text(isakmp.AttrXAuthUserPassword, "x"))
	require.Len(t, held, 1)
	require.Equal(t, stateUser, c.gateway.state)
	c.b.HandleResult(c.now, held[0].Do(t.Context()))
	c.run()
	require.Equal(t, "alice", c.asked[0].User)
	require.Equal(t, stateEstablished, c.gateway.state)
}

// Quick Mode before the user is known.
func TestB18_QuickModeBeforeLogin(t *testing.T) {
	c := craft(t)
	c.client.state = stateEstablished
	c.client.s.current = c.client
	q := c.client.s.newQuickMode(c.client.s.peer.child("net"))
	q.begin(c.now, c.client)
	c.run()
	require.Empty(t, find[ike.ChildUp](c.evB))
	require.Empty(t, c.pb.SAs())
	c.requireOutside()
}

// Answers of the wrong type, of no or several payloads, with too little and too
// much in them: the back end is not asked.
func TestB18_UnusableAnswers(t *testing.T) {
	attributes := func(ty isakmp.ConfigType, a ...isakmp.ConfigAttribute) *isakmp.Attributes {
		return &isakmp.Attributes{Type: ty, Attributes: a}
	}
	name, password := goodAnswer[0], goodAnswer[1]
	for what, payloads := range map[string][]isakmp.Payload{
		"ACK":                 {attributes(isakmp.ConfigAck, goodAnswer...)},
		"SET":                 {attributes(isakmp.ConfigSet, goodAnswer...)},
		"REQUEST":             {attributes(isakmp.ConfigRequest, goodAnswer...)},
		"no payload":          {},
		"a notification":      {&isakmp.Notify{DOI: isakmp.DOIIPsec, Type: isakmp.NotifyConnected}},
		"split":               {attributes(isakmp.ConfigReply, name), attributes(isakmp.ConfigReply, password)},
		"twice":               {attributes(isakmp.ConfigReply, goodAnswer...), attributes(isakmp.ConfigReply, goodAnswer...)},
		"empty":               {attributes(isakmp.ConfigReply)},
		"no password":         {attributes(isakmp.ConfigReply, name)},
		"no name":             {attributes(isakmp.ConfigReply, password)},
		"two names":           {attributes(isakmp.ConfigReply, name, text(isakmp.AttrXAuthUserName, "root"), password)},
		"password of nothing": {attributes(isakmp.ConfigReply, name, emptyAttribute(isakmp.AttrXAuthUserPassword))},
		"password of zero":    {attributes(isakmp.ConfigReply, name, text(isakmp.AttrXAuthUserPassword, "\x00"))},
		"name of nothing":     {attributes(isakmp.ConfigReply, emptyAttribute(isakmp.AttrXAuthUserName), password)},
		"basic password":      {attributes(isakmp.ConfigReply, name, basicAttribute(isakmp.AttrXAuthUserPassword, 1))},
		"another type":        {attributes(isakmp.ConfigReply, basicAttribute(isakmp.AttrXAuthType, 1), name, password)},
		"an unknown type":     {attributes(isakmp.ConfigReply, text(isakmp.AttrXAuthType, "generic!!"), name, password)},
		"name of two lines":   {attributes(isakmp.ConfigReply, text(isakmp.AttrXAuthUserName, "alice\nroot"), password)},
		"name with a zero":    {attributes(isakmp.ConfigReply, text(isakmp.AttrXAuthUserName, "alice\x00root"), password)},
		"name with an escape": {attributes(isakmp.ConfigReply, text(isakmp.AttrXAuthUserName, "\x1b[2Jalice"), password)},
		"name not in UTF-8":   {attributes(isakmp.ConfigReply, text(isakmp.AttrXAuthUserName, "al\xffice"), password)},
		"name too long":       {attributes(isakmp.ConfigReply, text(isakmp.AttrXAuthUserName, strings.Repeat("a", ike.MaxUserName+1)), password)},
		"password too long":   {attributes(isakmp.ConfigReply, name, text(isakmp.AttrXAuthUserPassword, strings.Repeat("a", ike.MaxUserSecret+1)))},
	} {
		t.Run(what, func(t *testing.T) {
			c := craft(t)
			c.answer(payloads...)
			c.requireOutside()
			err := find[ike.SessionFailed](c.evB)[0].Err
			var r ike.UserRejected
			require.ErrorAs(t, err, &r)
			require.Equal(t, ike.RejectProtocol, r.Cause)
			require.NotContains(t, err.Error(), "\x1b")
			require.NotContains(t, err.Error(), "\n")
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// The same in clear, with a wrong HASH, or under another message ID, changes
// nothing: the proper answer is still taken.
func TestB18_NotAuthentic(t *testing.T) {
	c := craft(t)
	before := c.b.Stats()
	clear := func(h isakmp.Header) []byte {
		b := isakmp.NewBuilder(nil, h)
		b.Add(&isakmp.Attributes{Type: isakmp.ConfigReply, Attributes: goodAnswer})
		m, err := b.Finish()
		require.NoError(t, err)
		return m
	}
	h := c.client.header(isakmp.ExchangeTransaction, c.request.id)
	c.b.HandleDatagram(c.now, reverse(pathAB()), clear(h))
	require.Equal(t, before.Unprotected+1, c.b.Stats().Unprotected)

	x := c.client.exchanges[c.request.id]
	wrong := *x
	wrong.answer(c.now, func(covered []byte) ike.Secret { return bytes.Repeat([]byte{1}, len(x.messageHash(covered))) },
		&isakmp.Attributes{Type: isakmp.ConfigReply, Attributes: goodAnswer})
	c.a.StopTimer(&wrong.timer)
	c.run()
	require.Equal(t, before.BadIntegrity+1, c.b.Stats().BadIntegrity)
	require.Empty(t, c.asked)
	require.Equal(t, stateUser, c.gateway.state)

	c.reply(goodAnswer...)
	require.Equal(t, stateEstablished, c.gateway.state)
}

// An old answer, recorded and sent again, is no answer to the next prompt.
func TestB18_AnswerPlayedAgain(t *testing.T) {
	rounds := 0
	p := pskRoadwarrior(t, func(c, g *Peer) {
		g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
			rounds++
			return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword, Delay: time.Second}, nil
		})
	})
	var recorded [][]byte
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if h, _ := isakmp.ParseHeader(tx.Packet); from == p.a && h.Exchange == isakmp.ExchangeTransaction {
			recorded = append(recorded, bytes.Clone(tx.Packet))
			return len(recorded) == 1 // only the first answer arrives
		}
		return true
	}
	p.initiate()
	p.advance(1500 * time.Millisecond)
	require.Equal(t, 2, rounds)
	for range 3 {
		p.b.HandleDatagram(p.now, reverse(pathAB()), recorded[0])
		p.run()
	}
	require.Equal(t, 2, rounds)
}

// A gateway asks a peer that is no XAuth client for its user, or tells it that
// it is in.
func TestB18_NotAClient(t *testing.T) {
	p := pskPair(t)
	p.requireUp(p.initiate())
	for _, e := range []*Endpoint{p.a, p.b} {
		var answer *isakmp.Attributes
		ask := func(a *isakmp.Attributes) {
			answer = nil
			e.anySA().transact(p.now, a, time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { answer = a })
			p.run()
		}
		ask(&isakmp.Attributes{Type: isakmp.ConfigRequest, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthUserPassword)}})
		require.Equal(t, []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusFail)}, answer.Attributes)
		ask(&isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, isakmp.XAuthStatusFail)}})
		require.Nil(t, answer)
	}
	for _, ev := range append(p.evA, p.evB...) {
		require.NotEqual(t, fmt.Sprintf("%T", ike.SessionDown{}), fmt.Sprintf("%T", ev))
	}
}

// A client believes that it is in when the gateway says so, and nothing less.
func TestB18_EarlyStatusToClient(t *testing.T) {
	for name, a := range map[string]struct {
		isakmp.Attributes
		state saState
	}{
		"nothing":     {isakmp.Attributes{Type: isakmp.ConfigSet}, stateUser},
		"mode config": {isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{text(isakmp.AttrInternalIP4Address, "\x0a\x00\x00\x01")}}, stateUser},
		"a message":   {isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{text(isakmp.AttrXAuthMessage, "OK")}}, stateUser},
		"status 2":    {isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, 2)}}, stateDead},
		"empty":       {isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrXAuthStatus)}}, stateDead},
		"FAIL":        {isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, 0)}}, stateDead},
		"OK":          {isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{basicAttribute(isakmp.AttrXAuthStatus, 1)}}, stateEstablished},
	} {
		t.Run(name, func(t *testing.T) {
			p := pskRoadwarrior(t, nil)
			p.hold = func(of *Endpoint, j ike.Job) bool { return j.Kind == ike.JobUser }
			p.initiate()
			client := p.a.anySA()
			p.b.anySA().transact(p.now, &a.Attributes, time.Time{}, func(time.Time, *isakmp.Attributes, error) {})
			p.run()
			require.Equal(t, a.state, client.state)
			require.Equal(t, a.state == stateEstablished, len(find[ike.SessionUp](p.evA)) == 1)
		})
	}
}

// Logins that are under way are bounded like half-open SAs: with hybrid
// authentication anybody can begin one.
func TestB18_ManyLogins(t *testing.T) {
	a, b := methodPeers(t, MainMode, AuthHybridInitRSA)
	a.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
		return ike.UserAnswers{User: "alice", Password: ike.Secret("x")}, nil
	}
	p := newPair(t, a, b, func(_, b *Config) { b.Limits.HalfOpenPerIP = 5 })
	p.now = testpki.Now
	var held []ike.Job
	p.hold = func(_ *Endpoint, j ike.Job) bool {
		if j.Kind == ike.JobPrompt {
			held = append(held, j)
		}
		return j.Kind == ike.JobPrompt
	}
	for range 20 {
		p.initiate()
	}
	require.Equal(t, 5, p.b.HalfOpen())
	require.Len(t, p.b.sas, 5)
	p.advance(10 * time.Minute)
	for _, j := range held {
		p.a.HandleResult(p.now, j.Do(t.Context()))
	}
	p.requireNothingLeft()
}

func FuzzUserAnswers(f *testing.F) {
	a := isakmp.Attributes{Type: isakmp.ConfigReply, Attributes: append(goodAnswer[:2:2], text(isakmp.AttrXAuthDomain, "corp"), text(isakmp.AttrXAuthAnswer, ""))}
	f.Add(a.AppendBody(nil), uint8(0xff), uint8(0))
	f.Add(a.AppendBody(nil), uint8(ike.FieldUser|ike.FieldPassword), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, fields, kind uint8) {
		if len(b) > 60000 {
			return
		}
		chain, err := isakmp.ParseChain(isakmp.PayloadAttributes, append([]byte{0, 0, byte((len(b) + 4) >> 8), byte(len(b) + 4)}, b...))
		if err != nil {
			return
		}
		m, err := chain.Payloads()
		if err != nil || m.Attributes() == nil {
			return
		}
		p := ike.UserPrompt{Kind: ike.UserAuthKind(kind), Fields: ike.UserFields(fields)}
		answers, err := userAnswers(m.Attributes(), &p)
		if err != nil || answers.Validate() != nil {
			return
		}
		optional := ike.FieldDomain
		require.Zero(t, answers.Fields()&^p.Fields, "what was not asked for is not taken")
		require.Zero(t, p.Fields&0x3f&^(answers.Fields()|optional), "all is there")
		require.False(t, p.Fields&ike.FieldPassword != 0 && len(answers.Password) == 0)
	})
}
