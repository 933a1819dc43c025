package controltest

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// Password is alice's, with [User].
const Password = "correct horse"

// A Host is a Manager behind a control socket, over a data plane in memory.
type Host struct {
	Config  racoon.Config
	Daemon  *control.Daemon
	Manager *racoon.Manager
	Plane   *spd.Memory
	Control *control.Client
	Path    string       // of the socket
	Log     testhost.Log // of the Daemon
}

// A Pair is a client, which calls its peer "gw", and that gateway, which calls
// its peers "clients", over UDP on the loopback interface. Each side has two
// Child SAs, "net" and "web".
type Pair struct{ Client, Gateway *Host }

// New runs a Pair for the time of a test, after the changes.
func New(t testing.TB, changes ...func(p *Pair)) *Pair {
	t.Helper()
	p := &Pair{Client: newHost(), Gateway: newHost()}
	cl, _, _ := listen(t)
	gl, plain, natt := listen(t)
	psk := ike.Secret("a secret of both")
	p.Client.Config = racoon.Config{DataPlane: p.Client.Plane, Listen: cl, Peers: []racoon.Peer{{
		Name: "gw", Remote: plain.String(), RemoteNATT: natt.Port(), LocalID: "alice@example.org", RemoteID: "gw.example.org", PSK: psk,
		Children: []racoon.Child{
			{Name: "net", Local: []string{"10.1.0.0/24"}, Remote: []string{"10.2.0.0/16"}},
			{Name: "web", Local: []string{"10.1.0.0/24"}, Remote: []string{"10.3.0.0/16[tcp/80]"}},
		},
	}}}
	p.Gateway.Config = racoon.Config{DataPlane: p.Gateway.Plane, Listen: gl, Peers: []racoon.Peer{{
		Name: "clients", LocalID: "gw.example.org", RemoteID: "*@example.org", PSK: psk,
		Children: []racoon.Child{
			{Name: "net", Local: []string{"10.2.0.0/16"}, Remote: []string{"10.1.0.0/16"}},
			{Name: "web", Local: []string{"10.3.0.0/16[tcp/80]"}, Remote: []string{"10.1.0.0/16"}},
		},
	}}}
	for _, f := range changes {
		f(p)
	}
	p.Client.serve(t)
	p.Gateway.serve(t)
	return p
}

// User makes the pair speak IKEv1 and the client log in a user, whom the order
// to establish names.
func User(p *Pair) {
	for _, peer := range []*racoon.Peer{&p.Client.Config.Peers[0], &p.Gateway.Config.Peers[0]} {
		peer.Versions, peer.IKEv1.Modes = []racoon.Version{racoon.IKEv1}, []ikev1.Mode{ikev1.AggressiveMode}
	}
	users, err := ike.NewMemoryUsers(map[string]ike.User{"alice": {Password: ike.Secret(Password), Groups: []string{"staff"}}})
	if err != nil {
		panic(err)
	}
	p.Gateway.Config.Peers[0].Users = users
	p.Client.Config.Peers[0].UserPrompt = p.Client.Daemon.UserPrompt(nil)
}

// Certificates makes the pair sign.
func Certificates(t testing.TB) func(p *Pair) {
	return func(p *Pair) {
		ca := testpki.NewCA(t, "ca")
		for _, h := range []*Host{p.Client, p.Gateway} {
			peer, name := &h.Config.Peers[0], "gw.example.org"
			if h == p.Client {
				name = "alice.example.org"
			}
			c := ca.Leaf(t, name)
			peer.PSK, peer.LocalID = nil, name
			peer.Credential = &ike.Credential{Certificates: c.Chain()[:1], Signer: c.Key}
			peer.Trust = &ike.Trust{Roots: ca.Chain()}
		}
		p.Client.Config.Peers[0].RemoteID, p.Gateway.Config.Peers[0].RemoteID = "gw.example.org", "*.example.org"
	}
}

func newHost() *Host {
	h := &Host{Plane: spd.NewMemory(spd.MemoryConfig{})}
	h.Daemon = &control.Daemon{Name: "iked", Version: "1.2.3", LogLevel: new(slog.LevelVar), Logger: slog.New(slog.NewTextHandler(&h.Log, nil)),
		Policies: func(context.Context) ([]spd.Policy, error) { return h.Plane.Policies(), nil }}
	h.Daemon.Reload = func(ctx context.Context) ([]racoon.Change, error) { return h.Manager.Reload(ctx, h.Config) }
	return h
}

func (h *Host) serve(t testing.TB) {
	t.Helper()
	h.Config.Authorize = h.Daemon.Authorize(h.Config.Authorize)
	m, err := racoon.NewManager(h.Config)
	require.NoError(t, err)
	h.Manager, h.Daemon.Manager = m, m
	served := make(chan error, 1)
	go func() { served <- m.Serve(context.Background()) }()
	select {
	case <-m.Ready():
	case err := <-served:
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		m.Shutdown(ctx)
		require.NoError(t, <-served)
	})
	h.Path = Serve(t, h.Daemon)
	h.Control = control.NewClient(h.Path)
	t.Cleanup(h.Control.Close)
}

// Serve serves a daemon for the time of a test and returns the path of its
// socket.
func Serve(t testing.TB, d *control.Daemon) string {
	t.Helper()
	path := filepath.Join(testhost.Dir(t), "ctl")
	l, err := control.Listen(control.ListenConfig{Path: path})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-served:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			t.Error("Serve does not end")
		}
	})
	return path
}

// listen opens two UDP sockets on free ports.
func listen(t testing.TB) (list []racoon.Listen, plain, natt netip.AddrPort) {
	t.Helper()
	var at [2]netip.AddrPort
	for i := range at {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		require.NoError(t, err)
		at[i] = c.LocalAddr().(*net.UDPAddr).AddrPort()
		list = append(list, racoon.Listen{Conn: c, NATT: i == 1})
	}
	return list, at[0], at[1]
}

// Network is a network configuration with one address.
func Network(address string) *ike.NetworkConfig {
	return &ike.NetworkConfig{Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
}

// Silent has the client call a gateway that never answers.
func Silent(t testing.TB) func(p *Pair) {
	return func(p *Pair) {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		p.Client.Config.Peers[0].Remote = conn.LocalAddr().String()
	}
}
