package localsocket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPath is the size of sun_path.
const maxPath = 108

// peerCredentials returns the credentials with which the peer has connected
// (unix(7), SO_PEERCRED and SO_PEERGROUPS).
func peerCredentials(fd int) (*Caller, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil, err
	}
	return &Caller{UID: c.Uid, GID: c.Gid, PID: c.Pid, groups: peerGroups(fd)}, nil
}

// peerGroups returns the supplementary groups; none where the kernel, before
// 4.13, does not tell them.
func peerGroups(fd int) []uint32 {
	for size := 64; size <= 65536; size *= 32 {
		groups := make([]uint32, size)
		n := uint32(4 * size)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&n)), 0)
		if errno == 0 {
			return groups[:min(int(n/4), size)]
		}
		if errno != unix.ERANGE {
			break
		}
	}
	return nil
}
