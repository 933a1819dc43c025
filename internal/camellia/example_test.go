package camellia_test

import (
	"crypto/cipher"
	"encoding/hex"
	"fmt"

	"github.com/racoon3/racoon/internal/camellia"
)

// The example of RFC 3713, appendix A: key and text are the same octets.
func ExampleNewCipher() {
	text, _ := hex.DecodeString("0123456789abcdeffedcba9876543210")
	block, err := camellia.NewCipher(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	out := make([]byte, camellia.BlockSize)
	block.Encrypt(out, text)
	fmt.Printf("%x\n", out)

	// It is a cipher.Block, so the standard library's modes take it.
	cipher.NewCBCDecrypter(block, make([]byte, camellia.BlockSize)).CryptBlocks(out, out)
	fmt.Printf("%x\n", out)
	// Output:
	// 67673138549669730857065648eabe43
	// 0123456789abcdeffedcba9876543210
}
