//go:build unix

package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkFile wants a regular file of the process's user or root that nobody else
// may write.
func checkFile(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, who is neither the one of this program nor root", st.Uid)
	}
	if bad := info.Mode().Perm() & 0o022; bad != 0 {
		return fmt.Errorf("others may write it: its permissions are %04o", info.Mode().Perm())
	}
	return nil
}
