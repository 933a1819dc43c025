package pfkeytest

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// Config configures a [Kernel].
type Config struct {
	Dialect *pfkey.Dialect // not nil, not OpenBSD

	// Now is where the clock begins; zero is the begin of 2026. It moves with
	// [Kernel.Advance] only.
	Now time.Time

	// FirstHead is how NetBSD since a version between 7 and 9 serves GET and
	// DELETE: it looks among the SAs of one request ID only, of all those between
	// two addresses.
	FirstHead bool

	// Algorithms are what REGISTER lists; nil for what the system's kernel has.
	Auth, Encrypt []pfkey.Alg
}

// A Kernel is a PF_KEY kernel in memory. It is safe for concurrent use, starts
// no goroutine and reads no clock.
type Kernel struct {
	d             *pfkey.Dialect
	firstHead     bool
	auth, encrypt []pfkey.Alg

	mu       sync.Mutex
	now      time.Time
	conns    []*conn
	sas      map[saKey]*sa
	serial   uint64 // of SAs and policies: their order
	policies map[policyKey]*policy
	byID     map[uint32]*policy
	nextID   uint32
	nextSPI  uint32
	nextReq  uint32
	acquires map[uint32]*acquire
	nextAcq  uint32
	fail     map[pfkey.MsgType][]pfkey.Errno
	failing  func(pfkey.MsgType) pfkey.Errno
	silent   map[pfkey.MsgType]int
	requests map[pfkey.MsgType]int
	refused  []uint32
	lose     int // message of the next dump that is lost, from 1
}

type saKey struct {
	typ pfkey.SAType
	spi spd.SPI
	dst netip.Addr
}

type sa struct {
	pfkey.SAEntry
	serial     uint64
	pid        uint32
	seq        uint32
	added      time.Time
	used, last time.Time
	bytes      uint64
	packets    uint64
	softTold   bool
}

// NewKernel returns an empty kernel.
func NewKernel(cfg Config) *Kernel {
	k := &Kernel{
		d: cfg.Dialect, firstHead: cfg.FirstHead, auth: cfg.Auth, encrypt: cfg.Encrypt, now: cfg.Now,
		sas: map[saKey]*sa{}, policies: map[policyKey]*policy{}, byID: map[uint32]*policy{}, nextID: 1, nextSPI: 0x0c000000, nextReq: pfkey.MaxReqID + 1,
		acquires: map[uint32]*acquire{}, fail: map[pfkey.MsgType][]pfkey.Errno{}, silent: map[pfkey.MsgType]int{}, requests: map[pfkey.MsgType]int{},
	}
	if k.now.IsZero() {
		k.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if k.auth == nil && k.encrypt == nil {
		k.auth, k.encrypt = kernelAlgorithms(cfg.Dialect)
	}
	return k
}

// kernelAlgorithms are what the system's kernel lists, as recorded (NetBSD),
// measured (Linux) or read in its source.
func kernelAlgorithms(d *pfkey.Dialect) (auth, encrypt []pfkey.Alg) {
	has := map[string]string{
		"linux":   "hmac-md5 hmac-sha1 hmac-sha2-256 hmac-sha2-384 hmac-sha2-512 aes-xcbc-mac null des-cbc 3des-cbc cast128-cbc blowfish-cbc aes-cbc camellia-cbc aes-ctr serpent-cbc twofish-cbc",
		"freebsd": "hmac-sha1 hmac-sha2-256 hmac-sha2-384 hmac-sha2-512 aes-128-gmac null aes-cbc aes-ctr aes-gcm-16 aes-gmac",
		"netbsd":  "hmac-md5 hmac-sha1 hmac-sha2-256 hmac-sha2-384 hmac-sha2-512 hmac-ripemd160 aes-xcbc-mac des-cbc 3des-cbc cast128-cbc blowfish-cbc null aes-cbc aes-ctr aes-gcm-16 camellia-cbc aes-gmac",
		"macos":   "hmac-md5 hmac-sha1 hmac-sha2-256 hmac-sha2-384 hmac-sha2-512 null des-cbc 3des-cbc aes-cbc aes-gcm-16 chacha20-poly1305 aes-gmac",
	}[d.String()]
	bits := map[string][2]uint16{
		"hmac-md5": {128, 128}, "hmac-sha1": {160, 160}, "hmac-sha2-256": {256, 256}, "hmac-sha2-384": {384, 384}, "hmac-sha2-512": {512, 512},
		"hmac-ripemd160": {160, 160}, "aes-xcbc-mac": {128, 128}, "null": {0, 0}, "des-cbc": {64, 64}, "3des-cbc": {192, 192}, "cast128-cbc": {40, 128},
		"blowfish-cbc": {40, 448}, "aes-cbc": {128, 256}, "camellia-cbc": {64, 256}, "aes-ctr": {160, 288}, "aes-gcm-16": {160, 288},
		"aes-gmac": {160, 288}, "chacha20-poly1305": {288, 288}, "serpent-cbc": {128, 256}, "twofish-cbc": {128, 256}, "aes-128-gmac": {160, 160},
	}
	names := map[string]bool{}
	for n := range fields(has) {
		names[n] = true
	}
	for _, a := range d.Algorithms() {
		if !names[a.Name] {
			continue
		}
		x := pfkey.Alg{ID: a.ID, MinBits: bits[a.Name][0], MaxBits: bits[a.Name][1]}
		switch a.Kind {
		case pfkey.AlgAuth:
			auth = append(auth, x)
		case pfkey.AlgEncrypt:
			encrypt = append(encrypt, x)
		}
	}
	return auth, encrypt
}

func fields(s string) map[string]bool {
	m := map[string]bool{}
	word := ""
	for _, c := range s + " " {
		if c != ' ' {
			word += string(c)
			continue
		}
		m[word] = true
		word = ""
	}
	return m
}

// Connect returns a new socket.
func (k *Kernel) Connect() pfkey.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := &conn{k: k, registered: map[pfkey.SAType]bool{}}
	c.wake = sync.NewCond(&k.mu)
	k.conns = append(k.conns, c)
	return c
}

