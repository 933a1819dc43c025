package krb_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"net/netip"
	"testing"

	"github.com/racoon3/racoon/kink/krb"
)

// BenchmarkAPExchange is the Kerberos of one CREATE, both sides together:
// AP-REQ, Accept, AP-REP, and its verification. raw is the AES and HMAC in it:
// five encryptions and decryptions of about 200 octets.
func BenchmarkAPExchange(b *testing.B) {
	for _, e := range krb.DefaultETypes() {
		b.Run(e.String(), func(b *testing.B) {
			tkt := ticket(b, issue(b, e))
			a := acceptor(b, e)
			a.Replays = nil
			r := random(4)
			b.ReportAllocs()
			for b.Loop() {
				raw, err := tkt.APReq(nil, krb.StampOf(noon), r)
				if err != nil {
					b.Fatal(err)
				}
				req, err := krb.ParseAPReq(raw)
				if err != nil {
					b.Fatal(err)
				}
				peer, err := a.Accept(noon, netip.Addr{}, req)
				if err != nil {
					b.Fatal(err)
				}
				rep, err := krb.AppendAPRep(nil, peer.Key, peer.Stamp, r)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := krb.OpenAPRep(rep, tkt.Key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("raw AES-128 HMAC-SHA-256", func(b *testing.B) {
		block, err := aes.NewCipher(make([]byte, 16))
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 208)
		b.ReportAllocs()
		for b.Loop() {
			for range 5 {
				cipher.NewCBCEncrypter(block, buf[:16]).CryptBlocks(buf, buf)
				h := hmac.New(sha256.New, buf[:16])
				h.Write(buf)
				h.Sum(nil)
			}
		}
	})
}

// BenchmarkProtect is what a session key does for one KINK message: KINK_ENCRYPT
// and the checksum.
func BenchmarkProtect(b *testing.B) {
	for _, e := range krb.DefaultETypes() {
		b.Run(e.String(), func(b *testing.B) {
			k := randomKey(b, e, 1)
			text := make([]byte, 200, 1000)
			head := make([]byte, 16)
			b.ReportAllocs()
			for b.Loop() {
				sealed, err := k.Seal(text, 0)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := k.AppendChecksum(sealed, head, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
