package spd

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func ike(s string) Proposal { return MustParseProposal(ProtoIKE, s) }
func esp(s string) Proposal { return MustParseProposal(ProtoESP, s) }

func TestParseProposal(t *testing.T) {
	encr := func(id, bits uint16) Transform { return Transform{TransformENCR, id, bits} }
	for _, c := range []struct {
		p    Protocol
		s    string
		want []Transform
	}{
		{ProtoIKE, "aes128-sha256-modp2048", []Transform{encr(12, 128), {TransformPRF, 5, 0}, {TransformINTEG, 12, 0}, {TransformKE, 14, 0}}},
		{ProtoIKE, "aes256gcm16-prfsha256-x25519", []Transform{encr(20, 256), {TransformPRF, 5, 0}, {TransformKE, 31, 0}}},
		{ProtoIKE, "aes256gcm16-sha384-ecp384", []Transform{encr(20, 256), {TransformPRF, 6, 0}, {TransformKE, 20, 0}}},
		{ProtoIKE, "aes128-aes256-sha256-modp2048", []Transform{encr(12, 128), encr(12, 256), {TransformPRF, 5, 0}, {TransformINTEG, 12, 0}, {TransformKE, 14, 0}}},
		{ProtoIKE, "3des-md5-sha1-modp1024", []Transform{encr(3, 0), {TransformPRF, 1, 0}, {TransformPRF, 2, 0}, {TransformINTEG, 1, 0}, {TransformINTEG, 2, 0}, {TransformKE, 2, 0}}},
		{ProtoIKE, "aes192ctr-sha512-prfaescmac-curve25519-ke1_mlkem768-ke2_none", []Transform{encr(13, 192), {TransformPRF, 8, 0}, {TransformINTEG, 14, 0}, {TransformKE, 31, 0}, {6, 36, 0}, {7, 0, 0}}},
		{ProtoESP, "aes128gcm16", []Transform{encr(20, 128), {TransformESN, 0, 0}}},
		{ProtoESP, "AES256-SHA2-256-ecp256-esn", []Transform{encr(12, 256), {TransformINTEG, 12, 0}, {TransformKE, 19, 0}, {TransformESN, 1, 0}}},
		{ProtoESP, "chacha20poly1305-none-modp3072", []Transform{encr(28, 0), {TransformKE, 0, 0}, {TransformKE, 15, 0}, {TransformESN, 0, 0}}},
		{ProtoESP, "null-aesxcbc-esn-noesn", []Transform{encr(11, 0), {TransformINTEG, 5, 0}, {TransformESN, 1, 0}, {TransformESN, 0, 0}}},
		{ProtoESP, "aes128ccm12", []Transform{encr(15, 128), {TransformESN, 0, 0}}},
		{ProtoESP, "aes256gmac", []Transform{encr(21, 256), {TransformESN, 0, 0}}},
		{ProtoAH, "aes256gmac", []Transform{{TransformINTEG, 11, 0}, {TransformESN, 0, 0}}},
		{ProtoAH, "sha256-esn", []Transform{{TransformINTEG, 12, 0}, {TransformESN, 1, 0}}},
	} {
		p, err := ParseProposal(c.p, c.s)
		require.NoError(t, err, c.s)
		require.Equal(t, c.want, p.Transforms, c.s)
		again, err := ParseProposal(c.p, p.String())
		require.NoError(t, err, p.String())
		require.True(t, p.Equal(again), "%v %v", p, again)
	}
	for _, s := range []string{"aes256gcm16-prfsha256-x25519", "aes128-sha256-modp2048", "aes128-sha256-prfsha512-modp2048"} {
		require.Equal(t, s, ike(s).String())
	}
	for _, s := range []string{"aes256gcm16", "aes128-sha256-esn", "aes128-sha256-esn-noesn"} {
		p := esp(s)
		require.True(t, p.Equal(esp(p.String())))
	}
	// Every word that is listed can be read back.
	for _, p := range []Protocol{ProtoIKE, ProtoESP, ProtoAH} {
		require.Greater(t, len(ProposalWords(p)), 10)
		for _, w := range ProposalWords(p) {
			_, err := ParseProposal(p, w)
			if err != nil {
				require.NotContains(t, err.Error(), "unknown", w)
			}
		}
	}
}

