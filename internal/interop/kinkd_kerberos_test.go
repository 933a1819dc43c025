//go:build linux

package interop_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/lab"
)

const rawESP = "[dataplane]\nkind = \"userspace\"\n[dataplane.userspace]\nraw-esp = true\n"

// userspaceKinkd is kinkdPair in tunnel mode and without a kernel's IPsec.
func userspaceKinkd(t *testing.T) (a, b *iked, kdc *lab.KDC) {
	lab.Require(t, lab.Root, lab.MITKDC)
	a, b, kdc = kinkdPair(t, "tunnel")
	for _, d := range []*iked{a, b} {
		d.configure(readFile(t, d.path("racoon.toml")) + rawESP)
	}
	return a, b, kdc
}

// onlySession is the only session of a daemon.
func (d *iked) onlySession() control.Session {
	d.Helper()
	list, err := d.client().Sessions(d.Context(), control.Select{}, false)
	require.NoError(d, err)
	require.Len(d, list, 1)
	return list[0]
}

// TestKinkdWithoutKDC: both daemons start before there is a KDC, and what has to be
// up comes up when it is there. Then the hosts get new keys: SIGHUP reads their
// keytabs, and the session goes on, also with tickets of those keys.
func TestKinkdWithoutKDC(t *testing.T) {
	t.Parallel()
	a, b, kdc := userspaceKinkd(t)
	kdc.Stop()
	a.configure(readFile(t, a.path("racoon.toml")), `start = "trap"`, "start = \"always\"\nbackoff = \"100ms\"\nbackoff-max = \"300ms\"", "[kink]\n", "[kink]\ntimeout = \"5s\"\n")
	b.start()
	a.start()
	a.await(`msg="session failed"`, 2) // and it goes on trying
	require.Contains(t, a.log(), "no ticket for kink/beta.example.org@EXAMPLE.ORG")
	require.Contains(t, a.log(), kdc.Addr.String())
	kdc.Start()
	a.await(`msg="child up"`, 1)
	a.reach(a.site.Inner, b.site.Inner)
	b.site.MustPing(b.site.Inner, a.site.Inner)

	session := b.onlySession()
	for _, c := range []struct {
		d    *iked
		name string
	}{{b, "beta"}, {a, "alpha"}} {
		kdc.Kadmin("cpw -randkey kink/" + c.name + ".example.org")
		c.d.keytab(kdc, c.name)
		c.d.signal(syscall.SIGHUP)
		c.d.await("the configuration was reloaded", 1)
		a.site.MustPing(a.site.Inner, b.site.Inner)
		_, err := a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Peer: "beta"}}) // another ticket, of the new keys
		require.NoError(t, err)
		_, err = a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "hosts"}})
		require.NoError(t, err)
		a.site.MustPing(a.site.Inner, b.site.Inner)
	}
	require.Equal(t, session.ID, b.onlySession().ID)
	for _, d := range []*iked{a, b} {
		require.NotContains(t, d.log(), `msg="session down"`)
		require.NotContains(t, d.log(), `msg="child down"`)
	}
	// A keytab that does not have the new key is a reason, which both sides say.
	kdc.Kadmin("cpw -randkey kink/beta.example.org")
	a.configure(readFile(t, a.path("racoon.toml")), "[peer.beta]\n", "[peer.beta]\ntiming.retransmit-base = \"300ms\"\ntiming.retransmit-max = \"1s\"\n")
	a.signal(syscall.SIGHUP)
	a.await("the configuration was reloaded", 2)
	_, err := a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Peer: "beta"}})
	require.NoError(t, err)
	b.await("KRB_AP_ERR_BADKEYVER", 1)
	a.await("KRB_AP_ERR_BADKEYVER", 1)
	b.keytab(kdc, "beta")
	b.signal(syscall.SIGHUP)
	a.reach(a.site.Inner, b.site.Inner)
	a.stop()
	b.stop()
}

