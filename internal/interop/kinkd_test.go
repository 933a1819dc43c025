//go:build linux

package interop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/interop"
	"github.com/racoon3/racoon/internal/lab"
)

// kinkdPair configures the samples for two sites with MIT's KDC at the first. mode
// says what is protected: what the hosts themselves say to each other, as in the
// samples, or the networks behind them.
func kinkdPair(t *testing.T, mode string) (a, b *iked, kdc *lab.KDC) {
	sa, sb := lab.NewPair(t)
	kdc = lab.StartKDC(t, lab.KDCConfig{Realm: "EXAMPLE.ORG", Namespace: sa.Namespace, Addr: sa.Outer})
	a, b = newIked(t, sa), newIked(t, sb)
	a.name, b.name = "kinkd", "kinkd"
	kdc.AddPrincipal("kink/alpha.example.org", "kink/beta.example.org")
	for _, c := range []struct {
		d          *iked
		name, peer string
		remote     *lab.Site
	}{{a, "alpha", "beta", sb}, {b, "beta", "alpha", sa}} {
		c.d.configure(sample(t, "kink-"+c.name+".toml"), `keytab = "`+c.name+`.keytab"`, "krb5-conf = \""+kdc.Krb5Conf()+"\"\nkeytab = \"keytab\"",
			`remote = "`+c.peer+`.example.org"`, "remote = \""+c.remote.Outer.String()+"\"\nkink.principal = \"kink/"+c.peer+".example.org@EXAMPLE.ORG\"")
		c.d.keytab(kdc, c.name)
		text := readFile(t, c.d.path("racoon.toml"))
		if mode == "transport" { // but not the KDC's traffic
			c.d.configure(text+"[policy.kerberos]\naction = \"bypass\"\nlocal = \"any\"\nremote = \"any[udp/88]\"\npriority = 1\n"+
				"[policy.kdc]\naction = \"bypass\"\nlocal = \"any[udp/88]\"\nremote = \"any\"\npriority = 1\n", "192.0.2.1", sa.Outer.String(), "192.0.2.2", sb.Outer.String())
			continue
		}
		c.d.configure(text, `mode = "transport"`, `mode = "tunnel"`, "192.0.2.1", sa.InnerNet.String(), "192.0.2.2", sb.InnerNet.String())
	}
	return a, b, kdc
}

// keytab writes the keys that the KDC has for a host.
func (d *iked) keytab(kdc *lab.KDC, host string) {
	d.Helper()
	d.file("keytab", readFile(d.T, kdc.Keytab("kink/"+host+".example.org")))
}

// TestKinkdSamples: the two samples against each other: iked, as which KINK is
// served too, and kinkd.
func TestKinkdSamples(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.MITKDC)
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	a, b, _ := kinkdPair(t, "transport")
	a.name = "iked"
	b.start()
	a.start()
	require.NotContains(t, b.log(), ":4500")
	a.reach(a.site.Outer, b.site.Outer)
	sessions, err := b.client().Sessions(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	require.Equal(t, "KINK", sessions[0].Version)
	require.Contains(t, a.site.Run("ip", "xfrm", "state"), "mode transport")
	a.stop()
	b.stop()
	require.Empty(t, b.site.Run("ip", "xfrm", "state"))
}

// TestKinkdXFRM and TestKinkdPFKey: kinkd to kinkd with the SAs in a kernel, whose
// policies ask for them: traffic both ways, a rekey that loses nothing, a daemon
// that is killed and begins again, and an end that leaves nothing.
func TestKinkdXFRM(t *testing.T) { testKinkdKernel(t, "xfrm") }

// See [TestKinkdXFRM].
func TestKinkdPFKey(t *testing.T) { testKinkdKernel(t, "pfkey") }

func testKinkdKernel(t *testing.T, plane string) {
	t.Parallel()
	lab.Require(t, lab.MITKDC)
	if !lab.InKernel(t, lab.KernelOptions{}) {
		return
	}
	for _, mode := range []string{"transport", "tunnel"} {
		t.Run(mode, func(t *testing.T) {
			a, b, _ := kinkdPair(t, mode)
			for _, d := range []*iked{a, b} {
				text := readFile(t, d.path("racoon.toml"))
				if mode == "tunnel" { // in three messages: the inbound SA that was there first is replaced
					text = strings.Replace(text, "kink.principal", "kink.contribute-nonce = true\nkink.principal", 1)
					require.Contains(t, text, "contribute-nonce")
				}
				d.configure(text + fmt.Sprintf("[dataplane]\nkind = %q\n", plane))
			}
			atA, atB := a.site.Outer, b.site.Outer
			if mode == "tunnel" {
				a.site.RouteTo(b.site)
				b.site.RouteTo(a.site)
				atA, atB = a.site.Inner, b.site.Inner
			}
			state := func(d *iked) string { return d.site.Run("ip", "xfrm", "state") }
			b.start()
			a.start()
			require.Contains(t, a.log(), `msg="data plane" kind=`+plane)
			require.Eventually(t, func() bool { return strings.Contains(a.site.Run("ip", "xfrm", "policy"), "mode "+mode) }, ikedPatience, 50*time.Millisecond)
			require.Empty(t, state(a))
			a.reach(atA, atB)
			b.site.MustPing(atB, atA)
			require.Contains(t, state(a), "mode "+mode)
			wantCipher := map[string]string{"xfrm": "rfc4106(gcm(aes))", "pfkey": "cbc(aes)"}[plane]
			require.Contains(t, state(a), wantCipher)

			first := spiPattern.FindAllString(state(a), -1)
			interop.TrafficBetween(t, a.site, atA, b.site, atB, func() { // a rekey loses nothing
				_, err := a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "hosts"}})
				require.NoError(t, err)
			})
			require.Eventually(t, func() bool {
				now := state(a)
				return !strings.Contains(now, first[0]) && len(spiPattern.FindAllString(now, -1)) == 2
			}, ikedPatience, 200*time.Millisecond)

			// Who was killed tells another epoch, and has nothing that the other
			// does not have.
			before := spiPattern.FindAllString(state(a), -1)
			require.Len(t, before, 2)
			a.kill()
			require.Len(t, spiPattern.FindAllString(state(a), -1), 2, "they are left")
			sniffer := a.site.Sniff()
			begin := time.Now()
			a.start()
			require.Contains(t, a.log(), "the last daemon has not ended in order")
			a.reach(atA, atB)
			t.Log("traffic again after", time.Since(begin))
			b.site.MustPing(atB, atA)
			for _, p := range sniffer.Packets() {
				require.False(t, p.Proto == 1 && p.Src.Addr() == atA, "in clear: %v", p)
			}
			for _, d := range []*iked{a, b} {
				require.Eventually(t, func() bool {
					s := state(d)
					return !strings.Contains(s, before[0]+" ") && !strings.Contains(s, before[1]+" ")
				}, ikedPatience, 100*time.Millisecond, "SAs of the daemon that was killed, at %s", d.site.Name)
			}
			b.await("the peer has restarted", 1)
			a.stop()
			b.stop()
			for _, d := range []*iked{a, b} {
				require.Empty(t, state(d))
				require.Empty(t, d.site.Run("ip", "xfrm", "policy", "list", "nosock"))
			}
		})
	}
}
