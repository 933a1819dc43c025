package kink

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// HandleDatagram takes what came in on a socket of KINK. It keeps no reference
// to b.
func (e *Endpoint) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	e.Count.Received++
	m, err := message.Parse(b)
	if err != nil {
		e.Count.Malformed++
		e.answerMalformed(now, path, b, err)
		return
	}
	switch m.Header.Type {
	case message.Reply:
		e.reply(now, path, m)
	case message.GetTGT:
		e.giveTGT(now, path, m, len(b))
	case message.Create, message.Delete, message.Status, message.Ack:
		e.command(now, path, m, b, false)
	default:
		e.Count.Unexpected++
	}
}

// answerMalformed tells the sender of a command that it is not understood (RFC
// 4430 4.2.8), unless the answer would be longer than the command: the sender's
// address may be forged.
func (e *Endpoint) answerMalformed(now time.Time, path ike.Path, b []byte, err error) {
	h, _ := message.ParseHeader(b)
	p, ok := errors.AsType[*message.ParseError](err)
	if !ok || !h.Type.IsCommand() {
		return
	}
	e.answerPlain(now, path, h.XID, len(b), &message.Error{Code: p.Code()})
}

// answerPlain sends a REPLY without protection that is no longer than what it
// answers.
func (e *Endpoint) answerPlain(now time.Time, path ike.Path, xid uint32, limit int, p message.Payload) {
	h := message.Header{Type: message.Reply, XID: xid}
	answer, err := plain(h, p)
	if err != nil || len(answer) > limit {
		return
	}
	e.trace(now, 0, path, true, h, message.Payloads{p})
	e.Transmit(path, answer)
}

// A request is a peer's message that has proved who sent it.
type request struct {
	message  message.Header
	path     ike.Path
	from     *krb.Accepted
	payloads message.Payloads // in clear
	epoch    message.Epoch
}

// command takes a message that begins with an AP-REQ: a command or an ACK.
// Nothing is kept, and no state changes, before the ticket has opened, its
// client has proved to know the session key, and the checksum is right.
func (e *Endpoint) command(now time.Time, path ike.Path, m *message.Message, b []byte, again bool) {
	ap := m.APReq()
	if ap == nil || len(m.Checksum) == 0 {
		e.Count.Unprotected++
		return
	}
	parsed, err := krb.ParseAPReq(ap.Data)
	if err != nil {
		e.Count.Malformed++
		return
	}
	// The authenticator is remembered only when the whole message is genuine.
	from, err := e.acceptor.Accept(now, path.Remote.Addr(), parsed)
	if from == nil {
		e.foreign(now, path, m, b, parsed, err, again)
		return
	}
	if m.Verify(from.Key) != nil {
		e.Count.BadIntegrity++
		return
	}
	r := &request{message: m.Header, path: path, from: from, epoch: ap.Epoch}
	if age := e.cfg.Started.Sub(from.Stamp.Time()); err == nil && age > 0 {
		// What was sent before this side started may be a replay that nobody
		// remembers.
		if age <= aSecond {
			e.Count.Unexpected++ // it comes again, with a newer authenticator
			return
		}
		// A peer whose clock is behind takes it for what it is.
		err = &krb.Error{Code: krb.APErrSkew, Reason: "the authenticator is older than this side"}
	}
	if err == nil {
		err = e.cfg.Replays.Remember(now, from)
	}
	if err != nil {
		e.refuseKerberos(now, r, err)
		return
	}
	if r.payloads, err = m.Open(from.Key); err != nil {
		e.Count.BadIntegrity++
		return
	}
	e.trace(now, 0, path, false, m.Header, r.payloads)
	if err := r.payloads.Check(m.Header); err != nil {
		e.Count.Malformed++
		p, _ := errors.AsType[*message.ParseError](err)
		code := message.ProtoErr
		if p != nil {
			code = p.Code()
		}
		if m.Header.Type != message.Ack {
			e.answer(now, r, false, &message.Error{Code: code})
		}
		return
	}
	e.serve(now, r)
}

// aSecond is how far an authenticator may be behind the clock that it was made by:
// MIT's library counts the microseconds of all that it makes within one second from
// the first one on. A difference of clocks would not explain that, and racoon2,
// which corrects one once, would give up.
const aSecond = time.Second

// refuseKerberos answers a message whose key is known with a KRB-ERROR that the
// peer can believe (RFC 4430 4.2.3). A replay is not answered.
func (e *Endpoint) refuseKerberos(now time.Time, r *request, err error) {
	code := krb.ErrGeneric
	if k, ok := errors.AsType[*krb.Error](err); ok {
		code = k.Code
	}
	if code == krb.APErrRepeat || errors.Is(err, krb.ErrReplayCacheFull) || r.message.Type == message.Ack {
		e.Count.Unexpected++
		return
	}
	k := &krb.KRBError{Code: code, ServerTime: krb.StampOf(now), ClientTime: r.from.Stamp, Client: r.from.Client, Server: e.cfg.Kerberos.Principal()}
	e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: r.path}, Err: &PeerRefused{Principal: r.from.Client, Err: err}})
	if der, err := k.AppendBinary(nil); err == nil {
		e.answer(now, r, false, &message.KRBError{Data: der})
	}
}

