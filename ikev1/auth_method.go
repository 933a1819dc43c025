package ikev1

import (
	"crypto"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// AuthMethod is a way to authenticate in phase 1: the value of the
// Authentication Method attribute.
//
// With the XAuth methods (draft-beaulieu-ike-xauth-02) phase 1 authenticates
// both sides as the base method does, and afterwards one side, the client, by
// user name and password. With the hybrid methods
// (draft-ietf-ipsec-isakmp-hybrid-auth-05) phase 1 authenticates the other
// side only, by a signature, and XAuth the client. Either has two numbers: for
// a client that begins phase 1 ("Init") and for one that answers ("Resp").
type AuthMethod uint16

// Authentication methods. The ones with public-key encryption (4, 5, 65007 to
// 65010) are known by name and never used.
const (
	AuthPSK      = AuthMethod(isakmp.AuthPreSharedKey)
	AuthDSS      = AuthMethod(isakmp.AuthDSSSignature) // weak: 160 bits of SHA-1
	AuthRSA      = AuthMethod(isakmp.AuthRSASignature)
	AuthECDSA256 = AuthMethod(isakmp.AuthECDSA256) // P-256 with SHA2-256
	AuthECDSA384 = AuthMethod(isakmp.AuthECDSA384) // P-384 with SHA2-384
	AuthECDSA521 = AuthMethod(isakmp.AuthECDSA521) // P-521 with SHA2-512

	AuthHybridInitRSA = AuthMethod(isakmp.AuthHybridInitRSA)
	AuthHybridRespRSA = AuthMethod(isakmp.AuthHybridRespRSA)
	AuthHybridInitDSS = AuthMethod(isakmp.AuthHybridInitDSS)
	AuthHybridRespDSS = AuthMethod(isakmp.AuthHybridRespDSS)

	AuthXAuthInitPSK = AuthMethod(isakmp.AuthXAuthInitPreShared) // the same number as GSSAPI: the peer's vendor ID tells which is meant
	AuthXAuthRespPSK = AuthMethod(isakmp.AuthXAuthRespPreShared)
	AuthXAuthInitDSS = AuthMethod(isakmp.AuthXAuthInitDSS)
	AuthXAuthRespDSS = AuthMethod(isakmp.AuthXAuthRespDSS)
	AuthXAuthInitRSA = AuthMethod(isakmp.AuthXAuthInitRSA)
	AuthXAuthRespRSA = AuthMethod(isakmp.AuthXAuthRespRSA)
)

// authMethods are the methods that are supported.
var authMethods = [...]struct {
	method, base AuthMethod
	xauth        bool // somebody is an XAuth client
	responder    bool // and it is the responder
	hybrid       bool // who proves nothing in phase 1
}{
	{method: AuthPSK, base: AuthPSK},
	{method: AuthDSS, base: AuthDSS},
	{method: AuthRSA, base: AuthRSA},
	{method: AuthECDSA256, base: AuthECDSA256},
	{method: AuthECDSA384, base: AuthECDSA384},
	{method: AuthECDSA521, base: AuthECDSA521},
	{method: AuthHybridInitRSA, base: AuthRSA, xauth: true, hybrid: true},
	{method: AuthHybridRespRSA, base: AuthRSA, xauth: true, hybrid: true, responder: true},
	{method: AuthHybridInitDSS, base: AuthDSS, xauth: true, hybrid: true},
	{method: AuthHybridRespDSS, base: AuthDSS, xauth: true, hybrid: true, responder: true},
	{method: AuthXAuthInitPSK, base: AuthPSK, xauth: true},
	{method: AuthXAuthRespPSK, base: AuthPSK, xauth: true, responder: true},
	{method: AuthXAuthInitDSS, base: AuthDSS, xauth: true},
	{method: AuthXAuthRespDSS, base: AuthDSS, xauth: true, responder: true},
	{method: AuthXAuthInitRSA, base: AuthRSA, xauth: true},
	{method: AuthXAuthRespRSA, base: AuthRSA, xauth: true, responder: true},
}

// String returns the method's name in its RFC or draft, such as "RSA
// signatures" or "XAUTHInitPreShared".
func (m AuthMethod) String() string { return isakmp.AuthMethod(m).String() }

// Supported reports whether the package can use the method.
func (m AuthMethod) Supported() bool { return m.Base() != 0 }

// Base returns how phase 1 authenticates without XAuth: AuthPSK, AuthDSS,
// AuthRSA or one of the ECDSA methods. It is 0 for methods that are not
// supported.
func (m AuthMethod) Base() AuthMethod {
	for _, a := range authMethods {
		if a.method == m {
			return a.base
		}
	}
	return 0
}

// XAuth reports whether XAuth follows phase 1, with every hybrid method too.
func (m AuthMethod) XAuth() bool { return m.Client(true) || m.Client(false) }

// Client reports whether the given side, the initiator or the responder of
// phase 1, is the one that XAuth authenticates.
func (m AuthMethod) Client(initiator bool) bool {
	for _, a := range authMethods {
		if a.method == m {
			return a.xauth && a.responder != initiator
		}
	}
	return false
}

// Hybrid reports whether the client proves nothing in phase 1.
func (m AuthMethod) Hybrid() bool {
	for _, a := range authMethods {
		if a.method == m {
			return a.hybrid
		}
	}
	return false
}

// Signs reports whether the given side sends a SIG payload in phase 1; if not
// it sends a HASH payload. The HASH of a hybrid client proves that it took
// part in the key exchange, not who it is.
func (m AuthMethod) Signs(initiator bool) bool {
	b := m.Base()
	return b != 0 && b != AuthPSK && !(m.Hybrid() && m.Client(initiator))
}

// WithXAuth returns the XAuth method on top of a base method; with hybrid the
// client is not authenticated in phase 1. It reports false where there is none:
// hybrid with a pre-shared key, or anything with ECDSA.
func (m AuthMethod) WithXAuth(hybrid, clientInitiates bool) (AuthMethod, bool) {
	for _, a := range authMethods {
		if a.xauth && a.base == m && a.hybrid == hybrid && a.responder != clientInitiates {
			return a.method, true
		}
	}
	return 0, false
}

// hash returns the hash function of HASH_I (initiator) or HASH_R. It is the
// negotiated one, except under a signature whose algorithm is tied to a hash:
// DSS to SHA-1 (RFC 2409 5.1), ECDSA to that of its method (RFC 4754). Keys,
// and the HASH payload of a hybrid client, keep the negotiated one.
func (m AuthMethod) hash(negotiated hashAlgorithm, initiator bool) hashAlgorithm {
	if !m.Signs(initiator) {
		return negotiated
	}
	attr := negotiated.attr
	switch m.Base() {
	case AuthDSS:
		attr = isakmp.HashSHA
	case AuthECDSA256:
		attr = isakmp.HashSHA256
	case AuthECDSA384:
		attr = isakmp.HashSHA384
	case AuthECDSA521:
		attr = isakmp.HashSHA512
	}
	h, _ := hashByAttribute(attr)
	return h
}

// signatureHash returns the hash function that a signature method is tied to,
// 0 for RSA, which takes any.
func (m AuthMethod) signatureHash() crypto.Hash {
	switch m.Base() {
	case AuthDSS:
		return crypto.SHA1
	case AuthECDSA256:
		return crypto.SHA256
	case AuthECDSA384:
		return crypto.SHA384
	case AuthECDSA521:
		return crypto.SHA512
	}
	return 0
}
