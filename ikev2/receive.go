package ikev2

import (
	"errors"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

// HandleDatagram takes a received IKE message, without the non-ESP marker. b
// is only borrowed. What is wrong with a datagram is counted in Stats, and
// never ends anything: it is not authenticated.
func (e *Endpoint) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	e.Count.Received++
	h, err := message.ParseHeader(b)
	if err != nil {
		e.Count.Malformed++
		if errors.Is(err, message.ErrMajorVersion) && h.Version.Major() > 2 && !h.IsResponse() {
			e.refuseVersion(path, h)
		}
		return
	}
	if h.Exchange == message.ExchangeIKESAInit {
		if h.IsResponse() {
			e.initResponse(now, path, h, b)
		} else {
			e.initRequest(now, path, h, b)
		}
		return
	}
	local, remote := h.SPIi, h.SPIr
	if h.FromInitiator() {
		local, remote = remote, local
	}
	sa := e.sas[local]
	if sa == nil || sa.remote != remote || sa.initiator == h.FromInitiator() {
		e.Count.UnknownSPI++
		return
	}
	sa.receive(now, path, h, b)
}

// refuseVersion answers a request of a higher major version, in clear, with
// the version that is spoken here (RFC 7296 2.5).
func (e *Endpoint) refuseVersion(path ike.Path, h message.Header) {
	if h.Exchange != message.ExchangeIKESAInit || h.SPIr != 0 {
		return
	}
	h.Version, h.Flags = message.Version2, message.FlagResponse
	e.replyClear(path, h, &message.Notify{Type: message.NotifyInvalidMajorVersion})
}

// replyClear sends an unprotected response that leaves no state behind.
func (e *Endpoint) replyClear(path ike.Path, h message.Header, payloads ...message.Payload) {
	m := message.Message{Header: h, Payloads: payloads}
	if b, err := m.AppendBinary(nil); err == nil {
		e.Transmit(path, b)
	}
}

// receive takes a message that names this SA.
func (sa *ikeSA) receive(now time.Time, path ike.Path, h message.Header, b []byte) {
	e := sa.ep
	var one [1]message.RawPayload
	chain, err := message.AppendChain(one[:0], h.NextPayload, b[message.HeaderLen:])
	if err != nil {
		e.Count.Malformed++
		return
	}
	enc := chain.Encrypted()
	if enc == nil || len(chain) != 1 || sa.keys == nil {
		// Nothing in clear changes anything once there could be keys, and
		// payloads beside SK would escape the peer's intention.
		e.Count.Unprotected++
		return
	}
	expected := sa.expected(h)
	if !expected && !sa.repeats(h) {
		e.Count.Unexpected++
		return
	}
	text, err := sa.open(b, enc)
	if err != nil {
		e.Count.BadIntegrity++
		return
	}
	if !expected {
		sa.repeat(enc)
		return
	}
	sa.s.alive(now, sa, path)
	first := enc.Next
	if enc.Type == message.PayloadSKF {
		var complete bool
		if first, text, complete = sa.addFragment(h, enc, text); !complete {
			return
		}
	}
	m, err := message.ParseContent(h, first, text)
	if m.Payloads != nil || err == nil {
		sa.s.trace(now, false, h, m.Payloads)
	}
	if h.IsResponse() {
		if err != nil {
			sa.s.fail(now, ike.DownFailed, protocolError(h.Exchange, "response: %w", err))
			return
		}
		if sa.req.exchange != h.Exchange {
			e.Count.Unexpected++
			return
		}
		sa.answered(now, m)
		return
	}
	sa.serving = true
	if sa.req != nil && sa.state == stateEstablished {
		sa.req.lives()
	}
	if err != nil {
		sa.refuseSyntax(now, h.Exchange, err)
		return
	}
	sa.serve(now, m)
}

// expected reports whether a message is the one that its window waits for.
func (sa *ikeSA) expected(h message.Header) bool {
	if h.IsResponse() {
		return sa.req != nil && h.MessageID == sa.sendID
	}
	return h.MessageID == sa.recvID && !sa.serving
}

// repeats reports whether a request is the one answered last.
func (sa *ikeSA) repeats(h message.Header) bool {
	return !h.IsResponse() && sa.recvID > 0 && h.MessageID == sa.recvID-1 && sa.reply != nil
}

// repeat sends the last response again. Of a fragmented request only the first
// fragment asks for it (RFC 7383 2.6.1).
func (sa *ikeSA) repeat(enc *message.RawPayload) {
	if enc.Type == message.PayloadSKF && (enc.Body[0] != 0 || enc.Body[1] != 1) {
		return
	}
	sa.ep.Count.Repeated++
	sa.ep.Transmit(sa.s.Path, sa.reply...)
}

// refuseSyntax answers a request that is authentic but makes no sense. A
// syntax error means that the peer is broken: the SA ends (RFC 7296 2.21.3).
func (sa *ikeSA) refuseSyntax(now time.Time, x message.ExchangeType, err error) {
	var pe *message.ParseError
	if !errors.As(err, &pe) || pe.Notify() == 0 {
		pe = &message.ParseError{Err: message.ErrSyntax}
	}
	sa.respond(now, x, &message.Notify{Type: pe.Notify(), Data: pe.AppendNotifyData(nil)})
	if pe.Notify() != message.NotifyUnsupportedCriticalPayload || sa.state == stateAuth {
		sa.s.fail(now, ike.DownFailed, &ProtocolError{Exchange: x, Err: err})
	}
}

// serve dispatches a request.
func (sa *ikeSA) serve(now time.Time, m *message.Message) {
	if sa.contends != nil && !deletesIKE(m) {
		sa.won(now)
	}
	switch x := m.Header.Exchange; {
	case x == message.ExchangeIKEAuth && sa.state == stateAuth && !sa.initiator && sa.hs != nil:
		sa.serveAuth(now, m)
	case sa.state < stateEstablished:
		// RFC 7296 2.21.2: nothing else before authentication. The message ID
		// is not used up.
		sa.serving = false
		sa.ep.Count.Unexpected++
	case x == message.ExchangeCreateChildSA:
		sa.serveCreateChild(now, m)
	case x == message.ExchangeInformational:
		sa.serveInformational(now, m)
	default:
		sa.respond(now, x, &message.Notify{Type: message.NotifyInvalidSyntax})
		sa.s.fail(now, ike.DownFailed, protocolError(x, "exchange not expected"))
	}
}
