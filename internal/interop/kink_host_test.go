//go:build linux

package interop

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// A kinkLab is a realm with a real KDC, and two hosts with keys of it that are
// joined by a cable. The KDC is on the test's own loopback interface, which the
// hosts' Kerberos uses too; only KINK and ESP run between the sites.
type kinkLab struct {
	t    *testing.T
	kdc  *lab.KDC
	a, b kinkHost
}

// A kinkHost is our side at a site. What is exported may be changed before start.
type kinkHost struct {
	Site     *lab.Site
	Kerberos kdc.Config
	Options  racoon.KINKConfig
	Peer     racoon.Peer

	krb     *kdc.Kerberos
	started time.Time
	*host
}

const (
	alpha = "kink/alpha.example.com"
	beta  = "kink/beta.example.com"
)

// quick is for tests in which nobody answers, or not as is wished: 6 seconds in all.
var quick = ike.Timing{RetransmitBase: 300 * time.Millisecond, RetransmitTries: 6, RetransmitMax: time.Second}

// newKINK starts the KDC and configures both hosts. mode says what is protected:
// the inner networks, or what the hosts themselves say to each other.
func newKINK(t *testing.T, c lab.KDCConfig, mode spd.Mode) *kinkLab {
	t.Helper()
	if c.Heimdal {
		lab.Require(t, lab.Root, lab.HeimdalKDC)
	} else {
		lab.Require(t, lab.Root, lab.MITKDC)
	}
	k := lab.StartKDC(t, c)
	k.AddPrincipal(alpha, beta)
	return newKINKWith(t, k, mode)
}

// newKINKWith is newKINK with a KDC that is there.
func newKINKWith(t *testing.T, k *lab.KDC, mode spd.Mode) *kinkLab {
	t.Helper()
	l := &kinkLab{t: t, kdc: k}
	l.a.Site, l.b.Site = lab.NewPair(t)
	l.configure(&l.a, &l.b, alpha, beta, mode)
	l.configure(&l.b, &l.a, beta, alpha, mode)
	return l
}

func (l *kinkLab) configure(h, other *kinkHost, name, peer string, mode spd.Mode) {
	realm := l.kdc.Realm
	h.Kerberos = kdc.Config{Principal: name + "@" + realm, Keytab: l.kdc.Keytab(name), KDCs: map[string][]string{realm: {l.kdc.Addr.String()}}, Timeout: 10 * time.Second}
	child := racoon.Child{Name: "net", Mode: mode, Local: []string{h.Site.InnerNet.String()}, Remote: []string{other.Site.InnerNet.String()}}
	if mode == spd.ModeTransport {
		child.Local, child.Remote = []string{h.Site.Outer.String()}, []string{other.Site.Outer.String()}
	}
	h.Peer = racoon.Peer{Name: other.Site.Name, Versions: []racoon.Version{racoon.KINK}, Remote: other.Site.Outer.String(),
		KINK: racoon.KINKOptions{Principal: peer + "@" + realm}, Children: []racoon.Child{child}}
}

// start runs both hosts until the test ends.
func (l *kinkLab) start() {
	l.t.Helper()
	l.b.start(l.t, &l.a)
	l.a.start(l.t, &l.b)
}

func (h *kinkHost) start(t *testing.T, other *kinkHost) {
	t.Helper()
	var err error
	h.started = time.Now()
	h.krb, err = kdc.New(h.Kerberos)
	require.NoError(t, err)
	h.host = startHost(t, h.Site, hostConfig{Peers: []racoon.Peer{h.Peer}, RawESP: true, Edit: func(c *racoon.Config) {
		for _, l := range c.Listen {
			_ = l.Conn.Close()
		}
		c.Listen = []racoon.Listen{{Conn: h.Site.ListenUDP(netip.AddrPortFrom(h.Site.Outer, message.Port)), KINK: true}}
		c.KINK = h.Options
		if c.KINK.Kerberos == nil {
			c.KINK.Kerberos = h.krb
		}
		log := c.Logger
		c.Trace = func(r ike.TraceRecord) {
			m, err := message.Parse(r.Message)
			log.Debug("message", "outbound", r.Outbound, "m", m, slog.Any("err", err))
		}
	}})
	if h.Peer.Children[0].Mode != spd.ModeTransport {
		h.routeTo(other.Site.InnerNet, h.Site.Inner)
		return
	}
	// What the hosts say to each other goes through the engine, but for KINK
	// and ESP itself.
	h.Site.IP("route replace "+other.Site.Outer.String()+" dev tun0 src "+h.Site.Outer.String()+" table 100",
		"rule add pref 10 ipproto udp dport 910 lookup main", "rule add pref 11 ipproto esp lookup main", "rule add pref 12 lookup 100")
}

