//go:build !(linux || freebsd || netbsd || openbsd || darwin)

package pfkey

// OpenSocket fails: this system has no PF_KEY.
func OpenSocket() (Conn, error) { return nil, errNoPFKey }
