package ikev2

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// A scene is two established endpoints whose messages are delivered by hand,
// one at a time, in any order. A message is named by what it is, for instance
// "rekey-child", "rekey-child:ok" or "rekey-ike:TEMPORARY_FAILURE".
type scene struct {
	t    testing.TB
	now  time.Time
	A, B *actor
	// traffic sends packets both ways after each step and wants all of them
	// to arrive.
	traffic bool
	steps   []string
	nat     *natBox // in front of A, if any
}

// A natBox changes A's addresses on their way to B, and back.
type natBox struct{ inside, insideT, outside, outsideT netip.AddrPort }

func (n *natBox) swap(a, from, to, fromT, toT netip.AddrPort) netip.AddrPort {
	switch a {
	case from:
		return to
	case fromT:
		return toT
	}
	return a
}

// arrives is the path of a datagram as its receiver sees it.
func (s *scene) arrives(tx ike.Path) ike.Path {
	p := reverse(tx)
	if n := s.nat; n != nil {
		p.Remote = n.swap(p.Remote, n.inside, n.outside, n.insideT, n.outsideT)
		p.Local = n.swap(p.Local, n.outside, n.inside, n.outsideT, n.insideT)
	}
	return p
}

// An actor is one side of a scene.
type actor struct {
	*Endpoint
	s        *scene
	name     string
	addr     netip.AddrPort
	plane    *spd.Memory
	peer     *Peer
	other    *actor
	out      []ike.Transmit // sent, neither delivered nor dropped
	kinds    map[string]string
	heard    map[string]string // kinds of requests, by exchange
	happened []ike.Event
	nonce    *steeredRand
	// slow holds jobs of a kind back until release.
	slow map[ike.JobKind]bool
	held []ike.Job
}

// steeredRand is randomness whose 32-octet reads, nonces among them, begin with
// a chosen octet.
type steeredRand struct {
	on     bool
	first  byte
	source io.Reader // crypto/rand.Reader if nil
}

func (r *steeredRand) Read(p []byte) (int, error) {
	if r.source != nil {
		return r.source.Read(p)
	}
	n, err := rand.Read(p)
	if r.on && len(p) == nonceLen {
		p[0] = r.first
	}
	return n, err
}

// sceneOption changes the configuration of a scene.
type sceneOption func(a, b *Peer, ca, cb *Config)

func newScene(t testing.TB, options ...sceneOption) *scene {
	s := &scene{t: t, now: time.Unix(1_700_000_000, 0)}
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	var ca, cb Config
	for _, o := range options {
		o(a, b, &ca, &cb)
	}
	s.A = s.actor("A", addrA, 0xa, a, ca)
	s.B = s.actor("B", addrB, 0xb, b, cb)
	s.A.other, s.B.other = s.B, s.A
	return s
}

func (s *scene) actor(name string, addr netip.AddrPort, tag uint8, peer *Peer, cfg Config) *actor {
	a := &actor{s: s, name: name, addr: addr, peer: peer, kinds: map[string]string{}, heard: map[string]string{}, nonce: new(steeredRand), slow: map[ike.JobKind]bool{}}
	spi := spd.SPI(0xa0000000)
	if tag == 0xb {
		spi = 0xb0000000
	}
	a.plane = spd.NewMemory(spd.MemoryConfig{Now: func() time.Time { return s.now }, SPI: func() spd.SPI { spi++; return spi }})
	if cfg.Rand == nil {
		cfg.Rand = a.nonce
	}
	if cfg.DataPlane == nil {
		cfg.DataPlane = a.plane
	}
	cfg.Tag = tag
	user := cfg.Trace
	cfg.Trace = func(t ike.TraceRecord) {
		if user != nil {
			user(t)
		}
		a.name1(t)
	}
	var err error
	a.Endpoint, err = NewEndpoint(cfg)
	require.NoError(s.t, err)
	ps, err := NewPeerSet([]*Peer{peer})
	require.NoError(s.t, err)
	a.SetPeers(ps)
	return a
}

// name1 notes what a message is.
func (a *actor) name1(t ike.TraceRecord) {
	m, err := message.Parse(t.Message)
	if err != nil {
		return
	}
	h := m.Header
	request := fmt.Sprintf("%v/%v/%v/%v", h.SPIi, h.SPIr, h.FromInitiator() != h.IsResponse(), h.MessageID)
	if !h.IsResponse() {
		k := requestKind(m)
		a.heard[request] = k
		if t.Outbound {
			a.kinds[headerKey16(t.Message)] = k
		}
		return
	}
	if t.Outbound {
		k := a.heard[request]
		if h.Exchange == message.ExchangeIKESAInit {
			k = "init"
		}
		if n := m.ErrorNotify(); n != nil {
			k += ":" + n.Type.String()
		} else {
			k += ":ok"
		}
		a.kinds[headerKey16(t.Message)] = k
	}
}

