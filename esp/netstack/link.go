package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/racoon3/racoon/esp"
)

// link is the stack's interface: packets go through the engine. What the stack
// sends is queued, and protected and sent in batches by one goroutine: the
// stack holds locks while it sends, and the order must be kept. TCP comes in
// packets of up to 64 KiB, which are cut here.
type link struct {
	engine *esp.Engine
	mtu    uint32
	stats  counters

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher

	queue  queue
	out    sender
	quit   chan struct{} // closed to end run
	done   chan struct{} // closed when it has ended
	pool   sync.Pool     // of *receiver
	closed atomic.Bool
}

func newLink(e *esp.Engine, mtu, queued int) *link {
	l := &link{engine: e, mtu: uint32(mtu), quit: make(chan struct{}), done: make(chan struct{})}
	l.queue.init(queued)
	l.pool.New = func() any { return newReceiver(l) }
	l.out.init(l)
	return l
}

func (l *link) start() { go l.run() }

// stop sends what is queued and ends the goroutine.
func (l *link) stop() {
	l.closed.Store(true)
	close(l.quit)
	<-l.done
}

func (l *link) run() {
	defer close(l.done)
	for {
		select {
		case <-l.queue.signal:
			l.out.packets(l.queue.take())
		case <-l.engine.Ready():
			l.out.release()
		case <-l.quit:
			l.out.packets(l.queue.close())
			return
		}
	}
}

// WritePackets implements stack.LinkWriter. It takes what fits in the queue.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	n := l.queue.put(list.AsSlice())
	if n < list.Len() {
		if n < 0 {
			return 0, &tcpip.ErrClosedForSend{}
		}
		l.stats.queueDrops.Add(uint64(list.Len() - n))
		if n == 0 {
			return 0, &tcpip.ErrNoBufferSpace{}
		}
	}
	return n, nil
}

// SupportedGSO implements stack.GSOEndpoint: cutting TCP into segments is left
// to the link.
func (l *link) SupportedGSO() stack.SupportedGSO { return stack.HostGSOSupported }

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return 65535 }

func (l *link) MTU() uint32 { return atomic.LoadUint32(&l.mtu) }

func (l *link) SetMTU(mtu uint32) {}

func (l *link) MaxHeaderLength() uint16 { return 0 }

func (l *link) LinkAddress() tcpip.LinkAddress { return "" }

func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }

func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

func (l *link) attached() stack.NetworkDispatcher {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher
}

func (l *link) IsAttached() bool { return l.attached() != nil }

func (l *link) Wait() {}

func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

func (l *link) AddHeader(*stack.PacketBuffer) {}

func (l *link) ParseHeader(*stack.PacketBuffer) bool { return true }

func (l *link) Close() {}

func (l *link) SetOnCloseAction(func()) {}
