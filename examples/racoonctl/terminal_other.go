//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package main

import "errors"

func askPassword(string) ([]byte, error) {
	return nil, errors.New("this system's terminal cannot be asked; use -password-file")
}