// headerKey16 leaves out what protection changes: next payload and length.
func headerKey16(b []byte) string {
	return hex.EncodeToString(b[:16]) + hex.EncodeToString(b[18:24])
}

func requestKind(m *message.Message) string {
	switch m.Header.Exchange {
	case message.ExchangeIKESAInit:
		return "init"
	case message.ExchangeIKEAuth:
		return "auth"
	case message.ExchangeCreateChildSA:
		switch {
		case m.HasNotify(message.NotifyRekeySA):
			return "rekey-child"
		case m.SA() != nil && m.SA().Proposals[0].Protocol == spd.ProtoIKE:
			return "rekey-ike"
		}
		return "create-child"
	case message.ExchangeInformational:
		for d := range m.Deletes() {
			if d.Protocol == spd.ProtoIKE {
				return "delete-ike"
			}
			return "delete-child"
		}
		if len(m.Payloads) == 0 {
			return "liveness"
		}
		return "informational"
	}
	return m.Header.Exchange.String()
}

// work runs jobs and collects what comes out, without delivering it.
func (s *scene) work() {
	for busy := true; busy; {
		busy = false
		for _, a := range []*actor{s.A, s.B} {
			for {
				j, ok := a.PollJob()
				if !ok {
					break
				}
				busy = true
				if a.slow[j.Kind] {
					a.held = append(a.held, j)
					continue
				}
				a.HandleResult(s.now, j.Do(context.Background()))
			}
			for {
				tx, ok := a.PollTransmit()
				if !ok {
					break
				}
				busy = true
				if !tx.Keepalive {
					a.out = append(a.out, tx)
				}
			}
			for {
				ev, ok := a.PollEvent()
				if !ok {
					break
				}
				busy = true
				a.happened = append(a.happened, ev)
			}
			for _, ev := range a.plane.PollEvents() {
				busy = true
				a.HandleDataPlane(s.now, ev)
			}
		}
	}
}

// release lets the jobs run that were held back.
func (a *actor) release() {
	a.slow = map[ike.JobKind]bool{}
	held := a.held
	a.held = nil
	for _, j := range held {
		a.HandleResult(a.s.now, j.Do(context.Background()))
	}
	a.s.after(a.name + " finishes its work")
}

func (a *actor) kind(tx ike.Transmit) string {
	if k := a.kinds[headerKey16(tx.Packet)]; k != "" {
		return k
	}
	return "unknown"
}

// waiting names the messages that a has sent and that are still on their way.
func (a *actor) waiting() []string {
	var k []string
	for _, tx := range a.out {
		k = append(k, a.kind(tx))
	}
	return k
}

// take takes the first message of a kind off the wire.
func (a *actor) take(kind string) ike.Transmit {
	a.s.t.Helper()
	i := slices.IndexFunc(a.out, func(tx ike.Transmit) bool { return a.kind(tx) == kind })
	if i < 0 {
		require.FailNow(a.s.t, "no such message", "%s has not sent %q; on their way are %q; so far:\n%s", a.name, kind, a.waiting(), strings.Join(a.s.steps, "\n"))
	}
	tx := a.out[i]
	a.out = slices.Delete(a.out, i, i+1)
	return tx
}

// sends delivers the first message of each kind from a to the other side.
func (a *actor) sends(kinds ...string) {
	a.s.t.Helper()
	for _, k := range kinds {
		a.hand(a.take(k), k)
	}
}

// hand delivers a datagram.
func (a *actor) hand(tx ike.Transmit, kind string) {
	a.s.t.Helper()
	a.other.HandleDatagram(a.s.now, a.s.arrives(tx.Path), tx.Packet)
	a.s.after(a.name + " --" + kind + "--> " + a.other.name)
}

// loses drops the first message of a kind.
func (a *actor) loses(kinds ...string) {
	a.s.t.Helper()
	for _, k := range kinds {
		a.take(k)
		a.s.steps = append(a.s.steps, a.name+" --"+k+"--> lost")
	}
}

