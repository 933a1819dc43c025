package ikev1

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
	"github.com/stretchr/testify/require"
)

func ikeProposals(t testing.TB, s string) []spd.Proposal {
	t.Helper()
	p, err := spd.ParseProposals(spd.ProtoIKE, s)
	require.NoError(t, err)
	return p
}

func phase1Of(t testing.TB, proposals string, methods ...AuthMethod) phase1Policy {
	t.Helper()
	if len(methods) == 0 {
		methods = []AuthMethod{AuthPSK}
	}
	return phase1Policy{proposals: ikeProposals(t, proposals), methods: methods, life: quickmode.Lifetime{Seconds: 3600}}
}

// through sends an SA payload over the wire.
func through(t testing.TB, sa *isakmp.SA) *isakmp.SA {
	t.Helper()
	b := isakmp.NewChainBuilder(nil)
	b.Add(sa)
	wire, err := b.Finish()
	require.NoError(t, err)
	payloads, err := isakmp.ParsePayloads(isakmp.PayloadSA, wire)
	require.NoError(t, err)
	return payloads.SA()
}

// racoon's own offers are made of the same configuration, octet by octet, and
// what it answered is accepted.
func TestPhase1Racoon(t *testing.T) {
	for name, c := range map[string]struct{ pcap, proposal string }{
		"main":       {"psk-main", "aes128-sha1-modp2048"},
		"aggressive": {"psk-aggressive", "aes256-sha256-modp2048"},
		"base":       {"psk-base", "aes256-sha256-modp2048"},
	} {
		t.Run(name, func(t *testing.T) {
			packets, err := pcap.ReadFile("testdata/racoon/" + c.pcap + ".pcap")
			require.NoError(t, err)
			var sas [][]byte
			for d := range pcap.UDP(packets) {
				h, err := isakmp.ParseHeader(d.Payload)
				require.NoError(t, err)
				if h.Encrypted() {
					break
				}
				chain, err := isakmp.ParseChain(h.NextPayload, d.Payload[isakmp.HeaderLen:])
				require.NoError(t, err)
				if b := chain.Body(isakmp.PayloadSA); b != nil {
					sas = append(sas, b)
				}
			}
			require.Len(t, sas, 2)
			p := phase1Of(t, c.proposal)
			offer := p.offer()
			require.Equal(t, sas[0], offer.AppendBody(nil))
			chosen, err := p.choose(through(t, offer))
			require.NoError(t, err)
			require.Equal(t, sas[1], chosen.answer(through(t, offer)).AppendBody(nil))
			again, err := p.checkAnswer(through(t, chosen.answer(offer)))
			require.NoError(t, err)
			require.Equal(t, chosen.proposal(), again.proposal())
			require.Equal(t, chosen.method, again.method)
			require.Equal(t, quickmode.Lifetime{Seconds: 3600}, again.life)
			require.Equal(t, dh.MODP2048, again.group)
		})
	}
}

