package quickmode

import (
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
	"github.com/stretchr/testify/require"
)

func childProposals(t testing.TB, p spd.Protocol, s string) []spd.Proposal {
	t.Helper()
	ps, err := spd.ParseProposals(p, s)
	require.NoError(t, err)
	return ps
}

func policyOf(t testing.TB, esp string) Policy {
	t.Helper()
	return Policy{Proposals: childProposals(t, spd.ProtoESP, esp), Life: Lifetime{Seconds: 1800}}
}

var (
	ourSPIs   = SPIs{spd.ProtoESP: 0x07933c14, spd.ProtoAH: 0x11223344, spd.ProtoIPComp: 0x1234}
	theirSPIs = SPIs{spd.ProtoESP: 0x02a75e39, spd.ProtoAH: 0x55667788, spd.ProtoIPComp: 0x4321}
)

func offerOf(t testing.TB, p Policy) *isakmp.SA {
	t.Helper()
	sa, err := p.Offer(p.Group(), ourSPIs)
	require.NoError(t, err)
	return through(t, sa)
}

// keymat is keys that both sides know.
func keymat(n int, protocol spd.Protocol, spi spd.SPI) secret.Bytes {
	h := sha512.Sum512(binary.BigEndian.AppendUint32([]byte{byte(protocol)}, uint32(spi)))
	b := append(append(h[:], h[:]...), h[:]...)
	return b[:n:n]
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// through encodes and decodes an SA payload.
func through(t testing.TB, sa *isakmp.SA) *isakmp.SA {
	t.Helper()
	body := sa.AppendBody(nil)
	p, err := isakmp.ParsePayloads(isakmp.PayloadSA, append([]byte{0, 0, byte((len(body) + 4) >> 8), byte(len(body) + 4)}, body...))
	require.NoError(t, err)
	return p.SA()
}

// negotiate goes through a whole Quick Mode and returns what both sides make of
// it; the data plane must take it.
func negotiate(t testing.TB, i, r Policy) (initiator, responder Selected) {
	t.Helper()
	sa := offerOf(t, i)
	responder, err := r.Choose(sa)
	require.NoError(t, err)
	answer := through(t, responder.Answer(sa, theirSPIs))
	initiator, err = i.CheckAnswer(answer, i.Group())
	require.NoError(t, err)
	require.Equal(t, initiator.Proposal, responder.Proposal)
	require.Equal(t, initiator.Group, responder.Group)
	require.Equal(t, initiator.Protocols(), responder.Protocols())

	inI, outI := initiator.ChildSAs(keymat, ourSPIs)
	inR, outR := responder.ChildSAs(keymat, theirSPIs)
	require.Equal(t, inI, outR)
	require.Equal(t, outI, inR)
	for n := range inI {
		require.Equal(t, ourSPIs[inI[n].Protocol], inI[n].SPI)
		require.Equal(t, theirSPIs[inI[n].Protocol], outI[n].SPI)
	}
	a, b := netip.MustParseAddrPort("10.1.0.1:4500"), netip.MustParseAddrPort("10.1.0.2:4500")
	for _, sas := range [][]spd.SA{inI, outI} {
		bundle := spd.Bundle{SAs: sas, Local: a, Remote: b, UDPEncap: initiator.UDP,
			LocalTS: []spd.TrafficSelector{spd.AnyIPv4}, RemoteTS: []spd.TrafficSelector{spd.AnyIPv4}}
		require.NoError(t, bundle.Valid())
	}
	return initiator, responder
}

// The SA payloads of a racoon that is configured in the same way, octet by
// octet: its offer of three ciphers with two hashes, and its answer.
func TestRacoon(t *testing.T) {
	offer := unhex(t, strings.Join(strings.Fields(`00000001 00000001 000000c4 01030406 07933c14 03000020
		010c0000 80010001 80020708 80040002 80060100 80050005 8003000e 03000020
		020c0000 80010001 80020708 80040002 80060100 80050002 8003000e 03000020
		030c0000 80010001 80020708 80040002 80060080 80050005 8003000e 03000020
		040c0000 80010001 80020708 80040002 80060080 80050002 8003000e 0300001c
		05030000 80010001 80020708 80040002 80050005 8003000e 0000001c 06030000
		80010001 80020708 80040002 80050002 8003000e`), ""))
	answer := unhex(t, strings.Join(strings.Fields(`00000001 00000001 0000002c 01030401 02a75e39 00000020
		010c0000 80010001 80020708 80040002 80060100 80050005 8003000e`), ""))
	p := policyOf(t, "aes256-aes128-3des-sha256-sha1-modp2048")
	p.Mode = spd.ModeTransport
	sa := offerOf(t, p)
	require.Equal(t, offer, sa.AppendBody(nil))
	s, err := p.Choose(sa)
	require.NoError(t, err)
	require.Equal(t, answer, s.Answer(sa, theirSPIs).AppendBody(nil))
	require.Equal(t, dh.MODP2048, s.Group)
	require.EqualValues(t, 0x07933c14, s.PeerSPIs()[spd.ProtoESP])
	require.Equal(t, Lifetime{Seconds: 1800}, s.Life)
}

// Every algorithm that Quick Mode has a number for, there and back.
func TestAlgorithms(t *testing.T) {
	for _, esp := range []string{"aes128-md5", "aes192-sha1", "aes256-sha384-esn", "3des-sha512", "null-sha256", "aes128ctr-aesxcbc", "aes256ctr-sha256",
		"aes128gcm16-esn", "aes256gcm16", "aes192gcm12", "aes128gcm8", "aes256ccm16", "aes128ccm12", "aes128ccm8", "aes128gmac", "aes256gmac-esn",
		"aes256-sha256-modp2048", "aes128gcm16-ecp256-esn", "aes128-sha1-esn-noesn"} {
		for _, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
			p := policyOf(t, esp)
			p.Mode = mode
			i, r := negotiate(t, p, p)
			require.Equal(t, mode, i.Mode)
			require.Equal(t, strings.TrimSuffix(esp, "-noesn"), i.Proposal.String())
			require.Equal(t, []spd.Protocol{spd.ProtoESP}, r.Protocols())
			require.False(t, r.Claims())
		}
	}
	for _, ah := range []string{"md5", "sha1-esn", "sha256", "sha384-modp3072", "sha512", "aesxcbc", "aes128gmac", "aes192gmac", "aes256gmac"} {
		p := Policy{Proposals: childProposals(t, spd.ProtoAH, ah), Life: Lifetime{Seconds: 60}}
		i, _ := negotiate(t, p, p)
		require.Equal(t, ah, i.Proposal.String())
	}
	// The registry's numbers, where they differ from IKEv2's.
	p := policyOf(t, "aes128gmac")
	require.Equal(t, uint8(isakmp.ESPNullAuthAESGMAC), offerOf(t, p).Proposals[0].Transforms[0].ID)
	_, ok := encrOf(21, 128)
	require.False(t, ok, "SEED here, GMAC in IKEv2")
	plain, ok := encrOf(isakmp.ESPAES, 0)
	require.True(t, ok)
	require.EqualValues(t, 128, plain.KeyLen)

	for proposals, says := range map[string]string{"chacha20poly1305": "no numbers", "aes128-aescmac": "no numbers", "aes128gcm16-modp2048-ke1_mlkem768": "ADDKE1"} {
		require.ErrorContains(t, CheckProposals(childProposals(t, spd.ProtoESP, proposals)), says)
		p := policyOf(t, proposals)
		_, err := p.Offer(p.Group(), ourSPIs)
		require.ErrorContains(t, err, says)
	}
	require.Error(t, CheckProposals(nil))
	mixed := policyOf(t, "chacha20poly1305,aes256-aescmac-sha256")
	require.NoError(t, CheckProposals(mixed.Proposals))
	require.Len(t, offerOf(t, mixed).Proposals[0].Transforms, 1)

	long := policyOf(t, "aes256-aes192-aes128-3des-sha512-sha384-sha256-sha1-md5-aesxcbc-esn-noesn,aes256ctr-aes128ctr-aes192ctr-sha512-sha384-sha256-sha1-esn-noesn")
	require.Len(t, offerOf(t, long).Proposals[0].Transforms, maxOffer)
}

