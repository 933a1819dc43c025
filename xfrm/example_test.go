package xfrm_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// The kernel as a data plane, here one in memory: without Dial it is the
// running one's.
func ExampleNew() {
	kernel := xfrmtest.NewKernel()
	plane, err := xfrm.New(xfrm.Config{Dial: kernel.Dial})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer plane.Close()
	c := plane.Capabilities()
	fmt.Println(c.Name, c.Supports(spd.ProtoESP, spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256}))

	// Packets to 10.2/16 wait for an SA.
	err = plane.SetPolicies(context.Background(), 1, []spd.Policy{{
		Direction: spd.Out, Action: spd.ActionTrap, ReqID: 1, Protocol: spd.ProtoESP, Mode: spd.ModeTunnel,
		Selector: spd.Selector{Local: spd.FromPrefix(netip.MustParsePrefix("10.1.0.0/16")), Remote: spd.FromPrefix(netip.MustParsePrefix("10.2.0.0/16"))},
		Local:    netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddr("198.51.100.2"),
	}})
	fmt.Println(err)

	verdict, _ := kernel.Output(spd.Flow{Src: netip.MustParseAddr("10.1.0.5"), Dst: netip.MustParseAddr("10.2.0.9"), Protocol: 6, SrcPort: 40000, DstPort: 443}, 60)
	acquire := (<-plane.Events()).(spd.AcquireEvent)
	fmt.Println(verdict, acquire.Packet)
	// Output:
	// xfrm true
	// <nil>
	// held 10.1.0.5[tcp/40000] === 10.2.0.9[tcp/443]
}

// A client lists what is there, and installs SAs by hand, as "ip xfrm" does.
func ExampleClient() {
	kernel := xfrmtest.NewKernel()
	client, err := xfrm.NewClient(kernel.Dial) // or the Dialer of xfrm.SystemDialer
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx := context.Background()

	sa := &xfrm.SA{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2"),
		SPI: 0x1001, Proto: xfrm.ProtoESP, Mode: xfrm.ModeTunnel, ReqID: 1,
		AEAD: xfrm.Algorithm{Name: "rfc4106(gcm(aes))", Key: spd.Key("sixteen octets..salt"), ICVBits: 128},
	}
	fmt.Println(client.AddSA(ctx, sa))
	err = client.AddSA(ctx, sa)
	fmt.Println(err, errors.Is(err, spd.ErrExists))

	for sa, err := range client.SAs(ctx, &xfrm.DumpSA{Proto: xfrm.ProtoESP}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v > %v SPI %#x %s %v\n", sa.Src, sa.Dst, sa.SPI, sa.AEAD.Name, sa.AEAD.Key)
	}
	// Output:
	// <nil>
	// xfrm: NEWSA protocol 50 SPI 0x1001 to 198.51.100.2: EEXIST true
	// 192.0.2.1 > 198.51.100.2 SPI 0x1001 rfc4106(gcm(aes)) [20 secret octets]
}

// Messages can be written and read without any kernel.
func ExampleParse() {
	key := xfrm.SAKey{Dst: netip.MustParseAddr("2001:db8::1"), SPI: 0xc0000001, Proto: xfrm.ProtoESP}
	b := (&xfrm.DelSA{Key: key}).Append(nil)
	m, err := xfrm.Parse(xfrm.MsgDelSA, b)
	fmt.Println(len(b), m.MessageType(), m.(*xfrm.DelSA).Key == key, err)
	_, err = xfrm.Parse(xfrm.MsgDelSA, b[:20])
	fmt.Println(err)
	// Output:
	// 24 DELSA true <nil>
	// xfrm: DELSA: message is cut short
}
