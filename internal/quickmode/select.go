package quickmode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// maxExamined bounds how many transforms of a peer's offer are looked at.
const maxExamined = 512

// A offered is a transform as a peer has sent it.
type offered struct {
	protocol spd.Protocol
	id       uint8
	auth     isakmp.AuthAlgorithm
	keyLen   uint16
	mode     natt.Mode // 0 if it says none
	group    dh.ID
	esn      bool
	life     Lifetime
	bad      []ike.Mismatch // why it cannot be used, whatever is configured
}

// parse reads a transform of ESP, AH or IPComp. Attributes come in any
// order and in either form (RFC 2408 3.3).
func parse(protocol spd.Protocol, t *isakmp.Transform) offered {
	o := offered{protocol: protocol, id: t.ID}
	refuse := func(name isakmp.Phase2Attribute, offered, wanted string) {
		o.bad = append(o.bad, mismatch(name.String(), offered, wanted))
	}
	var seen [16]bool
	for i := range t.Attributes {
		a := &t.Attributes[i]
		name := isakmp.Phase2Attribute(a.Type)
		if name == isakmp.Phase2LifeType || name == isakmp.Phase2LifeDuration {
			continue // below
		}
		v, ok := a.Uint()
		if !ok || v > 0xffff {
			refuse(name, "a value that is no number of 16 bits", "one")
			continue
		}
		if int(a.Type) < len(seen) {
			if seen[a.Type] {
				refuse(name, "twice", "once")
			}
			seen[a.Type] = true
		}
		switch name {
		case isakmp.Phase2Group:
			o.group = dh.ID(v)
		case isakmp.Phase2EncapsulationMode:
			o.mode = natt.Mode(v)
		case isakmp.Phase2AuthAlgorithm:
			o.auth = isakmp.AuthAlgorithm(v)
		case isakmp.Phase2KeyLength:
			o.keyLen = uint16(v)
		case isakmp.Phase2ESN:
			if o.esn = v == 1; v > 1 {
				refuse(name, fmt.Sprint(v), "1 (RFC 4304)")
			}
		case isakmp.Phase2ECNTunnel:
			// Allowed or forbidden (RFC 3168 9.2.1): the data plane's own matter.
		case isakmp.Phase2KeyRounds:
			if v != 0 {
				refuse(name, fmt.Sprint(v), "none: no cipher here has variable rounds")
			}
		case isakmp.Phase2CompressDictSize:
			// A hint for the transforms that have a dictionary.
		default:
			refuse(name, fmt.Sprint(v), "none: the attribute is not supported")
		}
	}
	var err error
	if o.life, err = OfferedLifetime(spd.ProtoESP, t.Attributes); err != nil {
		o.bad = append(o.bad, mismatch("Lifetime", err.Error(), "pairs of SA-Life-Type and SA-Life-Duration"))
	}
	return o
}

// name is the transform as its registry calls it.
func (o *offered) name() string {
	switch o.protocol {
	case spd.ProtoESP:
		return isakmp.ESPTransform(o.id).String()
	case spd.ProtoAH:
		return isakmp.AHTransform(o.id).String()
	case spd.ProtoIPComp:
		return isakmp.IPCompTransform(o.id).String()
	}
	return fmt.Sprintf("%v transform %d", o.protocol, o.id)
}

func (o *offered) String() string {
	var b strings.Builder
	b.WriteString(o.name())
	if o.keyLen != 0 {
		fmt.Fprintf(&b, "-%d", o.keyLen)
	}
	if o.auth != 0 {
		fmt.Fprintf(&b, "/%s", authName(o.auth))
	}
	if o.group != 0 {
		fmt.Fprintf(&b, "/%v", o.group)
	}
	if o.esn {
		b.WriteString("/ESN")
	}
	if o.mode != 0 {
		fmt.Fprintf(&b, "/%v", o.mode)
	}
	fmt.Fprintf(&b, "/%v", o.life)
	return b.String()
}

