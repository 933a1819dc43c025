package spd_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"

	"github.com/racoon3/racoon/spd"
)

func ExampleParseTrafficSelector() {
	for _, s := range []string{"10.1.0.0/16", "10.0.0.1-10.0.0.9[tcp/80]", "2001:db8::/32[icmp6/128]", "10.1.2.3/16"} {
		ts, err := spd.ParseTrafficSelector(s)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(ts, "ports", ts.Ports.First, "to", ts.Ports.Last)
	}
	// Output:
	// 10.1.0.0/16 ports 0 to 65535
	// 10.0.0.1-10.0.0.9[tcp/80] ports 80 to 80
	// 2001:db8::/32[icmp6/128] ports 32768 to 33023
	// spd: invalid traffic selector "10.1.2.3/16": bits are set after the prefix length; write 10.1.0.0/16 for the network or 10.1.2.3 for the address
}

// The example of RFC 7296 2.9: the first selectors are of the packet that made
// the initiator ask.
func ExampleNarrowPair() {
	ts := spd.MustParseTrafficSelector
	tsi := []spd.TrafficSelector{ts("198.51.100.43[tcp/40000]"), ts("198.51.100.0/24")}
	tsr := []spd.TrafficSelector{ts("192.0.2.123[tcp/80]"), ts("192.0.2.0/24")}

	n, ok := spd.NarrowPair(tsi, tsr, []spd.TrafficSelector{ts("198.51.100.43")}, []spd.TrafficSelector{ts("192.0.2.0/24")})
	fmt.Println(ok, n.TSi, n.TSr)
	fmt.Println("the packet's own flow is in it:", n.First)
	// Output:
	// true [198.51.100.43] [192.0.2.0/24]
	// the packet's own flow is in it: true
}

func ExampleTrafficSelector_Prefixes() {
	for p := range spd.MustParseTrafficSelector("10.0.0.1-10.0.0.9").Prefixes() {
		fmt.Println(p)
	}
	// Output:
	// 10.0.0.1/32
	// 10.0.0.2/31
	// 10.0.0.4/30
	// 10.0.0.8/31
}

func ExampleParseProposal() {
	p, err := spd.ParseProposal(spd.ProtoIKE, "aes256-aes128-sha256-x25519")
	fmt.Println(p.Transforms, err)
	_, err = spd.ParseProposal(spd.ProtoIKE, "aes256-sha256-x25591")
	fmt.Println(err)
	// Output:
	// [ENCR_AES_CBC-256 ENCR_AES_CBC-128 PRF_HMAC_SHA2_256 AUTH_HMAC_SHA2_256_128 CURVE25519] <nil>
	// spd: invalid proposal: IKE "aes256-sha256-x25591": unknown algorithm "x25591", did you mean "x25519"?
}

func ExampleSelect() {
	offered := []spd.Proposal{
		spd.MustParseProposal(spd.ProtoIKE, "3des-sha1-modp1024"),
		spd.MustParseProposal(spd.ProtoIKE, "aes256-aes128-sha256-modp2048-x25519"),
	}
	own := []spd.Proposal{
		spd.MustParseProposal(spd.ProtoIKE, "aes256gcm16-prfsha256-x25519"),
		spd.MustParseProposal(spd.ProtoIKE, "aes128-sha256-x25519-modp2048"),
	}
	s, err := spd.Select(offered, own, spd.SelectOptions{KE: spd.KEMODP2048})
	fmt.Println(s.Proposal, "from offer", s.OfferedIndex, err)

	_, err = spd.Select(offered[:1], own[1:], spd.SelectOptions{})
	fmt.Println(err)
	// Output:
	// aes128-sha256-modp2048 from offer 1 <nil>
	// spd: no proposal chosen: ENCR: offered ENCR_3DES; wanted ENCR_AES_CBC-128; PRF: offered PRF_HMAC_SHA1; wanted PRF_HMAC_SHA2_256; INTEG: offered AUTH_HMAC_SHA1_96; wanted AUTH_HMAC_SHA2_256_128; KE: offered MODP_1024; wanted CURVE25519, MODP_2048 [offered: IKE:3des-sha1-modp1024] [wanted: IKE:aes128-sha256-x25519-modp2048]
}

