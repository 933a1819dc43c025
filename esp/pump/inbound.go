package pump

import (
	"net/netip"

	"github.com/racoon3/racoon/esp"
)

// receiver is what a goroutine that receives works with.
type receiver struct {
	list  []esp.Datagram
	batch esp.Batch
	sink  sink
}

// receive opens ESP packets and writes what they hold to the device.
func (p *Pump) receive(local, remote netip.AddrPort, tos byte, udp bool, packets [][]byte) {
	p.calls.RLock()
	defer p.calls.RUnlock()
	if p.closing.Load() {
		return
	}
	r := p.pool.Get().(*receiver)
	for _, b := range packets {
		r.list = append(r.list, esp.Datagram{
			Packet: esp.Packet{Buf: b, End: len(b)},
			Local:  local, Remote: remote, UDPEncap: udp, TOS: tos,
		})
	}
	p.stats.received.Add(uint64(len(packets)))
	r.batch.Reset()
	p.engine.Inbound(&r.batch, r.list...)
	if p.parallel > 1 {
		p.handOver(r.batch.Packets)
	} else {
		p.deliver(r.sink, r.batch.Packets)
	}
	clear(r.list)
	r.list = r.list[:0]
	p.pool.Put(r)
}

// deliver writes packets to the device.
func (p *Pump) deliver(s sink, list []esp.Packet) {
	if len(list) == 0 {
		return
	}
	n, err := s.write(list)
	p.stats.toDevice.Add(uint64(n))
	if err != nil && !p.closing.Load() {
		p.stats.deviceErrors.Add(1)
	}
}