// Several proposals, the initiator's preference, no doubles.
func TestCrossProduct(t *testing.T) {
	i := policyOf(t, "aes256gcm16-aes128gcm16,aes256-aes128-sha256-sha1,aes128-sha1")
	sa := offerOf(t, i)
	require.Len(t, sa.Proposals, 1)
	require.Len(t, sa.Proposals[0].Transforms, 2+4)
	for n := range sa.Proposals[0].Transforms {
		require.EqualValues(t, n+1, sa.Proposals[0].Transforms[n].Num)
	}
	_, r := negotiate(t, i, policyOf(t, "aes128-sha1,aes128-sha256"))
	require.Equal(t, "aes128-sha256", r.Proposal.String())

	// A peer that puts them in proposals of their own.
	split := &isakmp.SA{DOI: sa.DOI, Situation: sa.Situation}
	for n, x := range sa.Proposals[0].Transforms {
		q := sa.Proposals[0]
		q.Num, q.Transforms = uint8(n+1), []isakmp.Transform{x}
		split.Proposals = append(split.Proposals, q)
	}
	own := policyOf(t, "aes128-sha1")
	s, err := own.Choose(through(t, split))
	require.NoError(t, err)
	answer := s.Answer(split, theirSPIs)
	require.Len(t, answer.Proposals, 1)
	require.EqualValues(t, 6, answer.Proposals[0].Num)
	_, err = i.CheckAnswer(answer, dh.None)
	require.NoError(t, err)
	_, err = i.CheckAnswer(split, dh.None)
	require.ErrorContains(t, err, "did not choose one transform of one proposal")
	_, err = i.CheckAnswer(sa, dh.None)
	require.ErrorContains(t, err, "did not choose one transform of one proposal")
	other := policyOf(t, "aes192-sha1")
	_, err = other.CheckAnswer(answer, dh.None)
	require.ErrorIs(t, err, spd.ErrNoProposalChosen, "an answer that was not offered")
}

