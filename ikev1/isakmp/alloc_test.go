package isakmp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// phase1 returns the attributes of a phase 1 transform.
func phase1(enc isakmp.EncryptionAlgorithm, bits uint16, hash isakmp.HashAlgorithm, group isakmp.Group) []isakmp.Attribute {
	return isakmp.AppendLifetime([]isakmp.Attribute{
		isakmp.Basic(isakmp.Phase1EncryptionAlgorithm, enc), isakmp.Basic(isakmp.Phase1KeyLength, bits),
		isakmp.Basic(isakmp.Phase1HashAlgorithm, hash), isakmp.Basic(isakmp.Phase1AuthMethod, isakmp.AuthPreSharedKey),
		isakmp.Basic(isakmp.Phase1Group, group),
	}, spd.ProtoIKE, isakmp.Lifetime{Seconds: 28800})
}

// main1 returns the first message of Main Mode as a current peer sends it:
// four transforms and six vendor IDs.
func main1() *isakmp.Message {
	p := isakmp.Proposal{Num: 1, Protocol: spd.ProtoIKE}
	for i, as := range [][]isakmp.Attribute{
		phase1(isakmp.EncryptionAESCBC, 256, isakmp.HashSHA256, isakmp.GroupMODP2048), phase1(isakmp.EncryptionAESCBC, 128, isakmp.HashSHA256, isakmp.GroupMODP2048),
		phase1(isakmp.EncryptionAESCBC, 256, isakmp.HashSHA, isakmp.GroupMODP2048), phase1(isakmp.EncryptionAESCBC, 128, isakmp.HashSHA, isakmp.GroupMODP2048),
	} {
		p.Transforms = append(p.Transforms, isakmp.Transform{Num: uint8(i + 1), ID: isakmp.KeyIKE, Attributes: as})
	}
	m := &isakmp.Message{
		Header:   isakmp.Header{CookieI: 0x1122334455667788, Exchange: isakmp.ExchangeIdentityProtection},
		Payloads: isakmp.Payloads{&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{p}}},
	}
	for _, id := range []string{
		"4a131c81070358455c5728f20e95452f", "cd60464335df21f87cfdb2fc68b6a448", "90cb80913ebb696e086381b5ec427b1f",
		"4048b7d56ebce88525e7de7f00d6c2d380000000", "09002689dfd6b712", "afcad71368a1f1c96b8696fc77570100",
	} {
		m.Payloads = append(m.Payloads, &isakmp.VendorID{ID: unhex(id)})
	}
	return m
}

// quick1 returns what is inside the first message of Quick Mode with PFS.
func quick1() isakmp.Payloads {
	esp := isakmp.Proposal{Num: 1, Protocol: spd.ProtoESP, SPI: unhex("c0ffee01")}
	for i, integ := range []isakmp.AuthAlgorithm{isakmp.AuthAlgorithmHMACSHA256, isakmp.AuthAlgorithmHMACSHA} {
		esp.Transforms = append(esp.Transforms, isakmp.Transform{Num: uint8(i + 1), ID: uint8(isakmp.ESPAES), Attributes: []isakmp.Attribute{
			isakmp.Basic(isakmp.Phase2LifeType, isakmp.LifeSeconds), isakmp.Basic(isakmp.Phase2LifeDuration, uint16(3600)),
			isakmp.Basic(isakmp.Phase2EncapsulationMode, isakmp.EncapsulationUDPTunnel), isakmp.Basic(isakmp.Phase2KeyLength, uint16(256)),
			isakmp.Basic(isakmp.Phase2AuthAlgorithm, integ), isakmp.Basic(isakmp.Phase2Group, isakmp.GroupMODP2048),
		}})
	}
	return isakmp.Payloads{
		&isakmp.HASH{Data: make([]byte, 32)},
		&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{esp}},
		&isakmp.Nonce{Data: make([]byte, 32)},
		&isakmp.KE{Data: make([]byte, 256)},
		&isakmp.ID{Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a010000 ffff0000")},
		&isakmp.ID{Type: isakmp.IDIPv4AddrSubnet, Data: unhex("0a020000 ffff0000")},
	}
}

