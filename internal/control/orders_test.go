package control_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
	"github.com/racoon3/racoon/internal/testhost"
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	return ctx
}

// refused wants the daemon's refusal.
func refused(t *testing.T, err error, code, text string) {
	t.Helper()
	var e *control.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, e.Message)
	require.Contains(t, e.Message, text)
}

func TestLifeOfASession(t *testing.T) {
	p := controltest.New(t)
	c, ctx := p.Client.Control, testContext(t)

	st, err := c.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, "iked", st.Daemon)
	require.Equal(t, "1.2.3", st.Version)
	require.True(t, st.Serving)
	require.Len(t, st.Addresses, 2)
	require.Equal(t, 1, st.Peers)
	require.Zero(t, st.Sessions)
	none, err := c.Sessions(ctx, control.Select{}, false)
	require.NoError(t, err)
	require.Empty(t, none)

	up, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
	require.NoError(t, err)
	require.Empty(t, up.Warning)
	require.Len(t, up.Session.Children, 2)

	list, err := c.Sessions(ctx, control.Select{}, true)
	require.NoError(t, err)
	require.Len(t, list, 1)
	s := list[0]
	require.Equal(t, up.Session.ID, s.ID)
	require.Equal(t, "gw", s.Peer)
	require.Equal(t, "IKEv2", s.Version)
	require.Equal(t, "established", s.State)
	require.True(t, s.Initiator)
	require.Equal(t, "alice@example.org", s.LocalID)
	require.Equal(t, "gw.example.org", s.RemoteID)
	require.Len(t, s.LocalSPI, 16)
	require.NotNil(t, s.Rekey)
	require.NotNil(t, s.Expire)
	require.True(t, s.Expire.After(*s.Rekey))
	require.NotNil(t, s.Stats)
	net := s.Children[0]
	require.Equal(t, "net", net.Name)
	require.Equal(t, []string{"10.1.0.0/24"}, net.LocalTS)
	require.Equal(t, []string{"10.2.0.0/16"}, net.RemoteTS)
	require.Equal(t, "esp", net.Protocol)
	require.NotNil(t, net.Rekey)
	require.NotNil(t, net.In)

	other, err := p.Gateway.Control.Sessions(ctx, control.Select{}, false)
	require.NoError(t, err)
	require.Equal(t, s.LocalSPI, other[0].RemoteSPI)
	require.False(t, other[0].Initiator)

	// Chosen by each of what can be said.
	for _, q := range []control.Select{
		{Session: s.ID}, {Peer: "gw"}, {Remote: "127.0.0.1"}, {Remote: s.Remote}, {Local: "127.0.0.1"}, {SPI: s.LocalSPI}, {SPI: "0x" + s.RemoteSPI},
		{Child: "net"}, {Child: net.ID}, {SPI: net.SPIIn}, {SPI: net.SPIOut}, {Protocol: "esp"},
		{Source: "10.1.0.7", Destination: "10.2.0.9"}, {Destination: "10.2.3.0/24"},
	} {
		list, err := c.Sessions(ctx, q, false)
		require.NoError(t, err, "%+v", q)
		require.Len(t, list, 1, "%+v", q)
		if q.Child != "" || q.Destination != "" || len(q.SPI) == 8 {
			require.Equal(t, "net", list[0].Children[0].Name)
			require.Len(t, list[0].Children, 1, "%+v", q)
		}
	}
	for _, q := range []control.Select{
		{Session: "999999999"}, {Peer: "other"}, {Remote: "127.0.0.2"}, {Remote: "127.0.0.1:1"}, {SPI: "1"}, {Child: "none"}, {Protocol: "ah"}, {Destination: "10.9.0.0/16"},
		{Source: "10.1.0.0/16"}, {User: "alice"},
	} {
		list, err := c.Sessions(ctx, q, false)
		require.NoError(t, err, "%+v", q)
		require.Empty(t, list, "%+v", q)
	}
	sas, err := c.SAs(ctx, control.Select{Child: "web"}, false)
	require.NoError(t, err)
	require.Len(t, sas, 1)
	require.Equal(t, []string{"10.3.0.0/16[tcp/80]"}, sas[0].RemoteTS)

	policies, err := c.Policies(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, policies)
	require.Equal(t, "protect", policies[0].Action)

	schedule, err := c.Schedule(ctx)
	require.NoError(t, err)
	what := map[string]bool{}
	for i, d := range schedule {
		what[d.What+" "+d.Name] = true
		require.Equal(t, "gw", d.Peer)
		if i > 0 {
			require.False(t, d.At.Before(schedule[i-1].At), "soonest first")
		}
	}
	require.Subset(t, what, map[string]bool{"rekey ": true, "expire ": true, "rekey net": true, "expire web": true, "liveness ": true})

	peers, err := c.Peers(ctx)
	require.NoError(t, err)
	require.Equal(t, "gw", peers[0].Name)
	require.Equal(t, []string{"10.3.0.0/16[tcp/80]"}, peers[0].Children[1].Remote)

	stats, err := c.Stats(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, stats.Sessions)
	require.EqualValues(t, 1, stats.IKE.Established)

	// New keys.
	done, err := c.Rekey(ctx, control.RekeyRequest{Select: control.Select{Peer: "gw"}})
	require.NoError(t, err)
	require.Equal(t, 1, done.Sessions)
	done, err = c.Rekey(ctx, control.RekeyRequest{Select: control.Select{Child: "net"}})
	require.NoError(t, err)
	require.Equal(t, 1, done.Children)
	list, err = c.Sessions(ctx, control.Select{}, false)
	require.NoError(t, err)
	require.NotEqual(t, s.LocalSPI, list[0].LocalSPI)
	again, err := c.SAs(ctx, control.Select{Child: "net"}, false)
	require.NoError(t, err)
	for _, sa := range again {
		require.Equal(t, net.ID, sa.ID)
	}

	// One Child SA goes, and comes back by its traffic.
	done, err = c.Delete(ctx, control.Select{Source: "10.1.0.0/24", Destination: "10.2.0.0/16"})
	require.NoError(t, err)
	require.Equal(t, control.Done{Children: 1}, done)
	up, err = c.Establish(ctx, control.EstablishRequest{Remote: "127.0.0.1", Protocol: "esp", Source: "10.1.0.5", Destination: "10.2.0.0/17", Wait: true})
	require.NoError(t, err)
	require.Equal(t, list[0].ID, up.Session.ID)
	require.Len(t, up.Session.Children, 2)
	done, err = c.Flush(ctx, "esp")
	require.NoError(t, err)
	require.Equal(t, 2, done.Children)
	done, err = c.Flush(ctx, "isakmp")
	require.NoError(t, err)
	require.Equal(t, control.Done{Sessions: 1}, done)
	st, err = c.Status(ctx)
	require.NoError(t, err)
	require.Zero(t, st.Sessions)

	// The story can be read afterwards: events are written down as they come.
	var types []string
	require.Eventually(t, func() bool {
		types = nil
		require.NoError(t, c.Events(ctx, 100, false, func(e control.Event) error {
			types = append(types, e.Type)
			require.Equal(t, "gw", e.Peer)
			return nil
		}))
		return len(types) > 0 && types[len(types)-1] == "session-down"
	}, testhost.Patience, 10*time.Millisecond)
	require.Subset(t, types, []string{"session-up", "child-up", "session-rekeyed", "child-rekeyed", "child-down", "session-down"})
	require.Contains(t, p.Client.Log.String(), "what=flush uid=")
}