// Bundles: proposals with one number, each with SPI and transforms of its own.
func TestBundles(t *testing.T) {
	compress := policyOf(t, "aes128-sha1")
	compress.IPComp = true
	plain := policyOf(t, "aes128-sha1")

	sa := offerOf(t, compress)
	var got []string
	for _, q := range sa.Proposals {
		got = append(got, string(rune('0'+q.Num))+" "+q.Protocol.String())
	}
	require.Equal(t, []string{"1 ESP", "1 IPCOMP", "2 ESP"}, got)
	require.Equal(t, []byte{0x12, 0x34}, sa.Proposals[1].SPI)
	i, _ := negotiate(t, compress, compress)
	require.Equal(t, []spd.Protocol{spd.ProtoIPComp, spd.ProtoESP}, i.Protocols())
	in, _ := i.ChildSAs(keymat, ourSPIs)
	require.Equal(t, []spd.Mode{spd.ModeTunnel, spd.ModeTransport}, []spd.Mode{in[0].Mode, in[1].Mode})
	require.Equal(t, spd.SA{Protocol: spd.ProtoIPComp, SPI: 0x1234, Encryption: spd.Transform{ID: 2}}, in[0])

	// Either side may do without.
	i, _ = negotiate(t, compress, plain)
	require.Equal(t, []spd.Protocol{spd.ProtoESP}, i.Protocols())
	require.False(t, i.Has(spd.ProtoIPComp))
	i, _ = negotiate(t, plain, compress)
	require.Equal(t, []spd.Protocol{spd.ProtoESP}, i.Protocols())

	// A CPI of four octets, as RFC 2407 4.6 has it, is answered so.
	wide := offerOf(t, compress)
	wide.Proposals[1].SPI = []byte{0, 0, 0x12, 0x34}
	s, err := compress.Choose(through(t, wide))
	require.NoError(t, err)
	require.EqualValues(t, 0x1234, s.PeerSPIs()[spd.ProtoIPComp])
	require.Equal(t, []byte{0, 0, 0x43, 0x21}, s.Answer(wide, theirSPIs).Proposals[1].SPI)
	// What cannot be used falls back to the proposal without.
	for _, bad := range [][]byte{{0, 2}, {0xff, 0xff}, {0, 1, 0x12, 0x34}, {1}, {1, 2, 3}} {
		wide.Proposals[1].SPI = bad
		s, err = compress.Choose(wide)
		require.NoError(t, err)
		require.Equal(t, []spd.Protocol{spd.ProtoESP}, s.Protocols())
	}
	lzs := offerOf(t, compress)
	lzs.Proposals[1].Transforms[0].ID = uint8(isakmp.IPCompLZS)
	s, err = compress.Choose(lzs)
	require.NoError(t, err)
	require.False(t, s.Has(spd.ProtoIPComp))

	// AH around ESP, and all three, with PFS.
	ah := policyOf(t, "aes128-sha1-modp2048")
	ah.Outer = childProposals(t, spd.ProtoAH, "sha256-sha1")
	i, _ = negotiate(t, ah, ah)
	require.Equal(t, []spd.Protocol{spd.ProtoESP, spd.ProtoAH}, i.Protocols())
	all := ah
	all.IPComp = true
	i, _ = negotiate(t, all, all)
	require.Equal(t, []spd.Protocol{spd.ProtoIPComp, spd.ProtoESP, spd.ProtoAH}, i.Protocols())
	require.Equal(t, "sha256", i.Parts[2].Proposal.String())
	require.Equal(t, dh.MODP2048, i.Group)

	// ESP in tunnel mode, AH in transport mode: racoon's complex bundle.
	mixed := offerOf(t, ah)
	for n := range mixed.Proposals[1].Transforms {
		mixed.Proposals[1].Transforms[n].First(uint16(isakmp.Phase2EncapsulationMode)).Value = uint16(natt.Transport)
	}
	_, err = ah.Choose(through(t, mixed))
	require.NoError(t, err)

	// Too little, too much, twice, strange.
	esp := offerOf(t, plain)
	for says, c := range map[string]struct {
		p  *Policy
		sa *isakmp.SA
	}{
		"Protocols: offered ESP; wanted ESP+AH":                   {&ah, esp},
		"Protocols: offered ESP+AH; wanted ESP [":                 {&plain, offerOf(t, ah)},
		"Protocols: offered ESP+ESP; wanted":                      {&plain, &isakmp.SA{DOI: 1, Situation: 1, Proposals: append(slices.Clone(esp.Proposals), esp.Proposals...)}},
		"Protocols: offered Protocol(9); wanted":                  {&plain, &isakmp.SA{DOI: 1, Situation: 1, Proposals: []isakmp.Proposal{{Num: 1, Protocol: 9}}}},
		"Protocols: offered IKE; wanted IPCOMP+ESP or ESP":        {&compress, &isakmp.SA{DOI: 1, Situation: 1, Proposals: []isakmp.Proposal{{Num: 1, Protocol: 1}}}},
		"no proposal chosen [offered: nothing]":                   {&plain, &isakmp.SA{DOI: 1, Situation: 1}},
		"Protocols: offered ESP+IPCOMP; wanted":                   {&plain, &isakmp.SA{DOI: 1, Situation: 1, Proposals: sa.Proposals[:2]}},
		"INTEG: offered AUTH_HMAC_SHA1_96; wanted AUTH_HMAC_SHA2": {&Policy{Proposals: ah.Proposals, Outer: childProposals(t, spd.ProtoAH, "sha512")}, offerOf(t, Policy{Proposals: ah.Proposals, Outer: childProposals(t, spd.ProtoAH, "sha1"), Life: Lifetime{Seconds: 1}})},
	} {
		if c.p.Life == (Lifetime{}) {
			c.p.Life.Seconds = 3600
		}
		_, err := c.p.Choose(c.sa)
		require.ErrorIs(t, err, spd.ErrNoProposalChosen, says)
		require.ErrorContains(t, err, says)
	}
	_, err = plain.Choose(&isakmp.SA{Situation: isakmp.SituationSecrecy})
	require.ErrorIs(t, err, ErrSituation)
}