// Every alternative once, in order of preference; the responder takes the
// first one that it has, and both sides mean the same.
func TestPhase1CrossProduct(t *testing.T) {
	p := phase1Of(t, "aes256gcm16-prfsha256-x25519,aes256-aes128-3des-sha256-sha1-modp3072-ecp256,aes128-sha1-modp2048,aes128-sha256-ecp256", AuthRSA, AuthPSK)
	p.life.Kilobytes = 1 << 20
	sa := through(t, p.offer())
	require.Len(t, sa.Proposals, 1)
	q := sa.Proposals[0]
	require.Len(t, q.Transforms, 2*(3*2*2+1), "without the combined mode and without doubles")
	var all []phase1Choice
	for i := range q.Transforms {
		require.EqualValues(t, i+1, q.Transforms[i].Num)
		o := parsePhase1(&q.Transforms[i])
		require.Empty(t, o.bad)
		require.Equal(t, p.life, o.life)
		s := o.selected()
		all = append(all, phase1Choice{s.encr, s.hash.attr, s.group, s.method})
	}
	require.Equal(t, p.choices(), all, "what is read is what was written")
	require.Equal(t, phase1Choice{aesCBC(256), isakmp.HashSHA256, dh.MODP3072, AuthRSA}, all[0])
	require.Equal(t, AuthPSK, all[13].method)
	require.Equal(t, []dh.ID{dh.MODP3072, dh.ECP256, dh.MODP2048}, p.groups())

	// The responder has less, and other preferences: the initiator's order
	// counts.
	r := phase1Of(t, "aes128-sha1-modp2048,aes128-3des-sha1-ecp256", AuthPSK)
	r.check = ike.CheckObey
	s, err := r.choose(sa)
	require.NoError(t, err)
	require.Equal(t, "aes128-prfsha1-ecp256", s.proposal().String())
	require.Equal(t, AuthPSK, s.method)
	require.Equal(t, 1, s.own)
	require.Equal(t, p.life, s.life)
	back, err := p.checkAnswer(through(t, s.answer(sa)))
	require.NoError(t, err)
	require.Equal(t, 1, back.own)
	require.Equal(t, s.encr, back.encr)
	require.NoError(t, p.allows(&back))

	// One group for Aggressive Mode.
	one := p.withGroup(dh.MODP2048)
	require.Equal(t, []dh.ID{dh.MODP2048}, one.groups())
	require.Len(t, one.choices(), 2)
	none := p.withGroup(dh.MODP8192)
	require.Empty(t, none.groups())

	// A configuration with more than is sensible is cut.
	long := phase1Of(t, "aes256-aes192-aes128-3des-sha512-sha384-sha256-sha1-md5-modp2048-modp3072-modp4096-modp6144", AuthRSA, AuthPSK)
	require.Len(t, long.offer().Proposals[0].Transforms, maxPhase1Offer)
}

// Attributes in any order and form, as other implementations send them.
func TestPhase1AttributeForms(t *testing.T) {
	a := func(typ isakmp.Phase1Attribute, v uint16) isakmp.Attribute { return isakmp.Basic(typ, v) }
	v := func(typ isakmp.Phase1Attribute, b ...byte) isakmp.Attribute { return isakmp.Variable(typ, b) }
	base := []isakmp.Attribute{a(isakmp.Phase1EncryptionAlgorithm, 7), a(isakmp.Phase1KeyLength, 256), a(isakmp.Phase1HashAlgorithm, 4),
		a(isakmp.Phase1Group, 14), a(isakmp.Phase1AuthMethod, 1)}
	p := phase1Of(t, "aes256-sha256-modp2048")
	p.check = ike.CheckObey
	with := func(extra ...isakmp.Attribute) *isakmp.SA {
		return &isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{{Num: 1, Protocol: spd.ProtoIKE,
			Transforms: []isakmp.Transform{{Num: 1, ID: isakmp.KeyIKE, Attributes: append(slices.Clone(base), extra...)}}}}}
	}
	secs, kbs := a(isakmp.Phase1LifeType, 1), a(isakmp.Phase1LifeType, 2)
	for _, c := range []struct {
		sa   *isakmp.SA
		want quickmode.Lifetime
	}{
		{with(), quickmode.Lifetime{Seconds: 28800}},
		{with(secs, a(isakmp.Phase1LifeDuration, 600)), quickmode.Lifetime{Seconds: 600}},
		{with(secs, v(isakmp.Phase1LifeDuration, 0, 1, 0x51, 0x80)), quickmode.Lifetime{Seconds: 86400}},
		{with(kbs, v(isakmp.Phase1LifeDuration, 0, 0, 0, 0, 0, 1, 0, 0), secs, a(isakmp.Phase1LifeDuration, 60)), quickmode.Lifetime{Seconds: 60, Kilobytes: 1 << 16}},
		{with(v(isakmp.Phase1LifeType, 0, 1), v(isakmp.Phase1LifeDuration, 60)), quickmode.Lifetime{Seconds: 60}},
		{with(secs, v(isakmp.Phase1LifeDuration, 1, 0, 0, 0, 0)), quickmode.Lifetime{Seconds: math.MaxUint32}},
		{with(kbs, v(isakmp.Phase1LifeDuration, 0xff, 0, 0, 0, 0, 0, 0, 0)), quickmode.Lifetime{Seconds: 28800, Kilobytes: quickmode.MaxKilobytes}},
		{with(a(isakmp.Phase1GroupType, 1)), quickmode.Lifetime{Seconds: 28800}},
	} {
		s, err := p.choose(through(t, c.sa))
		require.NoError(t, err)
		require.Equal(t, c.want, s.life)
	}
	backwards := with(secs, a(isakmp.Phase1LifeDuration, 60))
	slices.Reverse(backwards.Proposals[0].Transforms[0].Attributes[:5])
	_, err := p.choose(through(t, backwards))
	require.NoError(t, err)
	for i := range base {
		wide := with()
		x := &wide.Proposals[0].Transforms[0].Attributes[i]
		*x = isakmp.Attribute{Type: x.Type, Data: []byte{0, 0, byte(x.Value >> 8), byte(x.Value)}}
		_, err := p.choose(through(t, wide))
		require.NoError(t, err, "variable form")
	}

	for says, sa := range map[string]*isakmp.SA{
		"Lifetime: offered":                       with(secs),
		"pairs of Life-Type":                      with(a(isakmp.Phase1LifeDuration, 60)),
		"make no sense":                           with(a(isakmp.Phase1LifeType, 3), a(isakmp.Phase1LifeDuration, 60)),
		"sense; wanted":                           with(secs, a(isakmp.Phase1LifeDuration, 0)),
		"PRF: offered 1; wanted none":             with(a(isakmp.Phase1PRF, 1)),
		"Hash-Algorithm: offered twice":           with(a(isakmp.Phase1HashAlgorithm, 4)),
		"Group-Prime: offered a value":            with(v(isakmp.Phase1GroupPrime, slices.Repeat([]byte{0xff}, 96)...)),
		"Phase1Attribute(20000)":                  with(isakmp.Basic(uint16(20000), uint16(1))),
		"Field-Size: offered 163":                 with(a(isakmp.Phase1FieldSize, 163)),
		"Key-Length: offered twice; wanted once;": with(a(isakmp.Phase1KeyLength, 128)),
	} {
		_, err := p.choose(through(t, sa))
		require.ErrorIs(t, err, spd.ErrNoProposalChosen)
		require.ErrorContains(t, err, says)
	}
	bare := with()
	bare.Proposals[0].Transforms[0].Attributes = nil
	_, err = p.choose(through(t, bare))
	require.ErrorContains(t, err, "Encryption-Algorithm: offered none; wanted ENCR_AES_CBC-256")
	labelled := with()
	labelled.Situation = isakmp.SituationIdentityOnly | isakmp.SituationSecrecy
	_, err = p.choose(labelled)
	require.ErrorIs(t, err, quickmode.ErrSituation)
}

