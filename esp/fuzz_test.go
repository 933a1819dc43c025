package esp

import (
	"bytes"
	"testing"

	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/spd"
)

// FuzzOpen: any octets on SAs of each kind. Without the key nothing opens, and
// nothing but the packet is written to.
func FuzzOpen(f *testing.F) {
	kinds := []spd.SA{
		{Encryption: encr(spd.EncrAESGCM16, 128), EncrKey: make([]byte, 20)},
		{Encryption: encr(spd.EncrAESGCM8, 128), EncrKey: make([]byte, 20), ESN: true},
		{Encryption: encr(spd.EncrAESCBC, 128), EncrKey: make([]byte, 16), Integrity: integ(spd.IntegHMACSHA1_96), IntegKey: make([]byte, 20)},
		{Encryption: encr(spd.EncrAESCCM8, 128), EncrKey: make([]byte, 19)},
		{Encryption: encr(spd.EncrNULL, 0), Integrity: integ(spd.IntegAESXCBC96), IntegKey: make([]byte, 16), ESN: true},
		{Encryption: encr(spd.EncrNULLAESGMAC, 256), EncrKey: make([]byte, 36)},
		{Encryption: encr(spd.EncrAESCTR, 128), EncrKey: make([]byte, 20), Integrity: integ(spd.IntegHMACSHA512_256), IntegKey: make([]byte, 64)},
		{Encryption: encr(spd.EncrChaCha20Poly1305, 0), EncrKey: make([]byte, 36)},
	}
	for _, name := range []string{"esp4-gcm16-128", "esp4-aescbc128-sha256", "esp4-null8-sha256"} {
		packets, err := pcap.ReadFile("testdata/netbsd-esp/" + name + ".pcap")
		if err != nil {
			f.Fatal(err)
		}
		for i, p := range packets {
			if ip, ok := p.IP(); ok && ip.Protocol == protoESP {
				f.Add(uint8(i), ip.Payload)
			}
		}
	}
	f.Add(uint8(4), make([]byte, 8+2+12))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		s := kinds[int(kind)%len(kinds)]
		s.Protocol, s.SPI = spd.ProtoESP, 4711
		sa, err := NewInboundSA(&s)
		if err != nil {
			t.Fatal(err)
		}
		room := append(bytes.Clone(b), "canary"...)
		if o, err := sa.Open(room[:len(b):len(room)]); err == nil {
			t.Fatalf("opened %+v", o)
		}
		if string(room[len(b):]) != "canary" {
			t.Fatal("wrote beyond the packet")
		}
	})
}

// FuzzInner: any octets inside an authentic packet, in tunnel and transport
// mode. What is delivered is a whole IP packet within the selectors.
func FuzzInner(f *testing.F) {
	f.Add(false, uint8(protoIPv4), udp("10.1.0.1:1", "10.2.0.2:2", 10))
	f.Add(false, uint8(protoIPv6), udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 10))
	f.Add(true, uint8(protoTCP), make([]byte, 20))
	f.Add(false, uint8(protoIPv6), append(udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 0)[:6], make([]byte, 60)...))
	tunnel := newPair(f)
	host := newPairBetween(f, newGateway(f, Config{}, "192.0.2.1:0", "192.0.2.1/32"), newGateway(f, Config{}, "198.51.100.2:0", "198.51.100.2/32"), transport)
	f.Fuzz(func(t *testing.T, transport bool, next uint8, inner []byte) {
		p := tunnel
		if transport {
			p = host
		}
		buf := make([]byte, Headroom+len(inner)+Tailroom)
		copy(buf[Headroom:], inner)
		start, end, err := p.a.outbound[p.ab.SAs[0].SPI][0].sa.Seal(buf, Headroom, Headroom+len(inner), next)
		if err != nil {
			t.Fatal(err)
		}
		p.b.batch.Reset()
		p.b.Inbound(&p.b.batch, Datagram{Packet: Packet{buf, start, end}, Local: p.b.outer, Remote: p.a.outer})
		for _, out := range p.b.batch.Packets {
			n, ok := ipLength(out.Bytes())
			if !ok || n != out.Len() {
				t.Fatalf("delivered %x", out.Bytes())
			}
			fl, ok := parseFlow(out.Bytes())
			if !ok || !fl.Within(spd.In, p.b.nets, p.a.nets) {
				t.Fatalf("delivered %v", fl.Flow)
			}
		}
	})
}

// FuzzOutbound: any octets as packets of the inner network.
func FuzzOutbound(f *testing.F) {
	f.Add(udp("10.1.0.1:1", "10.2.0.2:2", 10))
	f.Add(udp("10.1.0.1:1", "10.2.0.2:2", 100))
	f.Add(withDF(udp("10.1.0.1:1", "10.2.0.2:2", 100)))
	f.Add(udp("[2001:db8:1::1]:1", "[2001:db8:2::2]:2", 10))
	p := newPair(f, options(func(o *spd.Options) { o.Fragment = 80 }))
	f.Fuzz(func(t *testing.T, packet []byte) {
		ds := p.a.send(packet)
		for _, d := range ds {
			if len(p.b.receive(d)) != 1 {
				t.Fatalf("%x was sent and not received", packet)
			}
		}
		for len(p.a.Events()) > 0 {
			<-p.a.Events()
		}
	})
}
