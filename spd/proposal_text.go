package spd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// impliedPRF is the pseudorandom function that an integrity algorithm's name
// stands for in an IKE proposal which names none.
var impliedPRF = map[uint16]uint16{
	IntegHMACMD5_96:     PRFHMACMD5,
	IntegHMACSHA1_96:    PRFHMACSHA1,
	IntegAESXCBC96:      PRFAES128XCBC,
	IntegAESCMAC96:      PRFAES128CMAC,
	IntegHMACSHA256_128: PRFHMACSHA256,
	IntegHMACSHA384_192: PRFHMACSHA384,
	IntegHMACSHA512_256: PRFHMACSHA512,
}

// vocabularies holds the words of each protocol's proposals.
var vocabularies = sync.OnceValue(func() (v [4]struct {
	words   []string
	meaning []Transform
}) {
	for _, p := range []Protocol{ProtoIKE, ProtoAH, ProtoESP} {
		v[p].words, v[p].meaning = makeVocabulary(p)
	}
	return v
})

// vocabulary returns every word of a protocol's proposals with what it means,
// aliases after the word itself.
func vocabulary(p Protocol) (words []string, meaning []Transform) {
	if v := vocabularies(); int(p) < len(v) {
		return v[p].words, v[p].meaning
	}
	return nil, nil
}

func makeVocabulary(p Protocol) (words []string, meaning []Transform) {
	mandatory, optional := typesOf(p)
	add := func(form string, a *algorithm) {
		if len(a.keyLens) == 0 {
			words, meaning = append(words, form), append(meaning, Transform{Type: a.typ, ID: a.id})
		}
		for _, bits := range a.keyLens {
			words = append(words, strings.Replace(form, "%", strconv.Itoa(int(bits)), 1))
			meaning = append(meaning, Transform{Type: a.typ, ID: a.id, KeyLen: bits})
		}
	}
	for i := range algorithms {
		a := &algorithms[i]
		if a.word == "" || a.only != 0 && a.only != p || !slices.Contains(mandatory, a.typ) && !slices.Contains(optional, a.typ) {
			continue
		}
		if p == ProtoIKE && a.typ == TransformKE && a.id == KENone {
			continue // an IKE SA always has a key exchange
		}
		add(a.word, a)
		for _, alias := range a.aliases {
			add(alias, a)
		}
	}
	return words, meaning
}

// ProposalWords returns the words that [ParseProposal] knows for a protocol,
// without aliases and without the prefixes of additional key exchanges.
func ProposalWords(p Protocol) []string { return wordsOf(p, 0) }

// wordsOf is [ProposalWords] of one type of transform, 0 for all.
func wordsOf(p Protocol, t TransformType) []string {
	words, meaning := vocabulary(p)
	var r []string
	for i, w := range words {
		if (t == 0 || meaning[i].Type == t) && !slices.Contains(meaning[:i], meaning[i]) {
			r = append(r, w)
		}
	}
	return r
}

// ParseProposal reads a proposal in the form that users of other
// implementations know: words joined by dashes, several of a kind in order of
// preference.
//
//	IKE  aes256-aes128-sha256-modp2048    aes256gcm16-prfsha256-x25519
//	ESP  aes128gcm16-aes256gcm16-esn      aes256-sha256-ecp256
//	AH   sha256-esn
//
// In an IKE proposal without a prf word, the integrity words name the
// pseudorandom function too; beside combined-mode ciphers, which need no
// integrity algorithm, they name only that. An ESP or AH proposal without
// esn or noesn has 32-bit sequence numbers. Additional key exchanges (RFC
// 9370) are written ke1_mlkem768 to ke7_none. group32768 to group65535 are private
// groups of IKEv1 (RFC 2409 5.6), which a configuration describes elsewhere.
//
// An error wraps [ErrProposal] and names the word that does not fit and the
// one that was perhaps meant.
func ParseProposal(p Protocol, s string) (Proposal, error) {
	fail := func(format string, args ...any) (Proposal, error) {
		return Proposal{}, fmt.Errorf("%w: %v %q: %s", ErrProposal, p, clip(s), fmt.Sprintf(format, args...))
	}
	words, meaning := vocabulary(p)
	if words == nil {
		return fail("no protocol that is negotiated by proposals")
	}
	r := Proposal{Protocol: p}
	// sha2-256 is an alias that holds the separator; so are its brothers.
	text := strings.NewReplacer("sha2-", "sha2_").Replace(strings.ToLower(strings.TrimSpace(s)))
	for word := range strings.SplitSeq(text, "-") {
		typ, bare := TransformType(0), word
		if rest, ok := strings.CutPrefix(word, "ke"); ok && len(rest) > 2 && rest[0] >= '1' && rest[0] <= '7' && rest[1] == '_' {
			typ, bare = TransformADDKE1+TransformType(rest[0]-'1'), rest[2:]
		}
		var t Transform
		switch i := slices.Index(words, bare); {
		case typ != 0 && bare == "none":
			t = Transform{Type: typ}
		case i >= 0 && typ == 0:
			t = meaning[i]
		case i >= 0 && meaning[i].Type == TransformKE:
			t = Transform{Type: typ, ID: meaning[i].ID}
		case i >= 0:
			return fail("%q is not a key exchange", clip(word))
		case typ == 0 && privateGroup(bare) != 0:
			t = Transform{Type: TransformKE, ID: privateGroup(bare)}
		default:
			for _, other := range []Protocol{ProtoIKE, ProtoESP, ProtoAH} {
				if w, _ := vocabulary(other); slices.Contains(w, bare) {
					return fail("%q cannot be used in %v proposals", clip(word), p)
				}
			}
			return fail("unknown algorithm %q, did you mean %q?", clip(word), nearest(bare, words))
		}
		if slices.Contains(r.Transforms, t) {
			return fail("%q is there twice", clip(word))
		}
		r.Transforms = append(r.Transforms, t)
	}
	if p == ProtoIKE {
		if !r.has(TransformPRF) {
			for _, t := range r.All(TransformINTEG) {
				r.Transforms = append(r.Transforms, Transform{Type: TransformPRF, ID: impliedPRF[t.ID]})
			}
			if encr := r.All(TransformENCR); len(encr) > 0 && !slices.ContainsFunc(encr, func(t Transform) bool { return !IsCombinedMode(t) }) {
				r.Transforms = slices.DeleteFunc(r.Transforms, func(t Transform) bool { return t.Type == TransformINTEG })
			}
		}
	} else if !r.has(TransformESN) {
		r.Transforms = append(r.Transforms, Transform{Type: TransformESN, ID: ESNNone})
	}
	// The order among types means nothing; keep one, so that equal proposals are.
	slices.SortStableFunc(r.Transforms, func(a, b Transform) int { return int(a.Type) - int(b.Type) })
	if err := r.Valid(); err != nil {
		return fail("%s", strings.TrimPrefix(err.Error(), fmt.Sprintf("%v: %v: ", ErrProposal, p)))
	}
	return r, nil
}

