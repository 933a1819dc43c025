package ikev1

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// maxPhase2Examined bounds how many transforms of a peer's offer are looked at.
const maxPhase2Examined = 512

// A phase2Offered is a transform as a peer has sent it.
type phase2Offered struct {
	protocol spd.Protocol
	id       uint8
	auth     isakmp.AuthAlgorithm
	keyLen   uint16
	mode     natt.Mode // 0 if it says none
	group    dh.ID
	esn      bool
	life     saLifetime
	bad      []Mismatch // why it cannot be used, whatever is configured
}

// parsePhase2 reads a transform of ESP, AH or IPComp. Attributes come in any
// order and in either form (RFC 2408 3.3).
func parsePhase2(protocol spd.Protocol, t *isakmp.Transform) phase2Offered {
	o := phase2Offered{protocol: protocol, id: t.ID}
	refuse := func(name isakmp.Phase2Attribute, offered, wanted string) {
		o.bad = append(o.bad, Mismatch{name.String(), offered, wanted})
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
	if o.life, err = offeredLifetime(spd.ProtoESP, t.Attributes); err != nil {
		o.bad = append(o.bad, Mismatch{"Lifetime", err.Error(), "pairs of SA-Life-Type and SA-Life-Duration"})
	}
	return o
}

// name is the transform as its registry calls it.
func (o *phase2Offered) name() string {
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

func (o *phase2Offered) String() string {
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
func (o *phase2Offered) proposal() (spd.Proposal, []Mismatch) {
	p := spd.Proposal{Protocol: o.protocol}
	var bad []Mismatch
	combined := false
	if o.protocol == spd.ProtoESP {
		encr, ok := encrOf(isakmp.ESPTransform(o.id), o.keyLen)
		if !ok {
			bad = append(bad, Mismatch{"Transform-ID", o.name() + " (not supported)", "another"})
		}
		combined = spd.IsCombinedMode(encr)
		p.Transforms = append(p.Transforms, encr)
	}
	integ, ah, ok := integOf(o.auth)
	switch {
	case combined && o.auth == 0:
	case combined:
		bad = append(bad, Mismatch{"Authentication-Algorithm", authName(o.auth), "none beside a combined-mode cipher"})
	case !ok || o.protocol == spd.ProtoESP && integ >= spd.IntegAES128GMAC && integ <= spd.IntegAES256GMAC:
		bad = append(bad, Mismatch{"Authentication-Algorithm", authName(o.auth), "an integrity algorithm"})
	case o.protocol == spd.ProtoAH && uint8(ah) != o.id:
		// RFC 2407 4.4.3: the two say the same.
		bad = append(bad, Mismatch{"Authentication-Algorithm", authName(o.auth), "that of " + o.name()})
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

// A selectedPhase2 is what was negotiated for a Child SA.
type selectedPhase2 struct {
	proposal spd.Proposal // of the protocol that the Child SA is named after: one transform of each type
	group    dh.ID        // of PFS, None without
	mode     spd.Mode
	udp      bool         // ESP in UDP
	life     saLifetime   // to be used
	peer     saLifetime   // as offered
	parts    []phase2Part // in the order in which they apply to a packet: IPComp, ESP, AH
}

// A phase2Part is one protocol of the Child SA.
type phase2Part struct {
	proposal  spd.Proposal // ESP, AH; for IPComp only the protocol counts
	spi       spd.SPI      // the peer's, of the outbound SA
	transform isakmp.IPCompTransform
	offered   [2]int // indices of proposal and transform in the peer's SA
}

// claims reports whether the peer has to be told that the own lifetime is
// shorter than what it offered (RESPONDER-LIFETIME, RFC 2407 4.6.3.1).
func (s *selectedPhase2) claims() bool { return s.life != s.peer }

// has reports whether a protocol is part of the Child SA: of the SPIs reserved
// for an offer, those of the others are given back.
func (s *selectedPhase2) has(protocol spd.Protocol) bool {
	return slices.ContainsFunc(s.parts, func(p phase2Part) bool { return p.proposal.Protocol == protocol })
}

// protocols are those of the Child SA, which a responder needs an SPI each for.
func (s *selectedPhase2) protocols() (all []spd.Protocol) {
	for _, p := range s.parts {
		all = append(all, p.proposal.Protocol)
	}
	return all
}

// peerSPIs are the SPIs of the outbound SAs.
func (s *selectedPhase2) peerSPIs() (spis protocolSPIs) {
	for _, p := range s.parts {
		spis[p.proposal.Protocol] = p.spi
	}
	return spis
}

// answer is the responder's SA payload: of the chosen proposals, with the own
// SPIs, the chosen transforms as they came (RFC 2408 4.2).
func (s *selectedPhase2) answer(sa *isakmp.SA, own protocolSPIs) *isakmp.SA {
	r := &isakmp.SA{DOI: sa.DOI, Situation: sa.Situation}
	for i := range sa.Proposals {
		for _, part := range s.parts {
			if part.offered[0] != i {
				continue
			}
			q := sa.Proposals[i]
			q.Transforms = q.Transforms[part.offered[1] : part.offered[1]+1]
			spi := appendSPI(nil, own[q.Protocol])
			q.SPI = spi[4-len(q.SPI):] // a CPI has two octets or four, as the peer's
			r.Proposals = append(r.Proposals, q)
		}
	}
	return r
}

// childSAs makes both directions' SAs, in the order of [spd.Bundle]. Of an
// outbound packet the first one sees what the selectors speak of, so it has the
// mode; the others carry its result.
func (s *selectedPhase2) childSAs(k *phase1Keys, own protocolSPIs, shared, ni, nr []byte) (in, out []spd.SA) {
	direction := func(spis protocolSPIs) (sas []spd.SA) {
		for i, part := range s.parts {
			protocol := part.proposal.Protocol
			sa := spd.SA{Protocol: protocol, SPI: spis[protocol], Encryption: spd.Transform{ID: uint16(part.transform)}}
			if protocol != spd.ProtoIPComp {
				sa = k.childSA(part.proposal, spis[protocol], shared, ni, nr)
			}
			if sa.Mode = spd.ModeTransport; i == 0 {
				sa.Mode = s.mode
			}
			sas = append(sas, sa)
		}
		return sas
	}
	return direction(own), direction(s.peerSPIs())
}

// choose is the responder's choice: the first proposal, in the initiator's
// order of preference, of which the policy allows a transform for each
// protocol. Proposals with one number belong together (RFC 2408 4.2). The error
// is a [*NegotiationError], errSituation or errAHBehindNAT.
func (p *phase2Policy) choose(sa *isakmp.SA) (selectedPhase2, error) {
	return p.selectFrom(sa, false)
}

// checkAnswer is the initiator's check of the responder's SA payload against
// what the policy has offered with the group g: one proposal, or one bundle of
// them, with one transform each. Of the lifetimes the shorter one is used,
// unless the check is exact.
func (p *phase2Policy) checkAnswer(sa *isakmp.SA, g dh.ID) (selectedPhase2, error) {
	for i := range sa.Proposals {
		if q := &sa.Proposals[i]; q.Num != sa.Proposals[0].Num || len(q.Transforms) != 1 {
			return selectedPhase2{}, fmt.Errorf("ikev1: responder did not choose one transform of one proposal: %v", sa)
		}
	}
	q := p.withGroup(g)
	return q.selectFrom(sa, true)
}

func (p *phase2Policy) selectFrom(sa *isakmp.SA, answer bool) (selectedPhase2, error) {
	if sa.Situation != isakmp.SituationIdentityOnly {
		return selectedPhase2{}, errSituation
	}
	if p.udp != natt.NoVariant && slices.Contains(p.protocols(), spd.ProtoAH) {
		return selectedPhase2{}, errAHBehindNAT
	}
	c := phase2Chooser{policy: p, answer: answer, fail: &NegotiationError{Proposal: -1, Transform: -1, Wanted: p.texts()}}
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
	return selectedPhase2{}, c.fail
}

// texts is the policy for an explanation.
func (p *phase2Policy) texts() (all []string) {
	for _, list := range [][]spd.Proposal{p.proposals, p.outer} {
		for _, q := range list {
			all = append(all, fmt.Sprintf("%v:%v", q.Protocol, q))
		}
	}
	return append(all, p.wireMode().String(), p.life.String())
}

// A phase2Chooser goes through a peer's proposals.
type phase2Chooser struct {
	policy   *phase2Policy
	answer   bool // the proposals are the answer to an offer of ours
	fail     *NegotiationError
	examined int
	whole    bool // fail tells of a proposal as a whole
}

// bundle tries the proposals from first up to end, which have one number.
func (c *phase2Chooser) bundle(all []isakmp.Proposal, first, end int) (selectedPhase2, bool) {
	var place [spd.ProtoIPComp + 1]int // of each protocol, plus one
	var got []string
	for i := first; i < end; i++ {
		q := &all[i]
		got = append(got, q.Protocol.String())
		if q.Protocol <= spd.ProtoIKE || q.Protocol >= spd.Protocol(len(place)) || place[q.Protocol] != 0 {
			c.note(all, first, Mismatch{"Protocols", strings.Join(got, "+"), c.protocols()})
			return selectedPhase2{}, false
		}
		place[q.Protocol] = i + 1
	}
	order := c.policy.protocols()
	if c.policy.ipcomp && place[spd.ProtoIPComp] == 0 {
		order = order[1:] // the peer does without
	}
	wrong := end-first != len(order)
	for _, protocol := range order {
		wrong = wrong || place[protocol] == 0
	}
	if wrong {
		c.note(all, first, Mismatch{"Protocols", strings.Join(got, "+"), c.protocols()})
		return selectedPhase2{}, false
	}
	// The transforms of the main protocol in order; the others follow suit.
	main := place[c.policy.main()] - 1
	for j := range all[main].Transforms {
		var s selectedPhase2
		if !c.part(&s, all, main, j, c.policy.proposals) {
			continue
		}
		parts := s.parts
		s.parts = nil
		complete := true
		for _, protocol := range order {
			switch i := place[protocol] - 1; {
			case i == main:
				s.parts = append(s.parts, parts...)
			default:
				found := false
				for k := range all[i].Transforms {
					if found = c.part(&s, all, i, k, c.policy.outer); found {
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
	return selectedPhase2{}, false
}

func (c *phase2Chooser) protocols() string {
	order := c.policy.protocols()
	without := order
	if c.policy.ipcomp {
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
func (c *phase2Chooser) note(all []isakmp.Proposal, i int, m Mismatch) {
	t := 0
	if len(all[i].Transforms) > 0 {
		o := parsePhase2(all[i].Protocol, &all[i].Transforms[0])
		c.offered(&o)
		t = int(all[i].Transforms[0].Num)
	}
	if c.fail.Transform < 0 {
		c.fail.Proposal, c.fail.Transform, c.fail.Mismatches = int(all[i].Num), t, []Mismatch{m}
		c.whole = true
	}
}

func (c *phase2Chooser) offered(o *phase2Offered) {
	if len(c.fail.Offered) <= maxTexts {
		c.fail.Offered = append(c.fail.Offered, o.String())
	}
}

// part tries one transform of one protocol and adds it to s if it fits: the
// first of them, that of the main protocol, decides group and lifetime.
func (c *phase2Chooser) part(s *selectedPhase2, all []isakmp.Proposal, i, j int, own []spd.Proposal) bool {
	if c.examined++; c.examined > maxPhase2Examined {
		return false
	}
	p := c.policy
	q := &all[i]
	o := parsePhase2(q.Protocol, &q.Transforms[j])
	bad := o.bad
	main := q.Protocol == p.main()
	part := phase2Part{proposal: spd.Proposal{Protocol: q.Protocol}, offered: [2]int{i, j}}

	var err error
	if part.spi, err = parseSPI(q.Protocol, q.SPI); err != nil {
		bad = append(bad, Mismatch{"SPI", err.Error(), "one that can be used"})
	}
	if q.Protocol == spd.ProtoIPComp {
		if part.transform = isakmp.IPCompTransform(o.id); part.transform != ipcompDeflate {
			bad = append(bad, Mismatch{"Transform-ID", o.name(), ipcompDeflate.String()})
		}
	} else {
		var none []Mismatch
		part.proposal, none = o.proposal()
		if bad = append(bad, none...); len(none) == 0 {
			opt := spd.SelectOptions{PreferOffered: true, OptionalKE: p.optionalKE, NoKE: !main}
			chosen, err := spd.Select([]spd.Proposal{part.proposal}, own, opt)
			var n *spd.NegotiationError
			if errors.As(err, &n) {
				for _, m := range n.Mismatches {
					bad = append(bad, Mismatch{m.Type.String(), names(m.Offered), names(m.Wanted)})
				}
				if len(n.Mismatches) == 0 {
					bad = append(bad, Mismatch{"Protocol", q.Protocol.String(), c.protocols()})
				}
			}
			part.proposal = chosen.Proposal
		}
	}
	bad = append(bad, c.modeMismatch(&o, main)...)
	life, ok := o.life.shorter(p.life), !(c.answer && p.check == CheckExact && o.life != p.life)
	if !c.answer {
		life, ok = p.check.use(o.life, p.life)
	}
	if !ok {
		bad = append(bad, Mismatch{"Lifetime", o.life.String(), fmt.Sprintf("%v (%v)", p.life, p.check)})
	}
	if !main && o.group != s.group && !(q.Protocol == spd.ProtoIPComp && o.group == dh.None) {
		bad = append(bad, Mismatch{"Group-Description", o.group.String(), s.group.String() + ", as the other protocol"})
	}
	if main {
		c.offered(&o)
	}
	if len(bad) > 0 {
		if c.whole || c.fail.nearer(len(bad)) {
			c.fail.Proposal, c.fail.Transform, c.fail.Mismatches, c.whole = int(q.Num), int(q.Transforms[j].Num), bad, false
		}
		return false
	}
	s.parts = append(s.parts, part)
	if main {
		s.proposal, s.group, s.mode, s.udp = part.proposal, o.group, p.mode, p.udp != natt.NoVariant
		s.life, s.peer = life, o.life
	} else {
		s.life, s.peer = s.life.shorter(life), s.peer.shorter(o.life)
	}
	return true
}

// modeMismatch compares the encapsulation. The main protocol has that of the
// policy. Peers mix the numbers of the drafts with those of RFC 3947, and some
// leave the attribute out, which then is up to the host (RFC 2407 4.5). The
// protocols around the main one may also say transport.
func (c *phase2Chooser) modeMismatch(o *phase2Offered, main bool) []Mismatch {
	want := c.policy.wireMode()
	wantPlain, wantUDP := want.Plain()
	plain, udp := o.mode.Plain()
	switch {
	case o.mode == 0, plain == wantPlain && udp == wantUDP:
		return nil
	case !main && (plain == wantPlain || plain == natt.Transport) && (udp == wantUDP || !udp):
		return nil
	}
	return []Mismatch{{"Encapsulation-Mode", isakmp.EncapsulationMode(o.mode).String(), want.String()}}
}

func appendSPI(dst []byte, spi spd.SPI) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(spi))
}

// parseSPI reads an SPI of four octets, or a CPI of two or four (RFC 2407 4.6).
// 0 to 255 are reserved, and so are CPIs above 61439 (RFC 3173 3.3).
func parseSPI(protocol spd.Protocol, b []byte) (spd.SPI, error) {
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
