package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// maxPassword bounds a password, in octets.
const maxPassword = 1024

// readPassword reads the password of a user: the first line of a file, or what
// he types at the terminal, where it is not shown.
func (p *program) readPassword(user, file string) ([]byte, error) {
	var b []byte
	var err error
	switch file {
	case "-":
		b, err = io.ReadAll(io.LimitReader(p.stdin, maxPassword+1))
	case "":
		b, err = askPassword(fmt.Sprintf("Password of %s: ", clean(user)))
	default:
		var f *os.File
		if f, err = os.Open(file); err == nil {
			b, err = io.ReadAll(io.LimitReader(f, maxPassword+1))
			f.Close()
		}
	}
	if err != nil {
		return nil, usage("password: %v", err)
	}
	b, _, _ = bytes.Cut(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	if len(b) == 0 || len(b) > maxPassword {
		return nil, usage("password: it is empty, or longer than %d octets", maxPassword)
	}
	return b, nil
}
