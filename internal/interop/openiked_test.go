//go:build linux

package interop

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// An openIKED is a pair whose peer is iked.
type openIKED struct {
	*pair
	Iked lab.OpenIKEDConfig
	iked *lab.Iked
}

func newOpenIKED(t *testing.T) *openIKED {
	p := newPair(t, lab.OpenIKED)
	o := &openIKED{pair: p, Iked: lab.OpenIKEDConfig{
		Local: p.b.Outer.String(), Remote: p.a.Outer.String(), LocalID: "b.lab", RemoteID: "a.lab",
		LocalNet: p.b.InnerNet.String(), RemoteNet: p.a.InnerNet.String(), PSK: psk,
	}}
	o.Peer.Proposals = []string{"aes128-sha256-modp2048"}
	o.Peer.Children[0].Proposals = []string{"aes128-sha1"} // what iked does through PF_KEY
	return o
}

func (o *openIKED) up(t *testing.T, r role) {
	t.Helper()
	o.Iked.Active = r == theyInitiate
	o.iked = lab.StartOpenIKED(t, o.b.Namespace, o.Iked) // it calls after 2 seconds
	o.iked.WaitLog("stickyaddress", patience)            // until it has read its configuration, it forgets SAs
	o.start(t)
	if r == weInitiate {
		o.initiate("peer")
	}
	o.session()
	o.sameKeys(1, o.iked.InstalledSAs)
}

func TestOpenIKEDAuthentication(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, auth string
		key        testpki.KeyType
	}{
		{"PSK", "", ""},
		{"RSA", "rfc7427", testpki.RSA2048},
		{"ECDSA P-256", "rfc7427", testpki.P256},
		{"ECDSA P-384 as RFC 4754", "ecdsa384", testpki.P384},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				o := newOpenIKED(t)
				if c.key != "" {
					ca := testpki.NewIssuer(t, c.key, 0)
					o.Peer.PSK, o.Peer.Credential, o.Peer.Trust = nil, credential(ca.Host(t, c.key, "a.lab")), &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
					o.Iked.PSK, o.Iked.Auth, o.Iked.Cert, o.Iked.CA = "", c.auth, ca.Host(t, c.key, "b.lab"), ca
				}
				o.up(t, r)
				require.Equal(t, r == weInitiate, o.session().Info().Initiator)
			})
		})
	}
}

// iked has no command to rekey; we do it in either role.
func TestOpenIKEDRekey(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		o := newOpenIKED(t)
		o.up(t, r)
		s := o.session()
		for range 2 {
			before := o.ourKeys()
			require.NoError(t, s.RekeyChild(o.within(), s.ChildSAs()[0].ID))
			o.sameKeys(1, o.iked.InstalledSAs)
			require.NotEqual(t, before, o.ourKeys())
			require.NoError(t, s.Rekey(o.within()))
		}
		require.NoError(t, s.CheckLiveness(o.within()))
		require.NoError(t, s.Err())
	})
}

// With a lifetime of a few seconds iked rekeys the IKE SA by itself. (Its Child
// SAs it rekeys when the kernel tells that they expire, which ours does not.)
func TestOpenIKEDRekeysIKE(t *testing.T) {
	t.Parallel()
	o := newOpenIKED(t)
	o.Iked.RemoteID += " ikelifetime 6" // its place in the grammar
	o.up(t, weInitiate)
	ev := waitEvent[ike.SessionRekeyed](o.host, 1)
	require.False(t, ev.Initiator)
	require.NoError(t, o.session().CheckLiveness(o.within()))
	require.NoError(t, o.session().RekeyChild(o.within(), o.session().ChildSAs()[0].ID))
	o.sameKeys(1, o.iked.InstalledSAs)
}

func TestOpenIKEDDelete(t *testing.T) {
	t.Parallel()
	for _, deleter := range []string{"we", "they"} {
		t.Run(deleter+" delete", func(t *testing.T) {
			o := newOpenIKED(t)
			o.up(t, weInitiate)
			if deleter == "we" {
				require.NoError(t, o.session().Delete(o.within()))
				o.iked.WaitInstalledSAs(0, patience)
			} else {
				_, err := o.iked.Ikectl("reset", "sa")
				require.NoError(t, err)
			}
			waitEvent[ike.SessionDown](o.host, 1)
			waitEvent[ike.ChildDown](o.host, 1)
			o.until("no SA", func() bool { return len(o.plane.installed()) == 0 })
		})
	}
}
