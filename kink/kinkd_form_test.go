package kink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// formOf is what a message looks like where the RFC, or what kinkd reads, leaves no
// freedom: header and reserved fields, order and number of payloads, AP options,
// padding. It does not use the codec. A fault of form fails the test.
func formOf(t testing.TB, b []byte, key *krb.Key) (form []string) {
	t.Helper()
	say := func(format string, args ...any) { form = append(form, fmt.Sprintf(format, args...)) }
	u16 := func(b []byte) int { return int(binary.BigEndian.Uint16(b)) }
	zero := func(what string, b []byte) {
		require.Equal(t, make([]byte, len(b)), b, "%s is not zero", what)
	}
	require.GreaterOrEqual(t, len(b), 16)
	cksum := u16(b[14:])
	say("type %d, version %02x, DOI %d, flags %02x, checksum of %d octets", b[0], b[1], binary.BigEndian.Uint32(b[4:]), b[13], cksum)
	require.Equal(t, len(b), u16(b[2:]), "length")
	require.Zero(t, (len(b)-cksum)%4, "the checksum is aligned")

	// The checksum is over the message without it, with lengths as if there were none.
	plain := bytes.Clone(b[:len(b)-cksum])
	binary.BigEndian.PutUint16(plain[2:], uint16(len(plain)))
	plain[14], plain[15] = 0, 0
	require.True(t, key.VerifyChecksum(plain[:16], plain[16:], b[len(b)-cksum:]))

	// chain walks payloads that begin with next, reserved, length.
	chain := func(name string, next byte, b []byte, aligned bool, each func(kind byte, body []byte)) (rest []byte) {
		for next != 0 {
			require.GreaterOrEqual(t, len(b), 4, name)
			n := u16(b[2:])
			zero(name+" reserved", b[1:2])
			require.LessOrEqual(t, n, len(b), name)
			say("%s %d", name, next)
			each(next, b[4:n])
			next = b[0]
			end := n
			if aligned {
				end = min((n+3)&^3, len(b))
				zero(name+" padding", b[n:end])
			}
			b = b[end:]
		}
		return b
	}
	quick := func(kind byte, body []byte) {
		switch kind {
		case 1: // SA
			say("DOI %d, situation %d", binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:]))
			number := byte(1)
			rest := chain("proposal", 2, body[8:], false, func(_ byte, p []byte) {
				require.Equal(t, number, p[0])
				say("protocol %d, SPI of %d octets", p[1], p[2])
				number++
				transforms := 0
				rest := chain("transform", 3, p[4+p[2]:], false, func(_ byte, tr []byte) {
					transforms++
					require.EqualValues(t, transforms, tr[0])
					zero("transform", tr[2:4])
				})
				require.Empty(t, rest)
				require.EqualValues(t, transforms, p[3])
			})
			require.Empty(t, rest)
		case 10:
			require.True(t, len(body) >= 8 && len(body) <= 256, "nonce")
		case 12:
			say("DOI %d, protocol %d, SPI size %d", binary.BigEndian.Uint32(body), body[4], body[5])
			require.Len(t, body, 8+int(body[5])*u16(body[6:]))
		}
	}
	var payload func(kind byte, body []byte)
	payload = func(kind byte, body []byte) {
		switch message.PayloadType(kind) {
		case message.PayloadAPReq:
			at := bytes.Index(body[4:], []byte{0xa2, 0x07, 0x03, 0x05, 0x00})
			require.Positive(t, at, "AP options")
			say("AP options %x", body[4+at+5:4+at+9])
		case message.PayloadISAKMP:
			say("first %d, Quick Mode %02x", body[0], body[1])
			zero("KINK_ISAKMP reserved", body[2:4])
			require.Empty(t, chain("ISAKMP", body[0], body[4:], false, quick))
		case message.PayloadEncrypt:
			text, err := key.Open(body)
			require.NoError(t, err)
			zero("KINK_ENCRYPT reserved", text[1:4])
			say("inner first %d", text[0])
			zero("padding of the cipher", chain("inner", text[0], text[4:], true, payload))
		}
	}
	require.Empty(t, chain("payload", b[12], b[16:len(b)-cksum], true, payload))
	return form
}