// proposal translates an ESP or AH transform, or tells what has no
// translation.
func (o *offered) proposal() (spd.Proposal, []ike.Mismatch) {
	p := spd.Proposal{Protocol: o.protocol}
	var bad []ike.Mismatch
	combined := false
	if o.protocol == spd.ProtoESP {
		encr, ok := encrOf(isakmp.ESPTransform(o.id), o.keyLen)
		if !ok {
			bad = append(bad, mismatch("Transform-ID", o.name()+" (not supported)", "another"))
		}
		combined = spd.IsCombinedMode(encr)
		p.Transforms = append(p.Transforms, encr)
	}
	integ, ah, ok := integOf(o.auth)
	switch {
	case combined && o.auth == 0:
	case combined:
		bad = append(bad, mismatch("Authentication-Algorithm", authName(o.auth), "none beside a combined-mode cipher"))
	case !ok || o.protocol == spd.ProtoESP && integ >= spd.IntegAES128GMAC && integ <= spd.IntegAES256GMAC:
		bad = append(bad, mismatch("Authentication-Algorithm", authName(o.auth), "an integrity algorithm"))
	case o.protocol == spd.ProtoAH && uint8(ah) != o.id:
		// RFC 2407 4.4.3: the two say the same.
		bad = append(bad, mismatch("Authentication-Algorithm", authName(o.auth), "that of "+o.name()))
	default:
		p.Transforms = append(p.Transforms, spd.Transform{Type: spd.TransformINTEG, ID: integ})
	}
	esn := spd.Transform{Type: spd.TransformESN}
	if o.esn {
		esn.ID = spd.ESNExtended
	}
	p.Transforms = append(p.Transforms, esn)
	if o.group != dh.None {
		p.Transforms = append(p.Transforms, spd.Transform{Type: spd.TransformKE, ID: uint16(o.group)})
	}
	return p, bad
}

// A Selected is what was negotiated for a Child SA.
type Selected struct {
	Proposal spd.Proposal // of the protocol that the Child SA is named after: one transform of each type
	Group    dh.ID        // of PFS, None without
	Mode     spd.Mode
	UDP      bool     // ESP in UDP
	Life     Lifetime // to be used
	Peer     Lifetime // as offered
	Parts    []Part   // in the order in which they apply to a packet: IPComp, ESP, AH
}

// A Part is one protocol of the Child SA.
type Part struct {
	Proposal  spd.Proposal // ESP, AH; for IPComp only the protocol counts
	SPI       spd.SPI      // the peer's, of the outbound SA
	transform isakmp.IPCompTransform
	offered   [2]int // indices of proposal and transform in the peer's SA
}

// Claims reports whether the peer has to be told that the own lifetime is
// shorter than what it offered (RESPONDER-LIFETIME, RFC 2407 4.6.3.1).
func (s *Selected) Claims() bool { return s.Life != s.Peer }

// Has reports whether a protocol is part of the Child SA: of the SPIs reserved
// for an offer, those of the others are given back.
func (s *Selected) Has(protocol spd.Protocol) bool {
	return slices.ContainsFunc(s.Parts, func(p Part) bool { return p.Proposal.Protocol == protocol })
}

// Protocols are those of the Child SA, which a responder needs an SPI each for.
func (s *Selected) Protocols() (all []spd.Protocol) {
	for _, p := range s.Parts {
		all = append(all, p.Proposal.Protocol)
	}
	return all
}

// PeerSPIs are the SPIs of the outbound SAs.
func (s *Selected) PeerSPIs() (spis SPIs) {
	for _, p := range s.Parts {
		spis[p.Proposal.Protocol] = p.SPI
	}
	return spis
}

// Answer is the responder's SA payload: of the chosen proposals, with the own
// SPIs, the chosen transforms as they came (RFC 2408 4.2).
func (s *Selected) Answer(sa *isakmp.SA, own SPIs) *isakmp.SA {
	r := &isakmp.SA{DOI: sa.DOI, Situation: sa.Situation}
	for i := range sa.Proposals {
		for _, part := range s.Parts {
			if part.offered[0] != i {
				continue
			}
			q := sa.Proposals[i]
			q.Transforms = q.Transforms[part.offered[1] : part.offered[1]+1]
			spi := AppendSPI(nil, own[q.Protocol])
			q.SPI = spi[4-len(q.SPI):] // a CPI has two octets or four, as the peer's
			r.Proposals = append(r.Proposals, q)
		}
	}
	return r
}

// ChildSAs makes both directions' SAs, in the order of [spd.Bundle]. Of an
// outbound packet the first one sees what the selectors speak of, so it has the
// mode; the others carry its result.
func (s *Selected) ChildSAs(keymat Keymat, own SPIs) (in, out []spd.SA) {
	direction := func(spis SPIs) (sas []spd.SA) {
		for i, part := range s.Parts {
			protocol := part.Proposal.Protocol
			sa := spd.SA{Protocol: protocol, SPI: spis[protocol], Encryption: spd.Transform{ID: uint16(part.transform)}}
			if protocol != spd.ProtoIPComp {
				sa = NewSA(part.Proposal, spis[protocol], keymat)
			}
			if sa.Mode = spd.ModeTransport; i == 0 {
				sa.Mode = s.Mode
			}
			sas = append(sas, sa)
		}
		return sas
	}
	return direction(own), direction(s.PeerSPIs())
}

