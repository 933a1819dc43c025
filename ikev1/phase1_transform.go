package ikev1

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// Limits on phase 1 offers: of transforms in our own, and of those that are
// looked at in a peer's, of whom nothing is known yet.
const (
	maxPhase1Offer    = 64
	maxPhase1Examined = 256
)

// A phase1Policy is what one side offers or accepts for an ISAKMP SA. Of the
// proposals, which are as for IKEv2, ENCR, PRF and KE count: the hash function
// is that of the PRF, and INTEG is not negotiated. Proposals that phase 1 has
// no numbers for (combined-mode ciphers, other PRFs than HMAC, key
// encapsulation) are passed over.
type phase1Policy struct {
	proposals []spd.Proposal // in order of preference
	methods   []AuthMethod   // for the own role, in order of preference
	life      quickmode.Lifetime
	check     ike.ProposalCheck

	// gssapi: the peer has announced GSSAPI by vendor ID, and not XAuth. Then
	// method 65001 is GSSAPI, which is not supported, and not
	// AuthXAuthInitPSK.
	gssapi bool
}

// A phase1Suite is what one proposal leaves to choose from in phase 1.
type phase1Suite struct {
	encr  []spd.Transform
	hash  []hashAlgorithm
	group []dh.ID
}

// phase1SuiteOf translates a proposal. The error says why phase 1 cannot have
// any of it.
func phase1SuiteOf(p spd.Proposal) (phase1Suite, error) {
	var s phase1Suite
	for _, t := range p.Transforms {
		switch t.Type {
		case spd.TransformENCR:
			if phase1KeyLen(t) > 0 {
				s.encr = append(s.encr, t)
			}
		case spd.TransformPRF:
			if h, ok := hashByPRF(t.ID); ok {
				s.hash = append(s.hash, h)
			}
		case spd.TransformKE:
			if id := dh.ID(t.ID); id != dh.None && !id.KEM() {
				s.group = append(s.group, id)
			}
		default:
			if t.Type >= spd.TransformADDKE1 && t.Type <= spd.TransformADDKE7 && !slices.Contains(p.All(t.Type), spd.Transform{Type: t.Type}) {
				return s, fmt.Errorf("%v: IKEv1 has no additional key exchanges", t.Type)
			}
		}
	}
	switch {
	case len(s.encr) == 0:
		return s, errors.New("no cipher that IKEv1 has: it takes AES-CBC, 3DES, Blowfish and CAST-128, without combined modes")
	case len(s.hash) == 0:
		return s, errors.New("no hash function that IKEv1 has: its PRF is HMAC with MD5, SHA-1 or SHA-2")
	case len(s.group) == 0:
		return s, errors.New("no Diffie-Hellman group")
	}
	return s, nil
}

// suites translates the proposals that can be; index holds the place of each
// in proposals.
func (p *phase1Policy) suites() (suites []phase1Suite, index []int) {
	for i, q := range p.proposals {
		if s, err := phase1SuiteOf(q); err == nil {
			suites, index = append(suites, s), append(index, i)
		}
	}
	return suites, index
}

// checkPhase1Proposals reports why nothing of the proposals could be
// negotiated.
func checkPhase1Proposals(proposals []spd.Proposal) error {
	first := errors.New("no proposals")
	for i, q := range proposals {
		_, err := phase1SuiteOf(q)
		if err == nil {
			return nil
		}
		if i == 0 {
			first = fmt.Errorf("proposal %v: %w", q, err)
		}
	}
	return first
}

// withGroup returns the policy with one group only, for Aggressive Mode, whose
// first message holds a public value (RFC 2409 5).
func (p phase1Policy) withGroup(g dh.ID) phase1Policy {
	var kept []spd.Proposal
	for _, q := range p.proposals {
		if slices.Contains(q.Transforms, spd.Transform{Type: spd.TransformKE, ID: uint16(g)}) {
			kept = append(kept, q.WithKE(uint16(g)))
		}
	}
	p.proposals = kept
	return p
}

// groups returns the groups that can be negotiated, the preferred one first.
func (p *phase1Policy) groups() (all []dh.ID) {
	suites, _ := p.suites()
	for _, s := range suites {
		for _, g := range s.group {
			if !slices.Contains(all, g) {
				all = append(all, g)
			}
		}
	}
	return all
}

