package dh

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"testing"

	"filippo.io/bigmod"
)

// BenchmarkExchange measures the three steps of every group. Run it beside BenchmarkRaw.
func BenchmarkExchange(b *testing.B) {
	for g := range Groups() {
		name := g.ID().String()
		s := seed(b, g)
		k, err := g.Generate(s)
		if err != nil {
			b.Fatal(err)
		}
		for range fixedBaseAfter { // the table, where there is one
			_, _ = g.Generate(s)
		}
		public, _, err := g.Respond(s, k.Public())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/generate", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = g.Generate(s)
			}
		})
		b.Run(name+"/respond", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = g.Respond(s, k.Public())
			}
		})
		b.Run(name+"/finish", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = k.Finish(public)
			}
		})
	}
}

// BenchmarkRaw measures what the groups are made of.
func BenchmarkRaw(b *testing.B) {
	for name, curve := range map[string]ecdh.Curve{"x25519": ecdh.X25519(), "ecp256": ecdh.P256(), "ecp384": ecdh.P384(), "ecp521": ecdh.P521()} {
		k, err := curve.GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		d, peer := k.Bytes(), k.PublicKey().Bytes()
		b.Run(name+"/generate", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k, _ := curve.NewPrivateKey(d)
				k.PublicKey().Bytes()
			}
		})
		b.Run(name+"/respond", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k, _ := curve.NewPrivateKey(d)
				k.PublicKey().Bytes()
				p, _ := curve.NewPublicKey(peer)
				_, _ = k.ECDH(p)
			}
		})
		b.Run(name+"/finish", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, _ := curve.NewPublicKey(peer)
				_, _ = k.ECDH(p)
			}
		})
	}
	for _, g := range []*modp{modp2048, modp3072, modp4096} {
		m := g.params()
		x := m.privateExponent(seed(b, g))
		b.Run(g.id.String()+"/exp", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bigmod.NewNat().Exp(m.g, x, m.p)
			}
		})
	}
	b.Run("mlkem768/generate", func(b *testing.B) {
		s := make([]byte, mlkem.SeedSize)
		b.ReportAllocs()
		for b.Loop() {
			k, _ := mlkem.NewDecapsulationKey768(s)
			k.EncapsulationKey().Bytes()
		}
	})
	b.Run("mlkem768/respond", func(b *testing.B) {
		k, _ := mlkem.GenerateKey768()
		public := k.EncapsulationKey().Bytes()
		b.ReportAllocs()
		for b.Loop() {
			e, _ := mlkem.NewEncapsulationKey768(public)
			e.Encapsulate()
		}
	})
	b.Run("mlkem768/finish", func(b *testing.B) {
		k, _ := mlkem.GenerateKey768()
		_, c := k.EncapsulationKey().Encapsulate()
		b.ReportAllocs()
		for b.Loop() {
			_, _ = k.Decapsulate(c)
		}
	})
}
