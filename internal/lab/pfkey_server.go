//go:build linux

package lab

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A pfkeyServer plays the kernel's side of PF_KEYv2 (RFC 2367) for a daemon with
// the pfkey shim: it hands out SPIs, takes whatever is installed, and remembers it.
type pfkeyServer struct {
	mu  sync.Mutex
	sas []InstalledSA
}

// The message types and extensions of RFC 2367 section 3.5 and linux/pfkeyv2.h
// that matter here.
const (
	sadbGetSPI, sadbUpdate, sadbAdd, sadbDelete, sadbGet = 1, 2, 3, 4, 5
	sadbRegister, sadbDump, sadbSPDDump                  = 7, 10, 18

	extSA, extSrc, extDst, extKeyAuth, extKeyEncrypt = 1, 5, 6, 8, 9
	extSupportedAuth, extSupportedEncrypt            = 14, 15
	extSA2, extNATTType                              = 19, 20

	sadbHeader = 16
)

func startPFKeyServer(t testing.TB, path string) *pfkeyServer {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &pfkeyServer{}
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *pfkeyServer) serve(c *net.UnixConn) {
	defer func() { _ = c.Close() }()
	b := make([]byte, 65536)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if n < sadbHeader {
			continue
		}
		if _, err := c.Write(s.answer(b[:n])); err != nil {
			return
		}
	}
}

// extensions are the parts of a message behind its header, by type.
func extensions(m []byte) map[uint16][]byte {
	ext := map[uint16][]byte{}
	for rest := m[sadbHeader:]; len(rest) >= 8; {
		n := 8 * int(binary.NativeEndian.Uint16(rest))
		if n == 0 || n > len(rest) {
			break
		}
		ext[binary.NativeEndian.Uint16(rest[2:])] = rest[:n]
		rest = rest[n:]
	}
	return ext
}

func (s *pfkeyServer) answer(m []byte) []byte {
	ext := extensions(m)
	r := slices.Clone(m[:sadbHeader])
	echo := func(types ...uint16) {
		for _, t := range types {
			r = append(r, ext[t]...)
		}
	}
	errno := byte(0)
	switch m[1] {
	case sadbGetSPI:
		sa := make([]byte, 16)
		binary.NativeEndian.PutUint16(sa, 2)
		binary.NativeEndian.PutUint16(sa[2:], extSA)
		_, _ = rand.Read(sa[4:8])
		sa[4] |= 1 // not one of the reserved ones below 256
		r = append(r, sa...)
		echo(extSrc, extDst)
	case sadbRegister:
		// Number, IV octets, least and most key bits (linux/pfkeyv2.h).
		r = appendSupported(r, extSupportedAuth, [][4]int{{2, 0, 128, 128}, {3, 0, 160, 160}, {5, 0, 256, 256}, {6, 0, 384, 384}, {7, 0, 512, 512}})
		r = appendSupported(r, extSupportedEncrypt, [][4]int{{3, 8, 192, 192}, {11, 0, 0, 0}, {12, 16, 128, 256}})
	case sadbGet:
		errno = byte(unix.ESRCH)
	case sadbDump, sadbSPDDump:
		errno = byte(unix.ENOENT)
	case sadbAdd, sadbUpdate, sadbDelete:
		s.note(m, ext)
		fallthrough
	default:
		for t, e := range ext {
			if t != extKeyAuth && t != extKeyEncrypt {
				r = append(r, e...)
			}
		}
	}
	r[2] = errno
	binary.NativeEndian.PutUint16(r[4:], uint16(len(r)/8))
	return r
}

func appendSupported(r []byte, ext uint16, algs [][4]int) []byte {
	r = binary.NativeEndian.AppendUint16(r, uint16(1+len(algs)))
	r = binary.NativeEndian.AppendUint16(r, ext)
	r = append(r, 0, 0, 0, 0)
	for _, a := range algs {
		r = append(r, byte(a[0]), byte(a[1]))
		r = binary.NativeEndian.AppendUint16(r, uint16(a[2]))
		r = binary.NativeEndian.AppendUint16(r, uint16(a[3]))
		r = append(r, 0, 0)
	}
	return r
}

// note remembers what a message does to the SAD.
func (s *pfkeyServer) note(m []byte, ext map[uint16][]byte) {
	sa := ext[extSA]
	if len(sa) < 16 {
		return
	}
	x := InstalledSA{
		SPI: binary.BigEndian.Uint32(sa[4:]), Proto: map[byte]uint8{2: unix.IPPROTO_AH, 3: unix.IPPROTO_ESP}[m[3]],
		Src: sadbAddr(ext[extSrc]), Dst: sadbAddr(ext[extDst]),
		Auth: fmt.Sprint(sa[10]), Enc: fmt.Sprint(sa[11]),
		AuthKey: sadbKey(ext[extKeyAuth]), EncKey: sadbKey(ext[extKeyEncrypt]),
	}
	if e := ext[extSA2]; len(e) >= 8 {
		x.Mode = map[byte]string{1: "transport", 2: "tunnel"}[e[4]]
	}
	_, x.Encap = ext[extNATTType]

	s.mu.Lock()
	defer s.mu.Unlock()
	old := slices.IndexFunc(s.sas, func(o InstalledSA) bool { return o.SPI == x.SPI && o.Proto == x.Proto && o.Dst == x.Dst })
	switch {
	case m[1] == sadbDelete:
		if old >= 0 {
			s.sas[old].Deleted = true
		}
	case old >= 0:
		s.sas[old] = x
	default:
		s.sas = append(s.sas, x)
	}
}

func sadbKey(e []byte) []byte {
	if len(e) < 8 {
		return nil
	}
	n := int(binary.NativeEndian.Uint16(e[4:])) / 8
	return slices.Clone(e[8:min(len(e), 8+n)])
}

func sadbAddr(e []byte) netip.Addr {
	if len(e) < 8+16 {
		return netip.Addr{}
	}
	switch a := e[8:]; binary.NativeEndian.Uint16(a) {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(a[4:8]))
	case unix.AF_INET6:
		if len(a) >= 24 {
			return netip.AddrFrom16([16]byte(a[8:24]))
		}
	}
	return netip.Addr{}
}

func (s *pfkeyServer) installed() []InstalledSA {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sas)
}