func TestRefusals(t *testing.T) {
	p := controltest.New(t, func(p *controltest.Pair) { p.Client.Config.Peers[0].Children = p.Client.Config.Peers[0].Children[:1] })
	c, ctx := p.Client.Control, testContext(t)
	_, err := c.Establish(ctx, control.EstablishRequest{Peer: "nobody", Wait: true})
	refused(t, err, control.CodeNotFound, `no such peer: "nobody"`)
	_, err = c.Establish(ctx, control.EstablishRequest{Wait: true})
	refused(t, err, control.CodeBadRequest, "name a peer")
	_, err = c.Establish(ctx, control.EstablishRequest{Remote: "192.0.2.1"})
	refused(t, err, control.CodeNotFound, "no configured peer")
	_, err = c.Establish(ctx, control.EstablishRequest{Remote: "gw.example.org"})
	refused(t, err, control.CodeBadRequest, "no address")
	_, err = c.Establish(ctx, control.EstablishRequest{Source: "10.1.0.1", Destination: "10.3.0.1"})
	refused(t, err, control.CodeNotFound, "no configured Child SA")
	_, err = c.Establish(ctx, control.EstablishRequest{Peer: "gw", User: "alice", Password: []byte("x")})
	refused(t, err, control.CodeBadRequest, "configured to log in no user")
	_, err = c.Establish(ctx, control.EstablishRequest{Peer: "gw", Password: []byte("x")})
	refused(t, err, control.CodeBadRequest, "without a user")
	_, err = p.Gateway.Control.Establish(ctx, control.EstablishRequest{Peer: "clients", Wait: true})
	refused(t, err, control.CodeFailed, "cannot be called")

	_, err = c.Delete(ctx, control.Select{})
	refused(t, err, control.CodeBadRequest, "what to delete")
	_, err = c.Delete(ctx, control.Select{Peer: "gw"})
	refused(t, err, control.CodeNotFound, "no session")
	_, err = c.Delete(ctx, control.Select{SPI: "xyz"})
	refused(t, err, control.CodeBadRequest, "spi")
	_, err = c.Delete(ctx, control.Select{Source: "10.1.0.0/33"})
	refused(t, err, control.CodeBadRequest, "source")
	_, err = c.Flush(ctx, "everything")
	refused(t, err, control.CodeBadRequest, "isakmp, esp, ah and ipsec")
	_, err = c.Logout(ctx, "alice")
	refused(t, err, control.CodeNotFound, `"alice"`)
	_, err = c.Logout(ctx, "")
	refused(t, err, control.CodeBadRequest, "which user")
	_, err = c.Rekey(ctx, control.RekeyRequest{Reauthenticate: true, Select: control.Select{Peer: "gw"}})
	refused(t, err, control.CodeNotFound, "no session")
	_, err = c.Rekey(ctx, control.RekeyRequest{})
	refused(t, err, control.CodeBadRequest, "what to rekey")
	_, err = c.Certificate(ctx, control.Select{Peer: "gw"})
	refused(t, err, control.CodeNotFound, "no session")
	_, err = c.SetLogLevel(ctx, "loud")
	refused(t, err, control.CodeBadRequest, "error, warn, info and debug")
	_, err = c.Do(ctx, "GET", "/v1/nothing", nil, nil)
	refused(t, err, control.CodeNotFound, "no request of this interface")
	_, err = c.Do(ctx, "GET", "/v1/sessions", map[string][]string{"colour": {"red"}}, nil)
	refused(t, err, control.CodeBadRequest, "colour")
	_, err = c.Do(ctx, "POST", "/v1/delete", nil, map[string]string{"colour": "red"})
	refused(t, err, control.CodeBadRequest, "colour")
	_, err = c.Do(ctx, "GET", "/v1/events", map[string][]string{"backlog": {"-1"}}, nil)
	refused(t, err, control.CodeBadRequest, "backlog")

	// A failure explains itself.
	_, err = c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
	require.NoError(t, err)
	_, err = c.Certificate(ctx, control.Select{Peer: "gw"})
	refused(t, err, control.CodeNotFound, "no certificate")
}

