package spd

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSelect(t *testing.T) {
	ikes := func(ss ...string) (r []Proposal) {
		for _, s := range ss {
			r = append(r, ike(s))
		}
		return r
	}
	for _, c := range []struct {
		name         string
		offered, own []Proposal
		opt          SelectOptions
		want         string
		i, j         int
	}{
		{"own order of transforms", ikes("aes128-aes256-sha256-modp2048-x25519"), ikes("aes256-aes128-sha256-x25519-modp2048"), SelectOptions{}, "aes256-sha256-x25519", 0, 0},
		{"offered order of transforms", ikes("aes128-aes256-sha256-modp2048-x25519"), ikes("aes256-aes128-sha256-x25519-modp2048"), SelectOptions{PreferOffered: true}, "aes128-sha256-modp2048", 0, 0},
		{"own order of proposals", ikes("aes128-sha256-x25519", "aes128gcm16-prfsha256-x25519"), ikes("aes128gcm16-prfsha256-x25519", "aes128-sha256-x25519"), SelectOptions{}, "aes128gcm16-prfsha256-x25519", 1, 0},
		{"offered order of proposals", ikes("aes128-sha256-x25519", "aes128gcm16-prfsha256-x25519"), ikes("aes128gcm16-prfsha256-x25519", "aes128-sha256-x25519"), SelectOptions{PreferOffered: true}, "aes128-sha256-x25519", 0, 1},
		{"the group that was sent", ikes("aes128-sha256-modp2048-x25519"), ikes("aes128-sha256-x25519-modp2048"), SelectOptions{KE: KEMODP2048}, "aes128-sha256-modp2048", 0, 0},
		{"the group that was sent is not ours", ikes("aes128-sha256-modp1024-x25519"), ikes("aes128-sha256-x25519-modp2048"), SelectOptions{KE: KEMODP1024}, "aes128-sha256-x25519", 0, 0},
		{"the group that was sent was not offered", ikes("aes128-sha256-x25519"), ikes("aes128-sha256-x25519-modp2048"), SelectOptions{KE: KEMODP2048}, "aes128-sha256-x25519", 0, 0},
		{"additional key exchange", ikes("aes128-sha256-x25519-ke1_mlkem768-ke1_none"), ikes("aes128-sha256-x25519-ke1_mlkem768"), SelectOptions{}, "aes128-sha256-x25519-ke1_mlkem768", 0, 0},
		{"additional key exchange NONE", ikes("aes128-sha256-x25519-ke1_mlkem768-ke1_none"), ikes("aes128-sha256-x25519"), SelectOptions{}, "aes128-sha256-x25519-ke1_none", 0, 0},
		{"no key exchange twice", ikes("aes128-sha256-mlkem768-ke1_mlkem768-ke1_mlkem1024"), ikes("aes128-sha256-mlkem768-ke1_mlkem768-ke1_mlkem1024"), SelectOptions{}, "aes128-sha256-mlkem768-ke1_mlkem1024", 0, 0},
	} {
		s, err := Select(c.offered, c.own, c.opt)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, s.Proposal.String(), c.name)
		require.Equal(t, []int{c.i, c.j}, []int{s.OfferedIndex, s.OwnIndex}, c.name)
		require.NoError(t, s.Proposal.Valid(), c.name)
		i, err := CheckSelected(c.offered, s.Proposal)
		require.NoError(t, err, c.name)
		require.Equal(t, c.i, i, c.name)
	}
}

