//go:build unix

package pfkey

import (
	"os"

	"golang.org/x/sys/unix"
)

func setsockopt(fd uintptr, level, option int, value []byte) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptString(int(fd), level, option, string(value)))
}