// Choose is the responder's choice: the first proposal, in the initiator's
// order of preference, of which the policy allows a transform for each
// protocol. Proposals with one number belong together (RFC 2408 4.2). The error
// is a [*ike.NegotiationError], [ErrSituation] or [ErrAHBehindNAT].
func (p *Policy) Choose(sa *isakmp.SA) (Selected, error) {
	return p.selectFrom(sa, false)
}

// CheckAnswer is the initiator's check of the responder's SA payload against
// what the policy has offered with the group g: one proposal, or one bundle of
// them, with one transform each. Of the lifetimes the shorter one is used,
// unless the check is exact.
func (p *Policy) CheckAnswer(sa *isakmp.SA, g dh.ID) (Selected, error) {
	for i := range sa.Proposals {
		if q := &sa.Proposals[i]; q.Num != sa.Proposals[0].Num || len(q.Transforms) != 1 {
			return Selected{}, fmt.Errorf("ikev1: responder did not choose one transform of one proposal: %v", sa)
		}
	}
	q := p.withGroup(g)
	return q.selectFrom(sa, true)
}

func (p *Policy) selectFrom(sa *isakmp.SA, answer bool) (Selected, error) {
	if sa.Situation != isakmp.SituationIdentityOnly {
		return Selected{}, ErrSituation
	}
	if p.UDP != natt.NoVariant && slices.Contains(p.Protocols(), spd.ProtoAH) {
		return Selected{}, ErrAHBehindNAT
	}
	c := chooser{policy: p, answer: answer, fail: &ike.NegotiationError{Proposal: -1, Transform: -1, Wanted: p.texts()}}
	for i := 0; i < len(sa.Proposals); {
		n := i + 1
		for n < len(sa.Proposals) && sa.Proposals[n].Num == sa.Proposals[i].Num {
			n++
		}
		if s, ok := c.bundle(sa.Proposals, i, n); ok {
			return s, nil
		}
		i = n
	}
	return Selected{}, c.fail
}

// texts is the policy for an explanation.
func (p *Policy) texts() (all []string) {
	for _, list := range [][]spd.Proposal{p.Proposals, p.Outer} {
		for _, q := range list {
			all = append(all, fmt.Sprintf("%v:%v", q.Protocol, q))
		}
	}
	return append(all, p.wireMode().String(), p.Life.String())
}

// A chooser goes through a peer's proposals.
type chooser struct {
	policy   *Policy
	answer   bool // the proposals are the answer to an offer of ours
	fail     *ike.NegotiationError
	examined int
	whole    bool // fail tells of a proposal as a whole
}

// bundle tries the proposals from first up to end, which have one number.
func (c *chooser) bundle(all []isakmp.Proposal, first, end int) (Selected, bool) {
	var place [spd.ProtoIPComp + 1]int // of each protocol, plus one
	var got []string
	for i := first; i < end; i++ {
		q := &all[i]
		got = append(got, q.Protocol.String())
		if q.Protocol <= spd.ProtoIKE || q.Protocol >= spd.Protocol(len(place)) || place[q.Protocol] != 0 {
			c.note(all, first, mismatch("Protocols", strings.Join(got, "+"), c.protocols()))
			return Selected{}, false
		}
		place[q.Protocol] = i + 1
	}
	order := c.policy.Protocols()
	if c.policy.IPComp && place[spd.ProtoIPComp] == 0 {
		order = order[1:] // the peer does without
	}
	wrong := end-first != len(order)
	for _, protocol := range order {
		wrong = wrong || place[protocol] == 0
	}
	if wrong {
		c.note(all, first, mismatch("Protocols", strings.Join(got, "+"), c.protocols()))
		return Selected{}, false
	}
	// The transforms of the main protocol in order; the others follow suit.
	main := place[c.policy.Main()] - 1
	for j := range all[main].Transforms {
		var s Selected
		if !c.part(&s, all, main, j, c.policy.Proposals) {
			continue
		}
		parts := s.Parts
		s.Parts = nil
		complete := true
		for _, protocol := range order {
			switch i := place[protocol] - 1; {
			case i == main:
				s.Parts = append(s.Parts, parts...)
			default:
				found := false
				for k := range all[i].Transforms {
					if found = c.part(&s, all, i, k, c.policy.Outer); found {
						break
					}
				}
				complete = complete && found
			}
		}
		if complete {
			return s, true
		}
	}
	return Selected{}, false
}