// Refusals say which transform came nearest and what differed.
func TestPhase1Refusals(t *testing.T) {
	for _, c := range []struct {
		offer, own string
		oM, wM     AuthMethod
		want       string
	}{
		{"aes128-sha256-modp2048", "aes256-aes192-sha256-modp2048", AuthPSK, AuthPSK,
			"Encryption-Algorithm: offered ENCR_AES_CBC-128; wanted ENCR_AES_CBC-256, ENCR_AES_CBC-192 ["},
		{"aes256-md5-modp2048,3des-md5-modp1024", "aes256-sha256-sha1-modp2048", AuthPSK, AuthPSK,
			"nearest was transform 1 of proposal 1: Hash-Algorithm: offered MD5; wanted SHA2-256, SHA ["},
		{"3des-md5-modp1024,aes256-sha256-modp1024", "aes256-sha256-modp2048-ecp256", AuthPSK, AuthPSK,
			"nearest was transform 2 of proposal 1: Group-Description: offered MODP_1024; wanted"},
		{"aes256-sha256-modp2048", "aes256-sha256-modp2048", AuthRSA, AuthPSK, "Authentication-Method: offered RSA signatures; wanted Pre-shared key ["},
		{"blowfish128-sha1-modp2048", "blowfish448-sha1-modp2048", AuthPSK, AuthPSK, "offered ENCR_BLOWFISH-128; wanted ENCR_BLOWFISH-448"},
	} {
		o, w := phase1Of(t, c.offer, c.oM), phase1Of(t, c.own, c.wM)
		w.check = ike.CheckObey
		_, err := w.choose(through(t, o.offer()))
		require.ErrorIs(t, err, spd.ErrNoProposalChosen)
		require.ErrorContains(t, err, c.want)
		require.Less(t, len(err.Error()), 1500)
		var e *ike.NegotiationError
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Mismatches, 1, err)

		s, err := o.choose(through(t, o.offer()))
		require.NoError(t, err)
		require.ErrorContains(t, w.allows(&s), c.want[strings.Index(c.want, "offered"):])
		_, err = w.checkAnswer(through(t, s.answer(o.offer())))
		require.ErrorIs(t, err, spd.ErrNoProposalChosen, "an answer that was not offered")
	}

	// Known by name, refused by name.
	p := phase1Of(t, "aes128-sha1-modp2048")
	for value, says := range map[isakmp.EncryptionAlgorithm]string{1: "DES-CBC (not supported)", 9: "EncryptionAlgorithm(9)-128 (not supported)"} {
		sa := p.offer()
		sa.Proposals[0].Transforms[0].Attributes[2].Value = uint16(value)
		if value == 1 {
			sa.Proposals[0].Transforms[0].Attributes = slices.Delete(sa.Proposals[0].Transforms[0].Attributes, 3, 4)
		}
		_, err := p.choose(through(t, sa))
		require.ErrorContains(t, err, says)
	}
	_, err := p.choose(&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly})
	require.ErrorContains(t, err, "[offered: nothing] [wanted: aes128-sha1-modp2048, Pre-shared key, 3600 s]")
	esp := p.offer()
	esp.Proposals[0].Protocol = spd.ProtoESP
	_, err = p.choose(esp)
	require.ErrorContains(t, err, "offered: nothing")
	esp.Proposals[0].Protocol = spd.ProtoIKE
	esp.Proposals[0].Transforms[0].ID = 7
	_, err = p.choose(esp)
	require.ErrorContains(t, err, "Transform-ID: offered 7; wanted KEY_IKE")

	two := p.offer()
	two.Proposals[0].Transforms = append(two.Proposals[0].Transforms, two.Proposals[0].Transforms[0])
	_, err = p.checkAnswer(two)
	require.ErrorContains(t, err, "did not choose one transform")
	_, err = p.checkAnswer(&isakmp.SA{})
	require.ErrorContains(t, err, "did not choose one transform")
}

