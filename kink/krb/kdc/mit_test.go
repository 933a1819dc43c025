//go:build linux

package kdc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
)

// host returns a host of the realm that knows its KDC by address only.
func host(t *testing.T, k *lab.KDC, name string, change ...func(*kdc.Config)) *kdc.Kerberos {
	t.Helper()
	c := kdc.Config{Principal: name + "@" + k.Realm, Keytab: k.Keytab(name), KDCs: map[string][]string{k.Realm: {k.Addr.String()}}}
	for _, f := range change {
		f(&c)
	}
	h, err := kdc.New(c)
	require.NoError(t, err)
	return h
}

// exchange does the AP exchange from a to b with the ticket.
func exchange(t *testing.T, tkt *krb.Ticket, acc *krb.Acceptor) *krb.Accepted {
	t.Helper()
	var s krb.Stamper
	now := time.Now()
	stamp := s.Next(now)
	b, err := tkt.APReq(nil, stamp, rand.Reader)
	require.NoError(t, err)
	req, err := krb.ParseAPReq(b)
	require.NoError(t, err)
	peer, err := acc.Accept(now, netip.Addr{}, req)
	require.NoError(t, err)
	require.Equal(t, tkt.Client, peer.Client)
	require.Equal(t, tkt.Server, peer.Server)
	require.True(t, peer.Key.Equal(tkt.Key))
	require.WithinDuration(t, tkt.EndTime, peer.EndTime, 0)
	rep, err := krb.AppendAPRep(nil, peer.Key, peer.Stamp, rand.Reader)
	require.NoError(t, err)
	got, err := krb.OpenAPRep(rep, tkt.Key)
	require.NoError(t, err)
	require.Equal(t, stamp, got)
	return peer
}

// Every encryption type with a real KDC: AS and TGS exchange with a keytab, the
// AP exchange, user-to-user.
func TestMIT(t *testing.T) {
	lab.Require(t, lab.MITKDC)
	for _, e := range krb.DefaultETypes() {
		t.Run(e.String(), func(t *testing.T) {
			k := lab.StartKDC(t, lab.KDCConfig{ETypes: []string{e.String()}})
			k.AddPrincipal("kink/a.example.com", "kink/b.example.com")
			a, b := host(t, k, "kink/a.example.com"), host(t, k, "kink/b.example.com")
			ctx, now := context.Background(), time.Now()

			tkt, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
			require.NoError(t, err)
			require.Equal(t, e, tkt.Key.EType())
			require.True(t, tkt.Valid(now))
			require.WithinDuration(t, now.Add(10*time.Hour), tkt.EndTime, time.Minute)
			again, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
			require.NoError(t, err)
			require.Same(t, tkt, again)
			fresh, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{Fresh: true})
			require.NoError(t, err)
			require.False(t, fresh.Key.Equal(tkt.Key))
			peer := exchange(t, tkt, &krb.Acceptor{Keys: b, Replays: krb.NewReplayCache(krb.DefaultSkew, 0, 0)})
			require.False(t, peer.UserToUser)

			tgt, err := b.TGT(ctx, now)
			require.NoError(t, err)
			sealed, err := krb.ParseTicket(tgt.Raw)
			require.NoError(t, err)
			require.True(t, sealed.IsLocalTGT())
			u2u, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{TGT: tgt.Raw})
			require.NoError(t, err)
			peer = exchange(t, u2u, &krb.Acceptor{TGTs: []*krb.Ticket{tgt}})
			require.True(t, peer.UserToUser)
		})
	}
}

func krbError(err error) (*krb.KRBError, bool) { return errors.AsType[*krb.KRBError](err) }
