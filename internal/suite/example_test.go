package suite_test

import (
	"fmt"

	"github.com/racoon3/racoon/internal/suite"
)

// An ESP packet of AES-GCM with a 16-octet ICV (RFC 4106), which is transform 20.
func ExampleNewCipher() {
	alg, _ := suite.ENCRByID(20)
	n, _ := alg.KeySize(128)
	fmt.Println(alg.Name, "takes", n, "octets of keying material, 4 of them salt")
	c, err := suite.NewCipher(alg.ID, 128, 0, make([]byte, n), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	header, iv := []byte{0, 0, 1, 0, 0, 0, 0, 7}, []byte{0, 0, 0, 0, 0, 0, 0, 7}
	packet := append([]byte("a packet"), make([]byte, c.ICVSize())...)
	fmt.Println(c.Seal(packet, iv, header, nil))
	header[7]++ // on the way
	fmt.Println(c.Open(packet, iv, header, nil))
	// Output:
	// ENCR_AES_GCM_16 takes 20 octets of keying material, 4 of them salt
	// <nil>
	// suite: message authentication failed
}

// Keying material of an IKE SA (RFC 7296 section 2.14) with PRF_HMAC_SHA2_256.
func ExamplePRF() {
	prf, _ := suite.PRFByID(5)
	ni, nr, shared := []byte("nonce of the initiator"), []byte("nonce of the responder"), []byte("g^ir")
	skeyseed := prf.Keyed(prf.NonceKey(nil, ni, nr)).Sum(nil, shared)
	keymat := make([]byte, 3*prf.KeySize) // SK_d, SK_pi, SK_pr
	err := prf.Keyed(skeyseed).Plus(keymat, ni, nr, []byte("SPIi"), []byte("SPIr"))
	fmt.Println(len(skeyseed), len(keymat), err)
	// Output:
	// 32 96 <nil>
}
