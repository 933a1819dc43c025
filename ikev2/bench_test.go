package ikev2

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// BenchmarkHandshake is IKE_SA_INIT and IKE_AUTH with one Child SA through two
// cores, both sides' work. BenchmarkRaw beside it is the cryptography that no
// implementation can avoid: compare their sums.
func BenchmarkHandshake(b *testing.B) {
	b.Run("PSK-X25519", func(b *testing.B) { benchHandshake(b, nil) })
	b.Run("RSA2048-X25519", func(b *testing.B) {
		ca := testpki.NewRoot(b, testpki.Spec{Subject: "bench", CA: true, Key: testpki.RSA2048})
		benchHandshake(b, func(p *Peer, own, other string) {
			leaf := ca.Issue(b, testpki.Spec{Subject: own, DNS: []string{own}, Key: testpki.RSA2048, KeyNumber: len(other)})
			p.Local.Method = AuthSignature
			p.Local.Credential = (&ike.Credential{Certificates: leaf.Chain(), Signer: leaf.Key}).Source()
			p.Remote.Methods = []AuthMethod{AuthSignature}
			p.Remote.Trust = &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
		})
	})
}

func benchHandshake(b *testing.B, edit func(p *Peer, own, other string)) {
	pa, pb := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	pb.Children[0].Local, pb.Children[0].Remote = pb.Children[0].Remote, pb.Children[0].Local
	if edit != nil {
		edit(pa, "a.example", "b.example")
		edit(pb, "b.example", "a.example")
	}
	now := testpki.Now
	var ends [2]*Endpoint
	for i, peer := range []*Peer{pa, pb} {
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: &noPlane{Memory: spd.NewMemory(spd.MemoryConfig{})}, Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet([]*Peer{peer})
		require.NoError(b, err)
		e.SetPeers(ps)
		ends[i] = e
	}
	ctx := context.Background()
	drain := func() (events int) {
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
						events++
					}
				}
			}
		}
		return events
	}
	b.ReportAllocs()
	for b.Loop() {
		id, err := ends[0].Initiate(now, Initiation{Peer: pa, Path: pathAB()})
		require.NoError(b, err)
		require.Equal(b, 2, drain())
		b.StopTimer()
		require.NoError(b, ends[0].Delete(now, id, ike.DownLocal))
		drain()
		now = now.Add(time.Minute)
		ends[0].HandleTimeout(now)
		ends[1].HandleTimeout(now)
		drain()
		b.StartTimer()
	}
}

// noPlane installs nothing, so that the benchmark shows the core's own cost.
type noPlane struct {
	*spd.Memory
	last spd.SPI
}

func (p *noPlane) AllocSPI(context.Context, spd.SPIRequest) (spd.SPI, error) {
	p.last++
	return p.last + 0x1000, nil
}
func (p *noPlane) ReleaseSPI(context.Context, spd.SAID) error                   { return nil }
func (p *noPlane) InstallInbound(context.Context, *spd.Bundle) error            { return nil }
func (p *noPlane) InstallOutbound(context.Context, *spd.Bundle) error           { return nil }
func (p *noPlane) SetPolicies(context.Context, spd.Owner, []spd.Policy) error   { return nil }
func (p *noPlane) Remove(context.Context, spd.SAID) (c spd.Counters, err error) { return }

// BenchmarkRaw is the public-key cryptography of both sides of one handshake.
func BenchmarkRaw(b *testing.B) {
	x25519 := func() {
		k1, _ := ecdh.X25519().GenerateKey(rand.Reader)
		k2, _ := ecdh.X25519().GenerateKey(rand.Reader)
		_, _ = k1.ECDH(k2.PublicKey())
		_, _ = k2.ECDH(k1.PublicKey())
	}
	b.Run("PSK-X25519", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x25519()
		}
	})
	b.Run("RSA2048-X25519", func(b *testing.B) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(b, err)
		sum := sha256.Sum256([]byte("octets"))
		b.ReportAllocs()
		for b.Loop() {
			x25519()
			for range 2 {
				sig, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
				_ = rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig)
				_ = rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) // the certificate's
			}
		}
	})
}
