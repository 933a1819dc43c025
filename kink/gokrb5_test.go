package kink

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/kink/krb"
)

// Another implementation of Kerberos in Go takes our AP-REQ, and its AP-REQ is
// taken by us: tickets, keytab, keys of passwords and authenticators are the same.
func TestGokrb5(t *testing.T) {
	client, server := types.NewPrincipalName(1, nameA), types.NewPrincipalName(1, nameB)
	for _, etype := range []krb.EType{krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384} {
		t.Run(etype.String(), func(t *testing.T) {
			now := time.Now() // gokrb5 reads the clock
			kt := keytab.New()
			require.NoError(t, kt.AddEntry(nameB, realm, "a password", now, 3, int32(etype)))
			file, err := kt.Marshal()
			require.NoError(t, err)
			ours, err := krb.ParseKeytab(file)
			require.NoError(t, err)
			me := krb.Principal{Name: nameB, Realm: realm}
			keys, err := ours.ServiceKeys(me, etype, 3)
			require.NoError(t, err)

			// Its ticket and AP-REQ. Its session keys of the longest type are too short.
			if etype != krb.AES256SHA384 {
				ticket, session, err := messages.NewTicket(client, realm, server, realm, types.NewKrbFlags(), kt, int32(etype), 3, now, now, now.Add(time.Hour), now.Add(time.Hour))
				require.NoError(t, err)
				auth, err := types.NewAuthenticator(realm, client)
				require.NoError(t, err)
				theirs, err := messages.NewAPReq(ticket, session, auth)
				require.NoError(t, err)
				der, err := theirs.Marshal()
				require.NoError(t, err)
				req, err := krb.ParseAPReq(der)
				require.NoError(t, err)
				a := krb.Acceptor{Keys: ours, Servers: []krb.Principal{me}}
				from, err := a.Accept(now, netip.Addr{}, req)
				require.NoError(t, err)
				require.Equal(t, krb.Principal{Name: nameA, Realm: realm}, from.Client)
			}

			// Ours.
			key, err := krb.RandomKey(etype, rand.Reader)
			require.NoError(t, err)
			i := krb.Issue{Client: krb.Principal{Name: nameA, Realm: realm}, Server: me, Session: key, AuthTime: now, StartTime: now.Add(-time.Minute), EndTime: now.Add(time.Hour), Seal: keys[0], KVNO: 3}
			tkt, err := i.Ticket(rand.Reader)
			require.NoError(t, err)
			der, err := tkt.APReq(nil, krb.StampOf(now), rand.Reader)
			require.NoError(t, err)
			var got messages.APReq
			require.NoError(t, got.Unmarshal(der))
			ok, err := got.Verify(kt, 5*time.Minute, types.HostAddress{}, nil)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, nameA, got.Authenticator.CName.PrincipalNameString())
		})
	}
}
