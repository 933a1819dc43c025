package xfrm

import "github.com/racoon3/racoon/spd"

// An encryption is what the kernel calls an IKEv2 encryption transform. Its
// keys are in KEYMAT form on both sides: salts after keys.
type encryption struct {
	id   uint16
	name string
	icv  uint32 // bits; 0: no AEAD
}

var encryptions = []encryption{
	{spd.EncrAESGCM16, "rfc4106(gcm(aes))", 128},
	{spd.EncrAESGCM12, "rfc4106(gcm(aes))", 96},
	{spd.EncrAESGCM8, "rfc4106(gcm(aes))", 64},
	{spd.EncrChaCha20Poly1305, "rfc7539esp(chacha20,poly1305)", 128},
	{spd.EncrAESCCM16, "rfc4309(ccm(aes))", 128},
	{spd.EncrAESCCM12, "rfc4309(ccm(aes))", 96},
	{spd.EncrAESCCM8, "rfc4309(ccm(aes))", 64},
	{spd.EncrNULLAESGMAC, "rfc4543(gcm(aes))", 128},
	{spd.EncrAESCBC, "cbc(aes)", 0},
	{spd.EncrAESCTR, "rfc3686(ctr(aes))", 0},
	{spd.EncrCamelliaCBC, "cbc(camellia)", 0},
	{spd.Encr3DES, "cbc(des3_ede)", 0},
	{spd.EncrNULL, "ecb(cipher_null)", 0},
}

// An integrity is what the kernel calls an IKEv2 integrity transform, with the
// length of its ICV in bits, which the IKEv2 transform implies.
type integrity struct {
	id   uint16
	name string
	icv  uint32
}

var integrities = []integrity{
	{spd.IntegHMACSHA256_128, "hmac(sha256)", 128},
	{spd.IntegHMACSHA384_192, "hmac(sha384)", 192},
	{spd.IntegHMACSHA512_256, "hmac(sha512)", 256},
	{spd.IntegHMACSHA1_96, "hmac(sha1)", 96},
	{spd.IntegAESXCBC96, "xcbc(aes)", 96},
	{spd.IntegAESCMAC96, "cmac(aes)", 96},
	{spd.IntegHMACMD5_96, "hmac(md5)", 96},
}

// ipcompDeflate is the only IPComp transform that the kernel and a peer are
// likely to share (RFC 2407 4.4.5, RFC 2394).
const ipcompDeflate = 2

func encryptionOf(id uint16) *encryption {
	for i := range encryptions {
		if encryptions[i].id == id {
			return &encryptions[i]
		}
	}
	return nil
}

func integrityOf(id uint16) *integrity {
	for i := range integrities {
		if integrities[i].id == id {
			return &integrities[i]
		}
	}
	return nil
}

// names are the names of algorithms that are parsed without an allocation.
var names = func() map[string]string {
	m := map[string]string{}
	for _, e := range encryptions {
		m[e.name] = e.name
	}
	for _, i := range integrities {
		m[i.name] = i.name
	}
	for _, n := range []string{"deflate", "lzs", "cbc(blowfish)", "cbc(cast5)", "cbc(serpent)", "cbc(twofish)",
		"cbc(des)", "hmac(rmd160)", "digest_null", "hmac(sm3)", "cbc(sm4)"} {
		m[n] = n
	}
	return m
}()
