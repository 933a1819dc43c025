//go:build darwin || freebsd

package localsocket

import "golang.org/x/sys/unix"

// maxPath is the size of sun_path.
const maxPath = 104

// peerCredentials returns the credentials with which the peer has connected
// (unix(4), LOCAL_PEERCRED).
func peerCredentials(fd int) (*Caller, error) {
	const solLocal = 0
	x, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return nil, err
	}
	n := min(max(int(x.Ngroups), 0), len(x.Groups))
	c := &Caller{UID: x.Uid, groups: x.Groups[:n]}
	if n > 0 {
		c.GID = x.Groups[0]
	}
	return c, nil
}