// PFS as racoon does it: a responder without a group obeys, one with a group
// wants that.
func TestPFS(t *testing.T) {
	pfs, other, without := policyOf(t, "aes128-sha1-modp2048-ecp256"), policyOf(t, "aes128-sha1-modp3072"), policyOf(t, "aes128-sha1")
	i, _ := negotiate(t, pfs, pfs)
	require.Equal(t, dh.MODP2048, i.Group)
	obeys := without
	obeys.OptionalKE = []uint16{14, 15, 19}
	i, _ = negotiate(t, pfs, obeys)
	require.Equal(t, dh.MODP2048, i.Group)
	i, _ = negotiate(t, without, obeys)
	require.Equal(t, dh.None, i.Group)
	maybe := policyOf(t, "aes128-sha1-modp2048-none")
	i, _ = negotiate(t, without, maybe)
	require.Equal(t, dh.None, i.Group)
	for says, c := range map[string][2]Policy{
		"KE: offered MODP_2048; wanted MODP_3072": {pfs, other},
		"KE: offered none; wanted MODP_3072":      {without, other},
		"KE: offered MODP_2048; wanted none":      {pfs, without},
	} {
		_, err := c[1].Choose(offerOf(t, c[0]))
		require.ErrorContains(t, err, says)
	}
	// The answer has to have the group of the KE payload.
	answer, err := obeys.Choose(offerOf(t, without))
	require.NoError(t, err)
	_, err = pfs.CheckAnswer(answer.Answer(offerOf(t, without), theirSPIs), pfs.Group())
	require.ErrorContains(t, err, "KE: offered none; wanted MODP_2048")
	_, err = pfs.Offer(dh.MODP8192, ourSPIs)
	require.ErrorContains(t, err, "no proposal has the group")
	// All protocols of a bundle have one group (RFC 2409 5.5).
	ah := pfs
	ah.Outer = childProposals(t, spd.ProtoAH, "sha1")
	sa := offerOf(t, ah)
	sa.Proposals[1].Transforms[0].First(uint16(isakmp.Phase2Group)).Value = 19
	_, err = ah.Choose(sa)
	require.ErrorContains(t, err, "Group-Description: offered ecp256; wanted modp2048, as the other protocol")
}

