package suite

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// nistPlain is the text of the examples of NIST SP 800-38A and 800-38B.
const nistPlain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"

// NIST SP 800-38A F.2: AES-CBC with each length of key.
func TestNISTCBC(t *testing.T) {
	for key, want := range map[string]string{
		"2b7e151628aed2a6abf7158809cf4f3c":                                 "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
		"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b":                 "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
		"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
	} {
		plain, iv := unhex(nistPlain), unhex("000102030405060708090a0b0c0d0e0f")
		c, err := NewCipher(encrAESCBC, uint16(len(key)*4), integHMACSHA1_96, unhex(key), make([]byte, 20))
		require.NoError(t, err)
		buf := concat(plain, make([]byte, 12))
		require.NoError(t, c.Seal(buf, iv, nil, nil))
		require.EqualValues(t, unhex(want), buf[:len(plain)])
		require.NoError(t, c.Open(buf, iv, nil, nil))
		require.EqualValues(t, plain, buf[:len(plain)])
	}
}

// NIST SP 800-38B D.1: AES-CMAC with a key of 128 bits.
func TestNISTCMAC(t *testing.T) {
	for octets, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		m := prf(t, prfAES128CMAC).newHash(unhex("2b7e151628aed2a6abf7158809cf4f3c"))
		m.Write(unhex(nistPlain)[:octets])
		require.EqualValues(t, unhex(want), m.Sum(nil), octets)
	}
}

// Test case 4 of the GCM specification that NIST SP 800-38D is about, with the
// three lengths of tags.
func TestNISTGCM(t *testing.T) {
	plain := unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
	sealed := unhex("42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47")
	aad := unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
	for id, icv := range map[uint16]int{encrAESGCM8: 8, encrAESGCM12: 12, encrAESGCM16: 16} {
		c, err := NewCipher(id, 128, integNone, concat(unhex("feffe9928665731c6d6a8f9467308308"), unhex("cafebabe")), nil)
		require.NoError(t, err)
		buf := concat(plain, make([]byte, icv))
		require.NoError(t, c.Seal(buf, unhex("facedbaddecaf888"), aad, nil))
		require.EqualValues(t, sealed[:len(plain)+icv], buf)
		require.NoError(t, c.Open(buf, unhex("facedbaddecaf888"), aad, nil))
		require.EqualValues(t, plain, buf[:len(plain)])
	}
}
