package ikev2

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/internal/testpki"
)

// BenchmarkHandshake is IKE_SA_INIT and IKE_AUTH with one Child SA through two
// cores, both sides' work. BenchmarkRaw beside it is the cryptography that no
// implementation can avoid: compare their sums.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range benchCases(b) {
		b.Run(c.name, func(b *testing.B) { benchHandshake(b, c.edit) })
	}
}

// benchPair are two endpoints that know each other, and the peer that the
// first calls. Their data plane does nothing, so that the core's own cost
// shows.
func benchPair(b *testing.B, edit func(p *Peer, own, other string)) ([]*Endpoint, *Peer) {
	pa, pb := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	pb.Children[0].Local, pb.Children[0].Remote = pb.Children[0].Remote, pb.Children[0].Local
	if edit != nil {
		edit(pa, "a.example", "b.example")
		edit(pb, "b.example", "a.example")
	}
	ends := make([]*Endpoint, 2)
	for i, peer := range []*Peer{pa, pb} {
		peer.Unique = ike.UniqueNever
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: nullplane.New(), Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet([]*Peer{peer})
		require.NoError(b, err)
		e.SetPeers(ps)
		ends[i] = e
	}
	return ends, pa
}

// benchDrain carries everything between two endpoints until nothing is left to
// do, and returns how many Child SAs came up.
func benchDrain(now time.Time, ends []*Endpoint) (children int) {
	ctx := context.Background()
	for busy := true; busy; {
		busy = false
		for i, e := range ends {
			for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
				busy = true
				e.HandleResult(now, j.Do(ctx))
			}
			for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
				busy = true
				ends[1-i].HandleDatagram(now, reverse(tx.Path), tx.Packet)
			}
			for ev, ok := e.PollEvent(); ok; ev, ok = e.PollEvent() {
				if _, up := ev.(ike.ChildUp); up {
					children++
				}
			}
		}
	}
	return children
}

func benchHandshake(b *testing.B, edit func(p *Peer, own, other string)) {
	ends, peer := benchPair(b, edit)
	now := testpki.Now
	b.ReportAllocs()
	for b.Loop() {
		id, err := ends[0].Initiate(now, Initiation{Peer: peer, Path: pathAB()})
		require.NoError(b, err)
		require.Equal(b, 2, benchDrain(now, ends))
		b.StopTimer()
		require.NoError(b, ends[0].Delete(now, id, ike.DownLocal))
		benchDrain(now, ends)
		now = now.Add(time.Minute)
		ends[0].HandleTimeout(now)
		ends[1].HandleTimeout(now)
		benchDrain(now, ends)
		b.StartTimer()
	}
}

// BenchmarkHandshakeRatio is the same with the raw cryptography after each
// handshake, so that both have the machine at the same time, and reports the
// medians of the processor time and their ratio.
func BenchmarkHandshakeRatio(b *testing.B) {
	for _, c := range benchCases(b) {
		b.Run(c.name, func(b *testing.B) {
			ends, peer := benchPair(b, c.edit)
			now := testpki.Now
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var handshakes, raws []time.Duration
			for b.Loop() {
				begin := benchClock()
				id, err := ends[0].Initiate(now, Initiation{Peer: peer, Path: pathAB()})
				children := benchDrain(now, ends)
				handshakes = append(handshakes, benchClock()-begin)
				require.NoError(b, err)
				require.Equal(b, 2, children)
				require.NoError(b, ends[0].Delete(now, id, ike.DownLocal))
				benchDrain(now, ends)
				now = now.Add(time.Minute)
				ends[0].HandleTimeout(now)
				ends[1].HandleTimeout(now)
				benchDrain(now, ends)
				begin = benchClock()
				c.raw()
				raws = append(raws, benchClock()-begin)
			}
			median := func(d []time.Duration) float64 {
				slices.Sort(d)
				return float64(d[len(d)/2]) / 1000
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(handshakes), "handshake-us")
			b.ReportMetric(median(raws), "raw-us")
			b.ReportMetric(median(handshakes)/median(raws), "ratio")
		})
	}
}

// A benchCase is a way to authenticate, and the public-key cryptography of
// both sides of its handshake.
type benchCase struct {
	name string
	edit func(p *Peer, own, other string)
	raw  func()
}

func benchCases(b *testing.B) []benchCase {
	x25519 := func() {
		k1, _ := ecdh.X25519().GenerateKey(rand.Reader)
		k2, _ := ecdh.X25519().GenerateKey(rand.Reader)
		_, _ = k1.ECDH(k2.PublicKey())
		_, _ = k2.ECDH(k1.PublicKey())
	}
	ca := testpki.NewRoot(b, testpki.Spec{Subject: "bench", CA: true, Key: testpki.RSA2048})
	keys := []*rsa.PrivateKey{testpki.Key(b, testpki.RSA2048, 1).(*rsa.PrivateKey), testpki.Key(b, testpki.RSA2048, 2).(*rsa.PrivateKey)}
	sum := sha256.Sum256([]byte("octets"))
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	certificate, err := rsa.SignPKCS1v15(rand.Reader, keys[0], crypto.SHA256, sum[:])
	require.NoError(b, err)
	return []benchCase{
		{"PSK-X25519", nil, x25519},
		{"RSA2048-X25519", func(p *Peer, own, other string) {
			leaf := ca.Issue(b, testpki.Spec{Subject: own, DNS: []string{own}, Key: testpki.RSA2048, KeyNumber: len(other)})
			p.Local.Method = AuthSignature
			p.Local.Credential = (&ike.Credential{Certificates: leaf.Chain(), Signer: leaf.Key}).Source()
			p.Remote.Methods = []AuthMethod{AuthSignature}
			p.Remote.Trust = &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
		}, func() {
			x25519()
			for _, key := range keys {
				sig, _ := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], pss)
				_ = rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], sig, pss)
				_ = rsa.VerifyPKCS1v15(&keys[0].PublicKey, crypto.SHA256, sum[:], certificate)
			}
		}},
	}
}

// BenchmarkRaw is the public-key cryptography of both sides of one handshake.
func BenchmarkRaw(b *testing.B) {
	for _, c := range benchCases(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.raw()
			}
		})
	}
}
