package isakmp

import "github.com/racoon3/racoon/spd"

// DOI is a domain of interpretation: IANA "ISAKMP Domain of Interpretation".
type DOI uint32

// String returns the name.
func (d DOI) String() string { return nameIn(doiNames, d, "DOI") }

// Values.
const (
	DOIISAKMP DOI = 0 // generic, in notifications and deletes
	DOIIPsec  DOI = 1
	DOIGDOI   DOI = 2 // RFC 6407
)

var doiNames = map[DOI]string{DOIISAKMP: "ISAKMP", DOIIPsec: "IPSEC", DOIGDOI: "GDOI"}

// protocolName returns the name of a protocol in the registry of the IPsec
// DOI (RFC 2407 4.4.1), whose numbers are those of spd.Protocol.
func protocolName(p spd.Protocol) string {
	return nameOf(protocolNames[:], int(p), "Protocol")
}

var protocolNames = [...]string{0: "none", 1: "ISAKMP", 2: "AH", 3: "ESP", 4: "IPCOMP", 5: "GIGABEAM_RADIO"}
