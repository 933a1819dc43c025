package natt

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"net/netip"
)

// Hash is the hash function of NAT detection: [SHA1] for IKEv2, the negotiated one for IKEv1.
type Hash = crypto.Hash

// The hash functions that AppendHash knows.
const (
	SHA1   = crypto.SHA1
	MD5    = crypto.MD5
	SHA256 = crypto.SHA256
	SHA384 = crypto.SHA384
	SHA512 = crypto.SHA512
)

// hashInput is two SPIs, an IPv6 address and a port.
const hashInput = 8 + 8 + 16 + 2

// maxHash is the size of the longest hash.
const maxHash = sha512.Size

// AppendHash appends to dst the hash that announces addr: h over the initiator's SPI, the responder's SPI, the IP address
// (4 or 16 octets) and the UDP port (2 octets), in network order (RFC 7296 2.23, RFC 3947 3.2). The SPIs, or cookies, are in
// the order of the header, as numbers in network order.
//
// An IPv4 address mapped into IPv6 counts as the IPv4 address it is, and a zone does not count. The zero AddrPort is hashed as
// 0.0.0.0 port 0, which no packet comes from: announcing it makes the peer believe in a NAT, and so forces UDP
// encapsulation. With a hash function that is not listed here, nothing is appended.
//
// It allocates nothing if dst has room.
func AppendHash(dst []byte, h Hash, spiI, spiR uint64, addr netip.AddrPort) []byte {
	var in [hashInput]byte
	b := binary.BigEndian.AppendUint64(in[:0], spiI)
	b = binary.BigEndian.AppendUint64(b, spiR)
	switch ip := addr.Addr().Unmap(); {
	case ip.Is6():
		a := ip.As16()
		b = append(b, a[:]...)
	case ip.Is4():
		a := ip.As4()
		b = append(b, a[:]...)
	default:
		b = append(b, 0, 0, 0, 0)
	}
	b = binary.BigEndian.AppendUint16(b, addr.Port())

	switch h {
	case SHA1:
		s := sha1.Sum(b)
		return append(dst, s[:]...)
	case MD5:
		s := md5.Sum(b)
		return append(dst, s[:]...)
	case SHA256:
		s := sha256.Sum256(b)
		return append(dst, s[:]...)
	case SHA384:
		s := sha512.Sum384(b)
		return append(dst, s[:]...)
	case SHA512:
		s := sha512.Sum512(b)
		return append(dst, s[:]...)
	}
	return dst
}
