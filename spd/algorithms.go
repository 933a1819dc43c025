package spd

import "fmt"

// An algorithm is what the package knows of a transform ID: its name in the
// RFCs, the words it is configured by, and what proposals must heed.
type algorithm struct {
	typ      TransformType
	id       uint16
	name     string
	word     string   // empty: known by name only, cannot be configured
	aliases  []string // with the key length in place of %
	keyLens  []uint16 // in bits; nil if the algorithm has one length, without a Key Length attribute
	combined bool     // ENCR that authenticates by itself: no INTEG beside it
	weak     string   // why it should not be used, empty if it may
	only     Protocol // 0 for all
}

var (
	aesKeys      = []uint16{128, 192, 256}
	blowfishKeys = []uint16{128, 192, 256, 448} // 448 is what no Key Length attribute means in IKEv1 (RFC 2409 appendix B)
	castKeys     = []uint16{128}
)

// algorithms is in the order in which words are listed. A % in a word stands
// for the key length. Weakness follows RFC 8247 (IKE) and RFC 8221 (ESP, AH):
// MUST NOT and SHOULD NOT. SHA-1 is "MUST-" there, so it is not weak, but it
// is in no default proposal either.
var algorithms = []algorithm{
	{typ: TransformENCR, id: EncrAESGCM16, name: "ENCR_AES_GCM_16", word: "aes%gcm16", aliases: []string{"aes%gcm", "aes%gcm128"}, keyLens: aesKeys, combined: true},
	{typ: TransformENCR, id: EncrAESGCM12, name: "ENCR_AES_GCM_12", word: "aes%gcm12", aliases: []string{"aes%gcm96"}, keyLens: aesKeys, combined: true},
	{typ: TransformENCR, id: EncrAESGCM8, name: "ENCR_AES_GCM_8", word: "aes%gcm8", aliases: []string{"aes%gcm64"}, keyLens: aesKeys, combined: true},
	{typ: TransformENCR, id: EncrChaCha20Poly1305, name: "ENCR_CHACHA20_POLY1305", word: "chacha20poly1305", aliases: []string{"chacha20"}, combined: true},
	{typ: TransformENCR, id: EncrAESCCM16, name: "ENCR_AES_CCM_16", word: "aes%ccm16", aliases: []string{"aes%ccm", "aes%ccm128"}, keyLens: aesKeys, combined: true},
	{typ: TransformENCR, id: EncrAESCCM12, name: "ENCR_AES_CCM_12", word: "aes%ccm12", aliases: []string{"aes%ccm96"}, keyLens: aesKeys, combined: true},
	{typ: TransformENCR, id: EncrAESCCM8, name: "ENCR_AES_CCM_8", word: "aes%ccm8", aliases: []string{"aes%ccm64"}, keyLens: aesKeys, combined: true},
	{typ: TransformENCR, id: EncrNULLAESGMAC, name: "ENCR_NULL_AUTH_AES_GMAC", word: "aes%gmac", keyLens: aesKeys, combined: true, only: ProtoESP},
	{typ: TransformENCR, id: EncrAESCBC, name: "ENCR_AES_CBC", word: "aes%", aliases: []string{"aes%cbc"}, keyLens: aesKeys},
	{typ: TransformENCR, id: EncrAESCTR, name: "ENCR_AES_CTR", word: "aes%ctr", keyLens: aesKeys},
	{typ: TransformENCR, id: Encr3DES, name: "ENCR_3DES", word: "3des", weak: "64-bit blocks (RFC 8221 section 5)"},
	{typ: TransformENCR, id: EncrNULL, name: "ENCR_NULL", word: "null", only: ProtoESP},
	{typ: TransformENCR, id: 1, name: "ENCR_DES_IV64", weak: "56-bit keys"},
	{typ: TransformENCR, id: 2, name: "ENCR_DES", weak: "56-bit keys"},
	{typ: TransformENCR, id: 4, name: "ENCR_RC5"},
	{typ: TransformENCR, id: 5, name: "ENCR_IDEA"},
	{typ: TransformENCR, id: EncrCAST, name: "ENCR_CAST", word: "cast%", keyLens: castKeys, weak: "64-bit blocks (RFC 8221 section 5)", only: ProtoIKE},
	{typ: TransformENCR, id: EncrBlowfish, name: "ENCR_BLOWFISH", word: "blowfish%", keyLens: blowfishKeys, weak: "64-bit blocks (RFC 8221 section 5)", only: ProtoIKE},
	{typ: TransformENCR, id: 8, name: "ENCR_3IDEA"},
	{typ: TransformENCR, id: 9, name: "ENCR_DES_IV32", weak: "56-bit keys"},
	{typ: TransformENCR, id: EncrCamelliaCBC, name: "ENCR_CAMELLIA_CBC", word: "camellia%", aliases: []string{"camellia%cbc"}, keyLens: aesKeys},
	{typ: TransformENCR, id: 24, name: "ENCR_CAMELLIA_CTR"},
	{typ: TransformENCR, id: 25, name: "ENCR_CAMELLIA_CCM_8", combined: true},
	{typ: TransformENCR, id: 26, name: "ENCR_CAMELLIA_CCM_12", combined: true},
	{typ: TransformENCR, id: 27, name: "ENCR_CAMELLIA_CCM_16", combined: true},
	{typ: TransformENCR, id: 29, name: "ENCR_AES_CCM_8_IIV", combined: true},
	{typ: TransformENCR, id: 30, name: "ENCR_AES_GCM_16_IIV", combined: true},
	{typ: TransformENCR, id: 31, name: "ENCR_CHACHA20_POLY1305_IIV", combined: true},
	{typ: TransformENCR, id: 32, name: "ENCR_KUZNYECHIK_MGM_KTREE", combined: true},
	{typ: TransformENCR, id: 33, name: "ENCR_MAGMA_MGM_KTREE", combined: true},
	{typ: TransformENCR, id: 34, name: "ENCR_KUZNYECHIK_MGM_MAC_KTREE", combined: true},
	{typ: TransformENCR, id: 35, name: "ENCR_MAGMA_MGM_MAC_KTREE", combined: true},

	{typ: TransformINTEG, id: IntegHMACSHA256_128, name: "AUTH_HMAC_SHA2_256_128", word: "sha256", aliases: []string{"sha2_256", "sha2-256"}},
	{typ: TransformINTEG, id: IntegHMACSHA384_192, name: "AUTH_HMAC_SHA2_384_192", word: "sha384", aliases: []string{"sha2_384", "sha2-384"}},
	{typ: TransformINTEG, id: IntegHMACSHA512_256, name: "AUTH_HMAC_SHA2_512_256", word: "sha512", aliases: []string{"sha2_512", "sha2-512"}},
	{typ: TransformINTEG, id: IntegHMACSHA1_96, name: "AUTH_HMAC_SHA1_96", word: "sha1", aliases: []string{"sha"}},
	{typ: TransformINTEG, id: IntegAESXCBC96, name: "AUTH_AES_XCBC_96", word: "aesxcbc"},
	{typ: TransformINTEG, id: IntegAESCMAC96, name: "AUTH_AES_CMAC_96", word: "aescmac"},
	{typ: TransformINTEG, id: IntegAES128GMAC, name: "AUTH_AES_128_GMAC", word: "aes128gmac", only: ProtoAH},
	{typ: TransformINTEG, id: IntegAES192GMAC, name: "AUTH_AES_192_GMAC", word: "aes192gmac", only: ProtoAH},
	{typ: TransformINTEG, id: IntegAES256GMAC, name: "AUTH_AES_256_GMAC", word: "aes256gmac", only: ProtoAH},
	{typ: TransformINTEG, id: IntegHMACMD5_96, name: "AUTH_HMAC_MD5_96", word: "md5", weak: "MD5 (RFC 8221 section 6)"},
	{typ: TransformINTEG, id: IntegNone, name: "NONE"},
	{typ: TransformINTEG, id: 3, name: "AUTH_DES_MAC", weak: "DES"},
	{typ: TransformINTEG, id: 4, name: "AUTH_KPDK_MD5", weak: "MD5"},
	{typ: TransformINTEG, id: 6, name: "AUTH_HMAC_MD5_128", weak: "MD5"},
	{typ: TransformINTEG, id: 7, name: "AUTH_HMAC_SHA1_160"},

	{typ: TransformPRF, id: PRFHMACSHA256, name: "PRF_HMAC_SHA2_256", word: "prfsha256", aliases: []string{"prfsha2_256"}, only: ProtoIKE},
	{typ: TransformPRF, id: PRFHMACSHA384, name: "PRF_HMAC_SHA2_384", word: "prfsha384", aliases: []string{"prfsha2_384"}, only: ProtoIKE},
	{typ: TransformPRF, id: PRFHMACSHA512, name: "PRF_HMAC_SHA2_512", word: "prfsha512", aliases: []string{"prfsha2_512"}, only: ProtoIKE},
	{typ: TransformPRF, id: PRFHMACSHA1, name: "PRF_HMAC_SHA1", word: "prfsha1", only: ProtoIKE},
	{typ: TransformPRF, id: PRFAES128XCBC, name: "PRF_AES128_XCBC", word: "prfaesxcbc", only: ProtoIKE},
	{typ: TransformPRF, id: PRFAES128CMAC, name: "PRF_AES128_CMAC", word: "prfaescmac", only: ProtoIKE},
	{typ: TransformPRF, id: PRFHMACMD5, name: "PRF_HMAC_MD5", word: "prfmd5", weak: "MD5 (RFC 8247 section 2.2)", only: ProtoIKE},
	{typ: TransformPRF, id: 3, name: "PRF_HMAC_TIGER"},
	{typ: TransformPRF, id: 9, name: "PRF_HMAC_STREEBOG_512"},

	{typ: TransformKE, id: KECurve25519, name: "CURVE25519", word: "x25519", aliases: []string{"curve25519"}},
	{typ: TransformKE, id: KEECP256, name: "ECP_256", word: "ecp256"},
	{typ: TransformKE, id: KEECP384, name: "ECP_384", word: "ecp384"},
	{typ: TransformKE, id: KEECP521, name: "ECP_521", word: "ecp521"},
	{typ: TransformKE, id: KEMODP2048, name: "MODP_2048", word: "modp2048"},
	{typ: TransformKE, id: KEMODP3072, name: "MODP_3072", word: "modp3072"},
	{typ: TransformKE, id: KEMODP4096, name: "MODP_4096", word: "modp4096"},
	{typ: TransformKE, id: KEMODP6144, name: "MODP_6144", word: "modp6144"},
	{typ: TransformKE, id: KEMODP8192, name: "MODP_8192", word: "modp8192"},
	{typ: TransformKE, id: KEMLKEM768, name: "ML_KEM_768", word: "mlkem768"},
	{typ: TransformKE, id: KEMLKEM1024, name: "ML_KEM_1024", word: "mlkem1024"},
	{typ: TransformKE, id: KENone, name: "NONE", word: "none"},
	{typ: TransformKE, id: KEMODP768, name: "MODP_768", word: "modp768", weak: "768-bit group (RFC 8247 section 2.4)"},
	{typ: TransformKE, id: KEMODP1024, name: "MODP_1024", word: "modp1024", weak: "1024-bit group (RFC 8247 section 2.4)"},
	{typ: TransformKE, id: KEMODP1536, name: "MODP_1536", word: "modp1536", weak: "1536-bit group (RFC 8247 section 2.4)"},
	{typ: TransformKE, id: 22, name: "MODP_1024_160", word: "modp1024s160", weak: "small subgroup (RFC 8247 section 2.4)"},
	{typ: TransformKE, id: 23, name: "MODP_2048_224", word: "modp2048s224", weak: "small subgroup (RFC 8247 section 2.4)"},
	{typ: TransformKE, id: 24, name: "MODP_2048_256", word: "modp2048s256", weak: "small subgroup (RFC 8247 section 2.4)"},
	{typ: TransformKE, id: 25, name: "ECP_192"},
	{typ: TransformKE, id: 26, name: "ECP_224"},
	{typ: TransformKE, id: 27, name: "BRAINPOOL_P224R1"},
	{typ: TransformKE, id: 28, name: "BRAINPOOL_P256R1"},
	{typ: TransformKE, id: 29, name: "BRAINPOOL_P384R1"},
	{typ: TransformKE, id: 30, name: "BRAINPOOL_P512R1"},
	{typ: TransformKE, id: 32, name: "CURVE448"},
	{typ: TransformKE, id: 33, name: "GOST3410_2012_256"},
	{typ: TransformKE, id: 34, name: "GOST3410_2012_512"},
	{typ: TransformKE, id: 35, name: "ML_KEM_512"},

	{typ: TransformESN, id: ESNNone, name: "NO_ESN", word: "noesn"},
	{typ: TransformESN, id: ESNExtended, name: "ESN", word: "esn"},
}

