package ikev2

import (
	"crypto/x509"
	"encoding/binary"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/testpki"
)

// raw is a payload with any octets in it.
func raw(t message.PayloadType, body ...byte) message.Payload {
	return &message.Unknown{Type: t, Body: body}
}

// protect makes a protected message that an honest endpoint would not send,
// with the keys of the actor's IKE SA. It does not move the actor's window.
func (a *actor) protect(exchange message.ExchangeType, id uint32, response bool, payloads ...message.Payload) ike.Transmit {
	a.s.t.Helper()
	return a.protectOn(a.anySA(), exchange, id, response, payloads...)
}

func (a *actor) protectOn(sa *ikeSA, exchange message.ExchangeType, id uint32, response bool, payloads ...message.Payload) ike.Transmit {
	a.s.t.Helper()
	p, err := sa.seal(sa.header(exchange, response, id), payloads, 0)
	require.NoError(a.s.t, err)
	return ike.Transmit{Path: sa.s.Path, Packet: p[0]}
}

// fragment makes one protected fragment, or, as number 1 of 1, a message whose
// chain of payloads may be nonsense.
func (a *actor) fragment(exchange message.ExchangeType, id uint32, number, total uint16, first message.PayloadType, text []byte) ike.Transmit {
	a.s.t.Helper()
	sa := a.anySA()
	c, err := sa.keys.sealer()
	require.NoError(a.s.t, err)
	p, err := sa.sealOne(c, sa.header(exchange, false, id), 100+len(text), func(b *message.Builder) {
		b.BeginSKF(max(number, 1), max(total, number, 1), first, c.IVSize())
		b.Append(text...)
	})
	require.NoError(a.s.t, err)
	if number == 0 || total < number { // the builder refuses these: seal anew
		binary.BigEndian.PutUint16(p[message.HeaderLen+4:], number)
		binary.BigEndian.PutUint16(p[message.HeaderLen+6:], total)
		start := message.HeaderLen + 8
		body := p[start+c.IVSize():]
		copy(body, text)
		body[len(body)-c.ICVSize()-1] = 0
		require.NoError(a.s.t, c.Seal(body, p[start:start+c.IVSize()], p[:start], nil))
	}
	return ike.Transmit{Path: sa.s.Path, Packet: p}
}

// anySA is the actor's IKE SA, established or not.
func (a *actor) anySA() *ikeSA {
	a.s.t.Helper()
	return a.session().current
}

// nextID is the message ID of the actor's next request.
func (a *actor) nextID() uint32 { return a.anySA().sendID }

// injects delivers a crafted message and returns what the other side answers,
// decrypted, or nil if it is silent.
func (a *actor) injects(tx ike.Transmit) *message.Message {
	a.s.t.Helper()
	sa := (*ikeSA)(nil)
	if len(a.sessions) == 1 {
		sa = a.anySA()
	}
	before := len(a.other.out)
	a.other.HandleDatagram(a.s.now, a.s.arrives(tx.Path), tx.Packet)
	a.s.work()
	if len(a.other.out) == before {
		return nil
	}
	require.Len(a.s.t, a.other.out, before+1, "at most one answer")
	answer := a.other.out[before].Packet
	a.other.out = a.other.out[:before]
	m, err := message.Parse(answer)
	require.NoError(a.s.t, err)
	if sa == nil || m.SK() == nil {
		return m
	}
	chain, err := message.ParseChain(m.Header.NextPayload, answer[message.HeaderLen:])
	require.NoError(a.s.t, err)
	text, err := sa.open(answer, chain.Encrypted())
	require.NoError(a.s.t, err)
	m.Payloads, err = message.ParsePayloads(chain.Encrypted().Next, text)
	require.NoError(a.s.t, err)
	return m
}

// asks injects a request with the next message ID and counts it as sent.
func (a *actor) asks(exchange message.ExchangeType, payloads ...message.Payload) *message.Message {
	a.s.t.Helper()
	sa := a.anySA()
	m := a.injects(a.protect(exchange, sa.sendID, false, payloads...))
	if m != nil {
		sa.sendID++
	}
	return m
}

// onlyNotify is the type of the only payload of an answer, a notify.
func onlyNotify(m *message.Message) message.NotifyType {
	if m == nil || len(m.Payloads) != 1 {
		return 0
	}
	n, ok := m.Payloads[0].(*message.Notify)
	if !ok {
		return 0
	}
	return n.Type
}

func sprint(v any) string { return fmt.Sprintf("%v %+v %#v", v, v, v) }

func sprintBytes(b []byte) string { return fmt.Sprint(b) }

func caRoots(cas ...*testpki.Cert) (roots []*x509.Certificate) {
	for _, c := range cas {
		roots = append(roots, c.Certificate)
	}
	return roots
}