// A packet path loads the current snapshot; whoever changes policies stores
// the next one.
func ExamplePolicyTable() {
	ts := spd.MustParseTrafficSelector
	var current atomic.Pointer[spd.PolicyTable]

	next, err := current.Load().With(nil, []spd.Policy{
		{Direction: spd.Out, Selector: spd.Selector{Local: spd.AnyIPv4, Remote: ts("10.2.0.0/16")}, Action: spd.ActionProtect, ReqID: 1},
		{Direction: spd.Out, Selector: spd.Selector{Local: spd.AnyIPv4, Remote: ts("10.2.0.53")}, Action: spd.ActionBypass},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	current.Store(next)

	for _, dst := range []string{"10.2.0.1", "10.2.0.53", "192.0.2.1"} {
		f := spd.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr(dst), Protocol: 17, SrcPort: 4711, DstPort: 53}
		if p := current.Load().Lookup(spd.Out, &f); p != nil {
			fmt.Println(dst, p.Action)
		} else {
			fmt.Println(dst, "no policy")
		}
	}
	// Output:
	// 10.2.0.1 protect
	// 10.2.0.53 bypass
	// 192.0.2.1 no policy
}

// Two planes without packets: what key management has installed in both is
// tried out with a flow.
func ExampleMemory() {
	ctx := context.Background()
	a, b := spd.NewMemory(spd.MemoryConfig{}), spd.NewMemory(spd.MemoryConfig{})
	addrA, addrB := netip.MustParseAddrPort("192.0.2.1:4500"), netip.MustParseAddrPort("192.0.2.2:4500")
	netA, netB := spd.MustParseTrafficSelector("10.1.0.0/16"), spd.MustParseTrafficSelector("10.2.0.0/16")

	sel := spd.Selector{Local: netA, Remote: netB}
	_ = a.SetPolicies(ctx, 1, []spd.Policy{{Direction: spd.Out, Selector: sel, Action: spd.ActionTrap, ReqID: 1}})
	_ = b.SetPolicies(ctx, 1, []spd.Policy{{Direction: spd.In, Selector: sel.Reverse(), Action: spd.ActionProtect, ReqID: 1}})

	flow := spd.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.0.1"), Protocol: 6, SrcPort: 1024, DstPort: 80}
	fmt.Println(a.Send(b, flow, 100))
	acquire := a.PollEvents()[0].(spd.AcquireEvent)
	fmt.Println("acquire for", acquire.Packet)

	spi, _ := b.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP, Local: addrB.Addr(), Remote: addrA.Addr()})
	out := spd.Bundle{
		SAs:   []spd.SA{{Protocol: spd.ProtoESP, SPI: spi, Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128}, EncrKey: make(spd.Key, 20)}},
		ReqID: 1, Local: addrA, Remote: addrB,
		LocalTS: []spd.TrafficSelector{netA}, RemoteTS: []spd.TrafficSelector{netB},
	}
	in := out
	in.Local, in.Remote, in.LocalTS, in.RemoteTS = out.Remote, out.Local, out.RemoteTS, out.LocalTS
	fmt.Println(b.InstallInbound(ctx, &in), a.InstallOutbound(ctx, &out), a.AcquireDone(ctx, acquire.ID, nil))
	fmt.Println(a.Send(b, flow, 100))
	fmt.Printf("%T\n", b.PollEvents()[0])
	// Output:
	// held: no outbound SA with reqid 1 for tcp 10.1.0.1:1024 > 10.2.0.1:80
	// acquire for 10.1.0.1[tcp/1024] === 10.2.0.1[tcp/80]
	// <nil> <nil> <nil>
	// delivered (SPI 0xc0000001)
	// spd.FirstPacketEvent
}