// Key exchange methods: IANA "Transform Type 4 - Key Exchange Method
// Transform IDs", used by the additional key exchanges too.
const (
	KENone       uint16 = 0
	KEMODP768    uint16 = 1  // RFC 2409
	KEMODP1024   uint16 = 2  // RFC 2409
	KEMODP1536   uint16 = 5  // RFC 3526
	KEMODP2048   uint16 = 14 // RFC 3526
	KEMODP3072   uint16 = 15
	KEMODP4096   uint16 = 16
	KEMODP6144   uint16 = 17
	KEMODP8192   uint16 = 18
	KEECP256     uint16 = 19 // RFC 5903
	KEECP384     uint16 = 20
	KEECP521     uint16 = 21
	KECurve25519 uint16 = 31 // RFC 8031
	KEMLKEM768   uint16 = 36
	KEMLKEM1024  uint16 = 37

	// FirstPrivateKE is the first of the private groups of IKEv1 (RFC 2409
	// 5.6), which only the two peers know.
	FirstPrivateKE uint16 = 1 << 15
)

// isKE reports whether t is a key exchange, the first or an additional one.
func isKE(t TransformType) bool {
	return t == TransformKE || t >= TransformADDKE1 && t <= TransformADDKE7
}

// known returns the entry of a transform ID, nil if there is none.
func known(t TransformType, id uint16) *algorithm {
	if isKE(t) {
		t = TransformKE
	}
	for i := range algorithms {
		if a := &algorithms[i]; a.typ == t && a.id == id {
			return a
		}
	}
	return nil
}