// 65001 is XAuth with a pre-shared key, or GSSAPI.
func TestPhase1GSSAPI(t *testing.T) {
	p := phase1Of(t, "aes128-sha1-modp2048", AuthXAuthInitPSK)
	sa := through(t, p.offer())
	s, err := p.choose(sa)
	require.NoError(t, err)
	require.Equal(t, AuthXAuthInitPSK, s.method)
	p.gssapi = true
	_, err = p.choose(sa)
	require.ErrorContains(t, err, "Authentication-Method: offered GSSAPI; wanted XAUTHInitPreShared")
}

// What IKEv1 has no numbers for is passed over, and said where nothing is left.
func TestPhase1Proposals(t *testing.T) {
	for proposals, says := range map[string]string{
		"aes128gcm16-prfsha256-modp2048":                       "without combined modes",
		"chacha20poly1305-prfsha256-modp2048":                  "without combined modes",
		"aes128-aesxcbc-modp2048":                              "PRF is HMAC",
		"aes128-sha256-mlkem768":                               "no Diffie-Hellman group",
		"aes128-sha256-x25519-ke1_mlkem768":                    "ADDKE1: IKEv1 has no additional key exchanges",
		"aes128ctr-sha256-x25519":                              "no cipher that IKEv1 has",
		"aes128gcm16-prfsha256-modp2048,aes128-aesxcbc-ecp256": "without combined modes",
	} {
		require.ErrorContains(t, checkPhase1Proposals(ikeProposals(t, proposals)), says, proposals)
	}
	require.ErrorContains(t, checkPhase1Proposals(nil), "no proposals")
	for _, ok := range []string{"aes128gcm16-prfsha256-modp2048,aes128-sha256-modp2048", "aes128-aes128ctr-sha256-aesxcbc-modp2048-mlkem768",
		"aes128-sha256-x25519-ke1_mlkem768-ke1_none", "cast128-md5-modp768"} {
		require.NoError(t, checkPhase1Proposals(ikeProposals(t, ok)), ok)
	}
}

