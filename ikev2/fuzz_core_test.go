package ikev2

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/spd"
)

func newFuzzPair(t *testing.T) *pair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	return newPair(t, a, b, func(a, b *Config) {
		a.Rand, b.Rand = rand.NewChaCha8([32]byte{1}), rand.NewChaCha8([32]byte{2})
		a.Limits.Children, b.Limits.Children = 4, 4
	})
}

// FuzzCore lets octets choose what happens to two endpoints: commands,
// deliveries in any order, damage, time, results of jobs.
func FuzzCore(f *testing.F) {
	for _, seed := range coretest.FuzzSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		p := newFuzzPair(t)
		z := &coretest.Fuzzed[*Endpoint]{Ends: [2]*Endpoint{p.a, p.b}, Planes: [2]*spd.Memory{p.pa, p.pb}, Now: p.now, Child: "net",
			Initiate: func(e *Endpoint, now time.Time) error {
				path := pathAB()
				if e == p.b {
					path = reverse(path)
				}
				_, err := e.Initiate(now, Initiation{Peer: e.peers.index.All()[0], Path: path})
				return err
			},
			Bounded: func(e *Endpoint) {
				require.LessOrEqual(t, len(e.sas), 64)
				require.LessOrEqual(t, e.Held().Jobs, 256)
			},
			Left: func(e *Endpoint) {
				require.Empty(t, e.sas)
				require.Empty(t, e.initial)
			},
		}
		z.Fuzz(t, steps)
	})
}

// FuzzOpen gives the insides of SK and SKF payloads, sealed with the right keys
// or not, to an established IKE SA.
func FuzzOpen(f *testing.F) {
	f.Add(byte(0), uint16(1), uint16(1), []byte{}, false)
	f.Add(byte(41), uint16(1), uint16(2), []byte{0, 0, 0, 8, 0, 0, 0x40, 0}, false)
	f.Add(byte(42), uint16(2), uint16(2), []byte{0, 0, 0, 8, 1, 0, 0, 0}, true)
	f.Add(byte(33), uint16(0), uint16(9), []byte("anything at all"), true)
	f.Fuzz(func(t *testing.T, first byte, number, total uint16, text []byte, raw bool) {
		if len(text) > 4096 {
			return
		}
		p := newFuzzPair(t)
		p.initiate()
		var sa *ikeSA
		for _, sa = range p.b.sas {
		}
		require.NotNil(t, sa)
		for i, x := range []message.ExchangeType{message.ExchangeInformational, message.ExchangeCreateChildSA} {
			h := sa.header(x, false, uint32(i))
			var b []byte
			if raw {
				// Not sealed: the text stands where IV, ciphertext and ICV should.
				kind := message.PayloadSK
				if number > 0 {
					kind = message.PayloadSKF
					text = append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, number), total), text...)
				}
				h.NextPayload, h.Length = kind, uint32(message.HeaderLen+4+len(text))
				b = append(h.Append(nil), first, 0, byte((len(text)+4)>>8), byte(len(text)+4))
				b = append(b, text...)
			} else {
				b = fuzzSeal(t, sa, h, message.PayloadType(first), number, total, text)
			}
			p.a.HandleDatagram(p.now, pathAB(), b)
			p.run()
		}
		p.advance(time.Minute)
		require.LessOrEqual(t, len(p.a.sas), 4)
	})
}

// fuzzSeal protects any octets, whether they are payloads or not.
func fuzzSeal(t *testing.T, sa *ikeSA, h message.Header, first message.PayloadType, number, total uint16, text []byte) []byte {
	c, err := sa.keys.sealer()
	require.NoError(t, err)
	defer sa.keys.done(c)
	body := make([]byte, 0, 64+len(text))
	kind := message.PayloadSK
	if number > 0 {
		kind = message.PayloadSKF
		body = binary.BigEndian.AppendUint16(body, number)
		body = binary.BigEndian.AppendUint16(body, total)
	}
	n := message.HeaderLen + 4 + len(body) + c.IVSize() + len(text) + 1 + c.ICVSize()
	h.NextPayload, h.Length = kind, uint32(n)
	p := h.Append(make([]byte, 0, n))
	p = append(p, byte(first), 0, byte((n-message.HeaderLen)>>8), byte(n-message.HeaderLen))
	p = append(p, body...)
	aad := len(p)
	p = p[:n]
	iv := p[aad : aad+c.IVSize()]
	require.NoError(t, sa.nextIV(c, iv))
	buf := p[aad+c.IVSize():]
	copy(buf, text)
	buf[len(text)] = 0
	require.NoError(t, c.Seal(buf, iv, p[:aad], nil))
	return p
}
