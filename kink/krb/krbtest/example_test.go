package krbtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
)

var now = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// A realm whose KDC is away for a while.
func Example() {
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.NewChaCha8([32]byte{}), krb.AES128SHA256)
	a, b := realm.Host("kink/a"), realm.Host("kink/b")
	realm.SetDown(errors.New("no route to host"))
	_, err := a.ServiceTicket(context.Background(), now, b.Principal(), krb.TicketOptions{})
	fmt.Println(err)
	realm.SetDown(nil)
	t, err := a.ServiceTicket(context.Background(), now, b.Principal(), krb.TicketOptions{})
	fmt.Println(t, err)
	// Output:
	// no route to host
	// ticket of kink/a@EXAMPLE.COM for kink/b@EXAMPLE.COM until 2030-01-02T22:00:00Z <nil>
}

func accept(t *testing.T, tkt *krb.Ticket, keys krb.KeySource) error {
	b, err := tkt.APReq(nil, krb.StampOf(now), rand.NewChaCha8([32]byte{1}))
	require.NoError(t, err)
	req, err := krb.ParseAPReq(b)
	require.NoError(t, err)
	_, err = (&krb.Acceptor{Keys: keys}).Accept(now, netip.Addr{}, req)
	return err
}

func TestRekey(t *testing.T) {
	r := krbtest.NewRealm("R", rand.NewChaCha8([32]byte{}), krb.AES128SHA256)
	a, b := r.Host("a"), r.Host("b")
	ctx := context.Background()
	old, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
	require.NoError(t, err)
	r.Rekey("b")
	fresh, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{Fresh: true})
	require.NoError(t, err)
	require.ErrorIs(t, accept(t, fresh, b), krb.APErrBadKeyVer)
	require.NoError(t, b.Reload(ctx))
	require.NoError(t, accept(t, fresh, b))
	require.NoError(t, accept(t, old, b))
	_, err = a.ServiceTicket(ctx, now, r.Principal("none"), krb.TicketOptions{})
	require.ErrorIs(t, err, krb.KDCErrSPrincipalUnknown)
}

func TestLifetimeAndTrust(t *testing.T) {
	r := krbtest.NewRealm("R", rand.NewChaCha8([32]byte{}), krb.AES128SHA256)
	s := krbtest.NewRealm("S", rand.NewChaCha8([32]byte{2}), krb.AES128SHA256)
	a, b := r.Host("a"), s.Host("b")
	ctx := context.Background()
	_, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
	require.ErrorIs(t, err, krb.KDCErrSPrincipalUnknown)
	r.Trust(s)
	s.SetLifetime(time.Minute)
	tkt, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
	require.NoError(t, err)
	require.Equal(t, now.Add(time.Minute), tkt.EndTime)
	require.NoError(t, accept(t, tkt, b))
	again, err := a.ServiceTicket(ctx, now.Add(59*time.Second), b.Principal(), krb.TicketOptions{})
	require.NoError(t, err)
	require.Same(t, tkt, again)
	again, err = a.ServiceTicket(ctx, now.Add(time.Minute), b.Principal(), krb.TicketOptions{})
	require.NoError(t, err)
	require.NotSame(t, tkt, again)
	require.Equal(t, 2, s.Requests())
}
