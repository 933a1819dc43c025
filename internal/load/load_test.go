package load

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
)

// serve runs a responder for the time of a test and returns its address.
func serve(t testing.TB, cfg ResponderConfig) (*Responder, netip.AddrPort) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	r, err := NewResponder(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Manager.Serve(ctx) }()
	select {
	case <-r.Manager.Ready():
	case err := <-served:
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		cancel()
		require.ErrorIs(t, <-served, context.Canceled)
	})
	return r, r.Addr()
}

func psk(local, remote string) Identity {
	return Identity{PSK: ike.Secret("a secret of all"), LocalID: local, RemoteID: remote}
}

func TestRun(t *testing.T) {
	for _, plane := range Planes {
		t.Run(plane, func(t *testing.T) {
			gw := psk("gw.example.org", "*@example.org")
			gw.RemoteTS = []string{"10.0.0.0/8"}
			r, addr := serve(t, ResponderConfig{Identity: gw, Plane: plane})
			report, err := Run(t.Context(), Config{Identity: psk("user%d@example.org", "gw.example.org"), Target: addr,
				LocalNet: netip.MustParsePrefix("10.1.0.0/16"), Handshakes: 30, Concurrency: 7, Workers: 2, IKERekeys: 1, ChildRekeys: 2, Leave: true})
			require.NoError(t, err)
			require.Empty(t, report.Failures)
			require.Equal(t, 30, report.Established)
			require.Equal(t, 30, report.Latency.Count)
			require.Equal(t, 30, report.IKERekeys.Count)
			require.Equal(t, 60, report.ChildRekeys.Count)
			require.LessOrEqual(t, report.Latency.Min, report.Latency.P50)
			require.LessOrEqual(t, report.Latency.P99, report.Latency.Max)
			require.Positive(t, report.Rate)
			got := r.Report(t.Context())
			require.Equal(t, 30, got.Sessions, "they were left there")
			ids, nets := map[ike.Identity]bool{}, map[string]bool{}
			for s := range r.Manager.Sessions() {
				ids[s.Info().RemoteID] = true
				nets[s.ChildSAs()[0].RemoteTS[0].String()] = true
			}
			require.Len(t, ids, 30, "each is somebody else")
			require.Len(t, nets, 30)
			require.Contains(t, nets, "10.1.0.29")
		})
	}
}

func TestRunCertificatesDeleteAtEnd(t *testing.T) {
	ca := testpki.NewRoot(t, testpki.Spec{Subject: "load", CA: true})
	side := func(name string) Identity {
		leaf := ca.Issue(t, testpki.Spec{Subject: name, DNS: []string{name}, KeyNumber: len(name)})
		return Identity{Credential: &ike.Credential{Certificates: leaf.Chain(), Signer: leaf.Key}, Trust: &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}}
	}
	r, addr := serve(t, ResponderConfig{Identity: side("gw.example.org")})
	report, err := Run(t.Context(), Config{Identity: side("client.example.org"), Target: addr, Handshakes: 5, Hold: 10 * time.Millisecond})
	require.NoError(t, err)
	require.Empty(t, report.Failures)
	require.Equal(t, 5, report.Established)
	require.Equal(t, 5, report.Deletes)
	require.Zero(t, r.Report(t.Context()).Sessions)
}

func TestRunChurn(t *testing.T) {
	r, addr := serve(t, ResponderConfig{Identity: psk("gw", "")})
	report, err := Run(t.Context(), Config{Identity: psk("c", ""), Target: addr, Handshakes: 20, Concurrency: 2, Churn: true, Rate: 1000})
	require.NoError(t, err)
	require.Empty(t, report.Failures)
	require.Equal(t, 20, report.Deletes)
	require.Zero(t, r.Report(t.Context()).Sessions)
}

func TestRunChildless(t *testing.T) {
	gw, client := psk("gw", ""), psk("c", "")
	gw.Childless, client.Childless = true, true
	r, addr := serve(t, ResponderConfig{Identity: gw})
	report, err := Run(t.Context(), Config{Identity: client, Target: addr, Handshakes: 5, IKERekeys: 1})
	require.NoError(t, err)
	require.Empty(t, report.Failures)
	require.Equal(t, 5, report.IKERekeys.Count)
	require.Equal(t, 5, report.Deletes)
	require.Zero(t, r.Manager.Stats(t.Context()).IKE.Children)
}

// Failures are told apart by kind.
func TestRunFailures(t *testing.T) {
	_, addr := serve(t, ResponderConfig{Identity: psk("gw", "")})
	wrong := psk("c", "")
	wrong.PSK = ike.Secret("another one")
	report, err := Run(t.Context(), Config{Identity: wrong, Target: addr, Handshakes: 3})
	require.NoError(t, err)
	require.Equal(t, 3, report.Failed)
	require.Equal(t, map[string]int{"AUTHENTICATION_FAILED in IKE_AUTH": 3}, report.Failures)

	other := psk("c", "")
	other.Proposals = []string{"aes128-sha256-modp1536"}
	report, err = Run(t.Context(), Config{Identity: other, Target: addr, Handshakes: 2})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"NO_PROPOSAL_CHOSEN in IKE_SA_INIT": 2}, report.Failures)

	nobody := netip.AddrPortFrom(addr.Addr(), 9)
	report, err = Run(t.Context(), Config{Identity: psk("c", ""), Target: nobody, Handshakes: 2, Timeout: 100 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"no answer to IKE_SA_INIT": 2}, report.Failures)
	require.Zero(t, report.Rate)
}