func TestSelectChild(t *testing.T) {
	one := func(s string) []Proposal { return []Proposal{esp(s)} }
	for _, c := range []struct {
		name, offered, own string
		opt                SelectOptions
		want               string // empty: no proposal chosen
	}{
		{"ESN preferred by us", "aes128gcm16-noesn-esn", "aes128gcm16-esn-noesn", SelectOptions{}, "aes128gcm16-esn"},
		{"ESN not offered", "aes128gcm16", "aes128gcm16-esn", SelectOptions{}, ""},
		{"PFS wanted, not offered", "aes128gcm16", "aes128gcm16-x25519", SelectOptions{}, ""},
		{"PFS wanted or not, not offered", "aes128gcm16", "aes128gcm16-x25519-none", SelectOptions{}, "aes128gcm16"},
		{"PFS in IKE_AUTH", "aes128gcm16", "aes128gcm16-x25519", SelectOptions{NoKE: true}, "aes128gcm16"},
		{"PFS offered in IKE_AUTH", "aes128gcm16-modp2048", "aes128gcm16-x25519", SelectOptions{NoKE: true}, "aes128gcm16"},
		{"PFS offered, not wanted", "aes128gcm16-x25519", "aes128gcm16", SelectOptions{KE: KECurve25519}, ""},
		{"PFS offered or not, not wanted", "aes128gcm16-x25519-none", "aes128gcm16", SelectOptions{KE: KECurve25519}, "aes128gcm16-none"},
		{"PFS offered, on demand", "aes128gcm16-x25519", "aes128gcm16", SelectOptions{KE: KECurve25519, OptionalKE: []uint16{31}}, "aes128gcm16-x25519"},
		{"PFS offered, on demand, other group", "aes128gcm16-modp1024", "aes128gcm16", SelectOptions{KE: KEMODP1024, OptionalKE: []uint16{31}}, ""},
		{"PFS offered or not, on demand", "aes128gcm16-x25519-none", "aes128gcm16", SelectOptions{KE: KECurve25519, OptionalKE: []uint16{14, 31}}, "aes128gcm16-x25519"},
		{"key length", "aes256gcm16", "aes128gcm16", SelectOptions{}, ""},
	} {
		s, err := Select(one(c.offered), one(c.own), c.opt)
		if c.want == "" {
			require.ErrorIs(t, err, ErrNoProposalChosen, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, s.Proposal.String(), c.name)
	}
}

// RFC 7296 3.3.6: unknown types make a proposal unacceptable, unknown
// transforms and attributes only themselves.
func TestSelectUnknown(t *testing.T) {
	own := []Proposal{esp("aes128-sha256")}
	with := func(x ...Transform) Proposal { return Proposal{ProtoESP, append(x, own[0].Transforms...)} }
	good := with()
	for name, bad := range map[string]Proposal{
		"unknown type":          with(Transform{Type: 13, ID: 1}),
		"PRF in ESP":            with(Transform{Type: TransformPRF, ID: 5}),
		"missing ESN":           {ProtoESP, good.Transforms[:2]},
		"ADDKE without NONE":    with(Transform{Type: TransformADDKE1, ID: 36}),
		"unknown KE attribute":  with(Transform{Type: TransformKE, ID: TransformIDUnacceptable}),
		"empty":                 {Protocol: ProtoESP},
		"other protocol":        {ProtoAH, good.Transforms},
		"key length of 3DES":    {ProtoESP, []Transform{{TransformENCR, Encr3DES, 192}, {TransformINTEG, 12, 0}, {TransformESN, 0, 0}}},
		"AES without KeyLength": {ProtoESP, []Transform{{TransformENCR, EncrAESCBC, 0}, {TransformINTEG, 12, 0}, {TransformESN, 0, 0}}},
	} {
		_, err := Select([]Proposal{bad}, own, SelectOptions{})
		require.ErrorIs(t, err, ErrNoProposalChosen, name)
		s, err := Select([]Proposal{bad, good}, own, SelectOptions{})
		require.NoError(t, err, name)
		require.Equal(t, 1, s.OfferedIndex, name)
	}
	s, err := Select([]Proposal{with(Transform{Type: TransformENCR, ID: 99}, Transform{TransformENCR, EncrAESCBC, 999}, Transform{Type: TransformENCR, ID: TransformIDUnacceptable})}, own, SelectOptions{})
	require.NoError(t, err)
	require.Equal(t, own[0], s.Proposal)

	// One offer for ciphers of both kinds, as RFC 5282 8 advises against: the
	// integrity algorithm follows the cipher.
	mixed := Proposal{ProtoESP, []Transform{
		{TransformENCR, EncrAESGCM16, 128}, {TransformENCR, EncrAESCBC, 128},
		{TransformINTEG, IntegHMACSHA256_128, 0}, {TransformINTEG, IntegNone, 0}, {TransformESN, 0, 0},
	}}
	s, err = Select([]Proposal{mixed}, own, SelectOptions{})
	require.NoError(t, err)
	require.Equal(t, "aes128-sha256", s.String())
	s, err = Select([]Proposal{mixed}, []Proposal{esp("aes128gcm16")}, SelectOptions{})
	require.NoError(t, err)
	require.Equal(t, IntegNone, s.first(TransformINTEG).ID)
	require.NoError(t, s.Valid())
}

func TestNegotiationErrorExplains(t *testing.T) {
	offered := []Proposal{ike("3des-sha1-modp1024"), ike("aes256-sha256-modp1024")}
	own := []Proposal{ike("aes256gcm16-prfsha256-x25519"), ike("aes256-aes128-sha256-modp2048-x25519")}
	_, err := Select(offered, own, SelectOptions{})
	n, ok := errors.AsType[*NegotiationError](err)
	require.True(t, ok)
	require.Equal(t, []int{1, 1}, []int{n.OfferedIndex, n.OwnIndex})
	require.Len(t, n.Mismatches, 1)
	require.ErrorContains(t, err, "KE: offered MODP_1024; wanted MODP_2048, CURVE25519")
	require.ErrorContains(t, err, "[offered: IKE:3des-sha1-modp1024, IKE:aes256-sha256-modp1024]")
	require.ErrorContains(t, err, "[wanted: IKE:aes256gcm16-prfsha256-x25519,")

	_, err = Select([]Proposal{esp("aes256gcm16")}, []Proposal{esp("aes128gcm16")}, SelectOptions{})
	n, _ = errors.AsType[*NegotiationError](err)
	require.Equal(t, "[ENCR: offered ENCR_AES_GCM_16-256; wanted ENCR_AES_GCM_16-128]", sprint(n.Mismatches))

	_, err = Select(nil, own, SelectOptions{})
	require.ErrorContains(t, err, "offered nothing")

	huge := Proposal{Protocol: ProtoIKE}
	for i := range 8000 {
		huge.Transforms = append(huge.Transforms, Transform{TransformType(i), uint16(i), 7})
	}
	_, err = Select([]Proposal{huge, huge, huge, huge, huge, huge}, own, SelectOptions{})
	require.Error(t, err)
	require.Less(t, len(err.Error()), 4096, "bounded, whatever the peer sends")
}

// A14: what the responder chose must be one of the things offered, as a whole.
func TestA14_NoDowngrade(t *testing.T) {
	own := []Proposal{ike("aes256gcm16-prfsha256-x25519-modp2048"), ike("aes256-sha256-sha1-ecp256")}
	i, err := CheckSelected(own, ike("aes256-sha1-prfsha256-ecp256"))
	require.NoError(t, err)
	require.Equal(t, 1, i)
	sel := func(s string, change func(*Proposal)) Proposal {
		p := ike(s).Clone()
		change(&p)
		return p
	}
	drop := func(typ TransformType) func(*Proposal) {
		return func(p *Proposal) {
			var r []Transform
			for _, t := range p.Transforms {
				if t.Type != typ {
					r = append(r, t)
				}
			}
			p.Transforms = r
		}
	}
	for name, p := range map[string]Proposal{
		"group not offered":             ike("aes256gcm16-prfsha256-modp1024"),
		"cipher not offered":            ike("3des-sha1-ecp256"),
		"key length changed":            ike("aes128gcm16-prfsha256-x25519"),
		"mix of two proposals":          ike("aes256gcm16-prfsha256-ecp256"),
		"two groups":                    ike("aes256gcm16-prfsha256-x25519-modp2048"),
		"group left out":                sel("aes256gcm16-prfsha256-x25519", drop(TransformKE)),
		"integrity left out":            sel("aes256-sha256-ecp256", drop(TransformINTEG)),
		"integrity NONE":                sel("aes256-sha256-ecp256", func(p *Proposal) { p.Transforms[2].ID = IntegNone }),
		"PRF left out":                  sel("aes256-sha256-ecp256", drop(TransformPRF)),
		"group NONE":                    sel("aes256gcm16-prfsha256-x25519", func(p *Proposal) { p.Transforms[2].ID = KENone }),
		"additional transform":          ike("aes256gcm16-prfsha256-x25519-ke1_mlkem768"),
		"integrity beside combined":     sel("aes256gcm16-prfsha256-x25519", func(p *Proposal) { p.Transforms = append(p.Transforms, Transform{TransformINTEG, 12, 0}) }),
		"unknown type":                  sel("aes256gcm16-prfsha256-x25519", func(p *Proposal) { p.Transforms = append(p.Transforms, Transform{99, 1, 0}) }),
		"other protocol":                esp("aes256gcm16"),
		"empty":                         {Protocol: ProtoIKE},
		"transform twice":               sel("aes256gcm16-prfsha256-x25519", func(p *Proposal) { p.Transforms = append(p.Transforms, p.Transforms[0]) }),
		"key length where there is not": sel("aes256-sha256-ecp256", func(p *Proposal) { p.Transforms[2].KeyLen = 256 }),
	} {
		_, err := CheckSelected(own, p)
		require.ErrorIs(t, err, ErrNoProposalChosen, name)
	}
	// Additional NONE transforms take nothing away.
	_, err = CheckSelected(own, sel("aes256gcm16-prfsha256-x25519", func(p *Proposal) {
		p.Transforms = append(p.Transforms, Transform{TransformINTEG, IntegNone, 0}, Transform{TransformADDKE1, KENone, 0})
	}))
	require.NoError(t, err)
	// PFS that was offered as a must cannot be left out, one offered beside NONE can.
	_, err = CheckSelected([]Proposal{esp("aes128gcm16-x25519")}, esp("aes128gcm16"))
	require.Error(t, err)
	_, err = CheckSelected([]Proposal{esp("aes128gcm16-x25519-none")}, esp("aes128gcm16"))
	require.NoError(t, err)
	_, err = CheckSelected([]Proposal{esp("aes128gcm16-esn")}, esp("aes128gcm16-noesn"))
	require.Error(t, err)
}

func sprint(m []Mismatch) string {
	s := "["
	for i, x := range m {
		if i > 0 {
			s += " "
		}
		s += x.String()
	}
	return s + "]"
}
