package ikev1

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// BenchmarkHandshake is Main Mode and Quick Mode without PFS through two cores,
// both sides' work. BenchmarkRaw beside it is the cryptography that no
// implementation can avoid: compare their sums.
func BenchmarkHandshake(b *testing.B) { coretest.BenchHandshake(b, benchCases(b)) }

// BenchmarkRaw is the public-key cryptography of both sides of one handshake.
func BenchmarkRaw(b *testing.B) { coretest.BenchRaw(b, benchCases(b)) }

// BenchmarkHandshakeRatio has both take turns.
func BenchmarkHandshakeRatio(b *testing.B) { coretest.BenchRatio(b, benchCases(b)) }

// BenchmarkSessionHeap reports what an established session with one Child SA
// occupies on the heap, on either side, when it is idle.
func BenchmarkSessionHeap(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				coretest.BenchHeap(b, n, benchPair(b, nil))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchPair are two endpoints that know each other, without a data plane. Each
// session comes from an address of its own.
func benchPair(b *testing.B, edit func(p *Peer, own, other string)) *coretest.Bench[*Endpoint] {
	pa, pb := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	pb.Children[0].Local, pb.Children[0].Remote = pb.Children[0].Remote, pb.Children[0].Local
	if edit != nil {
		edit(pa, "a.example", "b.example")
		edit(pb, "b.example", "a.example")
	}
	x := &coretest.Bench[*Endpoint]{Now: testpki.Now}
	for i, peer := range []*Peer{pa, pb} {
		peer.Unique = ike.UniqueNever // or the sessions, all with one peer, would be one
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: nullplane.New(), Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet([]*Peer{peer})
		require.NoError(b, err)
		e.SetPeers(ps)
		x.Ends[i] = e
	}
	e := x.Ends[0]
	x.Initiate = func(n int, now time.Time) (ike.SessionID, error) {
		path := pathAB()
		path.Local = addrFrom(n)
		return e.Initiate(now, Initiation{Peer: pa, Path: path})
	}
	return x
}

// addrFrom is the address of one of many peers.
func addrFrom(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 500)
}

func benchCases(b *testing.B) []coretest.BenchCase[*Endpoint] {
	group := func(name string) func(p *Peer, own, other string) {
		return func(p *Peer, _, _ string) {
			p.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes128-sha256-prfsha256-"+name)}
		}
	}
	with := func(edit func(p *Peer, own, other string)) func(b *testing.B) *coretest.Bench[*Endpoint] {
		return func(b *testing.B) *coretest.Bench[*Endpoint] { return benchPair(b, edit) }
	}
	ca := testpki.NewRoot(b, testpki.Spec{Subject: "bench", CA: true, Key: testpki.RSA2048})
	keys := []*rsa.PrivateKey{testpki.Key(b, testpki.RSA2048, 1).(*rsa.PrivateKey), testpki.Key(b, testpki.RSA2048, 2).(*rsa.PrivateKey)}
	sum := sha256.Sum256([]byte("octets"))
	certificate, err := rsa.SignPKCS1v15(rand.Reader, keys[0], 0, sum[:])
	require.NoError(b, err)
	ecp256 := coretest.RawKeyExchange(dh.ECP256)
	return []coretest.BenchCase[*Endpoint]{
		{Name: "PSK-MODP2048", New: with(group("modp2048")), Raw: coretest.RawKeyExchange(dh.MODP2048)},
		{Name: "PSK-ECP256", New: with(group("ecp256")), Raw: ecp256},
		{Name: "RSA2048-ECP256", New: with(func(p *Peer, own, other string) {
			group("ecp256")(p, own, other)
			leaf := ca.Issue(b, testpki.Spec{Subject: own, DNS: []string{own}, Key: testpki.RSA2048, KeyNumber: len(other)})
			p.Methods = []AuthMethod{AuthRSA}
			p.Local.Credential = (&ike.Credential{Certificates: leaf.Chain(), Signer: leaf.Key}).Source()
			p.Remote.Credential, p.Remote.Trust = nil, &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
		}), Raw: func() {
			ecp256()
			for _, key := range keys {
				sig, _ := rsa.SignPKCS1v15(rand.Reader, key, 0, sum[:])
				_ = rsa.VerifyPKCS1v15(&key.PublicKey, 0, sum[:], sig)
				_ = rsa.VerifyPKCS1v15(&keys[0].PublicKey, 0, sum[:], certificate)
			}
		}},
	}
}