// A run ends when its time is over, whatever was asked for.
func TestRunTime(t *testing.T) {
	_, addr := serve(t, ResponderConfig{Identity: psk("gw", "")})
	report, err := Run(t.Context(), Config{Identity: psk("c", ""), Target: addr, Handshakes: MaxHandshakes, Rate: 50, Time: 300 * time.Millisecond})
	require.NoError(t, err)
	require.True(t, report.Overrun)
	require.LessOrEqual(t, report.Begun, 16, "no faster than the rate")
	require.Equal(t, report.Begun, report.Established)
}

func TestConfigErrors(t *testing.T) {
	good := Config{Identity: psk("c%d", ""), Target: netip.MustParseAddrPort("127.0.0.1:1"), Handshakes: 1}
	for field, change := range map[string]func(*Config){
		"Target":      func(c *Config) { c.Target = netip.AddrPort{} },
		"Handshakes":  func(c *Config) { c.Handshakes = 0 },
		"Rate":        func(c *Config) { c.Rate = -1 },
		"Concurrency": func(c *Config) { c.Concurrency = -1 },
		"Workers":     func(c *Config) { c.Workers = 1000 },
		"IKERekeys":   func(c *Config) { c.IKERekeys = -1 },
		"ChildRekeys": func(c *Config) { c.Childless, c.ChildRekeys = true, 1 },
		"Time":        func(c *Config) { c.Time = -1 },
		"Timeout":     func(c *Config) { c.Timeout = time.Millisecond },
		"Hold":        func(c *Config) { c.Hold = -1 },
		"Leave":       func(c *Config) { c.Leave, c.Churn = true, true },
		"Sources":     func(c *Config) { c.Sources, c.Workers, c.Handshakes = netip.MustParsePrefix("127.0.0.0/31"), 3, 3 },
		"LocalNet":    func(c *Config) { c.LocalNet, c.Handshakes = netip.MustParsePrefix("10.0.0.0/30"), 5 },
		"PSK":         func(c *Config) { c.PSK = nil },
		"Trust":       func(c *Config) { c.PSK, c.Credential = nil, &ike.Credential{} },
		"LocalID":     func(c *Config) { c.LocalID = "ipv4:nonsense" },
		"RemoteID":    func(c *Config) { c.RemoteID = "a*b*" },
		"Proposals":   func(c *Config) { c.Proposals = []string{"aes"} },
		"ESP":         func(c *Config) { c.ESP = []string{"modp"} },
		"LocalTS":     func(c *Config) { c.LocalTS = []string{"10.0.0.0/33"} },
		"RemoteTS":    func(c *Config) { c.RemoteTS = []string{"x"} },
	} {
		t.Run(field, func(t *testing.T) {
			c := good
			change(&c)
			_, err := Run(t.Context(), c)
			var fe *FieldError
			require.ErrorAs(t, err, &fe)
			require.Equal(t, field, fe.Field)
		})
	}
	_, err := NewResponder(ResponderConfig{Identity: psk("gw", ""), Listen: "127.0.0.1:0", Plane: "kernel"})
	require.ErrorContains(t, err, "null, memory, esp")
}

func TestReportForms(t *testing.T) {
	r := &Report{Target: "192.0.2.1:500", Requested: 3, Begun: 3, Established: 2, Failed: 1,
		Latency: summarise([]time.Duration{3 * time.Millisecond, time.Millisecond}), Failures: map[string]int{"no answer to IKE_AUTH": 1}}
	var text, js bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	require.Contains(t, text.String(), "2 established, 1 failed, of 3")
	require.Contains(t, text.String(), "1 times: no answer to IKE_AUTH")
	require.Contains(t, text.String(), "min 1.00, mean 2.00")
	require.NoError(t, WriteJSON(&js, r))
	var back Report
	require.NoError(t, json.Unmarshal(js.Bytes(), &back))
	require.Equal(t, *r, back)
}

// TestIKEv1: the old version, in both of its exchanges and with rekeys.
func TestIKEv1(t *testing.T) {
	for name, aggressive := range map[string]bool{"Main Mode": false, "Aggressive Mode": true} {
		t.Run(name, func(t *testing.T) {
			gw, client := psk("gw.example.org", ""), psk("user%d@example.org", "gw.example.org")
			for _, id := range []*Identity{&gw, &client} {
				id.IKEv1, id.Aggressive = true, aggressive
			}
			_, addr := serve(t, ResponderConfig{Identity: gw, Plane: "memory"})
			report, err := Run(t.Context(), Config{Identity: client, Target: addr, Handshakes: 30, Concurrency: 7, Workers: 2, IKERekeys: 1, ChildRekeys: 2})
			require.NoError(t, err)
			require.Empty(t, report.Failures)
			require.Equal(t, 30, report.Established)
			require.Equal(t, 30, report.IKERekeys.Count)
			require.Equal(t, 60, report.ChildRekeys.Count)
			require.Equal(t, 30, report.Deletes)
		})
	}
}