// TestKinkdStatus: SIGUSR1 asks every configured peer, those without a session too.
// The log and the events say which of them answers, and why one does not.
func TestKinkdStatus(t *testing.T) {
	t.Parallel()
	a, b, kdc := userspaceKinkd(t)
	kdc.AddPrincipal("kink/silent.example.org")
	peer := func(name string) string {
		return "[peer." + name + "]\nprotocol = \"kink\"\nremote = \"10.99.0.77\"\nkink.principal = \"kink/" + name + ".example.org@EXAMPLE.ORG\"\n" +
			"timing.retransmit-base = \"100ms\"\ntiming.retransmit-tries = 3\n[peer." + name + ".child.hosts]\nlocal = \"10.1.0.0/24\"\nremote = \"10.77.0.0/24\"\n"
	}
	a.configure(readFile(t, a.path("racoon.toml")) + peer("silent") + peer("unknown") +
		"[peer.caller]\nprotocol = \"kink\"\nkink.principal = \"kink/caller.example.org@EXAMPLE.ORG\"\n[peer.caller.child.hosts]\nlocal = \"10.1.0.0/24\"\nremote = \"10.78.0.0/24\"\n")
	b.start()
	a.start()
	events := make(chan control.Event, 100)
	following, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		defer close(events)
		_ = a.client().Events(following, 0, true, func(e control.Event) error { events <- e; return nil })
	}()

	a.signal(syscall.SIGUSR1)
	a.await(`msg="peers are asked for a sign of life" sessions=0 without-session=3`, 1)
	a.await(`msg="the peer is alive"`, 1)
	a.await(`msg="the peer gives no sign of life"`, 2)
	require.Regexp(t, `msg="the peer is alive" peer=beta`, a.log())
	require.Regexp(t, `msg="the peer gives no sign of life" peer=silent err=.*no answer to STATUS`, a.log())
	require.Regexp(t, `msg="the peer gives no sign of life" peer=unknown err=.*KDC_ERR_S_PRINCIPAL_UNKNOWN`, a.log())
	for e := range events {
		require.Contains(t, []string{control.EventPeerAlive, control.EventSessionFailed}, e.Type)
		if e.Type == control.EventPeerAlive {
			require.Equal(t, "beta", e.Peer)
			stop()
		}
	}
	list, err := a.client().Sessions(t.Context(), control.Select{}, false)
	require.NoError(t, err)
	require.Empty(t, list, "a question makes no session")

	a.reach(a.site.Inner, b.site.Inner)
	for _, d := range []*iked{a, b} { // beta's peer has a session too, though it has called
		d.signal(syscall.SIGUSR1)
		d.await(`msg="peers are asked for a sign of life" sessions=1`, 1)
	}
	a.await(`msg="the peer is alive" peer=beta`, 2)
	b.await(`msg="the peer is alive" peer=alpha`, 1)
	b.kill()
	a.configure(readFile(t, a.path("racoon.toml")), "[peer.beta]\n", "[peer.beta]\ntiming.retransmit-base = \"100ms\"\ntiming.retransmit-tries = 3\n")
	a.signal(syscall.SIGHUP)
	a.await("the configuration was reloaded", 1)
	a.signal(syscall.SIGUSR1)
	a.await(`msg="session down"`, 1)
	require.Contains(t, a.log(), `reason="dead peer"`)
	a.stop()
}

// TestKinkdHooks: scripts for racoon and for racoon2 learn of associations what they
// expect; and a host without a keytab uses the tickets that somebody else gets.
func TestKinkdHooks(t *testing.T) {
	t.Parallel()
	a, b, kdc := userspaceKinkd(t)
	script := func(d *iked, style string) {
		d.file("script", "#!/bin/sh\n{ echo \"event $1\"; env; echo; } >>"+d.path("hooked")+"\n")
		require.NoError(t, os.Chmod(d.path("script"), 0o700))
		d.configure(readFile(t, d.path("racoon.toml")) + "[hooks]\nenvironment = \"" + style + "\"\n")
		for _, e := range []string{"session-up", "session-down", "child-up", "child-down", "child-rekey"} {
			d.configure(readFile(t, d.path("racoon.toml")) + e + " = \"script\"\n")
		}
	}
	script(a, "racoon2")
	script(b, "racoon")
	cache := filepath.Join(a.dir, "cache")
	_, err := kdc.Run("", "kinit", "-k", "-t", a.path("keytab"), "-c", "FILE:"+cache, "kink/alpha.example.org")
	require.Error(t, err, "the KDC is at the other end of a cable")
	require.NoError(t, os.Rename(a.path("keytab"), a.path("keytab.away")))
	a.configure(readFile(t, a.path("racoon.toml")), `keytab = "keytab"`, "keytab = \"\"\nccache = \"cache\"")
	b.start()
	a.start()
	n, _ := a.site.Ping(a.site.Inner, b.site.Inner, 1, 56)
	require.Zero(t, n)
	a.await(`msg="session failed"`, 1)
	require.Contains(t, a.log(), "no ticket for kink/beta.example.org@EXAMPLE.ORG")
	a.site.Run("env", append(kdc.Env(), "kinit", "-k", "-t", a.path("keytab.away"), "-c", "FILE:"+cache, "kink/alpha.example.org")...)
	a.reach(a.site.Inner, b.site.Inner)
	_, err = a.client().Rekey(t.Context(), control.RekeyRequest{Select: control.Select{Child: "hosts"}})
	require.NoError(t, err)
	a.stop()
	b.await(`msg="session down"`, 1)
	b.stop()

	hooked := readFile(t, a.path("hooked"))
	for _, want := range []string{
		"event phase1_up\n", "event phase2_up\n", "event phase2_rekey\n", "event phase2_down\n", "event phase1_down\n",
		"\nLOCAL_ADDR=" + a.site.Outer.String() + "\n", "\nREMOTE_ADDR=" + b.site.Outer.String() + "\n", "\nREMOTE_PORT=910\n",
		"\nSELECTOR_INDEX=hosts\n", "\nIPSEC_MODE=tunnel\n",
		"\nLOCAL_NET_ADDR=10.1.0.0\n", "\nLOCAL_NET_PREFIXLEN=24\n", "\nREMOTE_NET_ADDR=10.2.0.0\n", "\nUPPER_LAYER_PROTOCOL=any\n",
		"\nRACOON_REMOTE_ID=krb5:kink/beta.example.org@EXAMPLE.ORG\n", "\nRACOON_VERSION=KINK\n",
	} {
		require.Contains(t, hooked, want)
	}
	hooked = readFile(t, b.path("hooked"))
	for _, want := range []string{
		"event phase1_up\n", "event phase1_down\n", "\nREMOTE_ID=krb5:kink/alpha.example.org@EXAMPLE.ORG\n", "\nLOCAL_ADDR=" + b.site.Outer.String() + "\n", "\nREMOTE_ADDR=" + a.site.Outer.String() + "\n",
	} {
		require.Contains(t, hooked, want)
	}
}