// The levels of racoon's proposal_check.
func TestProposalCheck(t *testing.T) {
	own := quickmode.Lifetime{Seconds: 3600, Kilobytes: 1000}
	type outcome struct {
		l  quickmode.Lifetime
		ok bool
	}
	for _, c := range []struct {
		offered                      quickmode.Lifetime
		obey, strict, claim, exactly outcome
	}{
		{own, outcome{own, true}, outcome{own, true}, outcome{own, true}, outcome{own, true}},
		{quickmode.Lifetime{Seconds: 600, Kilobytes: 1000}, outcome{quickmode.Lifetime{Seconds: 600, Kilobytes: 1000}, true}, outcome{quickmode.Lifetime{Seconds: 600, Kilobytes: 1000}, true}, outcome{quickmode.Lifetime{Seconds: 600, Kilobytes: 1000}, true}, outcome{}},
		{quickmode.Lifetime{Seconds: 7200, Kilobytes: 1000}, outcome{quickmode.Lifetime{Seconds: 7200, Kilobytes: 1000}, true}, outcome{}, outcome{own, true}, outcome{}},
		{quickmode.Lifetime{Seconds: 3600, Kilobytes: 0}, outcome{quickmode.Lifetime{Seconds: 3600, Kilobytes: 0}, true}, outcome{}, outcome{own, true}, outcome{}},
		{quickmode.Lifetime{Seconds: 60, Kilobytes: 2000}, outcome{quickmode.Lifetime{Seconds: 60, Kilobytes: 2000}, true}, outcome{}, outcome{quickmode.Lifetime{Seconds: 60, Kilobytes: 1000}, true}, outcome{}},
	} {
		for level, want := range map[ike.ProposalCheck]outcome{ike.CheckObey: c.obey, ike.CheckStrict: c.strict, ike.CheckClaim: c.claim, ike.CheckExact: c.exactly} {
			l, ok := quickmode.Agree(level, c.offered, own)
			require.Equal(t, want.ok, ok, "%v %v", level, c.offered)
			if ok {
				require.Equal(t, want.l, l, "%v %v", level, c.offered)
			}
		}
	}
	unlimited := quickmode.Lifetime{Seconds: 3600}
	l, ok := quickmode.Agree(ike.CheckStrict, quickmode.Lifetime{Seconds: 3600, Kilobytes: 5}, unlimited)
	require.True(t, ok, "a limit where we have none is shorter")
	require.EqualValues(t, 5, l.Kilobytes)
	require.Equal(t, ike.CheckClaim, ike.ProposalCheck(0), "the default")
	require.Equal(t, "strict obey claim exact unknown", fmt.Sprint(ike.CheckStrict, " ", ike.CheckObey, " ", ike.CheckClaim, " ", ike.CheckExact, " ", ike.ProposalCheck(9)))

	// In phase 1, through a whole negotiation.
	i, r := phase1Of(t, "aes128-sha1-modp2048"), phase1Of(t, "aes128-sha1-modp2048")
	i.life.Seconds, r.life.Seconds = 7200, 3600
	r.check = ike.CheckStrict
	_, err := r.choose(through(t, i.offer()))
	require.ErrorContains(t, err, "Lifetime: offered 7200 s; wanted 3600 s (strict)")
	r.check = ike.CheckClaim
	s, err := r.choose(through(t, i.offer()))
	require.NoError(t, err)
	require.EqualValues(t, 3600, s.life.Seconds)
	require.EqualValues(t, 7200, s.peer.Seconds)
	r.check = ike.CheckExact
	require.ErrorContains(t, r.allows(&s), "wanted 3600 s (exact)")
	r.check = ike.CheckObey
	require.NoError(t, r.allows(&s))
	require.EqualValues(t, 7200, s.life.Seconds)

	// A responder that answers with its own lifetime.
	answer := s.answer(i.offer())
	answer.Proposals[0].Transforms[0].Attributes = slices.Clone(answer.Proposals[0].Transforms[0].Attributes)
	answer.Proposals[0].Transforms[0].Attributes[1].Value = 600
	back, err := i.checkAnswer(answer)
	require.NoError(t, err)
	require.EqualValues(t, 600, back.life.Seconds)
	i.check = ike.CheckExact
	_, err = i.checkAnswer(answer)
	require.ErrorContains(t, err, "Lifetime: offered 600 s; wanted 7200 s (exact)")
}

