//go:build linux

package lab_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

func TestOpenIKED(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"psk", "rsa", "ecdsa256", "rfc7427"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			lab.Require(t, lab.OpenIKED)
			kt := map[string]testpki.KeyType{"psk": testpki.P256, "rsa": testpki.RSA2048, "ecdsa256": testpki.P256, "rfc7427": testpki.RSA2048}[auth]
			ca := testpki.NewIssuer(t, kt, 0)
			sa, sb := lab.NewPair(t)
			start := func(me, peer *lab.Site) *lab.Iked {
				c := lab.OpenIKEDConfig{
					Active: me.Name == "a",
					Local:  me.Outer.String(), Remote: peer.Outer.String(),
					LocalID: me.Name + ".lab", RemoteID: peer.Name + ".lab",
					LocalNet: me.InnerNet.String(), RemoteNet: peer.InnerNet.String(),
				}
				if auth == "psk" {
					c.PSK = "lab-psk"
				} else {
					c.Auth, c.CA, c.Cert = auth, ca, ca.Host(t, kt, me.Name+".lab")
				}
				return lab.StartOpenIKED(t, me.Namespace, c)
			}
			b := start(sb, sa)
			b.WaitLog("stickyaddress", testhost.Patience) // until it has read its configuration, it forgets SAs
			a := start(sa, sb)
			x := a.WaitInstalledSAs(2, testhost.Patience)
			require.ElementsMatch(t, keys(x), keys(b.WaitInstalledSAs(2, testhost.Patience)))
			require.Len(t, x[0].EncKey, 16)
			require.Len(t, x[0].AuthKey, 20)
			require.Equal(t, "12", x[0].Enc) // AES-CBC
			out, err := a.Ikectl("show", "sa")
			require.NoError(t, err)
			require.Contains(t, out, "ESTABLISHED")
			b.Stop()
		})
	}
}
