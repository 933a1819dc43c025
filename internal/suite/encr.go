package suite

// Transform numbers of the encryption algorithms (IKEv2 transform type 1).
const (
	encr3DES             = 3
	encrNULL             = 11
	encrAESCBC           = 12
	encrAESCTR           = 13
	encrAESCCM8          = 14
	encrAESCCM12         = 15
	encrAESCCM16         = 16
	encrAESGCM8          = 18
	encrAESGCM12         = 19
	encrAESGCM16         = 20
	encrNULLAESGMAC      = 21
	encrCamelliaCBC      = 23
	encrChaCha20Poly1305 = 28

	saltSize    = 4 // of GCM, GMAC, CTR (there called nonce) and ChaCha20
	ccmSaltSize = 3
)

// ENCR describes an encryption algorithm.
type ENCR struct {
	ID        uint16
	Name      string
	KeyBits   []uint16 // lengths the Key Length attribute may carry; nil if it is not sent
	SaltSize  int      // octets of salt or nonce that follow the key in the keying material
	IVSize    int      // octets of explicit IV
	BlockSize int      // the text's length is a multiple of this
	ICVSize   int      // octets of the combined mode's own ICV, 0 for others
	Weak      bool     // only when configured by name

	fixedKey int // octets of key where KeyBits is nil
}

var aesBits = []uint16{128, 192, 256}

var encrs = [...]ENCR{
	{ID: encr3DES, Name: "ENCR_3DES", IVSize: 8, BlockSize: 8, Weak: true, fixedKey: 24},
	{ID: encrNULL, Name: "ENCR_NULL", BlockSize: 1, Weak: true},
	{ID: encrAESCBC, Name: "ENCR_AES_CBC", KeyBits: aesBits, IVSize: 16, BlockSize: 16},
	{ID: encrCamelliaCBC, Name: "ENCR_CAMELLIA_CBC", KeyBits: aesBits, IVSize: 16, BlockSize: 16},
	{ID: encrAESCTR, Name: "ENCR_AES_CTR", KeyBits: aesBits, SaltSize: saltSize, IVSize: 8, BlockSize: 1},
	{ID: encrAESCCM8, Name: "ENCR_AES_CCM_8", KeyBits: aesBits, SaltSize: ccmSaltSize, IVSize: 8, BlockSize: 1, ICVSize: 8},
	{ID: encrAESCCM12, Name: "ENCR_AES_CCM_12", KeyBits: aesBits, SaltSize: ccmSaltSize, IVSize: 8, BlockSize: 1, ICVSize: 12},
	{ID: encrAESCCM16, Name: "ENCR_AES_CCM_16", KeyBits: aesBits, SaltSize: ccmSaltSize, IVSize: 8, BlockSize: 1, ICVSize: 16},
	{ID: encrAESGCM8, Name: "ENCR_AES_GCM_8", KeyBits: aesBits, SaltSize: saltSize, IVSize: 8, BlockSize: 1, ICVSize: 8},
	{ID: encrAESGCM12, Name: "ENCR_AES_GCM_12", KeyBits: aesBits, SaltSize: saltSize, IVSize: 8, BlockSize: 1, ICVSize: 12},
	{ID: encrAESGCM16, Name: "ENCR_AES_GCM_16", KeyBits: aesBits, SaltSize: saltSize, IVSize: 8, BlockSize: 1, ICVSize: 16},
	{ID: encrNULLAESGMAC, Name: "ENCR_NULL_AUTH_AES_GMAC", KeyBits: aesBits, SaltSize: saltSize, IVSize: 8, BlockSize: 1, ICVSize: 16, Weak: true},
	{ID: encrChaCha20Poly1305, Name: "ENCR_CHACHA20_POLY1305", SaltSize: saltSize, IVSize: 8, BlockSize: 1, ICVSize: 16, fixedKey: 32},
}

// ENCRByID returns the encryption algorithm with the IKEv2 transform number id.
func ENCRByID(id uint16) (ENCR, bool) {
	if e := encrByID(id); e != nil {
		return *e, true
	}
	return ENCR{}, false
}

func encrByID(id uint16) *ENCR {
	for i := range encrs {
		if encrs[i].ID == id {
			return &encrs[i]
		}
	}
	return nil
}

// Combined reports whether the algorithm protects integrity by itself, so that
// no integrity transform goes with it.
func (e ENCR) Combined() bool { return e.ICVSize > 0 }

// KeySize returns the octets of keying material the algorithm takes for a Key
// Length attribute of bits (0 where the attribute is not sent), salt included.
// It reports false if the algorithm does not have that key length.
func (e ENCR) KeySize(bits int) (int, bool) {
	if e.KeyBits == nil {
		// Some peers send the attribute although the length is fixed.
		return e.fixedKey + e.SaltSize, bits == 0 || bits == e.fixedKey*8
	}
	for _, b := range e.KeyBits {
		if int(b) == bits {
			return bits/8 + e.SaltSize, true
		}
	}
	return 0, false
}
