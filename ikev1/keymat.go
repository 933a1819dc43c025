package ikev1

import (
	"crypto"
	"encoding/binary"
	"fmt"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/internal/suite"
	"github.com/racoon3/racoon/spd"
)

// A hashAlgorithm is the negotiated hash function of an ISAKMP SA. The prf is
// HMAC with it, as no other prf was ever registered (RFC 2409 4); the bare
// hash serves initialization vectors and NAT detection.
type hashAlgorithm struct {
	attr isakmp.HashAlgorithm
	hash crypto.Hash
	prf  suite.PRF
}

// hashByPRF returns the hash function of a PRF transform of [spd.Proposal],
// which is HMAC with it.
func hashByPRF(id uint16) (hashAlgorithm, bool) { return findHash(0, id) }

// hashByAttribute returns the hash function of a Hash Algorithm attribute.
func hashByAttribute(v isakmp.HashAlgorithm) (hashAlgorithm, bool) { return findHash(v, 0) }

// hashAlgorithms are those of RFC 2409 appendix A, and SHA-2 (RFC 4868).
var hashAlgorithms = [...]struct {
	attr isakmp.HashAlgorithm
	prf  uint16
	hash crypto.Hash
}{
	{isakmp.HashMD5, spd.PRFHMACMD5, crypto.MD5},
	{isakmp.HashSHA, spd.PRFHMACSHA1, crypto.SHA1},
	{isakmp.HashSHA256, spd.PRFHMACSHA256, crypto.SHA256},
	{isakmp.HashSHA384, spd.PRFHMACSHA384, crypto.SHA384},
	{isakmp.HashSHA512, spd.PRFHMACSHA512, crypto.SHA512},
}

func findHash(attr isakmp.HashAlgorithm, prf uint16) (hashAlgorithm, bool) {
	for _, h := range hashAlgorithms {
		if h.attr == attr || h.prf == prf {
			f, ok := suite.PRFByID(h.prf)
			return hashAlgorithm{attr: h.attr, hash: h.hash, prf: f}, ok
		}
	}
	return hashAlgorithm{}, false
}

// sum is prf(key, parts[0] | parts[1] | ...).
func (h hashAlgorithm) sum(key []byte, parts ...[]byte) secret.Bytes {
	k := h.prf.Keyed(key)
	defer k.Wipe()
	return k.Sum(make([]byte, 0, h.prf.Size), parts...)
}

// digest is hash(parts[0] | parts[1] | ...).
func (h hashAlgorithm) digest(parts ...[]byte) []byte {
	f := h.hash.New()
	for _, p := range parts {
		f.Write(p)
	}
	return f.Sum(make([]byte, 0, h.prf.Size))
}

// skeyidPSK is SKEYID for pre-shared keys and XAuth with them:
// prf(pre-shared-key, Ni_b | Nr_b) (RFC 2409 5.4).
func (h hashAlgorithm) skeyidPSK(psk, ni, nr []byte) secret.Bytes { return h.sum(psk, ni, nr) }

// skeyidSignature is SKEYID for signatures, XAuth with them, and hybrid
// authentication: prf(Ni_b | Nr_b, g^xy) (RFC 2409 5.1).
func (h hashAlgorithm) skeyidSignature(ni, nr, shared []byte) secret.Bytes {
	key := make([]byte, 0, len(ni)+len(nr))
	return h.sum(append(append(key, ni...), nr...), shared)
}

// phase1Keys are the keys of an ISAKMP SA (RFC 2409 5).
type phase1Keys struct {
	hash      hashAlgorithm
	skeyid    secret.Bytes // keys HASH_I and HASH_R; needed until both sides are authenticated
	d, a, e   secret.Bytes // SKEYID_d, SKEYID_a, SKEYID_e
	cipherKey secret.Bytes // for newMessageCipher
}