func (c *chooser) protocols() string {
	order := c.policy.Protocols()
	without := order
	if c.policy.IPComp {
		without = order[1:]
	}
	text := func(ps []spd.Protocol) string {
		var t []string
		for _, p := range ps {
			t = append(t, p.String())
		}
		return strings.Join(t, "+")
	}
	if len(without) != len(order) {
		return text(order) + " or " + text(without)
	}
	return text(order)
}

// note keeps a mismatch of a proposal as a whole, to be told if no transform of
// another one comes nearer.
func (c *chooser) note(all []isakmp.Proposal, i int, m ike.Mismatch) {
	t := 0
	if len(all[i].Transforms) > 0 {
		o := parse(all[i].Protocol, &all[i].Transforms[0])
		c.offered(&o)
		t = int(all[i].Transforms[0].Num)
	}
	if c.fail.Transform < 0 {
		c.fail.Proposal, c.fail.Transform, c.fail.Mismatches = int(all[i].Num), t, []ike.Mismatch{m}
		c.whole = true
	}
}

func (c *chooser) offered(o *offered) {
	if len(c.fail.Offered) <= MaxTexts {
		c.fail.Offered = append(c.fail.Offered, o.String())
	}
}

// part tries one transform of one protocol and adds it to s if it fits: the
// first of them, that of the main protocol, decides group and lifetime.
func (c *chooser) part(s *Selected, all []isakmp.Proposal, i, j int, own []spd.Proposal) bool {
	if c.examined++; c.examined > maxExamined {
		return false
	}
	p := c.policy
	q := &all[i]
	o := parse(q.Protocol, &q.Transforms[j])
	bad := o.bad
	main := q.Protocol == p.Main()
	part := Part{Proposal: spd.Proposal{Protocol: q.Protocol}, offered: [2]int{i, j}}

	var err error
	if part.SPI, err = ParseSPI(q.Protocol, q.SPI); err != nil {
		bad = append(bad, mismatch("SPI", err.Error(), "one that can be used"))
	}
	if q.Protocol == spd.ProtoIPComp {
		if part.transform = isakmp.IPCompTransform(o.id); part.transform != Deflate {
			bad = append(bad, mismatch("Transform-ID", o.name(), Deflate.String()))
		}
	} else {
		var none []ike.Mismatch
		part.Proposal, none = o.proposal()
		if bad = append(bad, none...); len(none) == 0 {
			opt := spd.SelectOptions{PreferOffered: true, OptionalKE: p.OptionalKE, NoKE: !main}
			chosen, err := spd.Select([]spd.Proposal{part.Proposal}, own, opt)
			var n *spd.NegotiationError
			if errors.As(err, &n) {
				for _, m := range n.Mismatches {
					bad = append(bad, mismatch(m.Type.String(), Names(m.Offered), Names(m.Wanted)))
				}
				if len(n.Mismatches) == 0 {
					bad = append(bad, mismatch("Protocol", q.Protocol.String(), c.protocols()))
				}
			}
			part.Proposal = chosen.Proposal
		}
	}
	bad = append(bad, c.modeMismatch(&o, main)...)
	life, ok := o.life.Shorter(p.Life), !(c.answer && p.Check == ike.CheckExact && o.life != p.Life)
	if !c.answer {
		life, ok = Agree(p.Check, o.life, p.Life)
	}
	if !ok {
		bad = append(bad, mismatch("Lifetime", o.life.String(), fmt.Sprintf("%v (%v)", p.Life, p.Check)))
	}
	if !main && o.group != s.Group && !(q.Protocol == spd.ProtoIPComp && o.group == dh.None) {
		bad = append(bad, mismatch("Group-Description", o.group.String(), s.Group.String()+", as the other protocol"))
	}
	if main {
		c.offered(&o)
	}
	if len(bad) > 0 {
		if c.whole || Nearer(c.fail, len(bad)) {
			c.fail.Proposal, c.fail.Transform, c.fail.Mismatches, c.whole = int(q.Num), int(q.Transforms[j].Num), bad, false
		}
		return false
	}
	s.Parts = append(s.Parts, part)
	if main {
		s.Proposal, s.Group, s.Mode, s.UDP = part.Proposal, o.group, p.Mode, p.UDP != natt.NoVariant
		s.Life, s.Peer = life, o.life
	} else {
		s.Life, s.Peer = s.Life.Shorter(life), s.Peer.Shorter(o.life)
	}
	return true
}