// crash takes the host off the network and ends it there, so that the peer hears
// nothing of it. Epochs count seconds: the next life must have another one.
func (h *kinkHost) crash() {
	h.t.Helper()
	h.Site.IP("link set " + h.Site.Device + " down")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	_ = h.Shutdown(ctx)
	cancel()
	_ = h.tun.Close()
	_ = h.ip.Close()
	time.Sleep(time.Until(h.started.Truncate(time.Second).Add(1100 * time.Millisecond)))
	h.Site.IP("link set " + h.Site.Device + " up")
}

// up has alpha call beta.
func (l *kinkLab) up() *racoon.Session {
	l.t.Helper()
	s := l.a.initiate(l.b.Site.Name)
	require.Equal(l.t, racoon.KINK, s.Version())
	require.Equal(l.t, "krb5:"+l.a.Peer.KINK.Principal, s.Info().RemoteID.String())
	require.Equal(l.t, "krb5:"+l.b.Peer.KINK.Principal, l.b.session().Info().RemoteID.String())
	return s
}

// ends are where the protected traffic goes from and to.
func (l *kinkLab) ends() (atA, atB netip.Addr) {
	if l.a.Peer.Children[0].Mode == spd.ModeTransport {
		return l.a.Site.Outer, l.b.Site.Outer
	}
	return l.a.Site.Inner, l.b.Site.Inner
}

// underTraffic runs f while datagrams and streams go both ways, of which none is
// lost.
func (l *kinkLab) underTraffic(f func()) {
	l.t.Helper()
	atA, atB := l.ends()
	TrafficBetween(l.t, l.a.Site, atA, l.b.Site, atB, f)
}

// reach: datagrams come through both ways.
func (l *kinkLab) reach() {
	l.t.Helper()
	atA, atB := l.ends()
	l.a.reach(l.a.Site, atA, l.b.Site, atB)
	l.b.reach(l.b.Site, atB, l.a.Site, atA)
}

// fails has alpha call beta, which must fail with all of these words.
func (l *kinkLab) fails(words ...string) error {
	l.t.Helper()
	_, err := l.a.Initiate(l.a.within(), l.b.Site.Name)
	says(l.t, err, words...)
	return err
}

// says checks that an error has all of the words, and prints it for whoever
// wonders how the program explains it.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	require.Error(t, err)
	t.Logf("%v", err)
	for _, w := range words {
		require.ErrorContains(t, err, w)
	}
}

// refused is the latest reason why a host has refused a message.
func refused(h *host) error {
	h.t.Helper()
	waitEvent[ike.SessionFailed](h, 1)
	all := eventsOf[ike.SessionFailed](h)
	return all[len(all)-1].Err
}

// ticket is the ticket that alpha has for beta.
func (l *kinkLab) ticket() *krb.Ticket {
	l.t.Helper()
	server, err := krb.ParsePrincipal(l.a.Peer.KINK.Principal, "")
	require.NoError(l.t, err)
	tkt, err := l.a.krb.ServiceTicket(l.a.within(), time.Now(), server, krb.TicketOptions{})
	require.NoError(l.t, err)
	return tkt
}

// onWire are the IP protocols that passed between the sites, but for ICMPv6.
func onWire(wire *lab.Sniffer) string {
	seen := map[uint8]bool{}
	for _, p := range wire.Packets() {
		if p.Proto == 17 && p.Dst.Port() != message.Port {
			return fmt.Sprintf("in clear: %v -> %v", p.Src, p.Dst)
		}
		seen[p.Proto] = true
	}
	delete(seen, 58)
	delete(seen, 0)
	var s []string
	for _, p := range []uint8{1, 6, 17, 50, 51} {
		if seen[p] {
			s = append(s, fmt.Sprint(p))
		}
		delete(seen, p)
	}
	for p := range seen {
		s = append(s, fmt.Sprint(p))
	}
	return strings.Join(s, " ")
}

// replaceKeytab puts another file in the place of a keytab, as an administrator does.
func replaceKeytab(t *testing.T, old, with string) {
	t.Helper()
	require.NoError(t, os.Rename(with, old))
}
