//go:build linux

package interop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
)

// TestKinkdSamples: the two samples against each other, with MIT's KDC: iked, as
// which KINK is served too, and kinkd.
func TestKinkdSamples(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.MITKDC)
	if !lab.InKernel(t, lab.KernelOptions{Timeout: 4 * time.Minute}) {
		return
	}
	sa, sb := lab.NewPair(t)
	kdc := lab.StartKDC(t, lab.KDCConfig{Realm: "EXAMPLE.ORG", Namespace: sa.Namespace, Addr: sa.Outer})
	a, b := newIked(t, sa), newIked(t, sb)
	b.name = "kinkd"
	kdc.AddPrincipal("kink/alpha.example.org", "kink/beta.example.org")
	own := func(name string) string {
		return "keytab = \"" + kdc.Keytab("kink/"+name+".example.org") + "\"\nkrb5-conf = \"" + kdc.Krb5Conf() + "\""
	}
	for _, c := range []struct {
		d          *iked
		name, peer string
		remote     *lab.Site
	}{{a, "alpha", "beta", sb}, {b, "beta", "alpha", sa}} {
		c.d.configure(sample(t, "kink-"+c.name+".toml"), `keytab = "`+c.name+`.keytab"`, own(c.name),
			`remote = "`+c.peer+`.example.org"`, "remote = \""+c.remote.Outer.String()+"\"\nkink.principal = \"kink/"+c.peer+".example.org@EXAMPLE.ORG\"",
			"192.0.2.1", sa.Outer.String(), "192.0.2.2", sb.Outer.String())
	}
	// Not racoon2's, and not the KDC's traffic.
	b.configure(readFile(t, b.path("racoon.toml")), "kink.racoon2 = true\n", "")
	bypass := "[policy.kerberos]\naction = \"bypass\"\nlocal = \"any\"\nremote = \"any[udp/88]\"\npriority = 1\n[policy.kdc]\naction = \"bypass\"\nlocal = \"any[udp/88]\"\nremote = \"any\"\npriority = 1\n"
	for _, d := range []*iked{a, b} {
		d.configure(readFile(t, d.path("racoon.toml")) + bypass)
	}
	b.start()
	a.start()
	require.NotContains(t, b.log(), ":4500")
	a.reach(sa.Outer, sb.Outer)
	sessions, err := b.client().Sessions(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	require.Equal(t, "KINK", sessions[0].Version)
	require.Contains(t, sa.Run("ip", "xfrm", "state"), "mode transport")
	a.stop()
	b.stop()
	require.Empty(t, sb.Run("ip", "xfrm", "state"))
}
