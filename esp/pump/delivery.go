package pump

import "github.com/racoon3/racoon/esp"

// delivery is between the goroutines that receive and one that writes to the
// device. What is received stands in memory of the socket's owner, so it is
// copied.
type delivery struct {
	full, empty chan *parcel
}

// parcel is a batch of packets.
type parcel struct {
	buf  []byte
	list []esp.Packet
}

// parcels is how many may wait; then who receives waits, and the socket's
// buffer fills.
const parcels = 4

func (d *delivery) init() {
	d.full, d.empty = make(chan *parcel, parcels), make(chan *parcel, parcels)
	for range parcels {
		d.empty <- new(parcel)
	}
}

// handOver copies packets for the goroutine that writes them.
func (p *Pump) handOver(list []esp.Packet) {
	if len(list) == 0 {
		return
	}
	var c *parcel
	select {
	case c = <-p.delivery.empty:
	case <-p.quit:
		return
	}
	size := 0
	for i := range list {
		size += deviceRoom + list[i].Len()
	}
	if len(c.buf) < size {
		c.buf = make([]byte, size+size/2)
	}
	c.list = c.list[:0]
	at := 0
	for _, q := range list {
		start := at + deviceRoom
		at = start + copy(c.buf[start:], q.Bytes())
		c.list = append(c.list, esp.Packet{Buf: c.buf, Start: start, End: at})
	}
	p.delivery.full <- c // there is always room
}

func (p *Pump) deliverParcels() {
	s := p.inner.newSink()
	for {
		select {
		case c := <-p.delivery.full:
			p.deliver(s, c.list)
			p.delivery.empty <- c
		case <-p.quit:
			return
		}
	}
}