// foreign answers a message whose ticket does not open, in clear.
func (e *Endpoint) foreign(now time.Time, path ike.Path, m *message.Message, b []byte, ap *krb.APReq, err error, again bool) {
	k, ok := errors.AsType[*krb.Error](err)
	if !ok || m.Header.Type == message.Ack {
		e.Count.BadIntegrity++
		return
	}
	switch k.Code {
	case krb.APErrBadKeyVer, krb.APErrNoKey, krb.APErrBadIntegrity:
		// The keys may have changed; whoever asks gets them read once in a while.
		if !again && e.reload(now, path, b) {
			return
		}
	case krb.APErrNoTGT:
		// It was made with a ticket-granting ticket that is no longer there (RFC
		// 4430 3.7.1).
		if ap.UseSessionKey && e.sendTGT(now, path, m.Header.XID) {
			return
		}
	}
	if own := e.cfg.Kerberos.Principal(); (k.Code == krb.APErrNoKey || k.Code == krb.APErrNotUs) && ap.Ticket.Server == own && e.gives(path) {
		k = &krb.Error{Code: krb.APErrUserToUserRequired, Reason: "there is no key for " + own.String() + " here"}
		err = k
	}
	e.Count.BadIntegrity++
	e.Emit(ike.SessionFailed{EventHeader: ike.EventHeader{Time: now, Path: path}, Err: &PeerRefused{Err: err}})
	er := &krb.KRBError{Code: k.Code, ServerTime: krb.StampOf(now), Server: e.cfg.Kerberos.Principal()}
	if der, err := er.AppendBinary(nil); err == nil {
		e.answerPlain(now, path, m.Header.XID, len(b), &message.KRBError{Data: der})
	}
}

// A reload is a message that waits for the keys to be read anew.
type reload struct {
	path ike.Path
	b    []byte
}

// reloadEvery is how often messages that nobody has authenticated may have the
// keys read, maxReloads how many may wait for it.
const (
	reloadEvery = 10 * time.Second
	maxReloads  = 16
)

// reload reads the keys anew and then looks at the message again. It reports
// false if that was done a moment ago.
func (e *Endpoint) reload(now time.Time, path ike.Path, b []byte) bool {
	if len(e.reloads) > 0 {
		if len(e.reloads) < maxReloads {
			e.reloads = append(e.reloads, reload{path, slices.Clone(b)})
		}
		return true
	}
	if d := now.Sub(e.reloaded); !e.reloaded.IsZero() && d >= 0 && d < reloadEvery {
		return false
	}
	e.reloaded = now
	e.reloads = []reload{{path, slices.Clone(b)}}
	kerberos := e.cfg.Kerberos
	e.Background(ike.JobTicket, func(ctx context.Context) (any, error) { return nil, kerberos.Reload(ctx) },
		func(now time.Time, _ any, err error) {
			if err != nil {
				e.Emit(ike.Warning{EventHeader: ike.EventHeader{Time: now, Path: path}, Err: err})
			}
			waiting := e.reloads
			e.reloads = nil
			for _, r := range waiting {
				if m, err := message.Parse(r.b); err == nil {
					e.command(now, r.path, m, r.b, true)
				}
			}
		})
	return true
}

// answer sends a REPLY under the key of the request.
func (e *Endpoint) answer(now time.Time, r *request, ackReq bool, content ...message.Payload) {
	h := message.Header{Type: message.Reply, XID: r.message.XID, AckReq: ackReq}
	rep, err := krb.AppendAPRep(nil, r.from.Key, r.from.Stamp, e.Rand())
	if err != nil {
		e.Emit(ike.Warning{EventHeader: ike.EventHeader{Time: now, Path: r.path}, Err: err})
		return
	}
	b, err := e.sealed(h, &message.APRep{Epoch: e.cfg.Epochs.of(r.from.Client), Data: rep}, r.from.Key, content)
	if err != nil {
		e.Emit(ike.Warning{EventHeader: ike.EventHeader{Time: now, Path: r.path}, Err: err})
		return
	}
	e.trace(now, 0, r.path, true, h, content)
	e.Transmit(r.path, b)
}

// maxNotifyData bounds what a notification says besides its type, in octets.
const maxNotifyData = 256

// notify is a KINK_ISAKMP payload with one notification.
func notify(protocol spd.Protocol, spi []byte, t isakmp.NotifyType, text string) *message.ISAKMP {
	data := []byte(text[:min(len(text), maxNotifyData)])
	p, err := message.NewISAKMP(&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: protocol, SPI: spi[:min(len(spi), 16)], Type: t, Data: data})
	if err != nil {
		panic("kink: notification without a wire form: " + err.Error())
	}
	return p
}
