//go:build linux

package lab_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
)

func plutoPair(t *testing.T, edit func(side string, c *lab.LibreswanConfig)) (sa, sb *lab.Site, a, b *lab.Pluto) {
	lab.Require(t, lab.Libreswan)
	sa, sb = lab.NewPair(t)
	start := func(me, peer *lab.Site) *lab.Pluto {
		c := lab.LibreswanConfig{
			Local: me.Outer.String(), Remote: peer.Outer.String(),
			LocalID: "@" + me.Name + ".lab", RemoteID: "@" + peer.Name + ".lab",
			LocalNet: me.InnerNet.String(), RemoteNet: peer.InnerNet.String(),
			IKE: "aes_gcm128-sha2_256-dh31", ESP: "aes_gcm128",
		}
		edit(me.Name, &c)
		return lab.StartLibreswan(t, me.Namespace, c)
	}
	return sa, sb, start(sa, sb), start(sb, sa)
}

func TestLibreswanPSK(t *testing.T) {
	t.Parallel()
	_, _, a, b := plutoPair(t, func(_ string, c *lab.LibreswanConfig) { c.PSK = "lab-psk" })
	require.NoError(t, a.Initiate())
	x, y := a.WaitInstalledSAs(2, testhost.Patience), b.WaitInstalledSAs(2, testhost.Patience)
	require.ElementsMatch(t, keys(x), keys(y))
	require.Equal(t, "rfc4106(gcm(aes))", x[0].Enc)
	require.Len(t, x[0].EncKey, 20)
	require.Equal(t, 128, x[0].ICVBits)
	require.Equal(t, "tunnel", x[0].Mode)
	require.NotEqual(t, x[0].SPI, x[1].SPI)

	a.RekeyChild()
	var z []lab.InstalledSA
	require.Eventually(t, func() bool {
		z = a.WaitInstalledSAs(2, testhost.Patience)
		return keys(z)[0] != keys(x)[0] && keys(z)[0] != keys(x)[1]
	}, testhost.Patience, 10*time.Millisecond)
	require.ElementsMatch(t, keys(z), keys(b.WaitInstalledSAs(2, testhost.Patience)))
	b.RekeyIKE()
	a.Terminate()
	b.WaitInstalledSAs(0, testhost.Patience)
	a.Stop()
}

type spiKey struct {
	spi       uint32
	src, dst  string
	enc, auth string
}

func keys(sas []lab.InstalledSA) (k []spiKey) {
	for _, s := range sas {
		k = append(k, spiKey{s.SPI, s.Src.String(), s.Dst.String(), string(s.EncKey), string(s.AuthKey)})
	}
	return k
}

func TestLibreswanCertificates(t *testing.T) {
	t.Parallel()
	for _, kt := range []testpki.KeyType{testpki.RSA2048, testpki.P256} {
		t.Run(string(kt), func(t *testing.T) {
			lab.Require(t, lab.Libreswan)
			ca := testpki.NewIssuer(t, kt, 0)
			_, _, a, b := plutoPair(t, func(side string, c *lab.LibreswanConfig) {
				c.CA, c.Cert, c.ESP = ca, ca.Host(t, kt, side+".lab"), "aes128-sha2_256"
			})
			require.NoError(t, b.Initiate())
			x := a.WaitInstalledSAs(2, testhost.Patience)
			require.ElementsMatch(t, keys(x), keys(b.WaitInstalledSAs(2, testhost.Patience)))
			require.Len(t, x[0].EncKey, 16)
			require.Len(t, x[0].AuthKey, 32)
			require.Equal(t, 128, x[0].ICVBits)
		})
	}
}

func TestLibreswanKernelESP(t *testing.T) {
	t.Parallel()
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	sa, sb, a, _ := plutoPair(t, func(_ string, c *lab.LibreswanConfig) { c.PSK, c.Kernel = "lab-psk", true })
	sa.RouteTo(sb)
	sb.RouteTo(sa)
	require.NoError(t, a.Initiate())
	sa.MustPing(sa.Inner, sb.Inner)
}

// libreswan in both roles of IKEv1, with itself: strongSwan is no client for it as
// a gateway.
func TestLibreswanIKEv1(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(side string, c *lab.LibreswanConfig)
	}{
		{"Main PSK", func(_ string, c *lab.LibreswanConfig) { c.PSK = "lab-psk" }},
		{"Aggressive PSK", func(_ string, c *lab.LibreswanConfig) { c.PSK, c.Aggressive = "lab-psk", true }},
		{"XAuth PSK", func(side string, c *lab.LibreswanConfig) {
			c.PSK = "lab-psk"
			if side == "a" {
				c.XAuthUser, c.Secrets, c.LocalNet = "carol", `@carol : XAUTH "carol's password"`, ""
			} else {
				c.XAuthClients, c.Pool, c.Remote, c.RemoteNet = map[string]string{"carol": "carol's password"}, "10.3.0.1-10.3.0.200", "", ""
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, a, b := plutoPair(t, func(side string, cfg *lab.LibreswanConfig) {
				cfg.IKEv1, cfg.IKE, cfg.ESP = true, "aes128-sha2_256-modp2048", "aes128-sha2_256"
				c.edit(side, cfg)
			})
			require.NoError(t, a.Initiate())
			x := a.WaitInstalledSAs(2, testhost.Patience)
			require.ElementsMatch(t, keys(x), keys(b.WaitInstalledSAs(2, testhost.Patience)))
			require.NoError(t, a.Initiate()) // another Child SA
			require.ElementsMatch(t, keys(a.WaitInstalledSAs(4, testhost.Patience)), keys(b.WaitInstalledSAs(4, testhost.Patience)))
		})
	}
}
