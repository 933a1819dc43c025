package isakmp_test

import (
	"errors"
	"fmt"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// The first message of Main Mode, written payload after payload into one
// buffer.
func ExampleBuilder() {
	buf := make([]byte, 0, 1500)
	b := isakmp.NewBuilder(buf, isakmp.Header{
		CookieI:  0x1122334455667788,
		Exchange: isakmp.ExchangeIdentityProtection,
	})
	b.Add(&isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{{
		Num:      1,
		Protocol: spd.ProtoIKE,
		Transforms: []isakmp.Transform{{Num: 1, ID: isakmp.KeyIKE, Attributes: []isakmp.Attribute{
			isakmp.Basic(isakmp.Phase1EncryptionAlgorithm, isakmp.EncryptionAESCBC),
			isakmp.Basic(isakmp.Phase1KeyLength, uint16(256)),
			isakmp.Basic(isakmp.Phase1HashAlgorithm, isakmp.HashSHA256),
			isakmp.Basic(isakmp.Phase1AuthMethod, isakmp.AuthPreSharedKey),
			isakmp.Basic(isakmp.Phase1Group, isakmp.GroupMODP2048),
			isakmp.Basic(isakmp.Phase1LifeType, isakmp.LifeSeconds),
			isakmp.Basic(isakmp.Phase1LifeDuration, uint16(28800)),
		}}},
	}}})
	b.Add(&isakmp.VendorID{ID: unhex("afcad71368a1f1c96b8696fc77570100")})
	datagram, err := b.Finish()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(datagram), "octets")
	m, _ := isakmp.Parse(datagram)
	fmt.Println(m)
	// Output:
	// 104 octets
	// 1122334455667788:0000000000000000 Identity Protection: SA(#1 ISAKMP T1 KEY_IKE(AES-CBC, 256 bits, SHA2-256, Pre-shared key, MODP_2048, 28800 seconds)) VID(afcad71368a1f1c96b8696fc77570100)
}

// A message that is hashed and encrypted: the hash is reserved first, filled in
// when the payloads behind it are there, and all is encrypted where it stands.
func ExampleBuilder_Seal() {
	b := isakmp.NewBuilder(nil, isakmp.Header{CookieI: 1, CookieR: 2, Exchange: isakmp.ExchangeInformational, MessageID: 0x5eed})
	b.ReserveHash(20)
	b.Add(&isakmp.Notify{
		DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyRUThere,
		SPI: isakmp.AppendCookies(nil, 1, 2), Data: isakmp.AppendSequenceData(nil, 1384),
	})
	hash, covered := b.Hashed()
	// prf := hmac.New(sha1.New, skeyidA); prf.Write(messageID); prf.Write(covered); prf.Sum(hash[:0])
	fmt.Println(len(hash), len(covered))
	s, err := b.Seal(16) // octets of a block
	if err != nil {
		fmt.Println(err)
		return
	}
	// cipher.NewCBCEncrypter(block, iv).CryptBlocks(s.Plaintext, s.Plaintext)
	fmt.Println(len(s.Plaintext), len(s.Message))
	// Output:
	// 20 32
	// 64 92
}

// A responder looks at what arrived. An answer that RFC 2408 has for what
// cannot be read is there, but an unauthenticated one is rarely wise.
func ExampleParse() {
	datagram := unhex(`1122334455667788 0000000000000000 01 10 02 00 00000000 00000028
		00 00 000c 00000002 00000001`)
	_, err := isakmp.Parse(datagram)
	var pe *isakmp.ParseError
	if errors.As(err, &pe) {
		fmt.Println(pe)
		fmt.Println("answer:", pe.Notify())
	}
	// Output:
	// isakmp: SA payload at octet 32: unsupported domain of interpretation: GDOI
	// answer: DOI-NOT-SUPPORTED
}

// What was decrypted ends in padding. The hash in front covers the payloads
// behind it, exactly as they came.
func ExampleParsePaddedChain() {
	plaintext := unhex(`0b 00 0018 a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3
		00 00 000c 00000001 01 00 6002 000000000000000000000000`)
	chain, err := isakmp.ParsePaddedChain(isakmp.PayloadHASH, plaintext)
	if err != nil {
		fmt.Println(err)
		return
	}
	hash, covered, err := chain.Hashed(plaintext)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x covers %x\n", hash[:4], covered)
	payloads, err := chain.Payloads() // after the hash was compared
	fmt.Println(payloads, err)
	// Output:
	// a0a1a2a3 covers 0000000c0000000101006002
	// HASH(20 octets) N(INITIAL-CONTACT) <nil>
}

// Which payloads a message has, without decoding them: for routing, and for
// what may be dropped at once.
func ExampleParseChain() {
	datagram, _ := main1().AppendBinary(nil)
	h, err := isakmp.ParseHeader(datagram)
	if err != nil {
		return
	}
	chain, err := isakmp.ParseChain(h.NextPayload, datagram[isakmp.HeaderLen:])
	if err != nil {
		return
	}
	for _, p := range chain[:3] {
		fmt.Println(p.Type, len(p.Body))
	}
	// Output:
	// SA 160
	// VID 16
	// VID 16
}

// A gateway asks its client for name and password, and hands out an address.
func ExampleAttributes() {
	request := isakmp.Attributes{Type: isakmp.ConfigRequest, Identifier: 1, Attributes: []isakmp.ConfigAttribute{
		{Type: isakmp.AttrXAuthType, Basic: true, Value: uint16(isakmp.XAuthGeneric)},
		{Type: isakmp.AttrXAuthUserName}, {Type: isakmp.AttrXAuthUserPassword},
	}}
	fmt.Println(request)
	reply := isakmp.Attributes{Type: isakmp.ConfigReply, Identifier: 2, Attributes: []isakmp.ConfigAttribute{
		{Type: isakmp.AttrInternalIP4Address, Data: isakmp.AppendAddrValue(nil, addr("10.9.0.7"))},
		{Type: isakmp.AttrUnitySplitInclude, Data: isakmp.AppendUnityNetworkValue(nil, prefix("10.1.0.0/16"))},
	}}
	fmt.Println(reply)
	// Output:
	// ATTR(ISAKMP_CFG_REQUEST 1 XAUTH_TYPE=Generic XAUTH_USER_NAME XAUTH_USER_PASSWORD)
	// ATTR(ISAKMP_CFG_REPLY 2 INTERNAL_IP4_ADDRESS=10.9.0.7 UNITY_SPLIT_INCLUDE=[10.1.0.0/16])
}

// An identity of Quick Mode, and the traffic it stands for.
func ExampleNewSelectorID() {
	id, ok := isakmp.NewSelectorID(spd.MustParseTrafficSelector("10.1.0.0/16"))
	fmt.Println(id, ok)
	ts, err := id.TrafficSelector()
	fmt.Println(ts, err)
	// Output:
	// ID(ID_IPV4_ADDR_SUBNET 10.1.0.0/16) true
	// 10.1.0.0/16 <nil>
}

// Certificates wrapped in PKCS #7, as some peers send their chain.
func ExampleCERT_Certificates() {
	cert := isakmp.CERT{Encoding: isakmp.CertX509Signature, Data: []byte("DER of a certificate")}
	certs, err := cert.Certificates()
	fmt.Println(len(certs), err)
	cert.Encoding = isakmp.CertPKCS7
	_, err = cert.Certificates()
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// isakmp: CERT payload at octet 1: malformed payload: PKCS #7: not DER, or cut short
}