// after works after a step, and sees that traffic flows.
func (s *scene) after(step string) {
	s.t.Helper()
	s.steps = append(s.steps, step)
	s.work()
	if s.traffic {
		s.flow()
		s.work()
	}
}

var testFlow = spd.Flow{Src: netip.MustParseAddr("10.1.0.1"), Dst: netip.MustParseAddr("10.2.0.1"), SrcPort: 1000, DstPort: 2000, Protocol: 17}

func (s *scene) flow() {
	s.t.Helper()
	if d := s.A.plane.Send(s.B.plane, testFlow, 100); d.Outcome.Gap() {
		require.FailNow(s.t, "traffic gap", "from A to B: %v; so far:\n%s", d, strings.Join(s.steps, "\n"))
	}
	if d := s.B.plane.Send(s.A.plane, testFlow.Reverse(), 100); d.Outcome.Gap() {
		require.FailNow(s.t, "traffic gap", "from B to A: %v; so far:\n%s", d, strings.Join(s.steps, "\n"))
	}
}

// flush delivers everything, in the order in which it was sent, until nothing
// is on its way.
func (s *scene) flush() {
	s.t.Helper()
	s.work()
	for range 1000 {
		if len(s.A.out) == 0 && len(s.B.out) == 0 {
			return
		}
		for _, a := range []*actor{s.A, s.B} {
			for len(a.out) > 0 {
				tx := a.out[0]
				a.out = a.out[1:]
				a.hand(tx, a.kind(tx))
			}
		}
	}
	require.FailNow(s.t, "endless exchange", "%s", strings.Join(s.steps, "\n"))
}

// tick fires what is due within d, without delivering anything.
func (s *scene) tick(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for {
		s.work()
		next, found := end, false
		for _, a := range []*actor{s.A, s.B} {
			if t, ok := a.PollTimeout(); ok && !t.After(end) && (!found || t.Before(next)) {
				next, found = t, true
			}
		}
		if next.After(s.now) {
			s.now = next
		}
		if !found {
			return
		}
		s.A.HandleTimeout(s.now)
		s.B.HandleTimeout(s.now)
		s.work()
	}
}

// pass lets time pass and delivers what is sent meanwhile.
func (s *scene) pass(d time.Duration) {
	s.t.Helper()
	end := s.now.Add(d)
	for s.now.Before(end) {
		s.flush()
		step := end
		for _, a := range []*actor{s.A, s.B} {
			if t, ok := a.PollTimeout(); ok && t.Before(step) {
				step = t
			}
		}
		if !step.After(s.now) {
			step = s.now
		}
		s.tick(step.Sub(s.now))
	}
	s.flush()
}

// establish brings the two up, A as the initiator.
func (s *scene) establish() *scene {
	s.t.Helper()
	_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB()})
	require.NoError(s.t, err)
	s.flush()
	require.Len(s.t, find[ike.SessionUp](s.A.happened), 1, "%v", s.A.happened)
	require.Len(s.t, find[ike.SessionUp](s.B.happened), 1, "%v", s.B.happened)
	s.forgetEvents()
	return s
}

func (s *scene) forgetEvents() { s.A.happened, s.B.happened = nil, nil }

// session is the actor's only session.
func (a *actor) session() *session {
	a.s.t.Helper()
	require.Len(a.s.t, a.sessions, 1)
	for _, s := range a.sessions {
		return s
	}
	return nil
}

// child is the actor's youngest living Child SA.
func (a *actor) child() ike.ChildState {
	a.s.t.Helper()
	st, ok := a.Session(a.session().ID)
	require.True(a.s.t, ok)
	for _, c := range slices.Backward(st.Children) {
		if c.State == "mature" || c.State == "inbound-only" {
			return c
		}
	}
	require.FailNow(a.s.t, "no Child SA", "%s has %+v", a.name, st.Children)
	return ike.ChildState{}
}

// Commands, with the first octet of the nonces that the actor draws from now
// on.

func (a *actor) draws(first byte) *actor {
	a.nonce.on, a.nonce.first = true, first
	return a
}

func (a *actor) rekeyChild() {
	a.s.t.Helper()
	require.NoError(a.s.t, a.RekeyChild(a.s.now, a.session().ID, a.child().ID))
	a.s.after(a.name + " rekeys the Child SA")
}

func (a *actor) rekeyIKE() {
	a.s.t.Helper()
	require.NoError(a.s.t, a.RekeyIKE(a.s.now, a.session().ID))
	a.s.after(a.name + " rekeys the IKE SA")
}

