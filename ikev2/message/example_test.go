package message_test

import (
	"errors"
	"fmt"

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// An IKE_SA_INIT request, written payload after payload into one buffer.
func ExampleBuilder() {
	buf := make([]byte, 0, 1500)
	b := message.NewBuilder(buf, message.Header{
		SPIi:     0x1122334455667788,
		Exchange: message.ExchangeIKESAInit,
		Flags:    message.FlagInitiator,
	})
	b.Add(&message.SA{Proposals: []message.Proposal{{
		Num:      1,
		Protocol: spd.ProtoIKE,
		Transforms: []message.Transform{
			{Transform: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256}},
			{Transform: spd.Transform{Type: spd.TransformPRF, ID: spd.PRFHMACSHA256}},
			{Transform: spd.Transform{Type: spd.TransformKE, ID: spd.KECurve25519}},
		},
	}}})
	b.Add(&message.KE{Group: spd.KECurve25519, Data: make([]byte, 32)})
	b.Add(&message.Nonce{Data: make([]byte, 32)})
	b.Add(&message.Notify{Type: message.NotifyIKEv2FragmentationSupported})
	datagram, err := b.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(datagram), "octets")
	m, _ := message.Parse(datagram)
	fmt.Println(m)
	// Output:
	// 152 octets
	// 1122334455667788:0000000000000000 IKE_SA_INIT request 0 from initiator: SA(#1 IKE ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519) KE(CURVE25519 32 octets) Nonce(32 octets) N(IKEV2_FRAGMENTATION_SUPPORTED)
}

// A responder looks at what arrived, and answers what it cannot read as RFC
// 7296 2.21 says.
func ExampleParse() {
	datagram := unhex(`1122334455667788 0000000000000000 28 20 22 08 00000000 0000002a
		00 00 000e 01020304050607080910`)
	m, err := message.Parse(datagram)
	var pe *message.ParseError
	if errors.As(err, &pe) {
		fmt.Println(pe)
		fmt.Println("answer:", pe.Notify())
		return
	}
	fmt.Println(m.Nonce())
	// Output:
	// message: Nonce payload at octet 32: invalid syntax: nonce of 10 octets
	// answer: INVALID_SYNTAX
}

// The parts of a decoded message, without type switches.
func ExamplePayloads() {
	m := saInit()
	for _, p := range m.SA().Proposals {
		fmt.Println(p)
	}
	fmt.Println("group", m.KE().Group, "fragmentation", m.HasNotify(message.NotifyIKEv2FragmentationSupported))
	if n := m.Notify(message.NotifySignatureHashAlgorithms); n != nil {
		algs, err := n.HashAlgorithms()
		fmt.Println(algs, err)
	}
	// Output:
	// #1 IKE ENCR_AES_GCM_16-256 ENCR_AES_GCM_16-128 PRF_HMAC_SHA2_256 PRF_HMAC_SHA2_384 CURVE25519 ECP_256 MODP_2048
	// #2 IKE ENCR_AES_CBC-256 ENCR_AES_CBC-128 AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 CURVE25519 ECP_256 MODP_2048
	// group 31 fragmentation true
	// [SHA2-256 SHA2-384 SHA2-512 Identity] <nil>
}

// An encrypted message is laid out first, then encrypted where it stands.
func ExampleBuilder_Seal() {
	b := message.NewBuilder(nil, message.Header{SPIi: 1, SPIr: 2, Exchange: message.ExchangeInformational, MessageID: 7})
	b.BeginSK(8) // octets of IV
	b.Add(&message.Delete{Protocol: spd.ProtoESP, SPISize: 4, SPIs: unhex("c0ffee01")})
	s, err := b.Seal(1, 16) // no block size, 16 octets of ICV
	if err != nil {
		fmt.Println(err)
		return
	}
	// aead.Seal(s.Plaintext[:0], nonce, s.Plaintext, s.AAD)
	fmt.Println(len(s.AAD), len(s.IV), len(s.Plaintext), len(s.ICV), len(s.Message))
	// Output: 32 8 13 16 69
}

// Which payloads a message has, without decoding them: for routing, and for
// what may be dropped at once.
func ExampleParseChain() {
	datagram, _ := saInit().AppendBinary(nil)
	h, err := message.ParseHeader(datagram)
	if err != nil {
		return
	}
	chain, err := message.ParseChain(h.NextPayload, datagram[message.HeaderLen:])
	if err != nil {
		return
	}
	for _, p := range chain[:3] {
		fmt.Println(p.Type, len(p.Body))
	}
	// Output:
	// SA 144
	// KE 36
	// Nonce 32
}

// A gateway hands out an address and split DNS.
func ExampleCP() {
	reply := message.CP{Type: message.ConfigReply, Attributes: []message.ConfigAttribute{
		{Type: message.AttrInternalIP4Address, Value: message.AppendAddrValue(nil, addr("10.9.0.7"))},
		{Type: message.AttrInternalIP4DNS, Value: message.AppendAddrValue(nil, addr("10.9.0.1"))},
		{Type: message.AttrInternalDNSDomain, Value: []byte("corp.example")},
	}}
	fmt.Println(reply)
	// Output: CP(CFG_REPLY INTERNAL_IP4_ADDRESS=10.9.0.7 INTERNAL_IP4_DNS=10.9.0.1 INTERNAL_DNS_DOMAIN="corp.example")
}