// The encapsulation modes of RFC 3947 and of the drafts.
func TestEncapsulation(t *testing.T) {
	for v := range natt.Variants() {
		for _, mode := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
			p := policyOf(t, "aes128-sha1")
			p.UDP, p.Mode = v, mode
			i, r := negotiate(t, p, p)
			require.True(t, i.UDP && r.UDP)
			require.Equal(t, mode, r.Mode)
			want := natt.Mode(1+uint16(mode)) + map[bool]natt.Mode{true: 61442, false: 2}[v <= natt.Draft03]
			require.EqualValues(t, want, offerOf(t, p).Proposals[0].Transforms[0].First(4).Value, v)
			// Peers mix the numbers.
			rfc := p
			rfc.UDP = natt.RFC3947
			_, err := rfc.Choose(offerOf(t, p))
			require.NoError(t, err)
		}
	}
	tunnel, transport, udp := policyOf(t, "aes128-sha1"), policyOf(t, "aes128-sha1"), policyOf(t, "aes128-sha1")
	transport.Mode, udp.UDP = spd.ModeTransport, natt.RFC3947
	for says, c := range map[string][2]Policy{
		"Encapsulation-Mode: offered Tunnel; wanted transport":               {tunnel, transport},
		"Encapsulation-Mode: offered Transport; wanted tunnel":               {transport, tunnel},
		"Encapsulation-Mode: offered UDP-Encapsulated-Tunnel; wanted tunnel": {udp, tunnel},
		"Encapsulation-Mode: offered Tunnel; wanted UDP tunnel":              {tunnel, udp},
	} {
		_, err := c[1].Choose(offerOf(t, c[0]))
		require.ErrorContains(t, err, says)
	}
	none := offerOf(t, transport)
	none.Proposals[0].Transforms[0].Attributes = slices.DeleteFunc(none.Proposals[0].Transforms[0].Attributes, func(a isakmp.Attribute) bool { return a.Type == 4 })
	_, err := transport.Choose(none)
	require.NoError(t, err, "up to the host")
	strange := offerOf(t, tunnel)
	strange.Proposals[0].Transforms[0].First(4).Value = uint16(isakmp.EncapsulationCheckPointUDP)
	_, err = tunnel.Choose(strange)
	require.ErrorContains(t, err, "offered Check Point")

	ah := Policy{Proposals: childProposals(t, spd.ProtoAH, "sha1"), UDP: natt.RFC3947, Life: Lifetime{Seconds: 60}}
	_, err = ah.Offer(dh.None, ourSPIs)
	require.ErrorIs(t, err, ErrAHBehindNAT)
	_, err = ah.Choose(offerOf(t, udp))
	require.ErrorIs(t, err, ErrAHBehindNAT)
	ipcomp := udp
	ipcomp.IPComp = true
	negotiate(t, ipcomp, ipcomp)
}

