package ikev2

import (
	"fmt"
	"slices"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// algorithms are the negotiated algorithms of an IKE SA.
type algorithms struct {
	proposal spd.Proposal
	encr     suite.ENCR
	encrBits uint16
	integ    suite.INTEG // zero with combined modes
	prf      suite.PRF
	group    uint16
}

// notNegotiated is what an IKE SA has before IKE_SA_INIT.
var notNegotiated algorithms

// maxKnownAlgorithms bounds Endpoint.algorithms. What is negotiated is among
// what is configured, so there are few.
const maxKnownAlgorithms = 64

// algorithmsOf is newAlgorithms for a negotiated proposal. SAs with the same
// algorithms share them.
func (e *Endpoint) algorithmsOf(p spd.Proposal) (*algorithms, error) {
	for _, a := range e.algorithms {
		if a.proposal.Equal(p) {
			return a, nil
		}
	}
	a, err := newAlgorithms(p)
	if err != nil {
		return nil, err
	}
	if len(e.algorithms) < maxKnownAlgorithms {
		e.algorithms = append(e.algorithms, &a)
	}
	return &a, nil
}

// newAlgorithms looks the transforms of a selected proposal up. It fails on
// what the tables do not know, which a configuration check has excluded.
func newAlgorithms(p spd.Proposal) (algorithms, error) {
	a := algorithms{proposal: p}
	var ok bool
	for _, t := range p.Transforms {
		switch t.Type {
		case spd.TransformENCR:
			if a.encr, ok = suite.ENCRByID(t.ID); !ok {
				return a, fmt.Errorf("ikev2: unknown encryption algorithm %d", t.ID)
			}
			a.encrBits = t.KeyLen
		case spd.TransformPRF:
			if a.prf, ok = suite.PRFByID(t.ID); !ok {
				return a, fmt.Errorf("ikev2: unknown PRF %d", t.ID)
			}
		case spd.TransformINTEG:
			if t.ID == spd.IntegNone {
				continue
			}
			if a.integ, ok = suite.INTEGByID(t.ID); !ok {
				return a, fmt.Errorf("ikev2: unknown integrity algorithm %d", t.ID)
			}
		case spd.TransformKE:
			a.group = t.ID
		}
	}
	if _, ok := a.encr.KeySize(int(a.encrBits)); !ok {
		return a, fmt.Errorf("ikev2: %s has no key length of %d bits", a.encr.Name, a.encrBits)
	}
	return a, nil
}

// ikeKeys are the keys of an IKE SA (RFC 7296 2.14).
//
// The ciphers of an established SA are made for each message and not kept: an
// expanded AES-GCM key takes over a kilobyte, setting one up a microsecond,
// and most IKE SAs are idle most of the time. During the handshake, when
// message follows message, they stay.
type ikeKeys struct {
	alg       *algorithms
	lasting   secret.Bytes   // SK_d | SK_ai | SK_ar | SK_ei | SK_er
	early     *handshakeKeys // until both sides are authenticated
	sealedIV  uint64         // counter of IVs; unique for the life of the keys
	initiator bool           // this side is the SA's original initiator
}

// handshakeKeys are what only the handshake needs.
type handshakeKeys struct {
	skPi, skPr secret.Bytes
	ciphers    [2]*suite.Cipher // of the initiator's messages and the responder's
}

// skD is the key that others are derived from.
func (k *ikeKeys) skD() secret.Bytes { return k.lasting[:k.alg.prf.KeySize] }

// skE and skA are the keys of the messages that the SA's initiator sends, or
// its responder.
func (k *ikeKeys) skE(initiator bool) secret.Bytes {
	n := (len(k.lasting) - k.alg.prf.KeySize - 2*k.alg.integ.KeySize) / 2
	return nth(k.lasting[k.alg.prf.KeySize+2*k.alg.integ.KeySize:], n, initiator)
}

func (k *ikeKeys) skA(initiator bool) secret.Bytes {
	return nth(k.lasting[k.alg.prf.KeySize:], k.alg.integ.KeySize, initiator)
}

// nth is the first or the second of two keys of n octets.
func nth(keys secret.Bytes, n int, first bool) secret.Bytes {
	if first {
		return keys[:n:n]
	}
	return keys[n : 2*n : 2*n]
}

// skP is the key of the initiator's or the responder's identity, nil when both
// sides are authenticated.
func (k *ikeKeys) skP(initiator bool) secret.Bytes {
	switch {
	case k.early == nil:
		return nil
	case initiator:
		return k.early.skPi
	}
	return k.early.skPr
}

// sealer and opener return the cipher of a direction; done is to be called
// with it after use.
func (k *ikeKeys) sealer() (*suite.Cipher, error) { return k.cipher(k.initiator) }
func (k *ikeKeys) opener() (*suite.Cipher, error) { return k.cipher(!k.initiator) }

func (k *ikeKeys) cipher(initiator bool) (*suite.Cipher, error) {
	i := 0
	if !initiator {
		i = 1
	}
	if k.early != nil && k.early.ciphers[i] != nil {
		return k.early.ciphers[i], nil
	}
	c, err := suite.NewCipher(k.alg.encr.ID, k.alg.encrBits, k.alg.integ.ID, k.skE(initiator), k.skA(initiator))
	if err == nil && k.early != nil {
		k.early.ciphers[i] = c
	}
	return c, err
}

func (k *ikeKeys) done(c *suite.Cipher) {
	if k.early == nil {
		c.Wipe()
	}
}

// settle drops what only the handshake needs.
func (k *ikeKeys) settle() {
	if k.early == nil {
		return
	}
	k.early.skPi.Wipe()
	k.early.skPr.Wipe()
	for _, c := range k.early.ciphers {
		if c != nil {
			c.Wipe()
		}
	}
	k.early = nil
}

// initialSKEYSEED is SKEYSEED = prf(Ni | Nr, g^ir).
func initialSKEYSEED(prf suite.PRF, ni, nr, shared []byte) secret.Bytes {
	k := prf.Keyed(prf.NonceKey(make([]byte, 0, len(ni)+len(nr)), ni, nr))
	defer k.Wipe()
	return k.Sum(make([]byte, 0, prf.Size), shared)
}

// rekeySKEYSEED is SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr) with the
// old SA's PRF (RFC 7296 2.18).
func rekeySKEYSEED(old *ikeKeys, ni, nr, shared []byte) secret.Bytes {
	k := old.alg.prf.Keyed(old.skD())
	defer k.Wipe()
	return k.Sum(make([]byte, 0, old.alg.prf.Size), shared, ni, nr)
}

// deriveIKEKeys expands SKEYSEED: {SK_d | SK_ai | SK_ar | SK_ei | SK_er |
// SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr) (RFC 7296 2.14).
func deriveIKEKeys(a *algorithms, skeyseed, ni, nr []byte, spis [16]byte, initiator bool) (*ikeKeys, error) {
	encrLen, ok := a.encr.KeySize(int(a.encrBits))
	if !ok {
		return nil, fmt.Errorf("ikev2: %s has no key length of %d bits", a.encr.Name, a.encrBits)
	}
	integLen, prfLen := a.integ.KeySize, a.prf.KeySize
	prf := a.prf.Keyed(skeyseed)
	defer prf.Wipe()
	all := make(secret.Bytes, 3*prfLen+2*integLen+2*encrLen)
	if err := prf.Plus(all, ni, nr, spis[:]); err != nil {
		return nil, err
	}
	// Apart, so that nothing else outlives the handshake with what lasts.
	n := prfLen + 2*integLen + 2*encrLen
	lasting, early := all[:n].Clone(), all[n:]
	all[:n].Wipe()
	return &ikeKeys{alg: a, lasting: lasting, initiator: initiator,
		early: &handshakeKeys{skPi: nth(early, prfLen, true), skPr: nth(early, prfLen, false)}}, nil
}

// Format keeps the keys out of any text: fmt does not ask the fields of a
// struct that are not exported how they want to be shown.
func (k *ikeKeys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[IKE keys]")) }

// wipe forgets the keys.
func (k *ikeKeys) wipe() {
	if k == nil {
		return
	}
	k.settle()
	k.lasting.Wipe()
}

// childKeys cuts KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr) for one ESP or AH
// SA pair: encryption then integrity key of the direction initiator to
// responder, then of the other (RFC 7296 2.17). shared is nil without PFS.
func childKeys(k *ikeKeys, p spd.Proposal, shared, ni, nr []byte, initiator bool) (in, out spd.SA, err error) {
	var encr, integ spd.Transform
	var esn bool
	for _, t := range p.Transforms {
		switch t.Type {
		case spd.TransformENCR:
			encr = t
		case spd.TransformINTEG:
			integ = t
		case spd.TransformESN:
			esn = t.ID == spd.ESNExtended
		}
	}
	encrLen, integLen := 0, 0
	if p.Protocol == spd.ProtoESP {
		e, ok := suite.ENCRByID(encr.ID)
		if !ok {
			return in, out, fmt.Errorf("ikev2: unknown encryption algorithm %d", encr.ID)
		}
		if encrLen, ok = e.KeySize(int(encr.KeyLen)); !ok {
			return in, out, fmt.Errorf("ikev2: %s has no key length of %d bits", e.Name, encr.KeyLen)
		}
	}
	if integ.ID != spd.IntegNone {
		i, ok := suite.INTEGByID(integ.ID)
		if !ok {
			return in, out, fmt.Errorf("ikev2: unknown integrity algorithm %d", integ.ID)
		}
		integLen = i.KeySize
	}
	n := encrLen + integLen
	buf := make(spd.Key, 2*n)
	prf := k.alg.prf.Keyed(k.skD())
	defer prf.Wipe()
	if err := prf.Plus(buf, shared, ni, nr); err != nil {
		return in, out, err
	}
	sa := func(b spd.Key) spd.SA {
		return spd.SA{Protocol: p.Protocol, Encryption: encr, Integrity: integ, ESN: esn,
			EncrKey: b[:encrLen:encrLen], IntegKey: b[encrLen:]}
	}
	i2r, r2i := sa(buf[:n:n]), sa(buf[n:])
	if initiator {
		return r2i, i2r, nil
	}
	return i2r, r2i, nil
}

// keyPad is the constant of RFC 7296 2.15.
const keyPad = "Key Pad for IKEv2"

var keyPadOctets = []byte(keyPad)

// pskAUTH is prf(prf(Shared Secret, "Key Pad for IKEv2"), octets).
func pskAUTH(prf *suite.PRF, psk []byte, octets signedOctets) []byte {
	outer := prf.Keyed(psk)
	both := make([]byte, 0, 2*prf.Size)
	key := secret.Bytes(outer.Sum(both, keyPadOctets))
	outer.Wipe()
	k := prf.Keyed(key)
	defer k.Wipe()
	auth := k.Sum(key, octets[:]...)[prf.Size:]
	key.Wipe()
	return auth
}

// signedOctets are what AUTH covers: the signer's IKE_SA_INIT message, the
// other side's nonce, and prf(SK_p, ID payload body) (RFC 7296 2.15).
type signedOctets [3][]byte

func newSignedOctets(prf *suite.PRF, skP, first, nonce []byte, id *message.ID) signedOctets {
	k := prf.Keyed(skP)
	defer k.Wipe()
	b := id.AppendBody(make([]byte, 0, 4+len(id.Data)+prf.Size))
	return signedOctets{first, nonce, k.Sum(b, b)[len(b):]}
}

// join returns them as one.
func (o signedOctets) join() []byte { return slices.Concat(o[:]...) }

// checkAlgorithms checks that every transform of a configured proposal is one
// that the tables know.
func checkAlgorithms(p spd.Proposal) error {
	for _, t := range p.Transforms {
		one := []spd.Transform{t}
		if t.Type != spd.TransformENCR {
			one = append(one, spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128})
		}
		if _, err := newAlgorithms(spd.Proposal{Protocol: p.Protocol, Transforms: one}); err != nil {
			return err
		}
	}
	return nil
}
