package krb

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// Unseal decrypts the content of a KINK_ENCRYPT payload and returns the
// confounder too.
func (k *Key) Unseal(ciphertext []byte) []byte {
	n := len(ciphertext) - k.p.macLen
	text := append([]byte(nil), ciphertext[:n]...)
	if c := k.encryption(usageKINKEncrypt).ke; k.p.cts {
		decryptCTS(c, text)
	} else {
		decryptCBC(c, text)
	}
	return text
}

var zeros = bytes.NewReader(make([]byte, 1<<20))

// DecryptedParts returns what is inside a ticket and an authenticator for it.
func DecryptedParts(t *Ticket, seal *Key, s Stamp) (part, auth []byte) {
	x, err := ParseTicket(t.Raw)
	if err != nil {
		panic(err)
	}
	part, err = seal.Decrypt(usageTicket, x.cipher)
	if err != nil {
		panic(err)
	}
	b, err := t.APReq(nil, s, zeros)
	if err != nil {
		panic(err)
	}
	r, err := ParseAPReq(b)
	if err != nil {
		panic(err)
	}
	auth, err = t.Key.Decrypt(usageAPReq, r.authenticator.cipher)
	if err != nil {
		panic(err)
	}
	return part, auth
}

// SealedAPReq is the AP-REQ with those parts.
func SealedAPReq(server Principal, seal *Key, part []byte, session *Key, auth []byte) *APReq {
	enc := func(k *Key, usage uint32, b []byte) []byte {
		return k.seal(append(make([]byte, k.p.block), b...), 0, usage)
	}
	return &APReq{
		Mutual:        true,
		Ticket:        &SealedTicket{Server: server, EType: seal.etype, KVNO: 3, cipher: enc(seal, usageTicket, part)},
		authenticator: encryptedData{etype: session.etype, cipher: enc(session, usageAPReq, auth)},
	}
}

// ParseAnyKDCReply decodes b as everything that a KDC may answer, and as what is
// encrypted in it.
func ParseAnyKDCReply(b []byte) {
	key, err := RandomKey(AES128SHA1, bytes.NewReader(make([]byte, 16)))
	if err != nil {
		panic(err)
	}
	for _, kind := range []uint8{msgASReq, msgTGSReq} {
		if p, err := parseKDCReply(b, kind); err == nil {
			parseETypeInfo(p.pa)
			_, _ = p.open(key, usageTGSRep, &kdcRequest{})
		}
	}
	if pa, ok := parsePAData(b); ok {
		parseETypeInfo(pa)
	}
	parseETypeInfo([]paData{{paETypeInfo2, b}})
	sealed := key.seal(append(make([]byte, 16), b...), 0, usageTGSRep)
	_, _ = (&kdcReply{enc: encryptedData{etype: key.etype, cipher: sealed}}).open(key, usageTGSRep, &kdcRequest{})
}

// recorder is a Transport that answers from the requests of others.
type recorder struct{ requests [][]byte }

func (r *recorder) Exchange(_ context.Context, _ string, request []byte) ([]byte, error) {
	r.requests = append(r.requests, request)
	return nil, KDCErrServiceUnavailable
}

// KDCReplies returns seeds: a request, which has much in common with replies,
// and a ticket.
func KDCReplies(t testing.TB) [][]byte {
	k, err := RandomKey(AES128SHA1, bytes.NewReader(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	me := Principal{"a", "R"}
	r := &recorder{}
	c := NewClient(ClientConfig{Principal: me, Transport: r, Random: bytes.NewReader(make([]byte, 1000)), ETypes: []EType{AES128SHA1}})
	c.SetKeytab(NewKeytab(KeytabEntry{Principal: me, KVNO: 1, Key: k}))
	_, _ = c.TGT(context.Background(), time.Unix(1, 0))
	return r.requests
}

// Clients returns of how many clients something is remembered.
func (c *ReplayCache) Clients() int { return len(c.clients) }