// privateGroup reads the word of a private group, 0 if it is none.
func privateGroup(word string) uint16 {
	digits, ok := strings.CutPrefix(word, "group")
	if n, err := strconv.ParseUint(digits, 10, 16); ok && err == nil && n >= uint64(FirstPrivateKE) && digits[0] != '0' {
		return uint16(n)
	}
	return 0
}

// ParseProposals reads a list of proposals separated by commas, in order of
// preference.
func ParseProposals(p Protocol, s string) ([]Proposal, error) {
	var r []Proposal
	for one := range strings.SplitSeq(s, ",") {
		q, err := ParseProposal(p, one)
		if err != nil {
			return nil, err
		}
		r = append(r, q)
	}
	return r, nil
}

// MustParseProposal is ParseProposal for constants in tests and examples; it
// panics on an error.
func MustParseProposal(p Protocol, s string) Proposal {
	r, err := ParseProposal(p, s)
	if err != nil {
		panic(err)
	}
	return r
}

// String returns the proposal in the form that [ParseProposal] reads, as far
// as its transforms have words; others have their RFC name. What that form
// takes for granted is left out.
func (p Proposal) String() string {
	words, meaning := vocabulary(p.Protocol)
	var implied []uint16
	for _, t := range p.All(TransformINTEG) {
		implied = append(implied, impliedPRF[t.ID])
	}
	var prfs []uint16
	for _, t := range p.All(TransformPRF) {
		prfs = append(prfs, t.ID)
	}
	hidePRF := len(implied) > 0 && slices.Equal(implied, prfs)
	esn := p.All(TransformESN)
	hideESN := len(esn) == 1 && esn[0].ID == ESNNone
	var b []byte
	for _, typ := range []TransformType{TransformENCR, TransformINTEG, TransformPRF, TransformKE, 6, 7, 8, 9, 10, 11, 12, TransformESN, 0} {
		for _, t := range p.Transforms {
			if t.Type != typ && !(typ == 0 && (t.Type == 0 || t.Type > TransformADDKE7)) {
				continue
			}
			if typ == TransformPRF && hidePRF || typ == TransformESN && hideESN {
				continue
			}
			if len(b) > 0 {
				b = append(b, '-')
			}
			plain := t
			if typ >= TransformADDKE1 && typ <= TransformADDKE7 {
				b = fmt.Appendf(b, "ke%d_", typ-TransformADDKE1+1)
				plain.Type = TransformKE
			}
			if i := slices.Index(meaning, plain); i >= 0 {
				b = append(b, words[i]...)
			} else if plain.Type == TransformKE && plain.ID == KENone {
				b = append(b, "none"...)
			} else if plain.Type == TransformKE && plain.ID >= FirstPrivateKE && typ == TransformKE {
				b = fmt.Appendf(b, "group%d", plain.ID)
			} else {
				b = append(b, t.String()...)
			}
		}
	}
	return string(b)
}

// MarshalText implements [encoding.TextMarshaler].
func (p Proposal) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// nearest returns the word with the smallest edit distance to s.
func nearest(s string, words []string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	best, bestDist := "", 1<<30
	for _, w := range words {
		if d := editDistance(s, w); d < bestDist {
			best, bestDist = w, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diag
			if a[i] != b[j] {
				change++
			}
			diag = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
