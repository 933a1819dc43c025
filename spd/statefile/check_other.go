//go:build !unix

package statefile

import (
	"errors"
	"io/fs"
)

func checkFile(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	return nil
}
