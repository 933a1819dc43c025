//go:build linux

package lab

import (
	"encoding/hex"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// An InstalledSA is an IPsec SA that a peer gave to the pretended kernel of a
// shim: so that a test can compare SPIs and keys where no packets flow.
type InstalledSA struct {
	SPI      uint32
	Proto    uint8 // 50 ESP, 51 AH
	Src, Dst netip.Addr
	Mode     string // tunnel, transport
	Encap    bool   // ESP in UDP

	// Enc and Auth are the kernel's names of algorithms, such as cbc(aes),
	// rfc4106(gcm(aes)) or hmac(sha256); through PF_KEY they are its numbers. An
	// AEAD is in Enc, and its key includes the salt.
	Enc, Auth       string
	EncKey, AuthKey []byte
	ICVBits         int // 0 where it is not said

	Deleted bool
}

// readSALog reads what a shim has written, one line for each request, and tells
// what has come of it: every SA ever installed, in order.
func readSALog(path string) (sas []InstalledSA) {
	b, _ := os.ReadFile(path)
	// The end of the file may be a line that is being written.
	text := string(b[:strings.LastIndexByte(string(b), '\n')+1])
	for line := range strings.Lines(text) {
		op, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var sa InstalledSA
		for field := range strings.FieldsSeq(rest) {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "spi":
				n, _ := strconv.ParseUint(value, 16, 32)
				sa.SPI = uint32(n)
			case "proto":
				n, _ := strconv.ParseUint(value, 10, 8)
				sa.Proto = uint8(n)
			case "src":
				sa.Src, _ = netip.ParseAddr(value)
			case "dst":
				sa.Dst, _ = netip.ParseAddr(value)
			case "mode":
				sa.Mode = value
			case "encap":
				sa.Encap = value == "yes"
			case "enc":
				sa.Enc = value
			case "auth":
				sa.Auth = value
			case "enckey":
				sa.EncKey, _ = hex.DecodeString(value)
			case "authkey":
				sa.AuthKey, _ = hex.DecodeString(value)
			case "icv":
				sa.ICVBits, _ = strconv.Atoi(value)
			}
		}
		old := -1
		for i := range sas {
			if sas[i].SPI == sa.SPI && sas[i].Proto == sa.Proto {
				old = i
			}
		}
		switch {
		case op == "delete":
			if old >= 0 {
				sas[old].Deleted = true
			}
		case op == "update" && old >= 0:
			sas[old] = sa
		case op == "add" || op == "update":
			sas = append(sas, sa)
		}
	}
	return sas
}
