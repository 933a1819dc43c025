//go:build linux

package lab

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/internal/testhost"
)

// halfOpenConn is the connection that the half-open SA of DemandCookies belongs to.
const halfOpenConn = `lab-half-open {
version = 2
local_addrs = 127.0.0.1
remote_addrs = 127.0.0.1
proposals = aes128-sha256-x25519
local {
auth = psk
}
remote {
auth = psk
}
}`

// DemandCookies makes charon ask everybody for a cookie during the next 10
// seconds. (charon does so while at least cookie_threshold IKE SAs are half-open
// and a while longer: this makes one from the loopback address, and asks again
// so that it is noticed.) The daemon must run with
// StrongSwanConfig.DemandCookies.
func (s *Charon) DemandCookies() {
	s.t.Helper()
	c := s.ns.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	defer func() { _ = c.Close() }()
	for end := time.Now().Add(testhost.Patience); ; {
		if _, err := c.WriteToUDPAddrPort(ikeSAInit(), netip.MustParseAddrPort("127.0.0.1:500")); err != nil {
			s.t.Fatalf("lab: %v", err)
		}
		b := make([]byte, 2000)
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Read(b)
		const notify, cookie = 41, 16390
		if err == nil && n >= 36 && b[16] == notify && binary.BigEndian.Uint16(b[34:]) == cookie {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("lab: charon does not ask for a cookie: %v", err)
		}
	}
}

// ikeSAInit is an IKE_SA_INIT request (RFC 7296 section 1.2) with the proposal of
// halfOpenConn and random for a public value and nonce.
func ikeSAInit() []byte {
	b := make([]byte, 28)
	_, _ = rand.Read(b[:8])
	copy(b[16:], []byte{33, 0x20, 34, 0x08}) // next payload SA, version 2.0, IKE_SA_INIT, initiator
	b = append(b, 34, 0, 0, 48,              // SA, followed by KE
		0, 0, 0, 44, 1, 1, 0, 4, // the proposal: IKE, 4 transforms
		3, 0, 0, 12, 1, 0, 0, 12, 0x80, 14, 0, 128, // ENCR_AES_CBC, 128 bits
		3, 0, 0, 8, 2, 0, 0, 5, // PRF_HMAC_SHA2_256
		3, 0, 0, 8, 3, 0, 0, 12, // AUTH_HMAC_SHA2_256_128
		0, 0, 0, 8, 4, 0, 0, 31, // Curve25519
		40, 0, 0, 40, 0, 31, 0, 0) // KE, followed by Nonce
	b = append(b, make([]byte, 32)...)
	_, _ = rand.Read(b[len(b)-32:])
	b = append(b, 0, 0, 0, 36) // Nonce
	b = append(b, make([]byte, 32)...)
	_, _ = rand.Read(b[len(b)-32:])
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
	return b
}