// modeMismatch compares the encapsulation. The main protocol has that of the
// policy. Peers mix the numbers of the drafts with those of RFC 3947, and some
// leave the attribute out, which then is up to the host (RFC 2407 4.5). The
// protocols around the main one may also say transport.
func (c *chooser) modeMismatch(o *offered, main bool) []ike.Mismatch {
	want := c.policy.wireMode()
	wantPlain, wantUDP := want.Plain()
	plain, udp := o.mode.Plain()
	switch {
	case o.mode == 0, plain == wantPlain && udp == wantUDP:
		return nil
	case !main && (plain == wantPlain || plain == natt.Transport) && (udp == wantUDP || !udp):
		return nil
	}
	return []ike.Mismatch{mismatch("Encapsulation-Mode", isakmp.EncapsulationMode(o.mode).String(), want.String())}
}

func AppendSPI(dst []byte, spi spd.SPI) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(spi))
}

// ParseSPI reads an SPI of four octets, or a CPI of two or four (RFC 2407 4.6).
// 0 to 255 are reserved, and so are CPIs above 61439 (RFC 3173 3.3).
func ParseSPI(protocol spd.Protocol, b []byte) (spd.SPI, error) {
	cpi := protocol == spd.ProtoIPComp
	if len(b) != 4 && !(cpi && len(b) == 2) {
		return 0, fmt.Errorf("%d octets", len(b))
	}
	var spi spd.SPI
	for _, c := range b {
		spi = spi<<8 | spd.SPI(c)
	}
	if spi < spd.FirstSPI || cpi && spi > spd.LastCPI {
		return 0, fmt.Errorf("%d, which is reserved", spi)
	}
	return spi, nil
}

// ErrSituation: security labels (RFC 2407 4.2) are not supported; the answer is
// SITUATION-NOT-SUPPORTED.
var ErrSituation = errors.New("SA payload with a situation other than SIT_IDENTITY_ONLY")

// First reports whether a responder's choice is what the initiator has offered
// first: the first transform of each protocol of the first proposal.
func (s *Selected) First(offer *isakmp.SA) bool {
	n := 0
	for n < len(offer.Proposals) && offer.Proposals[n].Num == offer.Proposals[0].Num {
		n++
	}
	if len(s.Parts) != n {
		return false
	}
	for _, p := range s.Parts {
		if p.offered[0] >= n || p.offered[1] != 0 {
			return false
		}
	}
	return true
}

// Same reports whether two choices are of the same algorithms.
func (s *Selected) Same(o *Selected) bool {
	return s.Group == o.Group && slices.EqualFunc(s.Parts, o.Parts, func(a, b Part) bool {
		return a.Proposal.String() == b.Proposal.String() && a.Proposal.Protocol == b.Proposal.Protocol && a.transform == b.transform
	})
}

// Expect is what the policy would make of a responder that takes what an offer
// has first. The peer's SPIs are not known in it.
func (p *Policy) Expect(offer *isakmp.SA) (Selected, error) {
	first := &isakmp.SA{DOI: offer.DOI, Situation: offer.Situation}
	for _, q := range offer.Proposals {
		if q.Num == offer.Proposals[0].Num {
			q.Transforms = q.Transforms[:1]
			first.Proposals = append(first.Proposals, q)
		}
	}
	return p.CheckAnswer(first, p.Group())
}

// ShortenLife puts the lifetime to be used into the transforms of an answer.
func (s *Selected) ShortenLife(answer *isakmp.SA) {
	for i := range answer.Proposals {
		q := &answer.Proposals[i]
		q.Transforms = slices.Clone(q.Transforms)
		for j := range q.Transforms {
			t := &q.Transforms[j]
			kept := slices.DeleteFunc(slices.Clone(t.Attributes), func(a isakmp.Attribute) bool {
				name := isakmp.Phase2Attribute(a.Type)
				return name == isakmp.Phase2LifeType || name == isakmp.Phase2LifeDuration
			})
			t.Attributes = append(isakmp.AppendLifetime(nil, spd.ProtoESP, s.Life.Wire()), kept...)
		}
	}
}
