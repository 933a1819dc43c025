package ikev1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// fuzzExchanges are what a forged message may say that it belongs to; the first
// one is the exchange of the genuine message that it comes before.
var fuzzExchanges = []isakmp.ExchangeType{0, isakmp.ExchangeInformational, isakmp.ExchangeTransaction, isakmp.ExchangeQuickMode,
	isakmp.ExchangeNewGroupMode, isakmp.ExchangeIdentityProtection, isakmp.ExchangeAggressive}

// How a forged message is protected.
const (
	fuzzGenuine   = iota // HASH is right, so the peer itself has sent it
	fuzzWrongHash        // HASH is wrong
	fuzzNoHash           // the text stands alone
	fuzzRaw              // it is not even encrypted, but says so
	fuzzProofs
)

// fuzzLife is a life with each of the encrypted exchanges in it.
func fuzzLife(p *pair) {
	in := Initiation{Peer: p.a.peers.index.All()[0], Path: pathAB()}
	if _, err := p.a.Initiate(p.now, in); err != nil {
		require.NoError(p.t, err)
	}
	p.run()
	each := func(e *Endpoint, f func(s ike.SessionState)) {
		for s := range e.Sessions() {
			if s.Up {
				f(s)
			}
		}
		p.run()
	}
	child := func(s ike.SessionState, f func(now time.Time, id ike.SessionID, c ike.ChildID) error) {
		if len(s.Children) > 0 {
			_ = f(p.now, s.ID, s.Children[0].ID)
		}
	}
	each(p.a, func(s ike.SessionState) { child(s, p.a.RekeyChild) })
	each(p.b, func(s ike.SessionState) { _ = p.b.CheckLiveness(p.now, s.ID) })
	each(p.b, func(s ike.SessionState) { child(s, p.b.RekeyChild) })
	each(p.a, func(s ike.SessionState) { _ = p.a.CheckLiveness(p.now, s.ID) })
	each(p.b, func(s ike.SessionState) { child(s, p.b.DeleteChild) })
	each(p.a, func(s ike.SessionState) { _ = p.a.CreateChild(p.now, s.ID, "net", 0, nil) })
	each(p.a, func(s ike.SessionState) { _ = p.a.RekeyIKE(p.now, s.ID) })
	p.advance(20 * time.Second)
}

// fuzzEnd deletes everything, and fails if anything is left.
func fuzzEnd(t testing.TB, p *pair) {
	for _, e := range []*Endpoint{p.a, p.b} {
		for s := range e.Sessions() {
			_ = e.Delete(p.now, s.ID, ike.DownLocal)
		}
	}
	p.advance(time.Hour)
	for _, e := range []*Endpoint{p.a, p.b} {
		fuzzEmpty(t, e)
		require.Empty(t, e.Held().SAs)
		require.Zero(t, e.Held().Jobs)
		require.Zero(t, e.Held().Timers)
	}
	require.Empty(t, p.pa.Leaks())
	require.Empty(t, p.pb.Leaks())
}

// FuzzEncrypted puts any octets where the plaintext of an encrypted message is:
// one comes before each of the encrypted messages of a life in turn, protected
// with the keys that the receiver has at that moment. What is not authentic
// changes nothing; what is may end things, but not grow them.
func FuzzEncrypted(f *testing.F) {
	for kind := range fuzzKinds {
		fuzzEncryptedSeeds(f, byte(kind))
	}
	f.Add(byte(0), byte(4), byte(1), byte(isakmp.PayloadDelete), byte(fuzzGenuine), []byte{0, 0, 0, 28, 0, 0, 0, 1, 1, 16, 0, 1})
	f.Add(byte(0), byte(6), byte(4), byte(isakmp.PayloadSA), byte(fuzzGenuine), []byte{0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, kind, at, exchange, first, proof byte, text []byte) {
		if len(text) > 4096 {
			return
		}
		p := newFuzzPair(t, kind)
		count := 0
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			h, err := isakmp.ParseHeader(tx.Packet)
			if err != nil || !h.Encrypted() {
				return true
			}
			if count++; count-1 == int(at)%32 {
				fuzzForge(t, p, p.other(from), tx, fuzzExchanges[int(exchange)%len(fuzzExchanges)], isakmp.PayloadType(first), proof%fuzzProofs, text)
			}
			return true
		}
		fuzzLife(p)
		for _, e := range []*Endpoint{p.a, p.b} {
			fuzzBounded(t, e)
			require.LessOrEqual(t, len(e.sessions), 4)
		}
		p.filter = nil
		fuzzEnd(t, p)
	})
}

// fuzzEncryptedSeeds adds the genuine messages of a life.
func fuzzEncryptedSeeds(f *testing.F, kind byte) {
	p := newFuzzPair(f, kind)
	n := byte(0)
	take := func(t ike.TraceRecord) {
		h, err := isakmp.ParseHeader(t.Message)
		if err != nil || t.Outbound {
			return
		}
		body := t.Message[isakmp.HeaderLen:]
		chain, err := isakmp.ParseChain(h.NextPayload, body)
		if err != nil || h.MessageID == 0 && h.Exchange != isakmp.ExchangeIdentityProtection {
			return
		}
		first := h.NextPayload
		if h.MessageID != 0 {
			first, body = isakmp.PayloadType(body[0]), body[chain[0].End():]
		}
		f.Add(kind, n, byte(0), byte(first), byte(fuzzGenuine), bytes.Clone(body))
		f.Add(kind, n, byte(0), byte(first), byte(fuzzWrongHash), bytes.Clone(body))
		f.Add(kind, n+1, byte(0), byte(first), byte(fuzzGenuine), bytes.Clone(body))
		n++
	}
	p.a.cfg.Trace, p.b.cfg.Trace = take, take
	fuzzLife(p)
	fuzzEnd(f, p)
}

