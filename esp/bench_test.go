package esp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/racoon3/racoon/spd"
)

var benchSizes = []int{64, 512, 1400, 9000}

func benchAlgorithms() []struct {
	name string
	alg  variant
	bare cipher.AEAD
} {
	block, _ := aes.NewCipher(make([]byte, 16))
	gcm, _ := cipher.NewGCM(block)
	chacha, _ := chacha20poly1305.New(make([]byte, 32))
	return []struct {
		name string
		alg  variant
		bare cipher.AEAD
	}{
		{"AES128-GCM16", algorithm(encr(spd.EncrAESGCM16, 128), spd.Transform{}), gcm},
		{"ChaCha20-Poly1305", algorithm(encr(spd.EncrChaCha20Poly1305, 0), spd.Transform{}), chacha},
		{"AES128-CBC-SHA1", algorithm(encr(spd.EncrAESCBC, 128), integ(spd.IntegHMACSHA1_96)), nil},
		{"AES256-CBC-SHA256", algorithm(encr(spd.EncrAESCBC, 256), integ(spd.IntegHMACSHA256_128)), nil},
	}
}

// BenchmarkSA seals and opens payloads of several sizes, with the bare AEAD
// beside it.
func BenchmarkSA(b *testing.B) {
	for _, a := range benchAlgorithms() {
		p := newPair(b, a.alg)
		s := p.ab.SAs[0]
		s.ReplayWindow = -1
		for _, n := range benchSizes {
			out, _ := NewOutboundSA(&s, bytes.NewReader(make([]byte, 24)))
			in, _ := NewInboundSA(&s)
			buf, work := make([]byte, 24+n+64), make([]byte, 24+n+64)
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%d/%s", a.name, n, name), func(b *testing.B) {
					b.ReportAllocs()
					b.SetBytes(int64(n))
					for b.Loop() {
						f()
					}
				})
			}
			if a.bare != nil {
				nonce, aad := make([]byte, 12), make([]byte, 8)
				run("bare-seal", func() { a.bare.Seal(buf[24:24], nonce, buf[24:24+n], aad) })
				sealed := a.bare.Seal(nil, nonce, make([]byte, n), aad)
				run("bare-open", func() {
					copy(work, sealed)
					if _, err := a.bare.Open(work[:0], nonce, work[:len(sealed)], aad); err != nil {
						b.Fatal(err)
					}
				})
			}
			run("seal", func() {
				if _, _, err := out.Seal(buf, 24, 24+n, protoIPv4); err != nil {
					b.Fatal(err)
				}
			})
			start, end, _ := out.Seal(buf, 24, 24+n, protoIPv4)
			run("open", func() {
				copy(work, buf[start:end])
				if _, err := in.Open(work[:end-start]); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkEngine takes packets through policy, SA and encapsulation, and back.
func BenchmarkEngine(b *testing.B) {
	for _, a := range benchAlgorithms() {
		for _, n := range benchSizes {
			size := n
			p := newPair(b, a.alg, inUDP, func(x *spd.Bundle) { x.SAs[0].ReplayWindow = -1; x.Options.MTU = 10000 })
			packet := udp("10.1.0.1:1", "10.2.0.2:2", size-28)
			room := roomy(packet)
			var batch Batch
			b.Run(fmt.Sprintf("%s/%d/outbound", a.name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					copy(room.Bytes(), packet)
					batch.Reset()
					p.a.Outbound(&batch, room)
				}
			})
			if len(batch.Datagrams) != 1 {
				b.Fatal("not sent")
			}
			d := cloned(batch.Datagrams)[0]
			work := roomy(d.Bytes())
			b.Run(fmt.Sprintf("%s/%d/inbound", a.name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					copy(work.Bytes(), d.Bytes())
					batch.Reset()
					p.b.Inbound(&batch, Datagram{Packet: work, Local: p.b.outer, Remote: p.a.outer, UDPEncap: true})
				}
			})
			if len(batch.Packets) != 1 {
				b.Fatal("not received")
			}
		}
	}
}

// BenchmarkParallelOpen is what several cores make of one SA.
func BenchmarkParallelOpen(b *testing.B) {
	p := newPair(b)
	s := p.ab.SAs[0]
	s.ReplayWindow = -1
	out, _ := NewOutboundSA(&s, nil)
	in, _ := NewInboundSA(&s)
	buf := make([]byte, 1500)
	start, end, _ := out.Seal(buf, 24, 1424, protoIPv4)
	b.ReportAllocs()
	b.SetBytes(1400)
	b.RunParallel(func(pb *testing.PB) {
		work := make([]byte, end-start)
		for pb.Next() {
			copy(work, buf[start:end])
			if _, err := in.Open(work); err != nil {
				b.Fatal(err)
			}
		}
	})
}
