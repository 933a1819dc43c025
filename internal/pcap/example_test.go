package pcap_test

import (
	"encoding/hex"
	"fmt"

	"github.com/racoon3/racoon/internal/pcap"
)

// A capture of one NAT keepalive (RFC 3948 section 2.3): the file's header, a
// packet's, then IP, UDP and an octet.
func ExampleParse() {
	file, err := hex.DecodeString("d4c3b2a1" + "02000400" + "00000000" + "00000000" + "ffff0000" + "65000000" +
		"00f15365" + "00000000" + "1d000000" + "1d000000" +
		"4500001d" + "00000000" + "40110000" + "c0000201" + "c6336407" +
		"11941194" + "00090000" + "ff")
	if err != nil {
		fmt.Println(err)
		return
	}
	packets, err := pcap.Parse(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	for d := range pcap.UDP(packets) {
		fmt.Printf("%v > %v: %x\n", d.Src, d.Dst, d.Payload)
	}
	// Output:
	// 192.0.2.1:4500 > 198.51.100.7:4500: ff
}