// C16: lifetimes at their limits.
func TestC16_Lifetimes(t *testing.T) {
	require.Equal(t, quickmode.Lifetime{Seconds: 28800}, quickmode.LifetimeOf(0, 0))
	require.Equal(t, quickmode.Lifetime{Seconds: 28800}, quickmode.LifetimeOf(-5, 0))
	require.Equal(t, quickmode.Lifetime{Seconds: 1, Kilobytes: 1}, quickmode.LifetimeOf(1, 1))
	require.Equal(t, quickmode.Lifetime{Seconds: math.MaxUint32, Kilobytes: quickmode.MaxKilobytes}, quickmode.LifetimeOf(math.MaxInt64, math.MaxUint64))
	l := quickmode.LifetimeOf(90*time.Minute, 5<<20)
	require.Equal(t, "5400 s, 5120 KiB", l.String())
	require.Equal(t, 90*time.Minute, l.Time())
	require.EqualValues(t, 5<<20, l.Bytes())
	huge, err := quickmode.OfferedLifetime(spd.ProtoESP, isakmp.AppendLifetime(nil, spd.ProtoESP, isakmp.Lifetime{Seconds: math.MaxUint64, Kilobytes: math.MaxUint64}))
	require.NoError(t, err)
	require.Positive(t, huge.Time())
	require.LessOrEqual(t, huge.Bytes(), uint64(math.MaxInt64))

	require.Equal(t, quickmode.Lifetime{Seconds: 600, Kilobytes: 5120}, l.Shortened(isakmp.Lifetime{Seconds: 600}))
	require.Equal(t, quickmode.Lifetime{Seconds: 5400, Kilobytes: 100}, l.Shortened(isakmp.Lifetime{Kilobytes: 100}))
	require.Equal(t, l, l.Shortened(isakmp.Lifetime{Seconds: 9999, Kilobytes: 9999999}), "never longer")
	require.Equal(t, l, l.Shortened(isakmp.Lifetime{}))
}

// A18, A19: what an unknown peer can make us do with one offer is bounded.
func BenchmarkPhase1Choose(b *testing.B) {
	own := phase1Of(b, "aes256-sha256-modp2048,aes128-sha1-modp2048,3des-sha1-modp2048")
	initiator := phase1Of(b, "aes256-aes128-sha256-sha1-modp2048")
	usual := initiator.offer()
	hostile := &isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly}
	var bad []isakmp.Attribute
	for i := range isakmp.MaxAttributes {
		bad = append(bad, isakmp.Basic(uint16(100+i), uint16(i)))
	}
	for range 250 {
		q := isakmp.Proposal{Num: 1, Protocol: spd.ProtoIKE}
		for range 50 {
			q.Transforms = append(q.Transforms, isakmp.Transform{ID: 1, Attributes: bad})
		}
		hostile.Proposals = append(hostile.Proposals, q)
	}
	b.Run("usual", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := own.choose(usual); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hostile", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := own.choose(hostile); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}

// Whatever comes as an SA payload, an answer to it is one that the wire has a
// form for.
func FuzzPhase1Proposals(f *testing.F) {
	ike := phase1Of(f, "aes256-aes128-3des-blowfish128-sha256-sha1-modp2048", AuthPSK, AuthRSA)
	f.Add(ike.offer().AppendBody(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		wire := append([]byte{0, 0, byte((len(b) + 4) >> 8), byte(len(b) + 4)}, b...)
		payloads, err := isakmp.ParsePayloads(isakmp.PayloadSA, wire)
		if err != nil || payloads.SA() == nil {
			return
		}
		sa := payloads.SA()
		if s, err := ike.choose(sa); err == nil {
			through(t, s.answer(sa))
			require.NoError(t, ike.allows(&s))
		} else {
			_ = err.Error()
		}
		_, _ = ike.checkAnswer(sa)
	})
}