// A phase1Choice is one transform of phase 1, with nothing left to choose.
type phase1Choice struct {
	encr   spd.Transform
	hash   isakmp.HashAlgorithm
	group  dh.ID
	method AuthMethod
}

// choices are all that the policy allows, in order of preference: each method
// with each suite. There are no doubles, and no more than maxPhase1Offer.
func (p *phase1Policy) choices() (all []phase1Choice) {
	suites, _ := p.suites()
	for _, m := range p.methods {
		for _, s := range suites {
			for _, e := range s.encr {
				for _, h := range s.hash {
					for _, g := range s.group {
						c := phase1Choice{e, h.attr, g, m}
						if len(all) < maxPhase1Offer && !slices.Contains(all, c) {
							all = append(all, c)
						}
					}
				}
			}
		}
	}
	return all
}

// offer is the initiator's SA payload: one proposal with a transform for each
// choice (RFC 2409 5).
func (p *phase1Policy) offer() *isakmp.SA {
	q := isakmp.Proposal{Num: 1, Protocol: spd.ProtoIKE}
	for i, c := range p.choices() {
		q.Transforms = append(q.Transforms, isakmp.Transform{Num: uint8(i + 1), ID: isakmp.KeyIKE, Attributes: c.attributes(p.life)})
	}
	return &isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{q}}
}

func (c *phase1Choice) attributes(l quickmode.Lifetime) []isakmp.Attribute {
	e := encryptionByTransform(c.encr)
	a := isakmp.AppendLifetime(make([]isakmp.Attribute, 0, 9), spd.ProtoIKE, l.Wire())
	a = append(a, isakmp.Basic(isakmp.Phase1EncryptionAlgorithm, e.attr))
	if !e.fixed {
		a = append(a, isakmp.Basic(isakmp.Phase1KeyLength, c.encr.KeyLen))
	}
	return append(a, isakmp.Basic(isakmp.Phase1AuthMethod, c.method), isakmp.Basic(isakmp.Phase1HashAlgorithm, c.hash),
		isakmp.Basic(isakmp.Phase1Group, uint16(c.group)))
}

// A phase1Offered is a transform as a peer has sent it. Values that the package
// cannot use are kept, for the explanation.
type phase1Offered struct {
	encr   isakmp.EncryptionAlgorithm
	keyLen uint16
	hash   isakmp.HashAlgorithm
	group  isakmp.Group
	method AuthMethod
	life   quickmode.Lifetime
	bad    []ike.Mismatch // why it cannot be used, whatever is configured
}

func mismatch(attribute, offered, wanted string) ike.Mismatch {
	return ike.Mismatch{Attribute: attribute, Offered: offered, Wanted: wanted}
}

// parsePhase1 reads a transform. Attributes come in any order and in either
// form (RFC 2408 3.3).
func parsePhase1(t *isakmp.Transform) (o phase1Offered) {
	refuse := func(name isakmp.Phase1Attribute, offered, wanted string) {
		if len(o.bad) < 4 { // enough for an explanation
			o.bad = append(o.bad, mismatch(name.String(), offered, wanted))
		}
	}
	if t.ID != isakmp.KeyIKE {
		o.bad = append(o.bad, mismatch("Transform-ID", strconv.Itoa(int(t.ID)), "KEY_IKE"))
	}
	var seen [17]bool
	for i := range t.Attributes {
		a := &t.Attributes[i]
		name := isakmp.Phase1Attribute(a.Type)
		if name == isakmp.Phase1LifeType || name == isakmp.Phase1LifeDuration {
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
		case isakmp.Phase1EncryptionAlgorithm:
			o.encr = isakmp.EncryptionAlgorithm(v)
		case isakmp.Phase1KeyLength:
			o.keyLen = uint16(v)
		case isakmp.Phase1HashAlgorithm:
			o.hash = isakmp.HashAlgorithm(v)
		case isakmp.Phase1AuthMethod:
			o.method = AuthMethod(v)
		case isakmp.Phase1Group:
			o.group = isakmp.Group(v)
		case isakmp.Phase1GroupType:
			// Said beside a group description it says nothing new.
			if !seen[isakmp.Phase1Group] && t.First(uint16(isakmp.Phase1Group)) == nil {
				refuse(name, isakmp.GroupType(v).String(), "a group description")
			}
		default:
			refuse(name, strconv.FormatUint(v, 10), "none: the attribute is not supported")
		}
	}
	var err error
	if o.life, err = quickmode.OfferedLifetime(spd.ProtoIKE, t.Attributes); err != nil {
		o.bad = append(o.bad, mismatch("Lifetime", err.Error(), "pairs of Life-Type and Life-Duration"))
	}
	return o
}

