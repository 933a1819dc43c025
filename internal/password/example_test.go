package password_test

import (
	"fmt"

	"github.com/racoon3/racoon/internal/password"
)

// A line of a user file, made with openssl passwd -6. Neither the hash nor an
// error about one shows what it was made of.
func ExampleParse() {
	h, err := password.Parse("$6$saltstring$b4SOQO.YI.BXjgbKQa.97c9EQud0NW8Txr5rCRGsAucjEsL95TW5MDF/7KcC3bcG5NoxZbmB6Lh82fxg8soAZ0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(h)
	fmt.Println(h.Verify([]byte("open sesame")), h.Verify([]byte("open barley")))

	_, err = password.Parse("$apr1$salt$0123456789abcdefghijk.")
	fmt.Println(err)
	// Output:
	// SHA-512-crypt 5000 hash
	// true false
	// unusable password hash: Apache's MD5 (apr1) is not supported; make a bcrypt hash (htpasswd -B) or a SHA-512 one (openssl passwd -6)
}
