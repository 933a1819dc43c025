package main

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// The gateway's inner network, and where the web server is in it.
var (
	innerNet  = netip.MustParsePrefix("10.1.0.0/24")
	webServer = netip.MustParseAddrPort("10.1.0.1:80")
)

// clientPool is what clients get addresses from.
const clientPool = "10.99.0.0/24"

// tunnel is what the steps share.
type tunnel struct {
	*transcript
	gateway, client *host
	session         *racoon.Session
	web             *http.Client
	site            *site
	events          sync.WaitGroup
}

// run is the program. It fails if any step does not do what it should.
func run(ctx context.Context, out io.Writer, verbose bool) (err error) {
	before := runtime.NumGoroutine()
	t := &tunnel{transcript: newTranscript(out, verbose)}
	steps := []func(context.Context) error{t.start, t.connect, t.fetch, t.rekey, t.show}
	for _, step := range steps {
		if err = step(ctx); err != nil {
			break
		}
	}
	if err := errors.Join(err, t.close(ctx), t.transcript.err); err != nil {
		return err
	}
	if err := waitForGoroutines(ctx, before); err != nil {
		return err
	}
	t.say("All is closed and no goroutine is left, after %v.", time.Since(t.begin).Round(time.Millisecond))
	return nil
}

// start makes the certificates and both sides.
func (t *tunnel) start(ctx context.Context) error {
	t.step("A gateway and a client in user space, with certificates made just now")
	ca, err := newAuthority("Quickstart CA")
	if err != nil {
		return fmt.Errorf("making the authority: %w", err)
	}
	gatewayCert, err := ca.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "gw.example.org"}, DNSNames: []string{"gw.example.org"}})
	if err != nil {
		return fmt.Errorf("making the gateway's certificate: %w", err)
	}
	clientCert, err := ca.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "alice"}, EmailAddresses: []string{"alice@example.org"}})
	if err != nil {
		return fmt.Errorf("making the client's certificate: %w", err)
	}
	pool, err := racoon.NewPool(racoon.PoolConfig{Addresses: []string{clientPool}, Subnets: []netip.Prefix{innerNet}})
	if err != nil {
		return err
	}

	t.gateway, err = newHost(racoon.Config{Peers: []racoon.Peer{{
		Name: "clients", RemoteID: "*@example.org", Credential: gatewayCert, Trust: ca.trust(), Assign: pool,
		Children: []racoon.Child{{Local: []string{innerNet.String()}}},
	}}}, webServer.Addr())
	if err != nil {
		return fmt.Errorf("starting the gateway: %w", err)
	}
	t.say("gateway  gw.example.org, %v", t.gateway)
	t.say("         before the network %v, with the pool %s for clients", innerNet, clientPool)

	t.client, err = newHost(racoon.Config{Trace: t.message, Peers: []racoon.Peer{{
		Name: "gateway", Remote: t.gateway.ike.String(), RemoteNATT: t.gateway.natt.Port(), RemoteID: "gw.example.org",
		Credential: clientCert, Trust: ca.trust(), RequestAddress: true,
		Children: []racoon.Child{{Remote: []string{innerNet.String()}}},
	}}})
	if err != nil {
		return fmt.Errorf("starting the client: %w", err)
	}
	t.say("client   alice@example.org, %v", t.client)

	t.follow("gateway", t.gateway)
	t.follow("client", t.client)

	listener, err := t.gateway.stack.Listen("tcp", webServer.String())
	if err != nil {
		return fmt.Errorf("listening behind the gateway: %w", err)
	}
	t.site = newSite()
	go t.site.server.Serve(listener)
	t.say("web      http://%v/, behind the gateway", webServer)
	return nil
}

// follow prints a side's events until it closes.
func (t *tunnel) follow(who string, h *host) {
	events := h.Subscribe(context.Background())
	t.events.Go(func() {
		for ev := range events {
			t.event(who, ev)
		}
	})
}

// connect runs IKEv2.
func (t *tunnel) connect(ctx context.Context) error {
	t.step("IKEv2: keys, authentication, an address and a Child SA, in four messages")
	s, err := t.client.Initiate(ctx, "gateway")
	if err != nil {
		return err
	}
	t.session = s
	cfg := s.Info().Config
	if cfg == nil || len(cfg.Addresses) == 0 {
		return errors.New("the gateway has assigned no address")
	}
	for _, a := range cfg.Addresses {
		if err := t.client.stack.AddAddress(a.Addr()); err != nil {
			return err
		}
	}
	t.web = &http.Client{Transport: &http.Transport{DialContext: t.client.stack.DialContext}}
	if err := t.await(ctx, ike.ChildUp{}, 1, "client", "gateway"); err != nil {
		return err
	}
	t.say("The client has the address %v.", cfg.Addresses[0].Addr())
	return nil
}