// TransformName returns the name that the RFCs and IANA give a transform,
// "ENCR_AES_GCM_16", or "ENCR(99)" for a number without one.
func TransformName(t TransformType, id uint16) string {
	if a := known(t, id); a != nil {
		return a.name
	}
	return fmt.Sprintf("%v(%d)", t, id)
}

// String is the transform's RFC name and, after a dash, its key length in
// bits: "ENCR_AES_CBC-256".
func (t Transform) String() string {
	if t.KeyLen == 0 {
		return TransformName(t.Type, t.ID)
	}
	return fmt.Sprintf("%s-%d", TransformName(t.Type, t.ID), t.KeyLen)
}

// IsCombinedMode reports whether t is an encryption algorithm that
// authenticates by itself (AEAD), so that no integrity algorithm goes with it
// (RFC 5282 8, RFC 4106).
func IsCombinedMode(t Transform) bool {
	a := known(t.Type, t.ID)
	return a != nil && a.combined
}

// Weak returns why a transform should no longer be used, "" if it may. It
// is what RFC 8247 (IKE) and RFC 8221 (ESP and AH) call MUST NOT or SHOULD
// NOT. Weak transforms are in no default proposal; whoever names one gets it.
func Weak(t Transform) string {
	if a := known(t.Type, t.ID); a != nil {
		return a.weak
	}
	return ""
}
