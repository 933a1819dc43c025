package suite

import (
	"sync"
	"sync/atomic"
)

// NewLazyCipher is [NewCipher] for an SA that may never see a packet: what an
// algorithm makes of its keys, often twenty times their size, is made when Seal
// or Open are called first.
func NewLazyCipher(encrID, keyBits, integID uint16, encrKey, integKey []byte) (*Cipher, error) {
	c, err := newCipher(encrID, keyBits, integID, encrKey, integKey)
	if err != nil {
		return nil, err
	}
	keys := make([]byte, 0, len(encrKey)+len(integKey))
	c.mode = &lazy{encr: c.encr, integ: c.integ, keys: append(append(keys, encrKey...), integKey...), split: len(encrKey)}
	return c, nil
}

// lazy is a mode that is made at its first use.
type lazy struct {
	made atomic.Pointer[mode]

	mu    sync.Mutex
	encr  *ENCR
	integ *INTEG
	keys  []byte // both; wiped when the mode has them
	split int
}

func (m *lazy) get() mode {
	if made := m.made.Load(); made != nil {
		return *made
	}
	return m.make()
}

func (m *lazy) make() mode {
	m.mu.Lock()
	defer m.mu.Unlock()
	if made := m.made.Load(); made != nil {
		return *made
	}
	made := newMode(m.encr, m.integ, m.keys[:m.split], m.keys[m.split:])
	m.made.Store(&made)
	clear(m.keys)
	m.keys = nil
	return made
}

func (m *lazy) seal(buf []byte, n int, iv, aad, tail []byte) { m.get().seal(buf, n, iv, aad, tail) }

func (m *lazy) open(buf []byte, n int, iv, aad, tail []byte) bool {
	return m.get().open(buf, n, iv, aad, tail)
}

func (m *lazy) wipe() {
	if made := m.made.Load(); made != nil {
		(*made).wipe()
	}
	clear(m.keys)
}