// fetch uses the tunnel.
func (t *tunnel) fetch(ctx context.Context) error {
	t.step("Through the tunnel")
	rtt, err := t.client.stack.Ping(ctx, webServer.Addr())
	if err != nil {
		return fmt.Errorf("ping through the tunnel: %w", err)
	}
	t.say("%v pings %v: %v", t.client.stack.Addresses()[0], webServer.Addr(), rtt.Round(time.Microsecond))
	url := fmt.Sprintf("http://%v/", webServer)
	if err := fetchPage(ctx, t.web, url); err != nil {
		return fmt.Errorf("fetching a page through the tunnel: %w", err)
	}
	t.say("GET %s: %q", url, greeting)
	return nil
}

// stage is how much is downloaded between two rekeys.
const stage = 4 << 20

// rekey replaces all keys while a download is running.
func (t *tunnel) rekey(ctx context.Context) error {
	t.step("New keys under a running download")
	begin := time.Now()
	d := startDownload(ctx, t.web, fmt.Sprintf("http://%v/stream", webServer))
	stop := sync.OnceFunc(t.site.enough)
	defer func() { stop(); <-d.done }()

	far, err := t.gateway.onlySession()
	if err != nil {
		return err
	}
	for _, r := range []struct {
		what  string
		do    func() error
		event ike.Event
		count int
	}{
		{"the client replaces the Child SA", func() error { return t.session.RekeyChild(ctx, t.session.ChildSAs()[0].ID) }, ike.ChildRekeyed{}, 1},
		{"the gateway replaces the IKE SA", func() error { return far.Rekey(ctx) }, ike.SessionRekeyed{}, 1},
		{"the gateway replaces the Child SA", func() error { return far.RekeyChild(ctx, far.ChildSAs()[0].ID) }, ike.ChildRekeyed{}, 2},
	} {
		if err := d.more(ctx, stage); err != nil {
			return err
		}
		t.say("%s received; %s:", size(d.received.Load()), r.what)
		if err := r.do(); err != nil {
			return fmt.Errorf("%s: %w", r.what, err)
		}
		if err := t.await(ctx, r.event, r.count, "client", "gateway"); err != nil {
			return err
		}
	}
	if err := d.more(ctx, stage); err != nil {
		return err
	}
	stop()
	<-d.done
	if d.err != nil {
		return fmt.Errorf("downloading through the tunnel: %w", d.err)
	}
	took := time.Since(begin)
	n := d.received.Load()
	t.say("%s received in %v, %.0f Mbit/s. Nothing is lost, the SHA-256 sum is the same on both sides:", size(n), took.Round(time.Millisecond), float64(n)*8/1e6/took.Seconds())
	t.say("%s", d.sum)
	return nil
}

// show prints the SAs and what they have counted.
func (t *tunnel) show(ctx context.Context) error {
	t.step("The SAs and their counters, which go on through rekeys")
	far, err := t.gateway.onlySession()
	if err != nil {
		return err
	}
	for _, side := range []struct {
		name    string
		session *racoon.Session
		host    *host
	}{{"client", t.session, t.client}, {"gateway", far, t.gateway}} {
		info := side.session.Info()
		st, err := side.session.Stats(ctx)
		if err != nil {
			return fmt.Errorf("counters of the %s: %w", side.name, err)
		}
		t.say("%-7s  IKE SA    %016x and %016x, %v; replaced %s, %d exchanges", side.name, info.LocalSPI, info.RemoteSPI, info.Proposal, times(st.IKERekeys), st.Exchanges)
		for _, c := range st.Children {
			t.say("%-7s  Child SA  %08x and %08x, %v; replaced %s", "", uint32(c.In), uint32(c.Out), c.Proposal, times(c.Rekeys))
		}
		t.say("%-7s  received  %d packets, %d octets", "", st.Received.Packets, st.Received.Bytes)
		t.say("%-7s  sent      %d packets, %d octets", "", st.Sent.Packets, st.Sent.Bytes)
		if drops := st.Received.ReplayDrops + st.Received.AuthDrops + st.Received.SelectorDrops; drops > 0 {
			return fmt.Errorf("the %s has dropped %d packets: %+v", side.name, drops, st.Received)
		}
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// close ends what start has begun, the client first, which tells the gateway.
func (t *tunnel) close(ctx context.Context) error {
	t.step("Good-bye")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var errs []error
	if t.web != nil {
		t.web.CloseIdleConnections()
	}
	if t.site != nil {
		errs = append(errs, t.site.server.Close())
	}
	for _, h := range []*host{t.client, t.gateway} {
		if h != nil {
			errs = append(errs, h.close(ctx))
		}
	}
	t.events.Wait()
	return errors.Join(errs...)
}

// waitForGoroutines waits until there are no more than before: those of the
// web server and client end by themselves, a moment after they were told.
func waitForGoroutines(ctx context.Context, before int) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for runtime.NumGoroutine() > before {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			stacks := make([]byte, 64<<10)
			return fmt.Errorf("%d goroutines are left:\n%s", runtime.NumGoroutine()-before, stacks[:runtime.Stack(stacks, true)])
		}
	}
	return nil
}