// C07, and what else is refused: the explanation names the attribute.
func TestRefusals(t *testing.T) {
	own := policyOf(t, "aes128-sha1,aes256gcm16")
	change := func(esp string, f func(x *isakmp.Transform)) *isakmp.SA {
		sa := offerOf(t, policyOf(t, esp))
		x := &sa.Proposals[0].Transforms[0]
		x.Attributes = slices.Clone(x.Attributes)
		f(x)
		return sa
	}
	set := func(typ isakmp.Phase2Attribute, v uint16) func(x *isakmp.Transform) {
		return func(x *isakmp.Transform) {
			if a := x.First(uint16(typ)); a != nil {
				a.Value = v
				return
			}
			x.Attributes = append(x.Attributes, isakmp.Basic(typ, v))
		}
	}
	drop := func(typ isakmp.Phase2Attribute) func(x *isakmp.Transform) {
		return func(x *isakmp.Transform) {
			x.Attributes = slices.DeleteFunc(x.Attributes, func(a isakmp.Attribute) bool { return a.Type == uint16(typ) })
		}
	}
	for says, sa := range map[string]*isakmp.SA{
		"ENCR: offered ENCR_AES_CBC-256; wanted ENCR_AES_CBC-128":         offerOf(t, policyOf(t, "aes256-sha1")),
		"INTEG: offered AUTH_HMAC_SHA2_512_256; wanted AUTH_HMAC_SHA1_96": offerOf(t, policyOf(t, "aes128-sha512")),
		"Authentication-Algorithm: offered none; wanted an integrity":     change("aes128-sha1", drop(isakmp.Phase2AuthAlgorithm)),
		"offered HMAC-SHA2-256 cut to 96 bits, as before RFC 4868":        change("aes128-sha1", set(isakmp.Phase2AuthAlgorithm, 252)),
		"offered AES-128-GMAC; wanted an integrity algorithm":             change("aes128-sha1", set(isakmp.Phase2AuthAlgorithm, 11)),
		"offered KPDK; wanted an integrity":                               change("aes128-sha1", set(isakmp.Phase2AuthAlgorithm, 4)),
		"offered HMAC-SHA; wanted none beside a combined-mode cipher":     change("aes256gcm16", set(isakmp.Phase2AuthAlgorithm, 2)),
		"ENCR: offered ENCR_AES_GCM_16; wanted":                           change("aes256gcm16", drop(isakmp.Phase2KeyLength)),
		"ENCR: offered ENCR_AES_GCM_16-160; wanted":                       change("aes256gcm16", set(isakmp.Phase2KeyLength, 160)),
		"Transform-ID: offered ESP_TWOFISH (not supported)":               change("aes128-sha1", func(x *isakmp.Transform) { x.ID = 253 }),
		"Transform-ID: offered ESP_DES (not supported)":                   change("aes128-sha1", func(x *isakmp.Transform) { x.ID = 2 }),
		"Key-Rounds: offered 12":                                          change("aes128-sha1", set(isakmp.Phase2KeyRounds, 12)),
		"Extended (64-bit) Sequence Number: offered 2; wanted 1":          change("aes128-sha1", set(isakmp.Phase2ESN, 2)),
		"ESN: offered ESN; wanted NO_ESN":                                 change("aes128-sha1", set(isakmp.Phase2ESN, 1)),
		"Security-Context: offered 5; wanted none":                        change("aes128-sha1", set(isakmp.Phase2SecurityContext, 5)),
		"Authentication-Algorithm: offered twice":                         change("aes128-sha1", func(x *isakmp.Transform) { x.Attributes = append(x.Attributes, isakmp.Basic(uint16(5), uint16(2))) }),
		"Lifetime: offered isakmp: lifetime attributes make no sense":     change("aes128-sha1", set(isakmp.Phase2LifeType, 9)),
		"Compress-Private-Algorithm: offered a value that is no number": change("aes128-sha1", func(x *isakmp.Transform) {
			x.Attributes = append(x.Attributes, isakmp.Variable(uint16(9), []byte("oui")))
		}),
		"nearest was transform 1 of proposal 1":                             offerOf(t, policyOf(t, "aes256-sha1")),
		"[offered: ESP_AES-256/HMAC-SHA/tunnel/1800 s] [wanted: ESP:aes128": offerOf(t, policyOf(t, "aes256-sha1")),
	} {
		_, err := own.Choose(through(t, sa))
		require.ErrorIs(t, err, spd.ErrNoProposalChosen, says)
		require.ErrorContains(t, err, says)
		require.Less(t, len(err.Error()), 1500)
	}
	for _, spi := range [][]byte{nil, {0, 0, 0, 255}, {1, 2}, {1, 2, 3, 4, 5}} {
		sa := offerOf(t, own)
		sa.Proposals[0].SPI = spi
		_, err := own.Choose(sa)
		require.ErrorContains(t, err, "SPI: offered")
	}
	_, err := own.Choose(change("aes128-sha1", set(isakmp.Phase2ECNTunnel, 2)))
	require.NoError(t, err, "for the data plane")
	_, err = own.Choose(change("aes128-sha1", drop(isakmp.Phase2KeyLength)))
	require.NoError(t, err, "AES without Key-Length is AES-128")

	// AH: transform and Authentication-Algorithm say the same.
	ah := Policy{Proposals: childProposals(t, spd.ProtoAH, "sha1-sha256"), Life: Lifetime{Seconds: 1800}}
	sa := offerOf(t, ah)
	sa.Proposals[0].Transforms = sa.Proposals[0].Transforms[:1]
	for says, f := range map[string]func(x *isakmp.Transform){
		"offered HMAC-SHA2-256; wanted that of AH_SHA": set(isakmp.Phase2AuthAlgorithm, 5),
		"offered none; wanted an integrity":            drop(isakmp.Phase2AuthAlgorithm),
	} {
		bad := offerOf(t, ah)
		bad.Proposals[0].Transforms = bad.Proposals[0].Transforms[:1]
		f(&bad.Proposals[0].Transforms[0])
		_, err := ah.Choose(bad)
		require.ErrorContains(t, err, says)
	}
}

