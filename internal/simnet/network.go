package simnet

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
)

// carried is a datagram that a man in the middle has seen.
type carried struct {
	from   *Node
	path   ike.Path // as the receiver sees it
	packet []byte
}

// memory is how many datagrams the man in the middle remembers.
const memory = 64

// Partition cuts two nodes off from each other for a time.
func (w *World) Partition(a, b *Node, d time.Duration) {
	w.note("%s and %s: cut off for %v", a.Name, b.Name, d)
	w.cuts[[2]*Node{a, b}] = w.now.Add(d)
	w.cuts[[2]*Node{b, a}] = w.now.Add(d)
}

func (w *World) cut(a, b *Node) bool { return w.now.Before(w.cuts[[2]*Node{a, b}]) }

// Send puts a datagram of the test's own on the wire, as if the node's core
// had sent it.
func (n *Node) Send(tx ike.Transmit) { n.w.send(n, tx) }

// Carry lets anything travel from a node as a datagram would, without the
// faults but for latency and jitter: packets of a data plane. If somebody has
// the destination address, deliver is called there, with the addresses that
// the receiver sees.
func (n *Node) Carry(path ike.Path, latency, jitter time.Duration, deliver func(to *Node, path ike.Path)) {
	w := n.w
	seen := ike.Path{Local: path.Remote, Remote: n.outer(path.Local)}
	w.flying++
	w.After(w.Between(latency, latency+jitter), func() {
		w.flying--
		to, inner, ok := w.route(seen.Local)
		if !ok || w.cut(n, to) {
			return
		}
		seen.Local = inner
		deliver(to, seen)
	})
}

// send decides the fate of a datagram.
func (w *World) send(from *Node, tx ike.Transmit) {
	path := ike.Path{Local: tx.Path.Remote, Remote: from.outer(tx.Path.Local)}
	w.mix(tx.Packet)
	w.note("%s: sends %d octets to %v", from.Name, len(tx.Packet), tx.Path.Remote)
	f := &w.Faults
	c := carried{from, path, tx.Packet}
	if len(w.past) < memory {
		w.past = append(w.past, c)
	} else {
		w.past[w.next] = c
		w.next = (w.next + 1) % memory
	}
	defer func() {
		if len(w.forced) > 0 {
			w.forced = w.forced[1:]
		}
	}()
	if w.strikes(Replayed, f.Replay) {
		w.replay()
	}
	if w.strikes(Injected, f.Inject) {
		w.inject()
	}
	switch {
	case w.strikes(Lost, f.Loss):
		w.fired(Lost, "  lost")
		return
	case w.strikes(Flipped, f.Flip) && len(c.packet) > 0:
		c.packet = slices.Clone(c.packet)
		bit := w.rand.IntN(8 * len(c.packet))
		c.packet[bit/8] ^= 1 << (bit % 8)
		w.fired(Flipped, "  bit %d of octet %d flipped", bit%8, bit/8)
	case w.strikes(Truncated, f.Truncate) && len(c.packet) > 0:
		c.packet = slices.Clone(c.packet[:w.rand.IntN(len(c.packet))])
		w.fired(Truncated, "  truncated to %d octets", len(c.packet))
	}
	w.launch(c)
	if w.strikes(Duplicated, f.Duplicate) {
		w.fired(Duplicated, "  duplicated")
		w.launch(c)
	}
}

// launch sends a datagram on its way.
func (w *World) launch(c carried) {
	f := &w.Faults
	d := w.Between(f.Latency, f.Latency+f.Jitter)
	if w.strikes(Delayed, f.Late) {
		d += w.Between(f.Jitter, max(f.LateBy, f.Jitter+time.Millisecond))
		w.fired(Delayed, "  delayed by %v", d)
	}
	sent := w.now
	w.flying++
	w.After(d, func() {
		w.flying--
		w.arrive(c, sent)
	})
}

// arrive hands a datagram to whoever has its destination address now.
func (w *World) arrive(c carried, sent time.Time) {
	to, inner, ok := w.route(c.path.Local)
	switch {
	case !ok:
		w.fired(Unroutable, "%v: nobody is there", c.path.Local)
		return
	case c.from != nil && w.cut(c.from, to):
		w.fired(Partitioned, "%s: cut off from %s", to.Name, c.from.Name)
		return
	}
	if c.from != nil {
		if sent.Before(to.lastSent(c.from)) {
			w.fired(Reordered, "  overtaken")
		} else {
			to.newest[c.from] = sent
		}
	}
	c.path.Local = inner
	to.stats.Received++
	w.note("%s: receives %d octets from %v", to.Name, len(c.packet), c.path.Remote)
	// The receiver may keep nothing of it, and the sender may send it again:
	// each gets its own copy.
	to.cfg.Core.HandleDatagram(to.Now(), c.path, slices.Clone(c.packet))
}

// replay lets a recorded datagram arrive again, perhaps from another address.
func (w *World) replay() {
	c := w.past[w.rand.IntN(len(w.past))]
	if w.Chance(0.3) {
		c.path.Remote = w.otherAddr(c.path.Remote)
	}
	w.fired(Replayed, "  an old datagram of %d octets is replayed", len(c.packet))
	c.from = nil
	w.launch(c)
}

// inject lets a forged datagram arrive.
func (w *World) inject() {
	c := w.past[w.rand.IntN(len(w.past))]
	if w.Chance(0.3) {
		c.path.Remote = w.otherAddr(c.path.Remote)
	}
	if f := w.Faults.Forge; f != nil {
		c.packet = f(slices.Clone(c.packet))
	} else {
		c.packet = w.forge(slices.Clone(c.packet))
	}
	w.fired(Injected, "  a forged datagram of %d octets is injected", len(c.packet))
	c.from = nil
	w.launch(c)
}

// forge damages a datagram in one of several ways.
func (w *World) forge(b []byte) []byte {
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(w.rand.Uint32())
		}
	}
	switch w.rand.IntN(4) {
	case 0: // noise
		b = make([]byte, w.rand.IntN(200))
		fill(b)
	case 1: // another header, or a part of it
		if n := min(28, len(b)); n > 0 {
			at := w.rand.IntN(n)
			fill(b[at:min(at+1+w.rand.IntN(4), n)])
		}
	case 2: // another body
		if len(b) > 28 {
			fill(b[28:])
		}
	case 3: // some octets changed, some added
		for range w.rand.IntN(8) {
			if len(b) > 0 {
				b[w.rand.IntN(len(b))] = byte(w.rand.Uint32())
			}
		}
		tail := make([]byte, w.rand.IntN(16))
		fill(tail)
		b = append(b, tail...)
	}
	return b
}