// cipher returns the transform of the cipher, false if it is not supported.
func (o *phase1Offered) cipher() (spd.Transform, bool) {
	if e := encryptionByAttribute(o.encr); e != nil {
		return e.transform(o.keyLen)
	}
	return spd.Transform{}, false
}

func (o *phase1Offered) cipherName() string {
	t, ok := o.cipher()
	switch {
	case ok:
		return t.String()
	case o.encr == 0:
		return "none"
	case o.keyLen != 0:
		return fmt.Sprintf("%v-%d (not supported)", o.encr, o.keyLen)
	}
	return fmt.Sprintf("%v (not supported)", o.encr)
}

func (o *phase1Offered) methodName(gssapi bool) string {
	if o.method == AuthXAuthInitPSK && gssapi {
		return "GSSAPI"
	}
	return o.method.String()
}

func (o *phase1Offered) String() string {
	return fmt.Sprintf("%s/%v/%v/%v/%v", o.cipherName(), o.hash, o.group, o.method, o.life)
}

// compare counts what does not fit between an offered transform and one of the
// own suites, lifetimes apart, and notes in fail what it is if no transform came
// nearer. Nothing is spent on words before that: whoever sent the offer is
// unknown yet.
func (o *phase1Offered) compare(s *phase1Suite, p *phase1Policy, life bool, fail *ike.NegotiationError, proposal, transform uint8) (fits bool) {
	cipher, ok := o.cipher()
	encr := ok && slices.Contains(s.encr, cipher)
	hash := slices.ContainsFunc(s.hash, func(h hashAlgorithm) bool { return h.attr == o.hash })
	group := slices.Contains(s.group, dh.ID(o.group))
	method := slices.Contains(p.methods, o.method) && !(p.gssapi && o.method == AuthXAuthInitPSK)
	n := len(o.bad)
	for _, ok := range [...]bool{encr, hash, group, method, life} {
		if !ok {
			n++
		}
	}
	if n == 0 || !quickmode.Nearer(fail, n) {
		return n == 0
	}
	bad := slices.Clone(o.bad)
	note := func(ok bool, attribute string, offered, wanted func() string) {
		if !ok {
			bad = append(bad, mismatch(attribute, offered(), wanted()))
		}
	}
	note(encr, "Encryption-Algorithm", o.cipherName, func() string { return quickmode.Names(s.encr) })
	note(hash, "Hash-Algorithm", o.hash.String, func() string { return quickmode.Names(s.hash) })
	note(group, "Group-Description", o.group.String, func() string { return quickmode.Names(s.group) })
	note(method, "Authentication-Method", func() string { return o.methodName(p.gssapi) }, func() string { return quickmode.Names(p.methods) })
	note(life, "Lifetime", o.life.String, func() string { return fmt.Sprintf("%v (%v)", p.life, p.check) })
	fail.Proposal, fail.Transform, fail.Mismatches = int(proposal), int(transform), bad
	return false
}

// A selectedPhase1 is what was negotiated.
type selectedPhase1 struct {
	encr   spd.Transform
	hash   hashAlgorithm
	group  dh.ID
	method AuthMethod
	life   quickmode.Lifetime // to be used

	own     int                // index of the own proposal
	offered [2]int             // indices of proposal and transform in the peer's SA
	peer    quickmode.Lifetime // as offered
}

// proposal returns what was negotiated as a proposal without alternatives.
func (s *selectedPhase1) proposal() spd.Proposal {
	return spd.Proposal{Protocol: spd.ProtoIKE, Transforms: []spd.Transform{s.encr,
		{Type: spd.TransformPRF, ID: s.hash.prf.ID}, {Type: spd.TransformKE, ID: uint16(s.group)}}}
}

// selected fills in what an offered transform means. It has been found good.
func (o *phase1Offered) selected() selectedPhase1 {
	s := selectedPhase1{group: dh.ID(o.group), method: o.method, life: o.life, peer: o.life}
	s.encr, _ = o.cipher()
	s.hash, _ = hashByAttribute(o.hash)
	return s
}

