package quickmode

import (
	"errors"
	"fmt"
	"slices"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// maxOffer bounds the transforms of one proposal payload of ours.
const maxOffer = 64

// Deflate is the only IPComp transform in use: DEFLATE (RFC 2394).
const Deflate = isakmp.IPCompDeflate

// A Policy is what one side offers or accepts for a Child SA. Proposals
// that Quick Mode has no numbers for (ChaCha20-Poly1305, AES-CMAC) are passed
// over.
type Policy struct {
	Proposals []spd.Proposal // ESP or AH, in order of preference; KE transforms mean PFS
	Outer     []spd.Proposal // AH around ESP; nil for none
	IPComp    bool           // with DEFLATE inside, if the peer wants it too
	Mode      spd.Mode
	UDP       natt.Variant // with a NAT on the path, the numbers to say it; else NoVariant
	Life      Lifetime
	Check     ike.ProposalCheck

	// OptionalKE are groups that a responder takes where its proposal has none:
	// PFS only if the initiator wants it.
	OptionalKE []uint16
}

// Where the numbers of Quick Mode and of IKEv2 differ (RFC 2407 4.4.4).
func espTransformOf(encr uint16) (isakmp.ESPTransform, bool) {
	switch encr {
	case spd.EncrNULLAESGMAC:
		return isakmp.ESPNullAuthAESGMAC, true
	case spd.EncrCamelliaCBC:
		return isakmp.ESPCamellia, true
	case spd.Encr3DES, spd.EncrNULL, spd.EncrAESCBC, spd.EncrAESCTR, spd.EncrAESCCM8, spd.EncrAESCCM12, spd.EncrAESCCM16,
		spd.EncrAESGCM8, spd.EncrAESGCM12, spd.EncrAESGCM16:
		return isakmp.ESPTransform(encr), true
	}
	return 0, false
}

// encrOf is the way back; bits is the Key Length attribute, 0 without one.
func encrOf(t isakmp.ESPTransform, bits uint16) (spd.Transform, bool) {
	var id uint16
	switch t {
	case isakmp.ESPNullAuthAESGMAC:
		id = spd.EncrNULLAESGMAC
	case isakmp.ESPCamellia:
		id = spd.EncrCamelliaCBC
	default:
		id = uint16(t)
		if back, ok := espTransformOf(id); !ok || back != t {
			return spd.Transform{}, false
		}
	}
	r := spd.Transform{Type: spd.TransformENCR, ID: id, KeyLen: bits}
	switch id {
	case spd.EncrNULL:
		r.KeyLen = 0
	case spd.Encr3DES:
		r.KeyLen = 0
		return r, bits == 0 || bits == 192
	case spd.EncrAESCBC, spd.EncrCamelliaCBC:
		if bits == 0 {
			r.KeyLen = 128 // what racoon means by leaving it out
		}
	}
	return r, true
}

// authAlgorithms are the integrity algorithms of ESP and AH: the value of the
// Authentication-Algorithm attribute, the transform of AH, the IKEv2 transform.
var authAlgorithms = [...]struct {
	attr  isakmp.AuthAlgorithm
	ah    isakmp.AHTransform
	integ uint16
}{
	{isakmp.AuthAlgorithmHMACMD5, isakmp.AHMD5, spd.IntegHMACMD5_96},
	{isakmp.AuthAlgorithmHMACSHA, isakmp.AHSHA, spd.IntegHMACSHA1_96},
	{isakmp.AuthAlgorithmHMACSHA256, isakmp.AHSHA256, spd.IntegHMACSHA256_128}, // RFC 4868
	{isakmp.AuthAlgorithmHMACSHA384, isakmp.AHSHA384, spd.IntegHMACSHA384_192},
	{isakmp.AuthAlgorithmHMACSHA512, isakmp.AHSHA512, spd.IntegHMACSHA512_256},
	{isakmp.AuthAlgorithmAESXCBCMAC, isakmp.AHAESXCBCMAC, spd.IntegAESXCBC96},
	{isakmp.AuthAlgorithmAES128GMAC, isakmp.AHAES128GMAC, spd.IntegAES128GMAC}, // AH only (RFC 4543)
	{isakmp.AuthAlgorithmAES192GMAC, isakmp.AHAES192GMAC, spd.IntegAES192GMAC},
	{isakmp.AuthAlgorithmAES256GMAC, isakmp.AHAES256GMAC, spd.IntegAES256GMAC},
}

// authTruncBug is a private number for HMAC-SHA2-256 cut to 96 bits, as the
// drafts before RFC 4868 had it. Some old peers mean that by the ordinary
// number, which nobody can see.
const authTruncBug isakmp.AuthAlgorithm = 252

func authName(a isakmp.AuthAlgorithm) string {
	switch a {
	case 0:
		return "none"
	case authTruncBug:
		return "HMAC-SHA2-256 cut to 96 bits, as before RFC 4868 (not supported)"
	}
	return a.String()
}

func authOf(integ uint16) (isakmp.AuthAlgorithm, isakmp.AHTransform, bool) {
	for _, a := range authAlgorithms {
		if a.integ == integ {
			return a.attr, a.ah, true
		}
	}
	return 0, 0, false
}

func integOf(attr isakmp.AuthAlgorithm) (uint16, isakmp.AHTransform, bool) {
	for _, a := range authAlgorithms {
		if a.attr == attr {
			return a.integ, a.ah, true
		}
	}
	return 0, 0, false
}

// A choice is one transform of ESP or AH without alternatives.
type choice struct {
	encr  spd.Transform // zero for AH
	integ uint16        // 0 with combined modes
	esn   bool
}

// choices lists what a proposal leaves to choose from, group apart, in
// order of preference. The error says why Quick Mode cannot have any of it.
func choices(p spd.Proposal) (all []choice, err error) {
	for t := spd.TransformADDKE1; t <= spd.TransformADDKE7; t++ {
		if kes := p.All(t); len(kes) > 0 && !slices.Contains(kes, spd.Transform{Type: t}) {
			return nil, fmt.Errorf("%v: Quick Mode has no additional key exchanges", t)
		}
	}
	encrs, integs, esns := p.All(spd.TransformENCR), p.All(spd.TransformINTEG), p.All(spd.TransformESN)
	if p.Protocol == spd.ProtoAH {
		encrs = []spd.Transform{{}}
	}
	if len(esns) == 0 {
		esns = []spd.Transform{{Type: spd.TransformESN}}
	}
	for _, e := range encrs {
		if _, ok := espTransformOf(e.ID); !ok && p.Protocol == spd.ProtoESP {
			continue
		}
		suits := integs
		if p.Protocol == spd.ProtoESP && spd.IsCombinedMode(e) {
			suits = []spd.Transform{{Type: spd.TransformINTEG}}
		}
		for _, i := range suits {
			if _, _, ok := authOf(i.ID); !ok && !spd.IsCombinedMode(e) {
				continue
			}
			for _, n := range esns {
				all = append(all, choice{e, i.ID, n.ID == spd.ESNExtended})
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("Quick Mode has no numbers for its algorithms")
	}
	return all, nil
}

// CheckProposals reports why nothing of the proposals could be
// negotiated.
func CheckProposals(proposals []spd.Proposal) error {
	first := errors.New("no proposals")
	for i, p := range proposals {
		_, err := choices(p)
		if err == nil {
			return nil
		}
		if i == 0 {
			first = fmt.Errorf("proposal %v: %w", p, err)
		}
	}
	return first
}

// Main is the protocol that the Child SA is named after; 0 without proposals.
func (p *Policy) Main() spd.Protocol {
	if len(p.Proposals) == 0 {
		return 0
	}
	return p.Proposals[0].Protocol
}

// Protocols are those that an SPI is needed for before the policy is offered,
// in the order in which they apply to a packet.
func (p *Policy) Protocols() (all []spd.Protocol) {
	if p.IPComp {
		all = append(all, spd.ProtoIPComp)
	}
	all = append(all, p.Main())
	if p.Outer != nil {
		all = append(all, spd.ProtoAH)
	}
	return all
}

// Group is the group of the preferred proposal: the one to generate a public
// value of, None without PFS.
func (p *Policy) Group() dh.ID {
	if len(p.Proposals) == 0 {
		return dh.None
	}
	return dh.ID(p.Proposals[0].KeyExchange())
}

// withGroup returns the policy with that group only: the KE payload of Quick
// Mode has one, and all proposals of it have the same (RFC 2409 5.5).
func (p Policy) withGroup(g dh.ID) Policy {
	only := func(all []spd.Proposal) (kept []spd.Proposal) {
		for _, q := range all {
			kes := q.All(spd.TransformKE)
			switch {
			case g == dh.None && (len(kes) == 0 || slices.Contains(kes, spd.Transform{Type: spd.TransformKE})):
				kept = append(kept, q.WithKE())
			case g != dh.None && slices.Contains(kes, spd.Transform{Type: spd.TransformKE, ID: uint16(g)}):
				kept = append(kept, q.WithKE(uint16(g)))
			}
		}
		return kept
	}
	p.Proposals, p.OptionalKE = only(p.Proposals), nil
	for i, outer := 0, p.Outer; i < len(outer); i++ {
		if i == 0 {
			p.Outer = nil
		}
		q := outer[i].WithKE() // its group is that of the inner SA
		if g != dh.None {
			q = outer[i].WithKE(uint16(g))
		}
		p.Outer = append(p.Outer, q)
	}
	return p
}

// SPIs holds an SPI for each protocol, by its number.
type SPIs [spd.ProtoIPComp + 1]spd.SPI

// ErrAHBehindNAT: nothing can make AH pass a NAT (RFC 3715 2.1).
var ErrAHBehindNAT = errors.New("AH cannot be used with a NAT on the path")

// Offer is the initiator's SA payload, with a group that [Policy.Group]
// has said. With IPComp it makes two proposals, the second one without, so
// that a peer may decline it.
func (p *Policy) Offer(g dh.ID, spis SPIs) (*isakmp.SA, error) {
	q := p.withGroup(g)
	if len(q.Proposals) == 0 {
		return nil, fmt.Errorf("ikev1: no proposal has the group %v", g)
	}
	if p.UDP != natt.NoVariant && (q.Main() == spd.ProtoAH || q.Outer != nil) {
		return nil, ErrAHBehindNAT
	}
	inner, err := q.payload(q.Proposals, g, spis)
	if err != nil {
		return nil, err
	}
	plain := []isakmp.Proposal{inner}
	if q.Outer != nil {
		outer, err := q.payload(q.Outer, g, spis)
		if err != nil {
			return nil, err
		}
		plain = append(plain, outer)
	}
	sa := &isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly}
	add := func(num uint8, ps ...isakmp.Proposal) {
		for _, x := range ps {
			x.Num = num
			sa.Proposals = append(sa.Proposals, x)
		}
	}
	if p.IPComp {
		t := isakmp.Transform{Num: 1, ID: uint8(Deflate), Attributes: appendGroup(q.common(), g)}
		cpi := spis[spd.ProtoIPComp]
		compress := isakmp.Proposal{Protocol: spd.ProtoIPComp, SPI: []byte{byte(cpi >> 8), byte(cpi)}, Transforms: []isakmp.Transform{t}}
		add(1, append(slices.Clone(plain), compress)...)
	}
	add(uint8(1+min(len(sa.Proposals), 1)), plain...)
	return sa, nil
}

// payload makes the proposal payload of one protocol: a transform for each
// choice, without doubles.
func (p *Policy) payload(proposals []spd.Proposal, g dh.ID, spis SPIs) (isakmp.Proposal, error) {
	protocol := proposals[0].Protocol
	r := isakmp.Proposal{Protocol: protocol, SPI: AppendSPI(nil, spis[protocol])}
	var done []choice
	var failure error
	for _, q := range proposals {
		choices, err := choices(q)
		if err != nil {
			failure = fmt.Errorf("ikev1: proposal %v: %w", q, err)
		}
		for _, c := range choices {
			if len(done) < maxOffer && !slices.Contains(done, c) {
				done = append(done, c)
				r.Transforms = append(r.Transforms, p.transform(uint8(len(done)), c, g))
			}
		}
	}
	if len(done) == 0 {
		return r, failure
	}
	return r, nil
}

func (p *Policy) transform(num uint8, c choice, g dh.ID) isakmp.Transform {
	t := isakmp.Transform{Num: num, Attributes: p.common()}
	auth, ah, _ := authOf(c.integ)
	if c.encr.Type == 0 {
		t.ID = uint8(ah)
	} else {
		id, _ := espTransformOf(c.encr.ID)
		t.ID = uint8(id)
	}
	if c.encr.KeyLen != 0 {
		t.Attributes = append(t.Attributes, isakmp.Basic(isakmp.Phase2KeyLength, c.encr.KeyLen))
	}
	if c.integ != 0 {
		t.Attributes = append(t.Attributes, isakmp.Basic(isakmp.Phase2AuthAlgorithm, auth))
	}
	if t.Attributes = appendGroup(t.Attributes, g); c.esn {
		t.Attributes = append(t.Attributes, isakmp.Basic(isakmp.Phase2ESN, uint16(1)))
	}
	return t
}

// common are the attributes that all transforms of a policy share.
func (p *Policy) common() []isakmp.Attribute {
	a := isakmp.AppendLifetime(make([]isakmp.Attribute, 0, 9), spd.ProtoESP, p.Life.Wire())
	return append(a, isakmp.Basic(isakmp.Phase2EncapsulationMode, uint16(p.wireMode())))
}

func appendGroup(a []isakmp.Attribute, g dh.ID) []isakmp.Attribute {
	if g != dh.None {
		a = append(a, isakmp.Basic(isakmp.Phase2Group, uint16(g)))
	}
	return a
}

// wireMode is the Encapsulation Mode that the policy asks for.
func (p *Policy) wireMode() natt.Mode {
	m := natt.Tunnel
	if p.Mode == spd.ModeTransport {
		m = natt.Transport
	}
	return m.UDP(p.UDP)
}

// VoluntaryGroups are taken for a Child SA whose configuration asks for no
// perfect forward secrecy, when the peer wants it.
var VoluntaryGroups = []uint16{uint16(dh.Curve25519), uint16(dh.ECP256), uint16(dh.ECP384), uint16(dh.ECP521),
	uint16(dh.MODP2048), uint16(dh.MODP3072), uint16(dh.MODP4096), uint16(dh.MODP6144), uint16(dh.MODP8192)}