// derivePhase1Keys computes what hangs on SKEYID, of which it takes ownership.
// cookies is CKY-I | CKY-R, shared g^xy.
func derivePhase1Keys(h hashAlgorithm, encr spd.Transform, skeyid secret.Bytes, shared []byte, cookies [16]byte) (*phase1Keys, error) {
	n := phase1KeyLen(encr)
	if n == 0 {
		return nil, fmt.Errorf("ikev1: %v cannot protect an ISAKMP SA", encr)
	}
	k := &phase1Keys{hash: h, skeyid: skeyid}
	f := h.prf.Keyed(skeyid)
	defer f.Wipe()
	size := h.prf.Size
	store := make([]byte, 3*size)
	k.d = f.Sum(store[:0:size], shared, cookies[:], []byte{0})
	k.a = f.Sum(store[size:size:2*size], k.d, shared, cookies[:], []byte{1})
	k.e = f.Sum(store[2*size:2*size], k.a, shared, cookies[:], []byte{2})
	k.cipherKey = h.expandKey(k.e, n)
	return k, nil
}

// expandKey makes the cipher's key of SKEYID_e: its first n octets, or where it
// is too short those of Ka = K1 | K2 | ... (RFC 2409 appendix B).
func (h hashAlgorithm) expandKey(e secret.Bytes, n int) secret.Bytes {
	if n <= len(e) {
		return e[:n].Clone()
	}
	return h.feedback(e, n, []byte{0}, nil)
}

// feedback returns n octets of K1 | K2 | ..., where K1 = prf(key, first | seed)
// and Kn = prf(key, Kn-1 | seed): the expansion of RFC 2409, with first for
// Ka and seed for KEYMAT.
func (h hashAlgorithm) feedback(key secret.Bytes, n int, first []byte, seed [][]byte) secret.Bytes {
	f := h.prf.Keyed(key)
	defer f.Wipe()
	size := h.prf.Size
	out := make(secret.Bytes, 0, (n+size-1)/size*size)
	parts := append(make([][]byte, 0, 8), first)
	parts = append(parts, seed...)
	for len(out) < n {
		out = f.Sum(out, parts...)
		parts[0] = out[len(out)-size:]
	}
	out[n:].Wipe()
	return out[:n:n]
}

// settle drops what only phase 1 needs.
func (k *phase1Keys) settle() { k.skeyid.Wipe() }

// wipe forgets the keys.
func (k *phase1Keys) wipe() {
	if k == nil {
		return
	}
	for _, b := range []secret.Bytes{k.skeyid, k.d, k.a, k.e, k.cipherKey} {
		b.Wipe()
	}
}

