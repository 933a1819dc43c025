package keyfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/examples/internal/keyfile"
)

func ExampleCreate() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "office.psk")

	fmt.Println(keyfile.Create(name, []byte("correct horse\n")))
	fmt.Println("again:", errors.Is(keyfile.Create(name, []byte("battery staple\n")), fs.ErrExist))
	fmt.Println(keyfile.Replace(name, []byte("battery staple\n")))
	b, _ := os.ReadFile(name)
	fmt.Print(string(b))
	// Output:
	// <nil>
	// again: true
	// <nil>
	// battery staple
}
