package kink

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// octets decodes hexadecimal with white space.
func octets(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// A lengthened payload or substructure: next, reserved, length of all, body.
func lengthened(next byte, parts ...[]byte) []byte {
	body := slices.Concat(parts...)
	n := 4 + len(body)
	return append([]byte{next, 0, byte(n >> 8), byte(n)}, body...)
}

// What kinkd may offer, octet by octet: proposals and transforms beyond the first,
// lifetimes in all their forms, AH and IPComp beside ESP in either order, and no
// identification payloads, though it is a tunnel. Its build with identification
// payloads names the hosts, which is not what is configured.
func TestCreatesOfKinkd(t *testing.T) {
	const (
		aes    = "80010001 80020e10 80040001 80060080 80050002" // an hour, tunnel, 128 bits, HMAC-SHA
		des    = "80010001 80020e10 80040001 80050002"
		aes256 = "80010001 80020e10 80040001 80060100 80050002"
	)
	transform := func(next, number, id byte, attributes string) []byte {
		return lengthened(next, []byte{number, id, 0, 0}, octets(t, attributes))
	}
	proposal := func(next, number, protocol byte, spi string, transforms ...[]byte) []byte {
		s := octets(t, spi)
		return lengthened(next, []byte{number, protocol, byte(len(s)), byte(len(transforms))}, s, slices.Concat(transforms...))
	}
	esp := func(next, number byte, attributes string) []byte {
		return proposal(next, number, 3, "0b9cc70f", transform(0, 1, 12, attributes))
	}
	nonce := lengthened(0, make([]byte, 16))
	create := func(next byte, rest []byte, proposals ...[]byte) []byte {
		return append(lengthened(next, octets(t, "00000001 00000001"), slices.Concat(proposals...)), rest...)
	}
	ids := func(ci, cr string) []byte {
		return slices.Concat(lengthened(5, make([]byte, 16)), lengthened(5, octets(t, ci)), lengthened(0, octets(t, cr)))
	}
	ah := func(c *ike.ChildConfig) {
		c.Outer = []spd.Proposal{spd.MustParseProposal(spd.ProtoAH, "sha1-noesn")}
	}
	compressed := func(c *ike.ChildConfig) { c.IPComp = true }
	for _, c := range []struct {
		name   string
		child  func(c *ike.ChildConfig)
		chain  []byte
		answer string // "" if it is refused
	}{
		{"as recorded", nil, create(10, nonce, esp(0, 1, aes)), "#1 ESP SPI c0000001 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"short nonce", nil, create(10, lengthened(0, make([]byte, 8)), esp(0, 1, aes)), "#1 ESP SPI c0000001 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"second transform", nil, create(10, nonce, proposal(0, 1, 3, "0b9cc70f", transform(3, 1, 3, des), transform(0, 2, 12, aes))),
			"#1 ESP SPI c0000001 T2 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"second proposal", nil, create(10, nonce, proposal(2, 1, 3, "0b9cc70f", transform(0, 1, 3, des)), esp(0, 2, aes)),
			"#2 ESP SPI c0000001 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"kilobytes", nil, create(10, nonce, esp(0, 1, "80010001 80020e10 80010002 0002000400100000 80040001 80060080 80050002")),
			"#1 ESP SPI c0000001 T1 ESP_AES(3600 seconds, 1048576 kilobytes, Tunnel, 128 bits, HMAC-SHA)"},
		{"long lifetime", nil, create(10, nonce, esp(0, 1, "80010001 0002000400015180 80040001 80060080 80050002")),
			"#1 ESP SPI c0000001 T1 ESP_AES(3960 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"no lifetime", nil, create(10, nonce, esp(0, 1, "80040001 80060080 80050002")), "#1 ESP SPI c0000001 T1 ESP_AES(3960 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"ESP and AH", ah, create(10, nonce, esp(2, 1, aes), proposal(0, 1, 2, "0b9cc710", transform(0, 1, 3, des))),
			"#1 ESP SPI c0000001 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA); #1 AH SPI c0000002 T1 AH_SHA(3600 seconds, Tunnel, HMAC-SHA)"},
		{"AH and ESP", ah, create(10, nonce, proposal(2, 1, 2, "0b9cc710", transform(0, 1, 3, des)), esp(0, 1, aes)),
			"#1 AH SPI c0000002 T1 AH_SHA(3600 seconds, Tunnel, HMAC-SHA); #1 ESP SPI c0000001 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"IPComp", compressed, create(10, nonce, esp(2, 1, aes), proposal(0, 1, 4, "0000c710", transform(0, 1, 2, "80010001 80020e10 80040001"))),
			"#1 ESP SPI c0000002 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA); #1 IPCOMP SPI 00000101 T1 IPCOMP_DEFLATE(3600 seconds, Tunnel)"},
		{"selectors", nil, create(10, ids("04000000 0a010000 ffff0000", "04000000 0a020000 ffff0000"), esp(0, 1, aes)), "#1 ESP SPI c0000001 T1 ESP_AES(3600 seconds, Tunnel, 128 bits, HMAC-SHA)"},
		{"the hosts", nil, create(10, ids("01000000 c0000201", "01000000 c0000202"), esp(0, 1, aes)), ""},
		{"longer key", nil, create(10, nonce, esp(0, 1, aes256)), ""},                                                                            // kinkd would take it
		{"a later key length", nil, create(10, nonce, proposal(0, 1, 3, "0b9cc70f", transform(3, 1, 12, aes256), transform(0, 2, 12, aes))), ""}, // kinkd would keep the keys of the first
		{"other mode", nil, create(10, nonce, esp(0, 1, "80010001 80020e10 80040002 80060080 80050002")), ""},
		{"Blowfish", nil, create(10, nonce, proposal(0, 1, 3, "0b9cc70f", transform(0, 1, 7, aes))), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := peerOf("a", nameA, netB, netA, "aes128-sha1-noesn")
			b.Racoon2, b.ContributeNonce = true, true // which it would not heed with its first choice
			if c.child != nil {
				c.child(b.Children[0])
			}
			p := newPair(t, peerOf("b", nameB, netA, netB), b, nil)
			q := newCaller(p)
			payload := &message.ISAKMP{First: isakmp.PayloadSA, Version: isakmp.Version1, Chain: c.chain}
			offered, err := payload.Payloads()
			require.NoError(t, err)
			again, err := message.NewISAKMP(offered...)
			require.NoError(t, err)
			require.Equal(t, c.chain, again.Chain)

			ps := q.ask(q.command(message.Create, nil, payload))
			qs, err := ps.ISAKMP().Payloads()
			require.NoError(t, err)
			if c.answer == "" {
				require.Nil(t, qs.SA())
				require.True(t, qs.HasNotify(isakmp.NotifyNoProposalChosen))
				require.Empty(t, p.pb.SAs())
				return
			}
			require.Equal(t, "SA("+c.answer+")", qs.SA().String())
			first := !strings.HasPrefix(c.name, "second")
			require.Equal(t, first, qs.Nonce() == nil)
			ci, _ := qs.ClientIDs()
			require.Equal(t, c.name == "selectors", ci != nil, "as the request")
			require.Equal(t, first, len(find[ike.ChildUp](p.evB)) == 1)
		})
	}
}

