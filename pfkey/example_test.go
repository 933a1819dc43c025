package pfkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

// Adding an SA, as "setkey add" does. The kernel here is one in memory; with
// pfkey.OpenSocket it is the system's.
func ExampleClient() {
	kernel := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD})
	client, err := pfkey.NewClient(kernel.Connect(), pfkey.ClientConfig{Dialect: pfkey.NetBSD})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx := context.Background()

	gcm, _ := client.Dialect().AlgorithmByName(pfkey.AlgEncrypt, "aes-gcm-16")
	sa := &pfkey.SAEntry{
		Type: pfkey.SATypeESP, SPI: 0x1000, Mode: pfkey.ModeTransport,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
		Encrypt: gcm.ID, EncryptKey: spd.Key("sixteen octets..salt"),
	}
	fmt.Println(client.Add(ctx, sa))
	err = client.Add(ctx, sa)
	fmt.Println(err, errors.Is(err, pfkey.EEXIST))

	for sa, err := range client.Dump(ctx, pfkey.SATypeESP) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(sa.Src, sa.Dst, sa.SPI, sa.State, sa.Mode, sa.EncryptKey)
	}
	// Output:
	// <nil>
	// pfkey: ADD: exists already (EEXIST) true
	// 192.0.2.1 192.0.2.2 4096 mature transport [20 secret octets]
}

// A message in the layout of another system.
func ExampleDialect_Append() {
	m := &pfkey.Message{
		Header: pfkey.Header{Type: pfkey.MsgRegister, SAType: pfkey.SATypeESP, Seq: 1, PID: 2},
	}
	b, err := pfkey.OpenBSD.Append(nil, m)
	fmt.Println(len(b), b[1], b[3], err) // its number for ESP is 2
	back, err := pfkey.OpenBSD.Parse(b)
	fmt.Println(back.Type, back.SAType, err)
	// Output:
	// 16 7 2 <nil>
	// REGISTER esp <nil>
}

// What a data plane cannot do is not offered, and the reason is known.
func ExampleDataPlane() {
	kernel := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.Linux})
	client, err := pfkey.NewClient(kernel.Connect(), pfkey.ClientConfig{Dialect: pfkey.Linux})
	if err != nil {
		fmt.Println(err)
		return
	}
	plane, err := pfkey.NewDataPlane(context.Background(), client, pfkey.DataPlaneConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer plane.Close()

	var offer []spd.Proposal
	for _, text := range []string{"aes256gcm16", "aes256-sha256", "aes256-sha384"} {
		p, _ := spd.ParseProposal(spd.ProtoESP, text)
		offer = append(offer, p)
	}
	kept, _ := spd.RestrictTo(plane.Capabilities(), offer)
	for _, p := range kept {
		fmt.Println(p)
	}
	// Output:
	// aes256-sha384
}