func TestParseProposalErrors(t *testing.T) {
	for _, c := range []struct {
		p       Protocol
		s, want string
	}{
		{ProtoIKE, "aes256-sha256-modp2049", `"modp2049", did you mean "modp2048"`},
		{ProtoIKE, "aes256gcm-prfsah256-x25519", `did you mean "prfsha256"`},
		{ProtoIKE, "null-sha256-modp2048", `"null" cannot be used in IKE`},
		{ProtoIKE, "aes256-sha256-modp2048-esn", `"esn" cannot be used in IKE`},
		{ProtoIKE, "aes256-sha256", "no KE"},
		{ProtoIKE, "aes256-sha256-none", "cannot be used in IKE"},
		{ProtoIKE, "aes256gcm16-x25519", "no PRF"},
		{ProtoIKE, "aes256-prfsha256-x25519", "needs an integrity algorithm"},
		{ProtoIKE, "aes256-aes256gcm16-sha256-x25519", "proposals of their own"},
		{ProtoIKE, "aes256gcm16-sha256-prfsha256-x25519", "without an integrity"},
		{ProtoIKE, "aes256-aes256-sha256-x25519", "twice"},
		{ProtoESP, "aes256", "needs an integrity algorithm"},
		{ProtoESP, "null", "needs an integrity algorithm"},
		{ProtoESP, "aes256gcm16-sha256", "without an integrity"},
		{ProtoESP, "aes256gcm16-prfsha256", "cannot be used in ESP"},
		{ProtoESP, "sha256", "no ENCR"},
		{ProtoAH, "aes128-sha256", `"aes128" cannot be used in AH`},
		{ProtoAH, "esn", "no INTEG"},
		{ProtoESP, "", `unknown algorithm ""`},
		{ProtoESP, "aes512-sha256", `did you mean "aes`},
		{ProtoESP, "ke1_aes256", "not a key exchange"},
		{ProtoIPComp, "deflate", "no protocol"},
		{ProtoESP, strings.Repeat("x", 1<<16), "unknown"},
	} {
		_, err := ParseProposal(c.p, c.s)
		require.ErrorIs(t, err, ErrProposal, c.s)
		require.ErrorContains(t, err, c.want)
		require.Less(t, len(err.Error()), 400)
	}
}

// RFC 7296 3.3.3, and for key lengths RFC 3602, 4106, 2451, 7634.
func TestProposalValid(t *testing.T) {
	base := esp("aes128-sha256").Transforms
	with := func(t Transform) Proposal { return Proposal{ProtoESP, append(base[:len(base):len(base)], t)} }
	require.NoError(t, Proposal{ProtoESP, base}.Valid())
	for want, p := range map[string]Proposal{
		"PRF does not belong":      with(Transform{Type: TransformPRF, ID: 5}),
		"twice":                    with(base[0]),
		"not of 0":                 with(Transform{Type: TransformENCR, ID: EncrAESCBC}),
		"not of 512":               with(Transform{TransformENCR, EncrAESCBC, 512}),
		"has no key length":        with(Transform{TransformENCR, Encr3DES, 192}),
		"ENCR(99) is unknown":      with(Transform{Type: TransformENCR, ID: 99}),
		"not supported, but aes":   with(Transform{Type: TransformENCR, ID: 2}),
		"for AH only":              with(Transform{Type: TransformINTEG, ID: IntegAES128GMAC}),
		"needs an integrity":       with(Transform{Type: TransformINTEG, ID: IntegNone}),
		"TransformType(99)":        with(Transform{Type: 99, ID: 1}),
		"no ESN":                   {ProtoESP, base[:2]},
		"no ENCR":                  {ProtoESP, nil},
		"AH needs an integrity":    {ProtoAH, []Transform{{Type: TransformINTEG}, {Type: TransformESN}}},
		"IKE SA needs":             {ProtoIKE, append(transforms(TransformKE, KENone), ike("aes128-sha256-x25519").Transforms...)},
		"no protocol":              {ProtoIPComp, base},
		"is unknown":               with(Transform{Type: TransformENCR, ID: TransformIDUnacceptable}),
		"ENCR_CAMELLIA_CTR-128 is": with(Transform{TransformENCR, 24, 128}),
	} {
		err := p.Valid()
		require.ErrorIs(t, err, ErrProposal, want)
		require.ErrorContains(t, err, want)
	}
	aead := esp("aes128gcm16")
	aead.Transforms = append(aead.Transforms, Transform{Type: TransformINTEG, ID: IntegNone})
	require.NoError(t, aead.Valid(), "INTEG NONE beside a combined-mode cipher is allowed (RFC 5282 8)")
}

