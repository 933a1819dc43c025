package localsocket

import "golang.org/x/sys/unix"

// maxPath is the size of sun_path.
const maxPath = 104

// peerCredentials returns the credentials with which the peer has connected
// (unix(4), LOCAL_PEEREID): struct unpcbid is a process, a user and a group,
// 32 bits each. x/sys has no function for it; that for ICMPv6 filters reads as
// many words as there are. Supplementary groups are not told.
func peerCredentials(fd int) (*Caller, error) {
	const solLocal, localPeerEID = 0, 3
	w, err := unix.GetsockoptICMPv6Filter(fd, solLocal, localPeerEID)
	if err != nil {
		return nil, err
	}
	return &Caller{PID: int32(w.Filt[0]), UID: w.Filt[1], GID: w.Filt[2]}, nil
}