func TestEmptyDaemon(t *testing.T) {
	c := control.NewClient(controltest.Serve(t, &control.Daemon{Name: "kinkd"}))
	t.Cleanup(c.Close)
	ctx := testContext(t)
	st, err := c.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, "kinkd", st.Daemon)
	require.False(t, st.Serving)
	for _, f := range []func() error{
		func() error { _, err := c.Sessions(ctx, control.Select{}, false); return err },
		func() error { _, err := c.Peers(ctx); return err },
		func() error { _, err := c.Policies(ctx); return err },
		func() error { _, err := c.Schedule(ctx); return err },
		func() error { _, err := c.Stats(ctx); return err },
		func() error { _, err := c.Certificate(ctx, control.Select{}); return err },
		func() error { _, err := c.LogLevel(ctx); return err },
		func() error { _, err := c.SetLogLevel(ctx, "info"); return err },
		func() error { _, err := c.Reload(ctx); return err },
		func() error { _, err := c.Flush(ctx, "isakmp"); return err },
		func() error { _, err := c.Delete(ctx, control.Select{Peer: "gw"}); return err },
		func() error { _, err := c.Logout(ctx, "alice"); return err },
		func() error {
			_, err := c.Rekey(ctx, control.RekeyRequest{Select: control.Select{Peer: "gw"}})
			return err
		},
		func() error { _, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw"}); return err },
		func() error { return c.Events(ctx, 1, false, func(control.Event) error { return nil }) },
	} {
		refused(t, f(), control.CodeUnsupported, "this daemon has no ")
	}
}

