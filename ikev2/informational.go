package ikev2

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/spd"
)

// informational is an INFORMATIONAL exchange that this side begins: a liveness
// check (empty), a Delete, a notify (RFC 7296 1.4).
type informational struct {
	payloads   message.Payloads
	deletes    *child.SA // the Child SA that goes with the answer
	reason     ike.DownReason
	deletesIKE bool // the IKE SA goes with the answer
}

func deleteSPI(p spd.Protocol, spi spd.SPI) *message.Delete {
	return &message.Delete{Protocol: p, SPISize: 4, SPIs: binary.BigEndian.AppendUint32(nil, uint32(spi))}
}

func (t *informational) start(now time.Time, sa *ikeSA) {
	if t.deletes != nil && t.deletes.State == child.Gone {
		sa.finish(now)
		return
	}
	sa.request(now, message.ExchangeInformational, t.payloads...)
}

func (t *informational) response(now time.Time, sa *ikeSA, m *message.Message) {
	s := sa.s
	if t.deletes != nil {
		s.Children.Remove(now, t.deletes, t.reason, nil, true)
	}
	if t.deletesIKE {
		sa.kill(now, errGone)
		s.sweep(now)
		return
	}
	sa.finish(now)
}

func (t *informational) abort(now time.Time, sa *ikeSA, err error) {
	if t.deletes != nil && sa != nil {
		sa.s.Children.Remove(now, t.deletes, t.reason, err, false)
	}
}

// sendDelete tells the peer that an IKE SA ends.
func (s *session) sendDelete(now time.Time, sa *ikeSA) {
	sa.state = stateDeleting
	sa.enqueue(now, &informational{payloads: message.Payloads{&message.Delete{Protocol: spd.ProtoIKE}}, deletesIKE: true})
}

// StartDelete implements child.Host: tell the peer, then remove the SA.
func (s *session) StartDelete(now time.Time, a *child.SA, reason ike.DownReason) {
	if a.State >= child.Deleting {
		return
	}
	if s.current == nil || s.Ending {
		s.Children.Remove(now, a, reason, nil, false)
		return
	}
	a.State = child.Deleting
	a.Unwanted = reason != ike.DownReplaced && reason != ike.DownExpired
	s.current.enqueue(now, &informational{payloads: message.Payloads{deleteSPI(a.Info.Protocol, a.Info.In)}, deletes: a, reason: reason})
}

// deletesIKE reports whether a request ends the IKE SA.
func deletesIKE(m *message.Message) bool {
	for d := range m.Deletes() {
		if d.Protocol == spd.ProtoIKE {
			return true
		}
	}
	if m.Header.Exchange != message.ExchangeInformational {
		return false
	}
	for n := range m.Notifies() {
		switch n.Type {
		case message.NotifyAuthenticationFailed, message.NotifyInvalidSyntax, message.NotifyUnsupportedCriticalPayload:
			// An initiator that refuses the answer to its IKE_AUTH sends no
			// Delete (RFC 7296 2.21.2).
			return true
		}
	}
	return false
}

// serveInformational takes an INFORMATIONAL request.
func (sa *ikeSA) serveInformational(now time.Time, m *message.Message) {
	s := sa.s
	var answer message.Payloads
	for d := range m.Deletes() {
		if d.SPISize == 4 && (d.Protocol == spd.ProtoESP || d.Protocol == spd.ProtoAH) {
			if a := sa.serveDelete(now, d); a != nil {
				answer = append(answer, a)
			}
		}
	}
	for n := range m.Notifies() {
		s.Emit(ike.PeerNotify{EventHeader: s.EventHeader(now), Type: uint16(n.Type), Data: slices.Clone(n.Data), Text: n.String()})
	}
	if deletesIKE(m) {
		sa.respond(now, message.ExchangeInformational)
		sa.deletedByPeer(now, m)
		return
	}
	if cp := s.configAgain(m.CP()); cp != nil {
		answer = append(answer, cp)
	}
	sa.respond(now, message.ExchangeInformational, answer...)
}

// serveDelete removes the Child SAs that a Delete payload names by the peer's
// inbound SPIs, and returns the payload that answers it with ours. For those
// that we are deleting ourselves there is no answer (RFC 7296 1.4.1, 2.25.1).
func (sa *ikeSA) serveDelete(now time.Time, d *message.Delete) *message.Delete {
	s := sa.s
	answer := &message.Delete{Protocol: d.Protocol, SPISize: 4}
	for spi := range d.ESPSPIs() {
		a := s.Children.ByOutbound(d.Protocol, spi)
		if a == nil {
			if t, ok := sa.active.(*createChild); ok && t.sent && len(t.strangers) < 8 {
				t.strangers = append(t.strangers, spi)
			}
			continue
		}
		if a.State == child.Deleting {
			continue
		}
		answer.SPIs = binary.BigEndian.AppendUint32(answer.SPIs, uint32(a.Info.In))
		next := a.Successor
		if t := sa.rekeys(a); t != nil && t.rival != nil && t.rival.State != child.Gone && next == nil {
			next = t.rival // the peer has finished its rekey; ours will learn of it
		}
		if t := sa.rekeys(a); t != nil && t.sent && next == nil {
			t.deleted = true
			s.Children.Discard(now, a)
			continue
		}
		if next != nil && next.State != child.Gone {
			if a.Successor == nil {
				s.Children.Replace(now, a, next)
			}
			s.Children.Activate(now, next)
			s.Children.Remove(now, a, ike.DownReplaced, nil, true)
			continue
		}
		s.Children.Remove(now, a, ike.DownRemote, nil, false)
	}
	if len(answer.SPIs) == 0 {
		return nil
	}
	return answer
}

// deletedByPeer ends an IKE SA that the peer has deleted.
func (sa *ikeSA) deletedByPeer(now time.Time, m *message.Message) {
	s := sa.s
	if t, ok := sa.active.(*rekeyIKE); ok && t.rivalStands() {
		t.adoptRival(now, sa)
	}
	if s.current == sa {
		if s.Ending {
			s.end(now, s.EndReason, s.EndErr)
			return
		}
		var err error
		if n := m.ErrorNotify(); n != nil {
			err = &NotifyError{Exchange: message.ExchangeInformational, Type: n.Type}
		}
		s.end(now, ike.DownRemote, err)
		return
	}
	sa.leave(now, errGone)
	s.sweep(now)
}
