package natt

import (
	"bytes"
	"net/netip"
)

// MaxHashes is how many source hashes, and how many destination hashes, of one message a [Detector] looks at. A
// sender that does not know its own address lists all it has; what goes beyond is not looked at.
const MaxHashes = 64

// Detector compares the hashes in a peer's message with the addresses of the packet that brought it. It is a plain value and
// allocates nothing:
//
//	d := natt.NewDetector(natt.SHA1, spiI, spiR, local, remote)
//	for each notify of the message {
//		NAT_DETECTION_SOURCE_IP:      d.Source(data)
//		NAT_DETECTION_DESTINATION_IP: d.Destination(data)
//	}
//	r := d.Result()
//
// A hash of the wrong length counts as absent, so that a peer with broken NAT detection is one without.
type Detector struct {
	local, remote [maxHash]byte // what the hashes should be
	size          int
	destinations  matches
	sources       matches
}

type matches struct {
	seen  int
	match bool
}

// NewDetector returns a Detector for a message received at local from remote, under the SPIs (or cookies) in its header.
// Every hash is ignored if h is not one that AppendHash knows.
func NewDetector(h Hash, spiI, spiR uint64, local, remote netip.AddrPort) Detector {
	var d Detector
	d.size = len(AppendHash(d.local[:0], h, spiI, spiR, local))
	AppendHash(d.remote[:0], h, spiI, spiR, remote)
	return d
}

// Source takes one hash of the addresses the sender believes it sent from: a NAT_DETECTION_SOURCE_IP notify, or an IKEv1 NAT-D
// payload other than the first.
func (d *Detector) Source(hash []byte) { d.sources.look(hash, d.remote[:d.size]) }

// Destination takes the hash of the address the sender sent to: a NAT_DETECTION_DESTINATION_IP notify, or the first NAT-D
// payload of IKEv1.
func (d *Detector) Destination(hash []byte) { d.destinations.look(hash, d.local[:d.size]) }

func (m *matches) look(hash, want []byte) {
	if m.seen == MaxHashes || len(hash) != len(want) || len(want) == 0 {
		return
	}
	m.seen++
	m.match = m.match || bytes.Equal(hash, want)
}

// Result returns what the hashes so far mean.
func (d *Detector) Result() Detection {
	if d.sources.seen == 0 || d.destinations.seen == 0 {
		return Detection{}
	}
	return Detection{Supported: true, LocalNAT: !d.destinations.match, RemoteNAT: !d.sources.match}
}

// Detection is what is known of NATs on the path to a peer.
type Detection struct {
	// Supported says that the peer does NAT traversal: it sent at least one hash of either kind. Without it nothing is
	// known about NATs.
	Supported bool
	// LocalNAT says that this side is behind a NAT: it sends keepalives, and does not follow changes of the
	// peer's address (RFC 7296 2.23).
	LocalNAT bool
	// RemoteNAT says that the peer is behind a NAT: its address may change.
	RemoteNAT bool
}

// Found reports whether there is a NAT, so that IKE moves to port 4500 and ESP is encapsulated in UDP.
func (d Detection) Found() bool { return d.LocalNAT || d.RemoteNAT }

func (d Detection) String() string {
	switch {
	case !d.Supported:
		return "peer without NAT traversal"
	case d.LocalNAT && d.RemoteNAT:
		return "both behind NAT"
	case d.LocalNAT:
		return "this side behind NAT"
	case d.RemoteNAT:
		return "peer behind NAT"
	}
	return "no NAT"
}
