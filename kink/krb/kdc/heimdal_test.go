//go:build linux

package kdc_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink/krb"
)

// TestMIT with Heimdal's KDC.
func TestHeimdal(t *testing.T) {
	lab.Require(t, lab.HeimdalKDC)
	for _, e := range krb.DefaultETypes() {
		t.Run(e.String(), func(t *testing.T) {
			k := lab.StartKDC(t, lab.KDCConfig{Heimdal: true, ETypes: []string{e.String()}})
			k.AddPrincipal("kink/a.example.com", "kink/b.example.com")
			a, b := host(t, k, "kink/a.example.com"), host(t, k, "kink/b.example.com")
			ctx, now := context.Background(), time.Now()
			tkt, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{})
			require.NoError(t, err)
			require.Equal(t, e, tkt.Key.EType())
			exchange(t, tkt, &krb.Acceptor{Keys: b})

			tgt, err := b.TGT(ctx, now)
			require.NoError(t, err)
			u2u, err := a.ServiceTicket(ctx, now, b.Principal(), krb.TicketOptions{TGT: tgt.Raw})
			require.NoError(t, err)
			require.True(t, exchange(t, u2u, &krb.Acceptor{TGTs: []*krb.Ticket{tgt}}).UserToUser)
			_, err = a.ServiceTicket(ctx, now, krb.ServicePrincipal("kink", "none", k.Realm), krb.TicketOptions{})
			require.ErrorIs(t, err, krb.KDCErrSPrincipalUnknown)
		})
	}
}