func (a *actor) deleteChild() {
	a.s.t.Helper()
	require.NoError(a.s.t, a.DeleteChild(a.s.now, a.session().ID, a.child().ID))
	a.s.after(a.name + " deletes the Child SA")
}

func (a *actor) deleteIKE() {
	a.s.t.Helper()
	require.NoError(a.s.t, a.Delete(a.s.now, a.session().ID, ike.DownLocal))
	a.s.after(a.name + " deletes the IKE SA")
}

// converged requires that both sides hold the same, and nothing else: one IKE
// SA with equal keys, and so many Child SAs.
func (s *scene) converged(children int) {
	s.t.Helper()
	story := strings.Join(s.steps, "\n")
	require.Empty(s.t, append(s.A.waiting(), s.B.waiting()...), story)
	for _, a := range []*actor{s.A, s.B} {
		se := a.session()
		require.NotNil(s.t, se.current, story)
		require.Equal(s.t, stateEstablished, se.current.state, "%s\n%s", a.name, story)
		require.Len(s.t, a.sas, 1, "IKE SAs of %s\n%s", a.name, story)
		require.Len(s.t, se.sas, 1, "%s\n%s", a.name, story)
		require.Nil(s.t, se.current.active, "%s\n%s", a.name, story)
		require.Empty(s.t, se.current.queue, "%s\n%s", a.name, story)
		require.Equal(s.t, children, se.Children.Len(), "Child SAs of %s\n%s", a.name, story)
		require.Equal(s.t, children, a.Held().ChildSAs, "%s\n%s", a.name, story)
		require.Len(s.t, a.Held().SAs, 2*children, "%s\n%s", a.name, story)
		require.Len(s.t, a.plane.SAs(), 2*children, "%s\n%s", a.name, story)
		require.Empty(s.t, a.plane.Larval(), "SPIs reserved by %s\n%s", a.name, story)
		require.Zero(s.t, a.Held().Jobs, "%s\n%s", a.name, story)
		for _, c := range se.Children.All() {
			require.False(s.t, c.Rekeying, "%s\n%s", a.name, story)
			require.Equal(s.t, "mature", c.State.String(), "%s\n%s", a.name, story)
		}
		require.Empty(s.t, find[ike.Warning](a.happened), "%s\n%s", a.name, story)
	}
	a, b := s.A.session().current, s.B.session().current
	require.Equal(s.t, a.local, b.remote, story)
	require.Equal(s.t, a.remote, b.local, story)
	require.Equal(s.t, a.initiator, !b.initiator, story)
	require.Equal(s.t, a.keys.skD(), b.keys.skD(), story)
	require.Empty(s.t, spd.CompareMemory(s.A.plane, s.B.plane), story)
	if children > 0 {
		s.flow()
	}
}

// gone requires that nothing is left on either side.
func (s *scene) gone() {
	s.t.Helper()
	story := strings.Join(s.steps, "\n")
	for _, a := range []*actor{s.A, s.B} {
		require.Empty(s.t, a.sessions, "%s\n%s", a.name, story)
		require.Empty(s.t, a.sas, "%s\n%s", a.name, story)
		require.Empty(s.t, a.Held().SAs, "%s\n%s", a.name, story)
		require.Zero(s.t, a.Held().Jobs, "%s\n%s", a.name, story)
		require.Zero(s.t, a.Held().Timers, "%s\n%s", a.name, story)
		require.Zero(s.t, a.HalfOpen(), "%s\n%s", a.name, story)
		require.Empty(s.t, a.initial, "%s\n%s", a.name, story)
		require.Zero(s.t, a.Held().Addresses, "%s\n%s", a.name, story)
		require.Empty(s.t, a.plane.Leaks(), "%s\n%s", a.name, story)
	}
}

func TestScene(t *testing.T) {
	s := newScene(t).establish()
	s.traffic = true
	s.A.rekeyChild()
	s.A.sends("rekey-child")
	s.B.sends("rekey-child:ok")
	s.A.sends("delete-child")
	s.B.sends("delete-child:ok")
	s.pass(10 * time.Second)
	s.converged(1)
	s.B.rekeyIKE()
	s.B.sends("rekey-ike")
	s.A.sends("rekey-ike:ok")
	s.B.sends("delete-ike")
	s.A.sends("delete-ike:ok")
	s.pass(time.Minute)
	s.converged(1)
	s.traffic = false
	s.A.deleteIKE()
	s.A.sends("delete-ike")
	s.B.sends("delete-ike:ok")
	s.pass(time.Minute)
	s.gone()
}