func TestWeak(t *testing.T) {
	for _, s := range []string{"3des", "md5", "modp768", "modp1024", "modp1536", "modp1024s160", "modp2048s224", "modp2048s256", "prfmd5"} {
		words, meaning := vocabulary(ProtoIKE)
		for i, w := range words {
			if w == s {
				require.NotEmpty(t, Weak(meaning[i]), s)
			}
		}
	}
	all := Capabilities{ESN: true}
	for _, a := range algorithms {
		all.Algorithms = append(all.Algorithms, Algorithm{Protocol: ProtoESP, Transform: Transform{Type: a.typ, ID: a.id}}, Algorithm{Protocol: ProtoAH, Transform: Transform{Type: a.typ, ID: a.id}})
	}
	ps := append(append(DefaultIKEProposals(), DefaultESPProposals(all)...), DefaultAHProposals(all)...)
	require.Len(t, ps, 5)
	for _, p := range ps {
		require.NoError(t, p.Valid())
		require.Empty(t, p.Weak())
		require.False(t, p.hasID(TransformINTEG, IntegHMACSHA1_96))
	}
	require.Len(t, ike("3des-sha256-modp2048-modp1024").Weak(), 2)
}

func TestTransformName(t *testing.T) {
	require.Equal(t, "ENCR_AES_GCM_16", TransformName(TransformENCR, 20))
	require.Equal(t, "ENCR(4711)", TransformName(TransformENCR, 4711))
	require.Equal(t, "ML_KEM_768", TransformName(TransformADDKE1, 36))
	require.Equal(t, "ENCR_AES_CBC-256", Transform{TransformENCR, EncrAESCBC, 256}.String())
	require.Equal(t, "NO_ESN", Transform{Type: TransformESN}.String())
}

func TestRestrictTo(t *testing.T) {
	caps := Capabilities{Algorithms: []Algorithm{
		{ProtoESP, Transform{TransformENCR, EncrAESCBC, 128}, 0},
		{ProtoESP, Transform{TransformINTEG, IntegHMACSHA256_128, 0}, 0},
		{ProtoESP, Transform{TransformINTEG, IntegHMACSHA384_192, 0}, 96},
	}}
	in := []Proposal{esp("aes256gcm16-esn-noesn"), esp("aes256-aes128-sha384-sha256-x25519-esn-noesn"), ike("aes256-sha512-x25519")}
	kept, removed := RestrictTo(caps, in)
	require.Equal(t, "[aes128-sha256-x25519 aes256-sha512-x25519]", strings.ReplaceAll(strings.ReplaceAll(toString(kept), ",", ""), "\"", ""))
	require.Contains(t, removed, Removed{0, Transform{TransformENCR, EncrAESGCM16, 256}})
	require.Contains(t, removed, Removed{1, Transform{TransformENCR, EncrAESCBC, 256}})
	require.Contains(t, removed, Removed{1, Transform{TransformINTEG, IntegHMACSHA384_192, 0}}, "the ICV has another length")
	require.Contains(t, removed, Removed{1, Transform{TransformESN, ESNExtended, 0}})
}

func toString(ps []Proposal) string {
	var s []string
	for _, p := range ps {
		s = append(s, p.String())
	}
	return "[" + strings.Join(s, " ") + "]"
}
