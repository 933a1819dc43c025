package message_test

import (
	"fmt"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A CREATE, written payload after payload into one buffer. The key would be
// the session key of the ticket in the AP-REQ, a *krb.Key.
func ExampleBuilder() {
	var key message.Key = testKey{}
	b := message.NewBuilder(make([]byte, 0, 1500), message.Header{Type: message.Create, XID: 7})
	b.Add(&message.APReq{Epoch: 1795309932, Data: apReq})
	b.BeginEncrypt(confounder)
	q := b.BeginISAKMP()
	q.Add(&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{{
		Num: 1, Protocol: spd.ProtoESP, SPI: []byte{0x12, 0x34, 0x56, 0x78},
		Transforms: []isakmp.Transform{{Num: 1, ID: uint8(isakmp.ESPAES), Attributes: []isakmp.Attribute{
			isakmp.Basic(isakmp.Phase2EncapsulationMode, isakmp.EncapsulationTunnel),
			isakmp.Basic(isakmp.Phase2KeyLength, uint16(256)),
			isakmp.Basic(isakmp.Phase2AuthAlgorithm, isakmp.AuthAlgorithmHMACSHA256),
		}}},
	}}})
	q.Add(&isakmp.Nonce{Data: make([]byte, 16)})
	b.EndISAKMP(&q)
	b.EndEncrypt(key)
	datagram, err := b.Sign(key)
	if err != nil {
		fmt.Println(err)
		return
	}

	m, err := message.Parse(datagram)
	fmt.Println(m, err)
	fmt.Println(m.Verify(key))
	ps, err := m.Open(key)
	fmt.Println(ps[1:], err)
	fmt.Println(ps.Check(m.Header))
	// Output:
	// CREATE 00000007: KINK_AP_REQ(epoch 2026-11-22T01:12:12Z 18 octets) KINK_ENCRYPT(82 octets) <nil>
	// <nil>
	// KINK_ISAKMP(SA(#1 ESP SPI 12345678 T1 ESP_AES(Tunnel, 256 bits, HMAC-SHA2-256)) NONCE(16 octets)) <nil>
	// <nil>
}

// A message that cannot be read, and what RFC 4430 has as an answer. An answer
// proves nothing without a key, and may be more than the question deserves.
func ExampleParse() {
	datagram := []byte{1, 0x20, 0, 16, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0}
	_, err := message.Parse(datagram)
	fmt.Println(err)
	h, _ := message.ParseHeader(datagram)
	b := message.NewBuilder(nil, message.Header{Type: message.Reply, XID: h.XID})
	b.Add(&message.Error{Code: err.(*message.ParseError).Code()})
	answer, _ := b.Finish()
	m, _ := message.Parse(answer)
	fmt.Println(m)
	// Output:
	// kink: header at octet 1: not KINK version 1: version 2
	// REPLY 00000009: KINK_ERROR(KINK_INVMAJ) without checksum
}
