package ikev2

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
)

// Why a peer's configuration is that of a session: its address, its identity,
// and what proved it.
func TestWhyThisPeer(t *testing.T) {
	psk := func(a, b *Peer, ca, cb *Config) {}
	for _, c := range []struct {
		name string
		auth sceneOption
		id   string
		nets []string
		a, b string
	}{
		{name: "identity", auth: psk, id: "a.example", b: "any address, identity is a.example"},
		{name: "pattern", auth: psk, id: "*.example", nets: []string{"198.51.100.0/24", "192.0.2.0/24"}, b: "address 192.0.2.1 is in 192.0.2.0/24, identity matches *.example"},
		{name: "any", auth: psk, id: "*", b: "any address, any identity"},
		{name: "certificate", auth: certificates(t, testpki.P256, testpki.P256), id: "a.example",
			a: ", certificate C=CH, O=lab, CN=b.example under C=CH, O=lab, CN=test CA",
			b: "any address, identity is a.example, certificate C=CH, O=lab, CN=a.example under C=CH, O=lab, CN=test CA"},
	} {
		t.Run(c.name, func(t *testing.T) {
			why := make(map[string]string)
			note := func(side string) ike.Authorize {
				return func(_ context.Context, r ike.AuthorizeRequest) error {
					why[side] = r.Why
					return nil
				}
			}
			s := newScene(t, c.auth, func(_, b *Peer, ca, cb *Config) {
				ca.Authorize, cb.Authorize = note("A"), note("B")
				var err error
				b.Remote.ID, err = ike.ParseIdentityPattern(c.id)
				require.NoError(t, err)
				b.RemoteAddrs = nil
				for _, n := range c.nets {
					b.RemoteAddrs = append(b.RemoteAddrs, netip.MustParsePrefix(n))
				}
			}).atPKITime()
			s.initiate().flush()
			s.converged(1)
			require.Equal(t, map[string]string{"A": "called by this side" + c.a, "B": c.b}, why)
		})
	}
}
