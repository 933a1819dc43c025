package krb_test

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/racoon3/racoon/kink/krb"
)

// more appends fields to the SEQUENCE in an application type.
func more(t *testing.T, der []byte, fields ...[]byte) []byte {
	s := cryptobyte.String(der)
	var app, seq cryptobyte.String
	var tag asn1.Tag
	require.True(t, s.ReadAnyASN1(&app, &tag) && app.ReadASN1(&seq, asn1.SEQUENCE))
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(seq)
			for _, f := range fields {
				b.AddBytes(f)
			}
		})
	})
	return b.BytesOrPanic()
}

// Subkeys, sequence numbers and authorization data of authenticators are ignored
// (RFC 4430 7): the key is the ticket's.
func TestSubkeyIgnored(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	key := func() *krb.Key {
		k, err := krb.RandomKey(krb.AES128SHA1, rand.Reader)
		require.NoError(t, err)
		return k
	}
	service, session := key(), key()
	me := krb.Principal{Name: "kink/b.example.com", Realm: "EXAMPLE.COM"}
	ticket, err := (&krb.Issue{Client: krb.Principal{Name: "kink/a.example.com", Realm: "EXAMPLE.COM"}, Server: me, Session: session, AuthTime: now, StartTime: now,
		EndTime: now.Add(time.Hour), Seal: service, KVNO: 3}).Ticket(rand.Reader)
	require.NoError(t, err)
	part, auth := krb.DecryptedParts(ticket, service, krb.StampOf(now))
	subkey := append([]byte{0xa6, 0x1b, 0x30, 0x19, 0xa0, 0x03, 0x02, 0x01, 17, 0xa1, 0x12, 0x04, 0x10}, make([]byte, 16)...)
	auth = more(t, auth, subkey, []byte{0xa7, 0x03, 0x02, 0x01, 0x05}, []byte{0xa8, 0x02, 0x30, 0x00})
	a := krb.Acceptor{Keys: krb.NewKeytab(krb.KeytabEntry{Principal: me, KVNO: 3, Key: service})}
	from, err := a.Accept(now, netip.Addr{}, krb.SealedAPReq(me, service, part, session, auth))
	require.NoError(t, err)
	require.True(t, from.Key.Equal(session))
	require.Equal(t, krb.StampOf(now), from.Stamp)
}
