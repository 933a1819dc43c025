package racoon

import (
	"errors"
	"net"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/natt"
)

// receive reads one socket until it is closed. IKE messages go to the workers,
// ESP packets to the packet handler.
func (m *Manager) receive(s *socket) {
	r := &receiver{m: m, socket: s, touched: make([]bool, len(m.workers))}
	n := 1
	if _, batched := s.io.(interface{ segmented() bool }); batched {
		if n = receiveBatch; s.esp {
			n = receivePackets
		}
	}
	ms := make([]inbound, n)
	for i := range ms {
		ms[i].buf = make([]byte, datagramSize)
	}
	for failures := 0; ; {
		n, err := s.io.read(ms)
		if err != nil {
			if errors.Is(err, net.ErrClosed) || m.isStopped() {
				return
			}
			s.stats.readErrors.Add(1)
			if failures++; failures == 1 {
				m.log.Warn("cannot receive", "local", s.local, "err", err)
			}
			if !m.pause(min(time.Duration(failures)*10*time.Millisecond, time.Second)) {
				return
			}
			continue
		}
		failures = 0
		r.batch(ms[:n])
	}
}

// receiver sorts what one socket receives.
type receiver struct {
	m       *Manager
	socket  *socket
	touched []bool // workers to wake

	esp     [][]byte // packets of one flow
	espPath ike.Path
	espTOS  byte
}

func (r *receiver) batch(ms []inbound) {
	for i := range ms {
		in := &ms[i]
		b := in.buf[:in.n]
		for {
			one := b
			if in.segment > 0 && in.segment < len(b) {
				one = b[:in.segment]
			}
			r.datagram(in, one)
			if b = b[len(one):]; len(b) == 0 {
				break
			}
		}
	}
	r.flushESP()
	for i, t := range r.touched {
		if t {
			r.m.workers[i].box.signal()
			r.touched[i] = false
		}
	}
}

// datagram finds out what a datagram is and who gets it.
func (r *receiver) datagram(in *inbound, b []byte) {
	st := &r.socket.stats
	st.received.Add(1)
	if r.socket.kink {
		// By the sender's address, which a session is known by.
		r.give(r.m.hashOfAddr(in.path.Remote.Addr())%len(r.m.workers), in.path, b, true)
		return
	}
	classify := natt.ClassifyIKE
	if r.socket.natt {
		classify = natt.Classify
	}
	kind, payload := classify(b)
	switch kind {
	case natt.IKE:
		r.ike(in.path, payload)
	case natt.ESP:
		if !r.socket.natt && !r.m.nonIKE.Load() {
			st.malformed.Add(1) // no peer may send that
			return
		}
		st.esp.Add(1)
		if r.m.cfg.PacketHandler == nil {
			return // no kernel took it and nobody wants it
		}
		if len(r.esp) > 0 && (in.path != r.espPath || in.tos != r.espTOS) {
			r.flushESP()
		}
		r.espPath, r.espTOS = in.path, in.tos
		r.esp = append(r.esp, payload)
	case natt.Keepalive:
		st.keepalives.Add(1)
	default:
		st.malformed.Add(1)
	}
}

func (r *receiver) flushESP() {
	if len(r.esp) == 0 {
		return
	}
	r.m.cfg.PacketHandler.HandleESP(r.espPath.Local, r.espPath.Remote, r.espTOS, r.esp)
	clear(r.esp)
	r.esp = r.esp[:0]
}

// route finds the worker of an IKE message: the one that our SPI names, or for
// a first message one chosen by a keyed hash, so that a sender cannot aim at
// one worker and its repetitions meet the same one. In IKEv1 it is by the
// sender's address alone, so that a new ISAKMP SA finds the session that it
// belongs to.
func (m *Manager) route(path ike.Path, b []byte) (int, bool) {
	if isIKEv1(b) {
		tag, initial, ok := m.router.Route(b)
		if initial {
			return m.hashOfAddr(path.Remote.Addr()) % len(m.workers), ok
		}
		return int(tag &^ tagMask), ok
	}
	tag, initial, ok := ikev2.Route(b)
	if initial {
		return m.hashOf(b[:8], path.Remote) % len(m.workers), ok
	}
	return int(tag), ok
}

// ike gives an IKE message to its worker.
func (r *receiver) ike(path ike.Path, b []byte) {
	i, ok := r.m.route(path, b)
	if !ok || i >= len(r.m.workers) {
		r.socket.stats.malformed.Add(1)
		return
	}
	r.give(i, path, b, false)
}

// give gives a message to a worker.
func (r *receiver) give(i int, path ike.Path, b []byte, kink bool) {
	w := r.m.workers[i]
	if !w.box.putDatagram(path, b, kink) {
		w.stats.dropped.Add(1)
		return
	}
	r.touched[i] = true
}