// choose is the responder's choice: the first transform, in the initiator's
// order of preference (RFC 2408 4.2), that the policy allows. The error is a
// [*ike.NegotiationError], or quickmode.ErrSituation.
func (p *phase1Policy) choose(sa *isakmp.SA) (selectedPhase1, error) {
	if sa.Situation != isakmp.SituationIdentityOnly {
		return selectedPhase1{}, quickmode.ErrSituation
	}
	suites, index := p.suites()
	fail := &ike.NegotiationError{Proposal: -1, Transform: -1}
	examined := 0
	for i := range sa.Proposals {
		q := &sa.Proposals[i]
		if q.Protocol != spd.ProtoIKE {
			continue
		}
		for j := range q.Transforms {
			if examined++; examined > maxPhase1Examined {
				break
			}
			o := parsePhase1(&q.Transforms[j])
			life, ok := quickmode.Agree(p.check, o.life, p.life)
			for k := range suites {
				if o.compare(&suites[k], p, ok, fail, q.Num, q.Transforms[j].Num) {
					s := o.selected()
					s.life, s.own, s.offered = life, index[k], [2]int{i, j}
					return s, nil
				}
			}
			if len(fail.Offered) <= quickmode.MaxTexts {
				fail.Offered = append(fail.Offered, o.String())
			}
		}
	}
	fail.Wanted = p.texts()
	return selectedPhase1{}, fail
}

// texts is the policy for an explanation.
func (p *phase1Policy) texts() (all []string) {
	for _, q := range p.proposals {
		all = append(all, q.String())
	}
	if len(p.methods) > 0 {
		all = append(all, quickmode.Names(p.methods), p.life.String())
	}
	return all
}

// answer is the responder's SA payload: what the initiator sent, reduced to the
// chosen transform, whose attributes are not changed (RFC 2409 5).
func (s *selectedPhase1) answer(sa *isakmp.SA) *isakmp.SA {
	q := sa.Proposals[s.offered[0]]
	q.SPI = nil
	q.Transforms = q.Transforms[s.offered[1] : s.offered[1]+1]
	return &isakmp.SA{DOI: sa.DOI, Situation: sa.Situation, Proposals: []isakmp.Proposal{q}}
}

// allows reports, as a [*ike.NegotiationError], why a policy does not allow what
// was negotiated: the policy of a peer that is known only now, by its identity.
// If it does, its lifetime is the one to use.
func (p *phase1Policy) allows(s *selectedPhase1) error {
	o := phase1Offered{encr: encryptionByTransform(s.encr).attr, keyLen: s.encr.KeyLen, hash: s.hash.attr, group: isakmp.Group(s.group), method: s.method, life: s.peer}
	suites, index := p.suites()
	fail := &ike.NegotiationError{Proposal: -1, Transform: -1, Offered: []string{o.String()}}
	life, ok := quickmode.Agree(p.check, o.life, p.life)
	for k := range suites {
		if o.compare(&suites[k], p, ok, fail, 1, 1) {
			s.life, s.own = life, index[k]
			return nil
		}
	}
	fail.Wanted = p.texts()
	return fail
}

// checkAnswer is the initiator's check of the responder's SA payload: one
// transform, and one that the policy has offered. Of the lifetimes the shorter
// one is used, unless the check is exact: some responders answer with their
// own.
func (p *phase1Policy) checkAnswer(sa *isakmp.SA) (selectedPhase1, error) {
	if len(sa.Proposals) != 1 || len(sa.Proposals[0].Transforms) != 1 || sa.Proposals[0].Protocol != spd.ProtoIKE {
		return selectedPhase1{}, fmt.Errorf("ikev1: responder did not choose one transform: %v", sa)
	}
	q := &sa.Proposals[0]
	o := parsePhase1(&q.Transforms[0])
	suites, index := p.suites()
	fail := &ike.NegotiationError{Proposal: -1, Transform: -1, Offered: []string{o.String()}}
	life := p.check != ike.CheckExact || o.life == p.life
	for k := range suites {
		if o.compare(&suites[k], p, life, fail, q.Num, q.Transforms[0].Num) {
			s := o.selected()
			s.own, s.life = index[k], o.life.Shorter(p.life)
			return s, nil
		}
	}
	fail.Wanted = p.texts()
	return selectedPhase1{}, fail
}

// String names the hash function as the attribute does.
func (h hashAlgorithm) String() string { return h.attr.String() }