// Lifetimes of Child SAs by level; only claim makes a notification due.
func TestProposalCheck(t *testing.T) {
	i, r := policyOf(t, "aes128-sha1"), policyOf(t, "aes128-sha1")
	i.Life, r.Life = Lifetime{7200, 5000}, Lifetime{3600, 9000}
	r.Check = ike.CheckStrict
	_, err := r.Choose(offerOf(t, i))
	require.ErrorContains(t, err, "Lifetime: offered 7200 s, 5000 KiB; wanted 3600 s, 9000 KiB (strict)")
	r.Check = ike.CheckClaim
	s, err := r.Choose(offerOf(t, i))
	require.NoError(t, err)
	require.Equal(t, Lifetime{3600, 5000}, s.Life)
	require.True(t, s.Claims())
	require.Equal(t, offerOf(t, i).Proposals[0].Transforms, s.Answer(offerOf(t, i), theirSPIs).Proposals[0].Transforms, "not changed in the answer")
	r.Check = ike.CheckObey
	s, err = r.Choose(offerOf(t, i))
	require.NoError(t, err)
	require.Equal(t, i.Life, s.Life)
	require.False(t, s.Claims())
	r.Check = ike.CheckExact
	_, err = r.Choose(offerOf(t, i))
	require.ErrorContains(t, err, "(exact)")
	r.Life = i.Life
	s, err = r.Choose(offerOf(t, i))
	require.NoError(t, err)
	require.False(t, s.Claims())
}