// Everything that a Child can be, with either PRF's peers: made, rekeyed, deleted.
func TestKindsOfChild(t *testing.T) {
	for name, set := range map[string]func(c *ike.ChildConfig){
		"AH": func(c *ike.ChildConfig) {
			c.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoAH, "sha256-noesn")}
		},
		"AH around ESP": func(c *ike.ChildConfig) {
			c.Outer = []spd.Proposal{spd.MustParseProposal(spd.ProtoAH, "sha256-noesn")}
		},
		"IPComp": func(c *ike.ChildConfig) { c.IPComp = true },
		"no encryption": func(c *ike.ChildConfig) {
			c.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "null-sha1-noesn")}
		},
	} {
		for _, racoon2 := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				a, b := peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)
				set(a.Children[0])
				set(b.Children[0])
				a.Racoon2, b.Racoon2, b.ContributeNonce = racoon2, racoon2, !racoon2
				p := newPair(t, a, b, nil)
				id := p.initiate()
				up := find[ike.ChildUp](p.evA)
				require.Len(t, up, 1)
				require.Empty(t, spd.CompareMemory(p.pa, p.pb))
				require.NotEmpty(t, p.pa.SAs())
				require.NoError(t, p.a.RekeyChild(p.now, id, up[0].Child.ID))
				p.advance(time.Minute)
				require.Len(t, find[ike.ChildRekeyed](p.evA), 1)
				require.Empty(t, spd.CompareMemory(p.pa, p.pb))
				require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
				p.advance(3 * time.Minute)
				p.same(0)
			})
		}
	}
}

