package netstack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/offload"
)

// receiver is what a goroutine that receives works with.
type receiver struct {
	link  *link
	list  []esp.Datagram
	batch esp.Batch
	merge offload.Merger
}

func newReceiver(l *link) *receiver { return &receiver{link: l} }

// receive opens ESP packets and hands what they hold to the stack.
func (l *link) receive(local, remote netip.AddrPort, tos byte, udp bool, packets [][]byte) {
	if l.closed.Load() {
		return
	}
	r := l.pool.Get().(*receiver)
	for _, b := range packets {
		r.list = append(r.list, esp.Datagram{
			Packet: esp.Packet{Buf: b, End: len(b)},
			Local:  local, Remote: remote, UDPEncap: udp, TOS: tos,
		})
	}
	r.batch.Reset()
	l.engine.Inbound(&r.batch, r.list...)
	l.stats.received.Add(uint64(len(r.list)))
	l.stats.delivered.Add(uint64(len(r.batch.Packets)))
	clear(r.list)
	r.list = r.list[:0]
	r.deliver(r.batch.Packets)
	l.pool.Put(r)
}

// deliver copies packets into the stack. TCP segments that follow each other
// become one packet, which spares the stack most of its work.
func (r *receiver) deliver(list []esp.Packet) {
	d := r.link.attached()
	if d == nil {
		return
	}
	r.merge.Reset()
	for _, p := range list {
		r.merge.Add(p.Bytes())
	}
	for i := range r.merge.Groups() {
		g := &r.merge.Groups()[i]
		if len(g.Tails) > 0 {
			g.Finish()
		}
		v := buffer.NewViewSize(g.Len())
		n := copy(v.AsSlice(), g.Head)
		for _, t := range g.Tails {
			n += copy(v.AsSlice()[n:], t)
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(v)})
		d.DeliverNetworkPacket(networkProtocol(g.Head), pkt)
		pkt.DecRef()
	}
	r.merge.Reset()
}

func networkProtocol(packet []byte) tcpip.NetworkProtocolNumber {
	if packet[0]>>4 == 4 {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}
