package message

import "github.com/racoon3/racoon/spd"

// The constants for transforms and protocols are those of package spd; here
// are the names of everything registered, ours or not.

// protocolName returns the name of a protocol in IKEv2's registry, in which 4
// is not IPComp.
func protocolName(p spd.Protocol) string {
	return nameOf(protocolNames[:], int(p), "Protocol")
}

// IANA "IKEv2 Security Protocol Identifiers".
var protocolNames = [...]string{
	0: "none", 1: "IKE", 2: "AH", 3: "ESP", 4: "FC_ESP_HEADER", 5: "FC_CT_AUTHENTICATION", 6: "GIKE_UPDATE",
}

// TransformName returns the IANA name of a transform, such as "ENCR_AES_CBC"
// or "PRF_HMAC_SHA2_256", and for an unregistered one its type and number.
func TransformName(t spd.TransformType, id uint16) string {
	i := int(id)
	switch t {
	case spd.TransformENCR:
		return nameOf(encrNames[:], i, "ENCR")
	case spd.TransformPRF:
		return nameOf(prfNames[:], i, "PRF")
	case spd.TransformINTEG:
		return nameOf(integNames[:], i, "INTEG")
	case spd.TransformKE:
		return nameOf(keNames[:], i, "KE")
	case spd.TransformESN:
		return nameOf(snNames[:], i, "ESN")
	}
	if t >= spd.TransformADDKE1 && t <= spd.TransformADDKE7 {
		return t.String() + ":" + nameOf(keNames[:], i, "KE")
	}
	return nameOf(nil, i, t.String())
}

// IANA "Transform Type 1 - Encryption Algorithm Transform IDs".
var encrNames = [...]string{
	1: "ENCR_DES_IV64", 2: "ENCR_DES", 3: "ENCR_3DES", 4: "ENCR_RC5", 5: "ENCR_IDEA", 6: "ENCR_CAST",
	7: "ENCR_BLOWFISH", 8: "ENCR_3IDEA", 9: "ENCR_DES_IV32", 11: "ENCR_NULL", 12: "ENCR_AES_CBC", 13: "ENCR_AES_CTR",
	14: "ENCR_AES_CCM_8", 15: "ENCR_AES_CCM_12", 16: "ENCR_AES_CCM_16",
	18: "ENCR_AES_GCM_8", 19: "ENCR_AES_GCM_12", 20: "ENCR_AES_GCM_16", 21: "ENCR_NULL_AUTH_AES_GMAC",
	23: "ENCR_CAMELLIA_CBC", 24: "ENCR_CAMELLIA_CTR", 25: "ENCR_CAMELLIA_CCM_8", 26: "ENCR_CAMELLIA_CCM_12", 27: "ENCR_CAMELLIA_CCM_16",
	28: "ENCR_CHACHA20_POLY1305", 29: "ENCR_AES_CCM_8_IIV", 30: "ENCR_AES_GCM_16_IIV", 31: "ENCR_CHACHA20_POLY1305_IIV",
	32: "ENCR_KUZNYECHIK_MGM_KTREE", 33: "ENCR_MAGMA_MGM_KTREE", 34: "ENCR_KUZNYECHIK_MGM_MAC_KTREE", 35: "ENCR_MAGMA_MGM_MAC_KTREE",
}

// IANA "Transform Type 2 - Pseudorandom Function Transform IDs".
var prfNames = [...]string{
	1: "PRF_HMAC_MD5", 2: "PRF_HMAC_SHA1", 3: "PRF_HMAC_TIGER", 4: "PRF_AES128_XCBC", 5: "PRF_HMAC_SHA2_256",
	6: "PRF_HMAC_SHA2_384", 7: "PRF_HMAC_SHA2_512", 8: "PRF_AES128_CMAC", 9: "PRF_HMAC_STREEBOG_512",
}

// IANA "Transform Type 3 - Integrity Algorithm Transform IDs".
var integNames = [...]string{
	0: "AUTH_NONE", 1: "AUTH_HMAC_MD5_96", 2: "AUTH_HMAC_SHA1_96", 3: "AUTH_DES_MAC", 4: "AUTH_KPDK_MD5", 5: "AUTH_AES_XCBC_96",
	6: "AUTH_HMAC_MD5_128", 7: "AUTH_HMAC_SHA1_160", 8: "AUTH_AES_CMAC_96", 9: "AUTH_AES_128_GMAC", 10: "AUTH_AES_192_GMAC",
	11: "AUTH_AES_256_GMAC", 12: "AUTH_HMAC_SHA2_256_128", 13: "AUTH_HMAC_SHA2_384_192", 14: "AUTH_HMAC_SHA2_512_256",
}

// IANA "Transform Type 4 - Key Exchange Method Transform IDs", in short form:
// the registry has sentences.
var keNames = [...]string{
	0: "KE_NONE", 1: "MODP_768", 2: "MODP_1024", 5: "MODP_1536", 14: "MODP_2048", 15: "MODP_3072", 16: "MODP_4096", 17: "MODP_6144", 18: "MODP_8192",
	19: "ECP_256", 20: "ECP_384", 21: "ECP_521", 22: "MODP_1024_160", 23: "MODP_2048_224", 24: "MODP_2048_256", 25: "ECP_192", 26: "ECP_224",
	27: "BRAINPOOL_P224R1", 28: "BRAINPOOL_P256R1", 29: "BRAINPOOL_P384R1", 30: "BRAINPOOL_P512R1", 31: "CURVE25519", 32: "CURVE448",
	33: "GOST3410_2012_256", 34: "GOST3410_2012_512", 35: "ML_KEM_512", 36: "ML_KEM_768", 37: "ML_KEM_1024",
}

// IANA "Transform Type 5 - Sequence Numbers Transform IDs".
var snNames = [...]string{0: "NO_ESN", 1: "ESN", 2: "SN_32_BIT_UNSPECIFIED"}
