package spd

// KeymatLen returns how many octets of KEYMAT a transform takes (RFC 7296
// 2.17): the key, and for ciphers with a salt or nonce that comes after it
// (RFC 3686 5.1, 4106 8.1, 4309 7.1, 4543 5, 7634 4) that too. It is 0 for
// NULL, for types without a key, and for transforms that are unknown.
func (t Transform) KeymatLen() int {
	switch t.Type {
	case TransformENCR:
		switch t.ID {
		case Encr3DES:
			return 24
		case EncrAESCBC, EncrCamelliaCBC:
			return int(t.KeyLen / 8)
		case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16:
			return int(t.KeyLen/8) + 3
		case EncrAESCTR, EncrAESGCM8, EncrAESGCM12, EncrAESGCM16, EncrNULLAESGMAC:
			return int(t.KeyLen/8) + 4
		case EncrChaCha20Poly1305:
			return 32 + 4
		}
	case TransformINTEG:
		switch t.ID {
		case IntegHMACMD5_96, IntegAESXCBC96, IntegAESCMAC96:
			return 16
		case IntegHMACSHA1_96:
			return 20
		case IntegHMACSHA256_128:
			return 32
		case IntegHMACSHA384_192:
			return 48
		case IntegHMACSHA512_256:
			return 64
		case IntegAES128GMAC:
			return 16 + 4
		case IntegAES192GMAC:
			return 24 + 4
		case IntegAES256GMAC:
			return 32 + 4
		}
	}
	return 0
}