// fuzzForge hands an endpoint a forged message in front of a genuine one.
func fuzzForge(t *testing.T, p *pair, to *Endpoint, genuine ike.Transmit, exchange isakmp.ExchangeType, first isakmp.PayloadType, proof byte, text []byte) {
	h, err := isakmp.ParseHeader(genuine.Packet)
	require.NoError(t, err)
	path := reverse(genuine.Path)
	sa := to.find(path, h)
	if sa == nil || sa.keys == nil {
		return
	}
	switch {
	case exchange == 0:
	case exchange == isakmp.ExchangeIdentityProtection || exchange == isakmp.ExchangeAggressive:
		h.Exchange, h.MessageID = exchange, 0
	default:
		h.Exchange, h.MessageID = exchange, 0x4711
	}
	b := fuzzSeal(t, sa, h, first, proof, text)
	before := fuzzState(to)
	to.HandleDatagram(p.now, path, b)
	// Phase 1 proves itself by what is inside. Before the peer has proved itself,
	// the keys show no more than that it is whoever the keys were agreed with.
	if h.MessageID != 0 && proof != fuzzGenuine || proof == fuzzRaw {
		require.Equal(t, before, fuzzState(to), "by what is not authentic")
	}
	p.work(to)
}

// fuzzSeal protects any octets as a message to the owner of sa.
func fuzzSeal(t *testing.T, sa *isakmpSA, h isakmp.Header, first isakmp.PayloadType, proof byte, text []byte) []byte {
	c, err := sa.cipher()
	require.NoError(t, err)
	iv, hash := sa.lastBlock, func([]byte) []byte { return make([]byte, sa.keys.hash.prf.Size) }
	x := sa.exchanges[h.MessageID]
	switch {
	case h.MessageID == 0 && sa.p1 != nil:
		iv = sa.p1.iv
	case h.MessageID == 0:
	case !sa.ready():
		iv = sa.keys.hash.phase2IV(sa.blockSize(), sa.p1.iv, h.MessageID)
		hash = func(covered []byte) []byte { return sa.keys.messageHash(h.MessageID, covered) }
	case x != nil && x.of != nil:
		iv = x.iv
		hash = func(covered []byte) []byte { return x.of.hash(x, covered) }
	default:
		iv = sa.keys.hash.phase2IV(sa.blockSize(), sa.lastBlock, h.MessageID)
		hash = func(covered []byte) []byte { return sa.keys.messageHash(h.MessageID, covered) }
	}
	body, next := bytes.Clone(text), first
	if h.MessageID != 0 && proof < fuzzNoHash {
		size := sa.keys.hash.prf.Size
		body = append(append([]byte{byte(first), 0, 0, byte(4 + size)}, make([]byte, size)...), text...)
		next = isakmp.PayloadHASH
		covered := text
		if chain, err := isakmp.ParsePaddedChain(next, body); err == nil {
			if _, some, err := chain.Hashed(body); err == nil {
				covered = some
			}
		}
		copy(body[4:], hash(covered))
		if proof == fuzzWrongHash {
			body[4] ^= 1
		}
	}
	for len(body)%c.blockSize() > 0 || len(body) == 0 {
		body = append(body, 0)
	}
	if proof != fuzzRaw {
		_, err = c.seal(iv, body)
		require.NoError(t, err)
	}
	h.NextPayload, h.Flags, h.Length = next, isakmp.FlagEncryption, uint32(isakmp.HeaderLen+len(body))
	b, err := h.AppendBinary(nil)
	require.NoError(t, err)
	return append(b, body...)
}

// fuzzState is everything of an endpoint that a message could change.
func fuzzState(e *Endpoint) string {
	var b strings.Builder
	h := e.Held()
	fmt.Fprintf(&b, "%d jobs, %d timers, %d half-open\n", h.Jobs, h.Timers, h.HalfOpen)
	for s := range e.Sessions() {
		fmt.Fprintf(&b, "%+v\n", s)
		for _, sa := range e.sessions[s.ID].sas {
			fmt.Fprintf(&b, "%v %v %v leaving %v, %d octets, used %v\n", sa.local, sa.remote, sa.state, sa.leaving, sa.octets, sa.used)
			if sa.p1 != nil {
				fmt.Fprintf(&b, "phase 1 at %d, busy %v, %x, refused %v\n", sa.p1.step, sa.p1.busy, sa.p1.iv, sa.p1.refused)
			}
			for _, x := range sortedExchanges(sa.exchanges) {
				fmt.Fprintf(&b, "%08x %T busy %v, waits %v, %x %x\n", x.id, x.of, x.busy, x.waits, x.iv, x.seen)
			}
		}
	}
	return b.String()
}
