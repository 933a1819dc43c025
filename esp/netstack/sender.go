package netstack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/offload"
	"github.com/racoon3/racoon/esp/internal/outer"
)

// sendBatch is how many packets are protected and sent together.
const sendBatch = 128

// sender is what the goroutine that sends works with.
type sender struct {
	link *link

	mu  sync.Mutex // writers
	udp outer.Writer
	raw outer.RawWriter

	bufs  [][]byte
	batch esp.Batch
	list  []esp.Packet
	outer outer.Sender
	cut   offload.Segmenter
	parts [][]byte
}

func (s *sender) init(l *link) {
	s.link = l
	size := esp.Headroom + int(l.mtu) + esp.Tailroom
	slab := make([]byte, sendBatch*size)
	for i := range sendBatch {
		s.bufs = append(s.bufs, slab[i*size:(i+1)*size:(i+1)*size])
	}
}

func (l *link) setUDP(w outer.Writer) {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.out.udp = w
}

func (l *link) setRaw(w outer.RawWriter) {
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.out.raw = w
}

// packets sends what the stack has queued.
func (s *sender) packets(list []queued) {
	for i := range list {
		s.packet(&list[i])
		list[i].payload.DecRef()
		list[i].payload = nil
	}
	s.flush()
}

// packet copies one packet into buffers with room around them, cut into
// segments if it is large.
func (s *sender) packet(q *queued) {
	p, header := q.payload, q.header[:q.size]
	left := p.Size() - q.size
	if left < 0 || q.size != len(p.NetworkHeader().Slice())+len(p.TransportHeader().Slice()) {
		return // headers longer than any that there are
	}
	s.parts = append(s.parts[:0], p.AsSlices()...)
	s.skip(q.size)
	gso := &p.GSOOptions
	if gso.Type == stack.GSONone || !gso.NeedsCsum {
		if b, ok := s.room(q.size + left); ok {
			s.copy(b[copy(b, header):])
		}
		return
	}
	if s.cut.Reset(header, q.upper, uint8(p.TransportProtocolNumber)) != nil {
		return
	}
	for {
		n := left
		if gso.MSS > 0 {
			n = min(n, int(gso.MSS))
		}
		left -= n
		b, ok := s.room(q.size + n)
		if !ok {
			return
		}
		s.copy(b[q.size:])
		s.cut.Finish(b, left > 0)
		if left == 0 {
			return
		}
	}
}

// skip leaves out n octets of what is left of the packet.
func (s *sender) skip(n int) {
	for n > 0 {
		k := min(n, len(s.parts[0]))
		n -= k
		if s.parts[0] = s.parts[0][k:]; len(s.parts[0]) == 0 {
			s.parts = s.parts[1:]
		}
	}
}

// copy fills b from what is left of the packet.
func (s *sender) copy(b []byte) {
	for len(b) > 0 {
		n := copy(b, s.parts[0])
		b = b[n:]
		if s.parts[0] = s.parts[0][n:]; len(s.parts[0]) == 0 {
			s.parts = s.parts[1:]
		}
	}
}

// room returns a buffer for a packet of n octets.
func (s *sender) room(n int) ([]byte, bool) {
	if len(s.list) == sendBatch {
		s.flush()
	}
	buf := s.bufs[len(s.list)]
	if esp.Headroom+n+esp.Tailroom > len(buf) {
		return nil, false // larger than the MTU
	}
	p := esp.Packet{Buf: buf, Start: esp.Headroom, End: esp.Headroom + n}
	s.list = append(s.list, p)
	return p.Bytes(), true
}

// flush protects and sends the packets collected.
func (s *sender) flush() {
	if len(s.list) == 0 {
		return
	}
	s.batch.Reset()
	s.link.engine.Outbound(&s.batch, s.list...)
	s.list = s.list[:0]
	s.send()
}

// release sends and delivers what waited for an SA.
func (s *sender) release() {
	s.batch.Reset()
	opened := s.link.engine.Release(&s.batch)
	s.link.stats.delivered.Add(uint64(opened))
	s.send()
}

func (s *sender) send() {
	s.mu.Lock()
	s.outer.UDP, s.outer.Raw = s.udp, s.raw
	s.mu.Unlock()
	st := &s.link.stats
	if n := len(s.batch.Datagrams); n > 0 {
		sent, _ := s.outer.Send(s.batch.Datagrams)
		st.sent.Add(uint64(sent))
		st.sendDrops.Add(uint64(n - sent))
	}
	st.bypassed.Add(uint64(len(s.batch.Bypass)))
	if len(s.batch.Packets) > 0 { // ICMP errors, and what waited for an SA
		r := s.link.pool.Get().(*receiver)
		r.deliver(s.batch.Packets)
		s.link.pool.Put(r)
	}
}
