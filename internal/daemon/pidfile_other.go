//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd

package daemon

import "os"

func openPIDFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
}

func lockPIDFile(*os.File) error { return nil }
