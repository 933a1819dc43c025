//go:build unix

package ike

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner wants the file to be of the process's user or root, without the
// forbidden permission bits.
func checkOwner(info fs.FileInfo, forbidden fs.FileMode) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: it belongs to user %d, not to %d, who runs this program, nor to root", ErrFilePermissions, st.Uid, os.Geteuid())
	}
	if bad := info.Mode().Perm() & forbidden; bad != 0 {
		return fmt.Errorf("%w: its permissions are %04o; remove %04o (chmod %o)", ErrFilePermissions, info.Mode().Perm(), bad, info.Mode().Perm()&^bad)
	}
	return nil
}
