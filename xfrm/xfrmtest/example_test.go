package xfrmtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// A test of what happens when the kernel refuses an SA, on any system and
// without root.
func Example() {
	kernel := xfrmtest.NewKernel()
	kernel.Fail = func(m xfrm.Message) xfrm.Errno {
		if sa, ok := m.(*xfrm.NewSA); ok && sa.SPI == 0x1001 {
			return xfrm.EEXIST
		}
		return 0
	}
	client, err := xfrm.NewClient(kernel.Dial)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	sa := &xfrm.SA{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2"),
		SPI: 0x1001, Proto: xfrm.ProtoESP, Mode: xfrm.ModeTunnel,
		AEAD: xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Key: spd.Key("sixteen octets..salt"), ICVBits: 128},
	}
	fmt.Println(errors.Is(client.AddSA(context.Background(), sa), spd.ErrExists))
	sa.SPI++
	fmt.Println(client.AddSA(context.Background(), sa))
	// Output:
	// true
	// <nil>
}
