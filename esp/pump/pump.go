package pump

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/internal/outer"
)

// Config configures a [Pump].
type Config struct {
	// Engine protects the packets. It stays the program's.
	Engine *esp.Engine
	// TUN is the device of the inner network. It becomes the pump's, which
	// reads its events too and closes it.
	TUN tun.Device
	// Parallel is how many processors one direction may use, 1 to 3: packets
	// pass through reading, protecting and writing in their order, and batches
	// may be in different ones of these steps at the same time. 0 means as many
	// as there are processors to spare: 1 with up to three, since handing on
	// costs too.
	Parallel int
}

// Writer sends ESP packets in UDP: the Manager of the root package, or a
// [UDPConn].
type Writer = outer.Writer

// RawWriter sends ESP packets as IP protocol 50: a [RawConn].
type RawWriter = outer.RawWriter

// A Pump moves packets until it is closed or its device fails. Its methods may
// be called by several goroutines at once.
type Pump struct {
	engine *esp.Engine
	dev    tun.Device
	inner  inner

	parallel int

	// Who reads from the device holds reading, takes protecting before
	// giving it up, and so on: so batches cannot overtake each other.
	reading, protecting, sending sync.Mutex
	failures                     int // of reading
	delivery                     delivery

	writers atomic.Pointer[writers]
	setting sync.Mutex
	pool    sync.Pool // of *receiver
	stats   counters

	closing atomic.Bool
	calls   sync.RWMutex  // held for reading by calls of HandleESP
	quit    chan struct{} // closed by Close
	done    chan struct{} // closed when nothing runs any more
	once    sync.Once
	running sync.WaitGroup
	err     error // why it ended
}

// maxParallel is the number of steps.
const maxParallel = 3

type writers struct {
	udp outer.Writer
	raw outer.RawWriter
}

// inner is the TUN device as the pump uses it.
type inner interface {
	newSource() source
	newSink() sink
}

// A source is for one goroutine.
type source interface {
	// read waits for packets and returns them, with room around them. They
	// are valid until the next call. more says that others which came before
	// anything that is still in the device will be returned then.
	read() (list []esp.Packet, more bool, err error)
}

// A sink is for one goroutine at a time.
type sink interface {
	// write writes packets, and returns how many the device has taken. It
	// changes them.
	write(list []esp.Packet) (int, error)
}

// New begins to move packets. Until SetWriter is called, datagrams are lost.
func New(cfg Config) (*Pump, error) {
	if cfg.Engine == nil {
		return nil, errors.New("pump: Config.Engine is nil; make one with esp.New")
	}
	if cfg.TUN == nil {
		return nil, errors.New("pump: Config.TUN is nil; make one with tun.CreateTUN of golang.zx2c4.com/wireguard/tun")
	}
	switch {
	case cfg.Parallel < 0 || cfg.Parallel > maxParallel:
		return nil, fmt.Errorf("pump: Config.Parallel is %d; use 1 to %d, or 0 for what the processors suggest", cfg.Parallel, maxParallel)
	case cfg.Parallel == 0:
		cfg.Parallel = max(1, min(runtime.GOMAXPROCS(0)-2, maxParallel))
	}
	p := &Pump{
		engine: cfg.Engine, dev: cfg.TUN, parallel: cfg.Parallel,
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	var err error
	if p.inner, err = newInner(cfg.TUN); err != nil {
		return nil, err
	}
	p.writers.Store(new(writers))
	p.pool.New = func() any { return &receiver{sink: p.inner.newSink()} }
	for range p.parallel {
		p.running.Go(p.readDevice)
	}
	if p.parallel > 1 {
		p.delivery.init()
		p.running.Go(p.deliverParcels)
	}
	p.running.Go(p.releaseHeld)
	p.running.Go(p.readEvents)
	go func() {
		p.running.Wait()
		p.calls.Lock() // the last call has returned, and others see closing
		//lint:ignore SA2001 the lock is the wait
		p.calls.Unlock()
		close(p.done)
	}()
	return p, nil
}

// SetWriter says how datagrams in UDP leave from now on; nil stops them.
func (p *Pump) SetWriter(w Writer) {
	p.setting.Lock()
	defer p.setting.Unlock()
	p.writers.Store(&writers{w, p.writers.Load().raw})
}

// SetRawWriter says how datagrams without UDP leave from now on. The engine
// must have been made with esp.Config.RawESP.
func (p *Pump) SetRawWriter(w RawWriter) {
	p.setting.Lock()
	defer p.setting.Unlock()
	p.writers.Store(&writers{p.writers.Load().udp, w})
}

// HandleESP takes the ESP packets of one flow that arrived in UDP: it makes a
// Pump the PacketHandler of the root package's Manager. The packets are
// changed, and not kept.
func (p *Pump) HandleESP(local, remote netip.AddrPort, tos byte, packets [][]byte) {
	p.receive(local, remote, tos, true, packets)
}

// HandleRawESP is HandleESP for packets that arrived as IP protocol 50.
func (p *Pump) HandleRawESP(local, remote netip.Addr, tos byte, packets [][]byte) {
	p.receive(netip.AddrPortFrom(local, 0), netip.AddrPortFrom(remote, 0), tos, false, packets)
}

// Stats returns what the pump has counted.
func (p *Pump) Stats() Stats { return p.stats.load() }

// Done returns a channel that is closed when the pump has ended: by Close, or
// because its device failed. Err tells.
func (p *Pump) Done() <-chan struct{} { return p.done }

// Err returns why the pump has ended by itself, or nil. It is valid after Done.
func (p *Pump) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Close closes the device and waits until nothing of the pump runs any more.
// It returns the device's error.
func (p *Pump) Close() error {
	err := p.end(nil)
	<-p.done
	return err
}

func (p *Pump) end(why error) (err error) {
	p.once.Do(func() {
		p.err = why
		p.closing.Store(true)
		close(p.quit)
		err = p.dev.Close()
	})
	return err
}

// readEvents takes the device's events, which would block it otherwise.
func (p *Pump) readEvents() {
	events := p.dev.Events()
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		case <-p.quit:
			return
		}
	}
}