// FailNext makes the next requests of a type fail, one after the other; 0 lets
// one pass.
func (k *Kernel) FailNext(t pfkey.MsgType, errs ...pfkey.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail[t] = append(k.fail[t], errs...)
}

// Fail has f decide of each request whether it fails; 0 lets it pass. It runs
// under the kernel's lock. nil ends that.
func (k *Kernel) Fail(f func(t pfkey.MsgType) pfkey.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failing = f
}

// Ignore makes the next n requests of a type go without an answer and without
// effect.
func (k *Kernel) Ignore(t pfkey.MsgType, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.silent[t] += n
}

// LoseDumped makes the next dump lack its i-th message, from 0, as where a
// socket's queue was full.
func (k *Kernel) LoseDumped(i int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lose = i + 1
}

// putDumped writes a message of a dump.
func (k *Kernel) putDumped(c *conn, m *pfkey.Message, i int) {
	if k.lose == i+1 {
		k.lose = 0
		return
	}
	c.put(k.encode(m))
}

// Requests returns how many requests of a type there were.
func (k *Kernel) Requests(t pfkey.MsgType) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.requests[t]
}

// Overflow makes every socket lose what is waiting in it, and say so with
// ENOBUFS at its next Read.
func (k *Kernel) Overflow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		c.queue, c.lost = nil, true
		c.wake.Broadcast()
	}
}

// Inject gives every socket a message as it is, whatever it holds.
func (k *Kernel) Inject(b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.conns {
		c.put(slices.Clone(b))
	}
}

// SAs returns copies of all SAs, larval ones too, in the order of their
// creation.
func (k *Kernel) SAs() []pfkey.SAEntry {
	k.mu.Lock()
	defer k.mu.Unlock()
	var r []pfkey.SAEntry
	for _, s := range k.sorted(pfkey.SATypeUnspec) {
		e := s.SAEntry
		e.AuthKey, e.EncryptKey = e.AuthKey.Clone(), e.EncryptKey.Clone()
		e.Current = k.current(s)
		r = append(r, e)
	}
	return r
}

// Policies returns copies of all policies, in the order in which packets meet
// them.
func (k *Kernel) Policies() []pfkey.PolicyEntry {
	k.mu.Lock()
	defer k.mu.Unlock()
	var r []pfkey.PolicyEntry
	for _, p := range k.sortedPolicies() {
		e := p.PolicyEntry
		e.Policy.Requests = slices.Clone(e.Policy.Requests)
		r = append(r, e)
	}
	return r
}

// DropSA lets an SA disappear without a message.
func (k *Kernel) DropSA(key pfkey.SAKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sas, saKey{key.Type, key.SPI, key.Dst})
}

func (k *Kernel) is(d *pfkey.Dialect) bool { return k.d.String() == d.String() }

func (k *Kernel) linux() bool { return k.is(pfkey.Linux) }

// A conn is a socket. It is guarded by the kernel's lock.
type conn struct {
	k          *Kernel
	wake       *sync.Cond
	queue      [][]byte
	lost       bool
	closed     bool
	promisc    bool
	registered map[pfkey.SAType]bool
}

// Read implements [pfkey.Conn].
func (c *conn) Read(b []byte) (int, error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, fmt.Errorf("socket is closed")
		case c.lost:
			c.lost = false
			return 0, syscall.ENOBUFS
		case len(c.queue) > 0:
			n := copy(b, c.queue[0])
			c.queue = c.queue[1:]
			return n, nil
		}
		c.wake.Wait()
	}
}

func (c *conn) put(b []byte) {
	if !c.closed {
		c.queue = append(c.queue, b)
		c.wake.Signal()
	}
}

// Write implements [pfkey.Conn].
func (c *conn) Write(b []byte) (int, error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	if c.closed {
		return 0, fmt.Errorf("socket is closed")
	}
	if err := c.k.request(c, slices.Clone(b)); err != 0 {
		return 0, err
	}
	return len(b), nil
}

// Close implements [pfkey.Conn].
func (c *conn) Close() error {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	c.closed = true
	c.queue = nil
	c.wake.Broadcast()
	c.k.conns = slices.DeleteFunc(c.k.conns, func(o *conn) bool { return o == c })
	return nil
}

// encode encodes a message of the kernel's own making.
func (k *Kernel) encode(m *pfkey.Message) []byte {
	b, err := k.d.Append(nil, m)
	if err != nil {
		// A kernel's own messages cannot fail to encode; a test must not miss it.
		return []byte(hex.EncodeToString([]byte(err.Error())))
	}
	return b
}

// toAll gives a message to every socket.
func (k *Kernel) toAll(m *pfkey.Message) {
	for _, c := range k.conns {
		c.put(k.encode(m))
	}
}

// toRegistered gives a message to the sockets that have registered for a type.
func (k *Kernel) toRegistered(t pfkey.SAType, m *pfkey.Message) (any bool) {
	for _, c := range k.conns {
		if c.registered[t] {
			c.put(k.encode(m))
			any = true
		}
	}
	return any
}