// kinkd deletes a bundle by all of its SPIs, each protocol in a payload of its own;
// any one of them is enough.
func TestDeletesOfKinkd(t *testing.T) {
	chain := slices.Concat(lengthened(10, octets(t, "00000001 00000001"),
		lengthened(2, octets(t, "01030401 0b9cc70f"), lengthened(0, octets(t, "010c0000 80010001 80020e10 80040001 80060080 80050002"))),
		lengthened(0, octets(t, "01040401 0000c710"), lengthened(0, octets(t, "01020000 80010001 80020e10 80040001")))),
		lengthened(0, make([]byte, 16)))
	esp := &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPISize: 4, SPIs: octets(t, "0b9cc70f")}
	cpi := &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIPComp, SPISize: 4, SPIs: octets(t, "0000c710")}
	short := &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIPComp, SPISize: 2, SPIs: octets(t, "c710")}
	other := &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIPComp, SPISize: 2, SPIs: octets(t, "c711")}
	for _, c := range []struct {
		named []isakmp.Payload
		want  string
	}{
		{[]isakmp.Payload{esp, cpi}, "D(ESP c0000002) D(IPCOMP 00000101)"},
		{[]isakmp.Payload{cpi, esp}, "D(IPCOMP 00000101) D(ESP c0000002)"},
		{[]isakmp.Payload{esp}, "D(ESP c0000002)"},
		{[]isakmp.Payload{short}, "D(IPCOMP 0101)"},
		{[]isakmp.Payload{other}, ""},
	} {
		b := peerOf("a", nameA, netB, netA, "aes128-sha1-noesn")
		b.Racoon2 = true
		b.Children[0].IPComp = true
		p := newPair(t, peerOf("b", nameB, netA, netB), b, nil)
		q := newCaller(p)
		accepted(t, q.ask(q.command(message.Create, nil, &message.ISAKMP{First: isakmp.PayloadSA, Version: isakmp.Version1, Chain: chain})))
		require.Len(t, p.pb.SAs(), 4)
		d, err := message.NewISAKMP(c.named...)
		require.NoError(t, err)
		ps, err := q.ask(q.command(message.Delete, nil, d)).ISAKMP().Payloads()
		require.NoError(t, err)
		if c.want == "" {
			require.True(t, ps.HasNotify(isakmp.NotifyInvalidSPI))
			require.Len(t, p.pb.SAs(), 4)
			continue
		}
		require.False(t, ps.HasNotify(isakmp.NotifyInvalidSPI))
		var got []string
		for d := range ps.Deletes() {
			got = append(got, d.String())
		}
		require.Equal(t, c.want, strings.Join(got, " "))
		p.advance(time.Minute)
		require.Empty(t, p.pb.SAs())
		require.Len(t, find[ike.ChildDown](p.evB), 1)
	}
}
