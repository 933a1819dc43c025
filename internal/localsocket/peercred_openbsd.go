package localsocket

import "golang.org/x/sys/unix"

// maxPath is the size of sun_path.
const maxPath = 104

// peerCredentials returns the credentials with which the peer has connected
// (getsockopt(2), SO_PEERCRED): struct sockpeercred is a user, a group and a
// process, 32 bits each. x/sys has no function for it; that for ICMPv6 filters
// reads as many words as there are. Supplementary groups are not told.
func peerCredentials(fd int) (*Caller, error) {
	w, err := unix.GetsockoptICMPv6Filter(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil, err
	}
	return &Caller{UID: w.Filt[0], GID: w.Filt[1], PID: int32(w.Filt[2])}, nil
}
