package ikev2

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/internal/testpki"
)

// BenchmarkHandshake is IKE_SA_INIT and IKE_AUTH with one Child SA through two
// cores, both sides' work. BenchmarkRaw beside it is the cryptography that no
// implementation can avoid: compare their sums.
func BenchmarkHandshake(b *testing.B) { coretest.BenchHandshake(b, benchCases(b)) }

// BenchmarkRaw is the public-key cryptography of both sides of one handshake.
func BenchmarkRaw(b *testing.B) { coretest.BenchRaw(b, benchCases(b)) }

// BenchmarkHandshakeRatio has both take turns.
func BenchmarkHandshakeRatio(b *testing.B) { coretest.BenchRatio(b, benchCases(b)) }

// BenchmarkSessionHeap reports what an established session with one Child SA
// occupies on the heap, on either side, when it is idle.
func BenchmarkSessionHeap(b *testing.B) {
	cases := benchCases(b)
	for _, size := range []struct {
		c coretest.BenchCase[*Endpoint]
		n int
	}{{cases[0], 10_000}, {cases[0], 100_000}, {cases[1], 2_000}} {
		b.Run(fmt.Sprintf("%s/%d", size.c.Name, size.n), func(b *testing.B) {
			for b.Loop() {
				coretest.BenchHeap(b, size.n, size.c.New(b))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchPair are two endpoints that know each other, without a data plane.
func benchPair(b *testing.B, edit func(p *Peer, own, other string)) *coretest.Bench[*Endpoint] {
	pa, pb := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	pb.Children[0].Local, pb.Children[0].Remote = pb.Children[0].Remote, pb.Children[0].Local
	if edit != nil {
		edit(pa, "a.example", "b.example")
		edit(pb, "b.example", "a.example")
	}
	x := &coretest.Bench[*Endpoint]{Now: testpki.Now}
	for i, peer := range []*Peer{pa, pb} {
		peer.Unique = ike.UniqueNever
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: nullplane.New(), Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet([]*Peer{peer})
		require.NoError(b, err)
		e.SetPeers(ps)
		x.Ends[i] = e
	}
	e := x.Ends[0]
	x.Initiate = func(_ int, now time.Time) (ike.SessionID, error) {
		return e.Initiate(now, Initiation{Peer: pa, Path: pathAB()})
	}
	return x
}

func benchCases(b *testing.B) []coretest.BenchCase[*Endpoint] {
	x25519 := coretest.RawKeyExchange(dh.Curve25519)
	ca := testpki.NewRoot(b, testpki.Spec{Subject: "bench", CA: true, Key: testpki.RSA2048})
	keys := []*rsa.PrivateKey{testpki.Key(b, testpki.RSA2048, 1).(*rsa.PrivateKey), testpki.Key(b, testpki.RSA2048, 2).(*rsa.PrivateKey)}
	sum := sha256.Sum256([]byte("octets"))
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	certificate, err := rsa.SignPKCS1v15(rand.Reader, keys[0], crypto.SHA256, sum[:])
	require.NoError(b, err)
	return []coretest.BenchCase[*Endpoint]{
		{Name: "PSK-X25519", New: func(b *testing.B) *coretest.Bench[*Endpoint] { return benchPair(b, nil) }, Raw: x25519},
		{Name: "RSA2048-X25519", New: func(b *testing.B) *coretest.Bench[*Endpoint] {
			return benchPair(b, func(p *Peer, own, other string) {
				leaf := ca.Issue(b, testpki.Spec{Subject: own, DNS: []string{own}, Key: testpki.RSA2048, KeyNumber: len(other)})
				p.Local.Method = AuthSignature
				p.Local.Credential = (&ike.Credential{Certificates: leaf.Chain(), Signer: leaf.Key}).Source()
				p.Remote.Methods = []AuthMethod{AuthSignature}
				p.Remote.Trust = &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
			})
		}, Raw: func() {
			x25519()
			for _, key := range keys {
				sig, _ := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], pss)
				_ = rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], sig, pss)
				_ = rsa.VerifyPKCS1v15(&keys[0].PublicKey, crypto.SHA256, sum[:], certificate)
			}
		}},
	}
}
