package racoon

import (
	"errors"
	"fmt"

	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/ikev2/message"
)

// Version is a version of IKE, or the protocol that takes its place.
type Version uint8

// Versions.
const (
	IKEv1 Version = 1 // RFC 2409; for peers that have nothing better
	IKEv2 Version = 2 // RFC 7296
	KINK  Version = 3 // RFC 4430: Kerberos instead of IKE; see KINKOptions
)

func (v Version) String() string {
	switch v {
	case IKEv1:
		return "IKEv1"
	case IKEv2:
		return "IKEv2"
	case KINK:
		return "KINK"
	}
	return fmt.Sprintf("IKE version %d", uint8(v))
}

// fallsBack reports whether an attempt has failed because the peer does not
// speak the version, so that the next one is to be tried. Somebody on the path
// can make it look so: who does not want that allows one version only.
func (c *call) fallsBack(err error) bool {
	if c.finished || c.tries+1 >= len(c.peer.cfg.Versions) {
		return false
	}
	var t interface{ Timeout() bool }
	var n *ikev2.NotifyError
	return errors.As(err, &t) && t.Timeout() || errors.As(err, &n) && (n.Type == message.NotifyInvalidMajorVersion || n.Type == message.NotifyNoProposalChosen)
}
