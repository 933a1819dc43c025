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
	alg      *algorithms
	skD      secret.Bytes
	skPi     secret.Bytes // needed until both sides are authenticated
	skPr     secret.Bytes
	out, in  direction
	keep     bool
	sealedIV uint64 // counter of IVs; unique for the life of the keys
}

// direction holds SK_e and SK_a of one direction.
type direction struct {
	encr, integ secret.Bytes
	cipher      *suite.Cipher // while ikeKeys.keep
}

// sealer and opener return the cipher of a direction; done is to be called
// with it after use.
func (k *ikeKeys) sealer() (*suite.Cipher, error) { return k.cipher(&k.out) }
func (k *ikeKeys) opener() (*suite.Cipher, error) { return k.cipher(&k.in) }

func (k *ikeKeys) cipher(d *direction) (*suite.Cipher, error) {
	if d.cipher != nil {
		return d.cipher, nil
	}
	c, err := suite.NewCipher(k.alg.encr.ID, k.alg.encrBits, k.alg.integ.ID, d.encr, d.integ)
	if err == nil && k.keep {
		d.cipher = c
	}
	return c, err
}

func (k *ikeKeys) done(c *suite.Cipher) {
	if c != k.out.cipher && c != k.in.cipher {
		c.Wipe()
	}
}

// settle drops what only the handshake needs.
func (k *ikeKeys) settle() {
	k.skPi.Wipe()
	k.skPr.Wipe()
	k.keep = false
	for _, d := range []*direction{&k.out, &k.in} {
		if d.cipher != nil {
			d.cipher.Wipe()
			d.cipher = nil
		}
	}
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
	k := old.alg.prf.Keyed(old.skD)
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
	store := make(secret.Bytes, 3*prfLen+2*integLen+2*encrLen)
	if err := prf.Plus(store, ni, nr, spis[:]); err != nil {
		return nil, err
	}
	take := func(n int) secret.Bytes {
		b := store[:n:n]
		store = store[n:]
		return b
	}
	var i, r direction
	k := &ikeKeys{alg: a, keep: true}
	k.skD = take(prfLen)
	i.integ, r.integ = take(integLen), take(integLen)
	i.encr, r.encr = take(encrLen), take(encrLen)
	k.skPi, k.skPr = take(prfLen), take(prfLen)
	if initiator {
		k.out, k.in = i, r
	} else {
		k.out, k.in = r, i
	}
	return k, nil
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
	for _, b := range []secret.Bytes{k.skD, k.out.encr, k.out.integ, k.in.encr, k.in.integ} {
		b.Wipe()
	}
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
	prf := k.alg.prf.Keyed(k.skD)
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
func pskAUTH(prf suite.PRF, psk []byte, octets signedOctets) []byte {
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

func newSignedOctets(prf suite.PRF, skP, first, nonce []byte, id *message.ID) signedOctets {
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