// However large the offer, what is looked at is bounded, and nothing panics.
func TestHostile(t *testing.T) {
	own := policyOf(t, "aes128-sha1,aes256gcm16")
	own.IPComp = true
	sa := &isakmp.SA{DOI: 1, Situation: 1}
	for n := range isakmp.MaxProposals {
		q := isakmp.Proposal{Num: uint8(n / 2), Protocol: spd.Protocol(n % 6), SPI: make([]byte, n%7), Transforms: make([]isakmp.Transform, n%200)}
		sa.Proposals = append(sa.Proposals, q)
	}
	_, err := own.Choose(sa)
	require.ErrorIs(t, err, spd.ErrNoProposalChosen)
	require.Less(t, len(err.Error()), 2000)

	// Nothing configured, or nothing left of it.
	nothing := Policy{}
	require.Equal(t, dh.None, nothing.Group())
	_, err = nothing.Offer(dh.None, ourSPIs)
	require.ErrorContains(t, err, "no proposal has the group")
	for _, sa := range []*isakmp.SA{sa, offerOf(t, own), {DOI: 1, Situation: 1, Proposals: []isakmp.Proposal{{}}}} {
		_, err = nothing.Choose(sa)
		require.ErrorIs(t, err, spd.ErrNoProposalChosen)
	}
	_, err = own.CheckAnswer(&isakmp.SA{DOI: 1, Situation: 1, Proposals: offerOf(t, policyOf(t, "aes128-sha1")).Proposals}, dh.MODP8192)
	require.ErrorIs(t, err, spd.ErrNoProposalChosen)
}

// Whatever comes, a choice is made of what is configured or refused, and the
// answer to it is one that the wire has a form for.
func FuzzProposals(f *testing.F) {
	child := policyOf(f, "aes128-sha1-modp2048-none,aes256gcm16")
	child.IPComp, child.OptionalKE = true, []uint16{14}
	ah := child
	ah.Outer = childProposals(f, spd.ProtoAH, "sha1")
	f.Add(offerOf(f, child).AppendBody(nil))
	f.Add(offerOf(f, ah).AppendBody(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		wire := append([]byte{0, 0, byte((len(b) + 4) >> 8), byte(len(b) + 4)}, b...)
		payloads, err := isakmp.ParsePayloads(isakmp.PayloadSA, wire)
		if err != nil || payloads.SA() == nil {
			return
		}
		sa := payloads.SA()
		for _, p := range []Policy{child, ah} {
			s, err := p.Choose(sa)
			if err != nil {
				_ = err.Error()
				continue
			}
			require.True(t, s.Has(spd.ProtoESP))
			answer := through(t, s.Answer(sa, theirSPIs))
			if own := p.withGroup(s.Group); len(own.Proposals) > 0 {
				again, err := p.CheckAnswer(answer, s.Group)
				require.NoError(t, err, "the initiator would take it")
				require.Equal(t, s.Protocols(), again.Protocols())
			}
		}
	})
}

func BenchmarkChoose(b *testing.B) {
	i, r := policyOf(b, "aes256gcm16-aes128gcm16,aes256-aes128-sha256-sha1"), policyOf(b, "aes256-sha256")
	sa := offerOf(b, i)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Choose(sa); err != nil {
			b.Fatal(err)
		}
	}
}

// A limit of less than a kilobyte is one, and not none.
func TestLifetimeOf(t *testing.T) {
	require.Equal(t, Lifetime{DefaultLifetime, 0}, LifetimeOf(0, 0))
	require.Equal(t, Lifetime{1, 1}, LifetimeOf(time.Millisecond, 1))
	require.Equal(t, Lifetime{60, 2}, LifetimeOf(time.Minute, 2048))
	require.Equal(t, Lifetime{math.MaxUint32, MaxKilobytes}, LifetimeOf(math.MaxInt64, math.MaxUint64))
}