func TestLogInAUser(t *testing.T) {
	p := controltest.New(t, controltest.User)
	c, ctx := p.Client.Control, testContext(t)

	_, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
	refused(t, err, control.CodeFailed, "no user is configured")
	_, err = c.Establish(ctx, control.EstablishRequest{Peer: "gw", User: "alice", Password: []byte("wrong"), Wait: true})
	refused(t, err, control.CodeFailed, "")
	require.NotContains(t, err.Error(), "wrong"+"\"")

	up, err := c.Establish(ctx, control.EstablishRequest{Remote: "127.0.0.1", User: "alice", Password: []byte(controltest.Password), Wait: true})
	require.NoError(t, err)
	require.Empty(t, up.Warning)
	require.Equal(t, "IKEv1", up.Session.Version)
	_, err = c.Establish(ctx, control.EstablishRequest{Peer: "gw", User: "bob", Password: []byte("x"), Wait: true})
	refused(t, err, control.CodeConflict, "up already")

	// The gateway asks again for the next ISAKMP SA.
	_, err = c.Rekey(ctx, control.RekeyRequest{Select: control.Select{Peer: "gw"}})
	require.NoError(t, err)

	// It has logged the user in later than she thinks so herself.
	mine, err := c.Sessions(ctx, control.Select{}, false)
	require.NoError(t, err)
	require.Len(t, mine, 1)
	var g []control.Session
	require.Eventually(t, func() bool {
		g, err = p.Gateway.Control.Sessions(ctx, control.Select{User: "alice"}, false)
		return err == nil && len(g) == 1 && g[0].LocalSPI == mine[0].RemoteSPI
	}, patience, time.Millisecond)
	require.Equal(t, []string{"staff"}, g[0].Groups)
	done, err := p.Gateway.Control.Logout(ctx, "alice")
	require.NoError(t, err)
	require.Equal(t, 1, done.Sessions)
	require.Eventually(t, func() bool {
		list, err := c.Sessions(ctx, control.Select{}, false)
		return err == nil && len(list) == 0
	}, patience, time.Millisecond)

	// The password went with the session.
	require.Eventually(t, func() bool {
		_, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
		return err != nil && strings.Contains(err.Error(), "no user is configured")
	}, patience, 10*time.Millisecond)
	require.NotContains(t, p.Client.Log.String(), controltest.Password)
}

func TestCertificateOfThePeer(t *testing.T) {
	p := controltest.New(t, controltest.Certificates(t))
	c, ctx := p.Client.Control, testContext(t)
	_, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
	require.NoError(t, err)
	for h, name := range map[*controltest.Host]string{p.Client: "gw.example.org", p.Gateway: "alice.example.org"} {
		got, err := h.Control.Certificate(ctx, control.Select{Remote: "127.0.0.1"})
		require.NoError(t, err)
		cert, err := x509.ParseCertificate(got.Chain[0])
		require.NoError(t, err)
		require.Equal(t, []string{name}, cert.DNSNames)
		require.Equal(t, name, got.RemoteID)
	}
}

func TestEstablishWithoutWaiting(t *testing.T) {
	p := controltest.New(t)
	c, ctx := p.Client.Control, testContext(t)
	events := make(chan control.Event, 64)
	following := make(chan error, 1)
	fctx, stop := context.WithCancel(ctx)
	go func() {
		following <- c.Events(fctx, 100, true, func(e control.Event) error { events <- e; return nil })
	}()
	up, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw"})
	require.NoError(t, err)
	require.Equal(t, "gw", up.Peer)
	require.Nil(t, up.Session)
	for seen := map[string]bool{}; !seen["session-up"] || !seen["child-up"]; {
		select {
		case e := <-events:
			seen[e.Type] = true
		case <-ctx.Done():
			t.Fatal("no events of it: ", seen)
		}
	}
	stop()
	require.ErrorIs(t, <-following, context.Canceled)
}

func TestReloadAndLogLevel(t *testing.T) {
	p := controltest.New(t)
	c, ctx := p.Client.Control, testContext(t)
	_, err := c.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true})
	require.NoError(t, err)
	got, err := c.Reload(ctx)
	require.NoError(t, err)
	require.Empty(t, got.Changes)
	p.Client.Config.Peers = append([]racoon.Peer(nil), p.Client.Config.Peers...)
	p.Client.Config.Peers[0].Children = p.Client.Config.Peers[0].Children[:1]
	got, err = c.Reload(ctx)
	require.NoError(t, err)
	require.Equal(t, []control.Change{{Peer: "gw", Child: "web", Effect: "deletes", Sessions: 1}}, got.Changes)
	p.Client.Config.Peers[0].Remote = "not an address"
	p.Client.Config.Peers[0].RemoteID = ""
	_, err = c.Reload(ctx)
	refused(t, err, control.CodeFailed, "")

	level, err := c.SetLogLevel(ctx, "Debug")
	require.NoError(t, err)
	require.Equal(t, "debug", level.Level)
	require.Equal(t, slog.LevelDebug, p.Client.Daemon.LogLevel.Level())
	level, err = c.LogLevel(ctx)
	require.NoError(t, err)
	require.Equal(t, "debug", level.Level)
}

func TestNoDaemon(t *testing.T) {
	c := control.NewClient(testhost.Dir(t) + "/none")
	_, err := c.Status(testContext(t))
	require.ErrorIs(t, err, control.ErrNoDaemon)
}