// withoutFreedom leaves out what differs by configuration: further proposals and
// transforms, and the ID payloads, which kinkd neither sends nor reads.
func withoutFreedom(form []string) (kept []string) {
	for _, line := range form {
		if line == "ISAKMP 5" || (line == "transform 3" || line == "proposal 2") && slices.Contains(kept, line) {
			continue
		}
		kept = append(kept, line)
	}
	return kept
}

// Our commands have the form of kinkd's: of all that was recorded.
func TestCommandsLikeKinkd(t *testing.T) {
	recorded := map[message.Type][]string{}
	for _, r := range []struct{ name, keytab string }{{"kink-2way-aes128", "b-aes128"}, {"kink-2way-aes256", "b-aes256"}, {"kink-rekey", "b-aes256"}, {"kink-krberror-skew", "b-aes256"}} {
		packets, err := pcap.ReadFile("krb/testdata/kinkd/" + r.name + ".pcap")
		require.NoError(t, err)
		file, err := os.ReadFile("krb/testdata/kinkd/" + r.keytab + ".keytab")
		require.NoError(t, err)
		keytab, err := krb.ParseKeytab(file)
		require.NoError(t, err)
		acceptor := krb.Acceptor{Keys: keytab}
		for d := range pcap.UDP(packets) {
			m, err := message.Parse(d.Payload)
			if d.Dst.Port() != message.Port || err != nil || m.APReq() == nil {
				continue
			}
			req, err := krb.ParseAPReq(m.APReq().Data)
			require.NoError(t, err)
			from, _ := acceptor.Accept(d.Time, d.Src.Addr(), req)
			if from == nil {
				continue // the other host's
			}
			form := withoutFreedom(formOf(t, d.Payload[:binary.BigEndian.Uint16(d.Payload[2:])], from.Key))
			if before := recorded[m.Header.Type]; before != nil {
				require.Equal(t, before, form, "kinkd has no freedom either")
			}
			recorded[m.Header.Type] = form
		}
	}
	require.Contains(t, recorded, message.Create)
	require.Contains(t, recorded, message.Delete)
	for _, c := range []message.Type{message.Status, message.Ack} { // that of an AP-REQ alone
		recorded[c] = []string{fmt.Sprintf("type %d, version 10, DOI 1, flags 00, checksum of 12 octets", c), "payload 1", "AP options 20000000"}
	}

	a, b := peerOf("b", nameB, netA, netB, "aes128-sha1-noesn"), peerOf("a", nameA, netB, netA, "aes128-sha1-noesn")
	a.Racoon2, b.Racoon2 = true, true
	a.Children[0].Remote = append(a.Children[0].Remote, spd.MustParseTrafficSelector("10.3.0.0/16"))
	p := newPair(t, a, b, nil)
	seen := map[message.Type]int{}
	d := newDouble(p, func(c *command) {
		seen[c.m.Header.Type]++
		form := formOf(t, c.octets, c.from.Key)
		switch c.m.Header.Type {
		case message.Create:
			require.Equal(t, recorded[message.Create], withoutFreedom(form))
			switch seen[message.Create] {
			case 1:
				c.reply(false, c.sa(nil))
			default: // another choice, which is acknowledged
				c.reply(true, c.sa(nil, &isakmp.Nonce{Data: make([]byte, 32)}))
			}
		default:
			require.Equal(t, recorded[c.m.Header.Type], withoutFreedom(form), "%v", c.m.Header.Type)
			if c.m.Header.Type != message.Ack {
				c.reply(false)
			}
		}
	})
	id := p.initiate()
	require.Equal(t, 2, seen[message.Create], "one SA in each CREATE")
	require.Equal(t, 1, seen[message.Ack])
	require.Len(t, find[ike.ChildUp](p.evA), 2)
	require.NoError(t, p.a.CheckLiveness(p.now, id))
	p.run()
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.run()
	require.Equal(t, 1, seen[message.Delete])
	require.Equal(t, 1, seen[message.Status])
	require.NotEmpty(t, d.commands)
	require.Empty(t, p.pa.SAs())
}