func encoded(t testing.TB, m *isakmp.Message) []byte {
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// chainOf encodes payloads without a header.
func chainOf(t testing.TB, ps isakmp.Payloads) (isakmp.PayloadType, []byte) {
	b := isakmp.NewChainBuilder(nil)
	for _, p := range ps {
		b.Add(p)
	}
	c, err := b.Finish()
	require.NoError(t, err)
	return b.First(), c
}

func TestAllocations(t *testing.T) {
	m := main1()
	b := encoded(t, m)
	allocs := func(f func()) float64 { return testing.AllocsPerRun(100, f) }

	require.Zero(t, allocs(func() { isakmp.ParseHeader(b) }), "header")
	require.LessOrEqual(t, allocs(func() { isakmp.ParseChain(isakmp.PayloadSA, b[isakmp.HeaderLen:]) }), 1.0, "chain")
	chain := make(isakmp.Chain, 0, 16)
	require.Zero(t, allocs(func() {
		h, _ := isakmp.ParseHeader(b)
		chain, _ = isakmp.AppendChain(chain[:0], h.NextPayload, b[isakmp.HeaderLen:])
		if chain.Len() != len(b)-isakmp.HeaderLen || chain.Body(isakmp.PayloadSA) == nil {
			panic("not found")
		}
	}), "chain into a slice")
	require.Len(t, chain, 7)
	require.LessOrEqual(t, allocs(func() { isakmp.Parse(b) }), 7.0, "Main Mode 1")

	buf := make([]byte, 0, 2048)
	require.Zero(t, allocs(func() { m.AppendBinary(buf) }), "encode Main Mode 1")
	inner := quick1()
	first, c := chainOf(t, inner)
	require.LessOrEqual(t, allocs(func() { isakmp.ParsePayloads(first, c) }), 6.0, "Quick Mode 1")
	quick, _ := isakmp.ParsePaddedChain(first, c)
	require.Zero(t, allocs(func() {
		if _, covered, err := quick.Hashed(c); err != nil || len(covered) != len(c)-36 {
			panic("not hashed")
		}
	}), "hashed")

	// A whole encrypted message, its payloads on the stack.
	proposals := inner[1].(*isakmp.SA).Proposals
	require.Zero(t, allocs(func() {
		b := isakmp.NewBuilder(buf, isakmp.Header{CookieI: 1, CookieR: 2, Exchange: isakmp.ExchangeQuickMode, MessageID: 1})
		b.ReserveHash(32)
		b.Add(&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: proposals})
		b.Add(&isakmp.Nonce{Data: c[:16]})
		b.Add(&isakmp.ID{Type: isakmp.IDIPv4Addr, Data: c[:4]})
		b.Add(&isakmp.ID{Type: isakmp.IDIPv4Addr, Data: c[:4]})
		b.Add(&isakmp.NATOA{Addr: addr("10.0.0.1")})
		b.BeginPayload(isakmp.PayloadVendorID)
		b.Append(c[:16]...)
		b.EndPayload()
		if hash, covered := b.Hashed(); len(hash) != 32 || len(covered) == 0 {
			panic("not hashed")
		}
		if s, err := b.Seal(16); err != nil || len(s.Plaintext)%16 != 0 {
			panic("not sealed")
		}
	}), "encode Quick Mode 1")
	require.Zero(t, allocs(func() {
		b := isakmp.NewBuilder(buf, isakmp.Header{CookieI: 1, CookieR: 2, Exchange: isakmp.ExchangeAggressive})
		b.Add(&isakmp.Fragment{ID: 1, Index: 1, Data: c[:100]})
		if _, err := b.Finish(); err != nil {
			panic(err)
		}
	}), "encode a fragment")
	parsed, _ := isakmp.Parse(b)
	require.Zero(t, allocs(func() {
		if parsed.SA() == nil || parsed.KE() != nil || parsed.HasNotify(isakmp.NotifyInitialContact) || parsed.ErrorNotify() != nil ||
			parsed.Require(isakmp.PayloadSA) != nil || parsed.Only(isakmp.PayloadSA) != nil {
			panic("not found")
		}
	}), "getters")
}

func BenchmarkChain(b *testing.B) {
	m := encoded(b, main1())
	b.ReportAllocs()
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		h, err := isakmp.ParseHeader(m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := isakmp.ParseChain(h.NextPayload, m[isakmp.HeaderLen:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	b.Run("Main Mode 1", func(b *testing.B) {
		m := encoded(b, main1())
		b.ReportAllocs()
		b.SetBytes(int64(len(m)))
		for b.Loop() {
			if _, err := isakmp.Parse(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Quick Mode 1", func(b *testing.B) {
		first, c := chainOf(b, quick1())
		b.ReportAllocs()
		b.SetBytes(int64(len(c)))
		for b.Loop() {
			if _, err := isakmp.ParsePayloads(first, c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for name, m := range map[string]*isakmp.Message{"Main Mode 1": main1(), "Quick Mode 1": {Payloads: quick1()}} {
		b.Run(name, func(b *testing.B) {
			buf := encoded(b, m)
			b.ReportAllocs()
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				if _, err := m.AppendBinary(buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCopy(b *testing.B) { // the floor of Append: the octets alone
	m := encoded(b, main1())
	buf := make([]byte, len(m))
	b.ReportAllocs()
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		copy(buf, m)
	}
}