// Format keeps the keys out of any text: fmt does not ask the fields of a
// struct that are not exported how they want to be shown.
func (k *phase1Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[ISAKMP SA keys]")) }

// A phase1Hash holds what HASH_I and HASH_R cover. They are what a pre-shared
// key authenticates with, and what signatures are over.
type phase1Hash struct {
	gxi, gxr []byte   // public values, as in the KE payloads
	cookies  [16]byte // CKY-I | CKY-R
	sai      []byte   // the body of the initiator's SA payload, all that was offered
	idi, idr []byte   // the bodies of the ID payloads
}

// hashI is HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)
// (RFC 2409 5). For a signature h is what [AuthMethod.hash] says.
func (in *phase1Hash) hashI(h hashAlgorithm, skeyid secret.Bytes) secret.Bytes {
	return h.sum(skeyid, in.gxi, in.gxr, in.cookies[:], in.sai, in.idi)
}

// hashR is HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b).
func (in *phase1Hash) hashR(h hashAlgorithm, skeyid secret.Bytes) secret.Bytes {
	return h.sum(skeyid, in.gxr, in.gxi, in.cookies[8:], in.cookies[:8], in.sai, in.idr)
}

// baseHashI is HASH_I of Base Mode, whose third message cannot know g^xr:
// prf(SKEYID, g^xi | CKY-I | CKY-R | SAi_b | IDii_b). With a pre-shared key
// HASH_R is as in the other modes (racoon's practice, as the draft says).
func (in *phase1Hash) baseHashI(h hashAlgorithm, skeyid secret.Bytes) secret.Bytes {
	return h.sum(skeyid, in.gxi, in.cookies[:], in.sai, in.idi)
}

// baseHashISignature is HASH_I of Base Mode with signatures, where SKEYID is
// not yet known: hash(Nr_b | Ni_b) takes its place as the key. The order of the
// nonces is racoon's, whose HASH_R has them the other way round.
func (in *phase1Hash) baseHashISignature(h hashAlgorithm, ni, nr []byte) secret.Bytes {
	return in.baseHashI(h, h.digest(nr, ni))
}

// baseHashRSignature is HASH_R of Base Mode with signatures: prf(hash(Ni_b |
// Nr_b), g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b). It holds the
// initiator's identity, not the responder's, so only the certificate says who
// signed: a peer whose certificate does not name its IDir must be refused.
func (in *phase1Hash) baseHashRSignature(h hashAlgorithm, ni, nr []byte) secret.Bytes {
	return h.sum(h.digest(ni, nr), in.gxi, in.gxr, in.cookies[:], in.sai, in.idi)
}

// phase1IV is the initialization vector of the first encrypted message of
// phase 1: hash(g^xi | g^xr), cut to the block (RFC 2409 appendix B).
func (h hashAlgorithm) phase1IV(block int, gxi, gxr []byte) (iv initVector) {
	copy(iv[:block], h.digest(gxi, gxr))
	return iv
}

// phase2IV is the initialization vector of the first message of any exchange
// after phase 1: hash(last block of phase 1 | M-ID), cut to the block.
func (h hashAlgorithm) phase2IV(block int, last initVector, messageID uint32) (iv initVector) {
	copy(iv[:block], h.digest(last[:block], binary.BigEndian.AppendUint32(nil, messageID)))
	return iv
}

// messageHash is prf(SKEYID_a, M-ID | body), where body is all that follows the
// HASH payload up to the end of the last payload, padding excluded. It is
// HASH(1) of Quick Mode (RFC 2409 5.5), the only hash of Informational (5.7),
// Transaction (mode-config 3.2) and New Group Mode exchanges (5.6, both
// directions), and that of the CONNECTED message.
func (k *phase1Keys) messageHash(messageID uint32, body []byte) secret.Bytes {
	return k.hash.sum(k.a, binary.BigEndian.AppendUint32(nil, messageID), body)
}

// quickHash2 is HASH(2) of Quick Mode: prf(SKEYID_a, M-ID | Ni_b | body).
func (k *phase1Keys) quickHash2(messageID uint32, ni, body []byte) secret.Bytes {
	return k.hash.sum(k.a, binary.BigEndian.AppendUint32(nil, messageID), ni, body)
}

// quickHash3 is HASH(3) of Quick Mode: prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b).
func (k *phase1Keys) quickHash3(messageID uint32, ni, nr []byte) secret.Bytes {
	return k.hash.sum(k.a, binary.BigEndian.AppendUint32([]byte{0}, messageID), ni, nr)
}

// keymat returns n octets of KEYMAT for one SA of a Child SA: prf(SKEYID_d,
// [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b), expanded (RFC 2409 5.5). shared
// is nil without PFS. Each direction has the SPI that its receiver chose.
func (k *phase1Keys) keymat(n int, shared []byte, protocol spd.Protocol, spi spd.SPI, ni, nr []byte) secret.Bytes {
	if n == 0 {
		return nil
	}
	id := binary.BigEndian.AppendUint32([]byte{byte(protocol)}, uint32(spi))
	return k.hash.feedback(k.d, n, nil, [][]byte{shared, id, ni, nr})
}

// keymatOf is the KEYMAT of one Quick Mode.
func (k *phase1Keys) keymatOf(shared, ni, nr []byte) quickmode.Keymat {
	return func(n int, protocol spd.Protocol, spi spd.SPI) secret.Bytes {
		return k.keymat(n, shared, protocol, spi, ni, nr)
	}
}
