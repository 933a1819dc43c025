package ikev2

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// fuzzPair is a pair of endpoints whose steps are chosen by octets. Datagrams
// and jobs wait until they are asked for.
type fuzzPair struct {
	*pair
	wire [2][]ike.Transmit // to a, to b
	jobs [2][]ike.Job
	ends [2]*Endpoint
}

func newFuzzPair(t *testing.T) *fuzzPair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	p := newPair(t, a, b, func(a, b *Config) {
		a.Rand, b.Rand = rand.NewChaCha8([32]byte{1}), rand.NewChaCha8([32]byte{2})
		a.Limits.Children, b.Limits.Children = 4, 4
	})
	return &fuzzPair{pair: p, ends: [2]*Endpoint{p.a, p.b}}
}

// drain collects what the endpoints have to say.
func (p *fuzzPair) drain() {
	for i, e := range p.ends {
		for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
			if w := &p.wire[1-i]; len(*w) < 64 {
				*w = append(*w, tx)
			}
		}
		for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
			p.jobs[i] = append(p.jobs[i], j)
		}
		for _, ok := e.PollEvent(); ok; _, ok = e.PollEvent() {
		}
		for _, ev := range []*spd.Memory{p.pa, p.pb}[i].PollEvents() {
			e.HandleDataPlane(p.now, ev)
		}
	}
}

// FuzzCore lets octets choose what happens to two endpoints: commands,
// deliveries in any order, damage, time, results of jobs. Nothing may panic or
// grow without bound, and after the end nothing may be left.
func FuzzCore(f *testing.F) {
	work := bytes.Repeat([]byte{16, 17, 9, 8}, 12) // jobs of both, datagrams to both
	f.Add(slices.Concat([]byte{0}, work))
	for _, c := range []byte{2, 3, 4, 5, 6, 7} {
		f.Add(slices.Concat([]byte{0}, work, []byte{c, 0, c, 1}, work, []byte{c, 1}, work))
	}
	f.Add([]byte{0, 1, 16, 17, 10, 3, 77, 11, 5, 1, 8, 9, 12, 200, 13, 200, 14, 15})
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 400 {
			steps = steps[:400]
		}
		p := newFuzzPair(t)
		next := func() (b byte) {
			if len(steps) > 0 {
				b, steps = steps[0], steps[1:]
			}
			return b
		}
		session := func(e *Endpoint) (ike.SessionState, bool) {
			for s := range e.Sessions() {
				if s.Up {
					return s, true
				}
			}
			return ike.SessionState{}, false
		}
		for len(steps) > 0 {
			op := next() % 20
			switch op {
			case 0, 1:
				e := p.ends[op]
				path := pathAB()
				if op == 1 {
					path = reverse(path)
				}
				if len(e.sessions) < 4 {
					_, err := e.Initiate(p.now, Initiation{Peer: e.peers.index.All()[0], Path: path})
					require.NoError(t, err)
				}
			case 2, 3, 4, 5, 6, 7:
				e := p.ends[next()%2]
				s, ok := session(e)
				if !ok {
					break
				}
				switch {
				case op == 2:
					_ = e.RekeyIKE(p.now, s.ID)
				case op == 3:
					_ = e.CheckLiveness(p.now, s.ID)
				case op == 4:
					_ = e.CreateChild(p.now, s.ID, "net", 0, nil)
				case op == 5:
					_ = e.Delete(p.now, s.ID, ike.DownLocal)
				case len(s.Children) == 0:
				case op == 6:
					_ = e.RekeyChild(p.now, s.ID, s.Children[0].ID)
				case op == 7:
					_ = e.DeleteChild(p.now, s.ID, s.Children[0].ID)
				}
			case 8, 9, 10, 11, 12, 13: // deliver the first; damaged; the n-th, which stays
				to := int(op) & 1
				w := &p.wire[to]
				if len(*w) == 0 {
					break
				}
				i := 0
				if op >= 12 {
					i = int(next()) % len(*w)
				}
				tx := (*w)[i]
				b := append([]byte(nil), tx.Packet...)
				switch {
				case op >= 12:
				case op >= 10:
					b[int(next())%len(b)] ^= next() | 1
				default:
					*w = (*w)[1:]
				}
				p.ends[to].HandleDatagram(p.now, reverse(tx.Path), b)
			case 14: // time passes up to the next timer
				for _, e := range p.ends {
					if at, ok := e.PollTimeout(); ok && at.After(p.now) {
						p.now = at
						break
					}
				}
				p.a.HandleTimeout(p.now)
				p.b.HandleTimeout(p.now)
			case 15:
				p.now = p.now.Add(time.Duration(next()) * 100 * time.Millisecond)
				p.a.HandleTimeout(p.now)
				p.b.HandleTimeout(p.now)
			case 16, 17, 18, 19: // the result of the first job, or its failure
				to := int(op) & 1
				if len(p.jobs[to]) == 0 {
					break
				}
				j := p.jobs[to][0]
				p.jobs[to] = p.jobs[to][1:]
				r := ike.Result{ID: j.ID, Err: context.Canceled}
				keeps := j.Kind == ike.JobRemove || j.Kind == ike.JobAllocSPI || j.Kind == ike.JobInstall || j.Kind == ike.JobMove
				if op < 18 || keeps {
					r = j.Do(t.Context())
				}
				p.ends[to].HandleResult(p.now, r)
			}
			p.drain()
			for _, e := range p.ends {
				require.LessOrEqual(t, len(e.sas), 64)
				require.LessOrEqual(t, e.Held().Jobs, 256)
			}
		}
		for to, e := range p.ends {
			for s := range e.Sessions() {
				_ = e.Delete(p.now, s.ID, ike.DownLocal)
			}
			for _, j := range p.jobs[to] {
				e.HandleResult(p.now, j.Do(t.Context()))
			}
		}
		p.advance(time.Hour)
		for i, e := range p.ends {
			require.Empty(t, e.sas)
			require.Empty(t, e.sessions)
			require.Empty(t, e.Held().SAs)
			require.Empty(t, e.initial)
			require.Zero(t, e.Held().Addresses)
			require.Zero(t, e.Held().Jobs)
			require.Zero(t, e.HalfOpen())
			require.Zero(t, e.Held().Timers)
			require.Empty(t, []*spd.Memory{p.pa, p.pb}[i].Leaks())
		}
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
		p := newFuzzPair(t).pair
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
