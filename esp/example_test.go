package esp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/spd"
)

// One SA's packets by hand, for whoever has keys and packets.
func ExampleOutboundSA() {
	sa := &spd.SA{
		Protocol:   spd.ProtoESP,
		SPI:        0x1234,
		Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 128},
		EncrKey:    bytes.Repeat([]byte{7}, 16+4), // key and salt
	}
	out, err := esp.NewOutboundSA(sa, rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	in, err := esp.NewInboundSA(sa)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The payload has room before and after it, for the header and the ICV.
	buf := make([]byte, 100)
	n := copy(buf[esp.Headroom/2:], "an IP packet")
	start, end, err := out.Seal(buf, esp.Headroom/2, esp.Headroom/2+n, 4)
	fmt.Println(end-start, "octets of ESP, error:", err)

	packet := buf[start:end]
	replay := bytes.Clone(packet)
	o, err := in.Open(packet)
	fmt.Printf("%q next header %d, sequence %d, error: %v\n", packet[o.Start:o.End], o.Next, o.Seq, err)
	_, err = in.Open(replay)
	fmt.Println(err)
	// Output:
	// 48 octets of ESP, error: <nil>
	// "an IP packet" next header 4, sequence 1, error: <nil>
	// esp: replayed or too old sequence number
}

// Two engines with a tunnel between them, as key management sets them up. What
// carries the datagrams from one to the other is not their affair.
func ExampleEngine() {
	ctx := context.Background()
	office, home := esp.New(esp.Config{}), esp.New(esp.Config{})
	defer office.Close()
	defer home.Close()

	// The receiver chooses the SPI and installs first.
	spi, _ := office.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP})
	bundle := spd.Bundle{
		SAs: []spd.SA{{
			Protocol: spd.ProtoESP, SPI: spi, Mode: spd.ModeTunnel,
			Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256},
			EncrKey:    bytes.Repeat([]byte{7}, 32+4),
		}},
		ReqID:    1,
		Local:    netip.MustParseAddrPort("192.0.2.1:4500"),
		Remote:   netip.MustParseAddrPort("198.51.100.2:4500"),
		UDPEncap: true,
		LocalTS:  []spd.TrafficSelector{spd.FromPrefix(netip.MustParsePrefix("10.1.0.0/16"))},
		RemoteTS: []spd.TrafficSelector{spd.FromPrefix(netip.MustParsePrefix("10.2.0.0/16"))},
	}
	arriving := bundle
	arriving.Local, arriving.Remote = bundle.Remote, bundle.Local
	arriving.LocalTS, arriving.RemoteTS = bundle.RemoteTS, bundle.LocalTS
	fmt.Println(office.InstallInbound(ctx, &arriving), home.InstallOutbound(ctx, &bundle))
	fmt.Println(home.SetPolicies(ctx, 1, []spd.Policy{{
		Direction: spd.Out, Action: spd.ActionProtect, ReqID: 1,
		Selector: spd.Selector{Local: bundle.LocalTS[0], Remote: bundle.RemoteTS[0]},
	}}))

	// A packet leaves home's network: 10.1.0.1 to 10.2.0.2, 4 octets of data.
	buf := make([]byte, esp.Headroom+24+esp.Tailroom)
	copy(buf[esp.Headroom:], []byte{0x45, 0, 0, 24, 0, 0, 0, 0, 64, 253, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2, 'p', 'i', 'n', 'g'})
	var batch esp.Batch
	home.Outbound(&batch, esp.Packet{Buf: buf, Start: esp.Headroom, End: esp.Headroom + 24})
	d := batch.Datagrams[0]
	fmt.Println(d.Len(), "octets to", d.Remote)

	// And arrives at the office.
	d.Local, d.Remote = d.Remote, d.Local
	batch.Reset()
	office.Inbound(&batch, d)
	fmt.Printf("%q\n", batch.Packets[0].Bytes()[20:])
	fmt.Printf("%T\n", <-office.Events())
	// Output:
	// <nil> <nil>
	// <nil>
	// 60 octets to 198.51.100.2:4500
	// "ping"
	// spd.FirstPacketEvent
}
