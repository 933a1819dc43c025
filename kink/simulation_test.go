package kink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

type (
	sim     = coretest.Sim[*Endpoint, *Peer]
	simNode = coretest.Node[*Endpoint, *Peer]
	profile = coretest.Profile[*Endpoint, *Peer]
)

// simulation is that of package coretest, without a NAT, which KINK cannot pass,
// and with what can be wrong with Kerberos: a KDC that is down now and then,
// tickets that end soon, keys that change, clocks that differ by more than is
// allowed.
func simulation() *coretest.Suite[*Endpoint, *Peer] {
	standard := coretest.StandardProfiles[*Endpoint, *Peer]()
	all := slices.DeleteFunc(slices.Clone(standard), func(p profile) bool { return p.NAT })
	kerberos := func(name, kind string, p profile) {
		p.Name, p.Kind = name, kind
		all = append(all, p)
	}
	kerberos("KDC", "KDC", standard[2])
	kerberos("KDC and chaos", "KDC", standard[3])
	kerberos("short tickets", "tickets", standard[1])
	kerberos("other clock", "clock", standard[2])
	kerberos("user-to-user", "user-to-user", standard[3])
	return &coretest.Suite[*Endpoint, *Peer]{
		New:      func(s *sim) coretest.Protocol[*Endpoint, *Peer] { return newSimProtocol(s) },
		Profiles: all, Schedules: 800, MustVisit: mustVisit,
	}
}

func TestSimulation(t *testing.T) { simulation().Test(t) }

// TestSimulationReplays: the same seed is the same run, to the last octet.
func TestSimulationReplays(t *testing.T) { simulation().Replays(t) }

// simProtocol is what only KINK knows of a schedule.
type simProtocol struct {
	coretest.Basics[*Endpoint, *Peer]
	sim   *sim
	realm *krbtest.Realm
	down  int
	boots time.Duration
	cycle time.Duration // of retransmission, the longest
}

func newSimProtocol(s *sim) *simProtocol {
	p := &simProtocol{sim: s}
	p.realm = krbtest.NewRealm(realm, s.W.NewReader(), []krb.EType{krb.AES128SHA1, krb.AES256SHA384}[s.W.Rand().IntN(2)])
	p.realm.Host(nameA)
	p.realm.Host(nameB)
	at := func(f func()) { s.W.After(s.W.Between(time.Second, 60*time.Second), f) }
	switch s.Kind {
	case "KDC":
		for range 1 + s.W.Rand().IntN(3) {
			at(func() {
				p.down++
				s.W.After(s.W.Between(time.Second, 30*time.Second), func() { p.down-- })
			})
		}
		at(func() { p.realm.Rekey([]string{nameA, nameB}[s.W.Rand().IntN(2)]) })
		p.realm.SetLifetime(s.W.Between(4*time.Minute, 10*time.Minute))
	case "tickets":
		p.realm.SetLifetime(s.W.Between(30*time.Minute, 40*time.Minute))
	case "clock":
		s.W.After(0, func() { s.B.Net.JumpClock(s.W.Between(6*time.Minute, 20*time.Minute)) })
	}
	return p
}

// simKerberos is a host's Kerberos with a KDC that has the world's time.
type simKerberos struct {
	*krbtest.Host
	p *simProtocol
}

func (k simKerberos) asks() {
	var err error
	if k.p.down > 0 && k.p.sim.W.Elapsed() < k.p.sim.ActiveFor {
		err = errors.New("the KDC is down")
	}
	k.p.realm.SetDown(err)
}

func (k simKerberos) ServiceTicket(ctx context.Context, _ time.Time, server krb.Principal, o krb.TicketOptions) (*krb.Ticket, error) {
	k.asks()
	return k.Host.ServiceTicket(ctx, k.p.sim.W.Now(), server, o)
}

func (k simKerberos) TGT(ctx context.Context, _ time.Time) (*krb.Ticket, error) {
	k.asks()
	return k.Host.TGT(ctx, k.p.sim.W.Now())
}

// Boot implements coretest.Protocol.
func (p *simProtocol) Boot(n *simNode, c core.Config) (*Endpoint, error) {
	name := nameA
	if n.Name == "b" {
		name = nameB
	}
	// Two lives do not begin in the same second.
	p.boots += time.Second
	started := p.sim.W.Now().Add(p.boots - 10*time.Second)
	if n.Net != nil {
		started = n.Net.Now()
	}
	e, err := NewEndpoint(Config{Rand: c.Rand, DataPlane: c.DataPlane, Tag: c.Tag, Limits: c.Limits, Started: started,
		Kerberos: simKerberos{p.realm.Host(name), p}, Trace: func(t ike.TraceRecord) { p.trace(n, t) }})
	if err != nil {
		return nil, err
	}
	ps, err := NewPeerSet([]*Peer{n.Peer})
	if err != nil {
		return nil, err
	}
	e.SetPeers(ps)
	return e, nil
}

// Initiate implements coretest.Protocol.
func (p *simProtocol) Initiate(n *simNode, now time.Time) error {
	_, err := n.Core.Initiate(now, Initiation{Peer: n.Peer, Path: n.Path, Children: []string{"net"}})
	return err
}

// Engine implements coretest.Protocol.
func (p *simProtocol) Engine(e *Endpoint) *core.Core { return &e.engine }

// Sessions implements coretest.Protocol.
func (p *simProtocol) Sessions(e *Endpoint) []*core.Session {
	out := make([]*core.Session, 0, len(e.sessions))
	for s := range e.Sessions() {
		out = append(out, &e.sessions[s.ID].Session)
	}
	return out
}

// Peers implements coretest.Protocol: in two messages or three, with and without
// a key exchange, with lifetimes of a minute or of half an hour.
func (p *simProtocol) Peers() (a, b *Peer) {
	s := p.sim
	offers := [][]string{{"aes128gcm16-noesn"}, {"aes256gcm16-noesn", "aes128gcm16-noesn"}, {"aes128gcm16-noesn-ecp256"}}[s.W.Rand().IntN(3)]
	a, b = peerOf("b", nameB, netA, netB, offers...), peerOf("a", nameA, netB, netA, offers[len(offers)-1])
	rekey, life := 20*time.Minute, 24*time.Minute
	if s.W.Chance(0.5) {
		rekey, life = s.W.Between(40*time.Second, 2*time.Minute), s.W.Between(5*time.Minute, 10*time.Minute)
	}
	if s.Steady {
		life += 15 * time.Minute
	}
	// A ticket does not say where its client is: whoever passes a CREATE on from
	// another address has the SAs go there, unless the configuration says better.
	a.RemoteAddrs, b.RemoteAddrs = []netip.Prefix{netip.PrefixFrom(coretest.AddrB.Addr(), 32)}, []netip.Prefix{netip.PrefixFrom(coretest.AddrA.Addr(), 32)}
	for _, c := range []*Peer{a, b} {
		net2 := *c.Children[0]
		net2.Name, net2.Local, net2.Remote = "net2", []spd.TrafficSelector{spd.MustParseTrafficSelector("10.3.0.0/16")}, []spd.TrafficSelector{spd.MustParseTrafficSelector("10.4.0.0/16")}
		if c == b {
			net2.Local, net2.Remote = net2.Remote, net2.Local
		}
		c.Children = append(c.Children, &net2)
		c.Port = coretest.AddrA.Port()
		c.ContributeNonce = s.W.Chance(0.3)
		for _, n := range c.Children {
			n.Rekey, n.Lifetime, n.Jitter = rekey, life, 0.3
		}
		if s.Steady {
			c.Timing.RetransmitTries = 15 // bad luck must not look like a dead peer
		}
		if s.Kind == "user-to-user" {
			c.UserToUser = UserToUserRequest
		}
	}
	t := a.Timing.WithDefaults()
	p.cycle = (&session{Session: core.Session{Timing: &t}}).cycle()
	return a, b
}

// Patience implements coretest.Protocol. What one side has lost, the other finds
// out when it asks for a sign of life: by the epoch. So differences go within an
// interval of liveness and a cycle of retransmission, or two of them.
func (p *simProtocol) Patience() coretest.Patience {
	return coretest.Patience{Quiet: 3*p.cycle + time.Minute, Differ: 2*p.cycle + time.Minute}
}

// Busy implements coretest.Protocol.
func (p *simProtocol) Busy(e *Endpoint) string {
	for _, t := range e.transactions {
		if !t.answered {
			return fmt.Sprintf("%v %08x", t.command, t.xid)
		}
	}
	for _, s := range e.sessions {
		if s.making() > 0 || len(s.unacked) > 0 || s.Ending {
			return fmt.Sprintf("session %x: %s", s.ID, stateOf(s))
		}
	}
	return ""
}

// Timers implements coretest.Protocol.
func (p *simProtocol) Timers(e *Endpoint) (all []*child.Timer) {
	for _, t := range e.transactions {
		all = append(all, &t.timer)
	}
	for _, v := range e.served {
		all = append(all, &v.timer)
	}
	for _, s := range e.sessions {
		all = append(all, &s.endTimer)
		for _, t := range s.retiring {
			all = append(all, t)
		}
	}
	return all
}

// Differ implements coretest.Protocol: each knows the other's epoch.
func (p *simProtocol) Differ() string {
	for _, n := range p.sim.Nodes() {
		for _, s := range n.Core.sessions {
			told := n.Other().Core.cfg.Epochs.of(n.Core.cfg.Kerberos.Principal())
			if s.epoch.known && s.epoch.epoch != told {
				return fmt.Sprintf("%s: the peer's epoch is %v, and it says %v", n.Name, s.epoch.epoch, told)
			}
		}
	}
	return ""
}

// Distrust implements coretest.Protocol: the peer is who it has to be, and has
// shown it.
func (p *simProtocol) Distrust(n *simNode, id ike.SessionID) string {
	s := n.Core.sessions[id]
	switch {
	case s == nil:
	case s.principal.String() != n.Peer.Principal:
		return fmt.Sprintf("session %x is up with %v", id, s.principal)
	case !s.epoch.known:
		return fmt.Sprintf("session %x is up, and the peer has said nothing that is genuine", id)
	}
	return ""
}

// Disorder implements coretest.Protocol.
func (p *simProtocol) Disorder(n *simNode) string {
	e := n.Core
	switch {
	case len(e.relations) != len(e.sessions):
		return fmt.Sprintf("%d sessions by peer, %d in all", len(e.relations), len(e.sessions))
	case len(e.reloads) > 0:
		return fmt.Sprintf("%d messages wait for the keys", len(e.reloads))
	}
	for _, t := range e.transactions {
		if !t.timer.Active() || e.sessions[t.s.ID] != t.s {
			return fmt.Sprintf("%v %08x belongs to nothing", t.command, t.xid)
		}
	}
	count := 0
	for _, v := range e.served {
		if count++; !v.timer.Active() {
			return fmt.Sprintf("%v is served for ever", v.key)
		}
	}
	for _, c := range e.servedBy {
		count -= c
	}
	if count != 0 {
		return fmt.Sprintf("served transactions: %v", e.servedBy)
	}
	return ""
}

// Excess implements coretest.Protocol.
func (p *simProtocol) Excess(n *simNode) string {
	e := n.Core
	switch {
	case len(e.sessions) > 8:
		return fmt.Sprintf("%d sessions", len(e.sessions))
	case len(e.served) > 300:
		return fmt.Sprintf("%d served transactions", len(e.served))
	case len(e.acceptor.TGTs) > maxTGTs:
		return fmt.Sprintf("%d ticket-granting tickets", len(e.acceptor.TGTs))
	}
	return ""
}

// Left implements coretest.Protocol.
func (p *simProtocol) Left(e *Endpoint) string {
	if n := len(e.relations) + len(e.places) + len(e.transactions) + len(e.served) + len(e.servedBy) + len(e.reloads); n > 0 {
		return fmt.Sprintf("%d+%d+%d+%d+%d+%d", len(e.relations), len(e.places), len(e.transactions), len(e.served), len(e.servedBy), len(e.reloads))
	}
	return ""
}

// State implements coretest.Protocol.
func (p *simProtocol) State(e *Endpoint, id ike.SessionID) string { return stateOf(e.sessions[id]) }

// stateOf names the state of a session, with what goes on in it.
func stateOf(s *session) string {
	if s == nil {
		return "none"
	}
	st := "ASSOCIATED"
	switch {
	case s.Ending:
		st = "DELETING"
	case !s.Up:
		st = "CREATING"
	}
	rekeys, creates := false, false
	for _, x := range s.creating {
		if x.all[0].old != nil {
			rekeys = true
		} else {
			creates = true
		}
	}
	for i, on := range []bool{rekeys, creates, len(s.serving) > 0, len(s.unacked) > 0} {
		if on {
			st += []string{", rekeys Child", ", creates Child", ", answers CREATE", ", waits for ACK"}[i]
		}
	}
	return st
}

// sessionAt is the session that a datagram belongs to.
func sessionAt(e *Endpoint, path ike.Path) *session {
	for _, id := range slices.Sorted(maps.Keys(e.sessions)) {
		if s := e.sessions[id]; s.RemoteAddr() == path.Remote.Addr() && !s.Ending {
			return s
		}
	}
	return nil
}

// Receive implements coretest.Protocol.
func (p *simProtocol) Receive(n *simNode, path ike.Path, b []byte) func() {
	state := stateOf(sessionAt(n.Core, path))
	before := n.Core.Count
	return func() {
		switch c := n.Core.Count; {
		case c.Repeated > before.Repeated:
			p.sim.Visit(state, "repetition")
		case c.BadIntegrity > before.BadIntegrity:
			p.sim.Visit(state, "not genuine")
		case c.Malformed > before.Malformed:
			p.sim.Visit(state, "malformed")
		case c.Unexpected > before.Unexpected:
			p.sim.Visit(state, "unexpected")
		}
	}
}

// Adopt implements coretest.Protocol.
func (p *simProtocol) Adopt(n *simNode) {
	for _, t := range n.Core.transactions {
		n.Watch(&t.timer, func() string { return stateOf(t.s) }, "timer: "+t.command.String())
	}
	for _, v := range n.Core.served {
		n.Watch(&v.timer, func() string { return stateOf(v.session) }, "timer: served "+v.key.command.String())
	}
}

// trace notes an accepted message: what came, and in which state it was met.
func (p *simProtocol) trace(n *simNode, t ike.TraceRecord) {
	m, err := message.Parse(t.Message)
	if err != nil {
		return
	}
	dir := "<-"
	if t.Outbound {
		dir = "->"
	}
	p.sim.W.Tracef("%s %s %v", n.Name, dir, m)
	if !t.Outbound {
		p.sim.Visit(stateOf(sessionAt(n.Core, t.Path)), describe(m))
	}
}

// describe says what a message is about.
func describe(m *message.Message) string {
	s := m.Header.Type.String()
	if m.Header.AckReq {
		s += " with ACKREQ"
	}
	if m.TGTRep() != nil {
		s += ": TGT"
	}
	if k := m.KRBError(); k != nil {
		if e, err := krb.ParseKRBError(k.Data); err == nil {
			s += ": " + e.Code.String()
		}
	}
	if e := m.Error(); e != nil {
		s += ": " + e.Code.String()
	}
	for p := range m.Payloads.ISAKMPs() {
		qs, err := p.Payloads()
		if err != nil {
			continue
		}
		for q := range qs.Notifies() {
			if name := q.Type.String(); !strings.Contains(name, "(") {
				s += ": " + name
			}
		}
		if qs.SA() != nil && m.Header.Type == message.Reply {
			s += ": SA"
		}
		for range qs.Deletes() {
			s += ": D"
		}
	}
	return s
}

// mustVisit are the pairs without which a run would prove little.
var mustVisit = []coretest.Visit{
	{State: "ASSOCIATED", Event: "ACK"},
	{State: "ASSOCIATED", Event: "CREATE"},
	{State: "ASSOCIATED", Event: "DELETE: D"},
	{State: "ASSOCIATED", Event: "GETTGT"},
	{State: "ASSOCIATED", Event: "REPLY"},
	{State: "ASSOCIATED", Event: "REPLY with ACKREQ: SA"},
	{State: "ASSOCIATED", Event: "REPLY: D"},
	{State: "ASSOCIATED", Event: "REPLY: INVALID-SPI"},
	{State: "ASSOCIATED", Event: "REPLY: KRB_AP_ERR_SKEW"},
	{State: "ASSOCIATED", Event: "STATUS"},
	{State: "ASSOCIATED", Event: "command: create Child"},
	{State: "ASSOCIATED", Event: "command: delete"},
	{State: "ASSOCIATED", Event: "command: delete Child"},
	{State: "ASSOCIATED", Event: "command: liveness"},
	{State: "ASSOCIATED", Event: "command: rekey Child"},
	{State: "ASSOCIATED", Event: "command: rekey IKE"},
	{State: "ASSOCIATED", Event: "first packet of a Child SA"},
	{State: "ASSOCIATED", Event: "malformed"},
	{State: "ASSOCIATED", Event: "not genuine"},
	{State: "ASSOCIATED", Event: "repetition"},
	{State: "ASSOCIATED", Event: "timer: CREATE"},
	{State: "ASSOCIATED", Event: "timer: DELETE"},
	{State: "ASSOCIATED", Event: "timer: STATUS"},
	{State: "ASSOCIATED", Event: "timer: liveness"},
	{State: "ASSOCIATED", Event: "timer: served CREATE"},
	{State: "ASSOCIATED", Event: "unexpected"},
	{State: "ASSOCIATED, answers CREATE", Event: "unexpected"},
	{State: "ASSOCIATED, creates Child", Event: "REPLY with ACKREQ: SA"},
	{State: "ASSOCIATED, creates Child", Event: "REPLY: SA"},
	{State: "ASSOCIATED, creates Child", Event: "timer: CREATE"},
	{State: "ASSOCIATED, creates Child", Event: "unexpected"},
	{State: "ASSOCIATED, rekeys Child", Event: "CREATE"},
	{State: "ASSOCIATED, rekeys Child", Event: "DELETE: D"},
	{State: "ASSOCIATED, rekeys Child", Event: "REPLY with ACKREQ: SA"},
	{State: "ASSOCIATED, rekeys Child", Event: "REPLY: SA"},
	{State: "ASSOCIATED, rekeys Child", Event: "STATUS"},
	{State: "ASSOCIATED, rekeys Child", Event: "command: rekey Child"},
	{State: "ASSOCIATED, rekeys Child", Event: "command: rekey IKE"},
	{State: "ASSOCIATED, rekeys Child", Event: "first packet of a Child SA"},
	{State: "ASSOCIATED, rekeys Child", Event: "malformed"},
	{State: "ASSOCIATED, rekeys Child", Event: "repetition"},
	{State: "ASSOCIATED, rekeys Child", Event: "timer: CREATE"},
	{State: "ASSOCIATED, rekeys Child", Event: "timer: liveness"},
	{State: "ASSOCIATED, rekeys Child", Event: "unexpected"},
	{State: "ASSOCIATED, waits for ACK", Event: "ACK"},
	{State: "ASSOCIATED, waits for ACK", Event: "CREATE"},
	{State: "ASSOCIATED, waits for ACK", Event: "DELETE: D"},
	{State: "ASSOCIATED, waits for ACK", Event: "REPLY"},
	{State: "ASSOCIATED, waits for ACK", Event: "first packet of a Child SA"},
	{State: "ASSOCIATED, waits for ACK", Event: "malformed"},
	{State: "ASSOCIATED, waits for ACK", Event: "repetition"},
	{State: "ASSOCIATED, waits for ACK", Event: "timer: served CREATE"},
	{State: "ASSOCIATED, waits for ACK", Event: "unexpected"},
	{State: "CREATING, answers CREATE", Event: "unexpected"},
	{State: "CREATING, creates Child", Event: "CREATE"},
	{State: "CREATING, creates Child", Event: "GETTGT"},
	{State: "CREATING, creates Child", Event: "REPLY with ACKREQ: SA"},
	{State: "CREATING, creates Child", Event: "REPLY: KRB_AP_ERR_SKEW"},
	{State: "CREATING, creates Child", Event: "REPLY: SA"},
	{State: "CREATING, creates Child", Event: "REPLY: TGT"},
	{State: "CREATING, creates Child", Event: "malformed"},
	{State: "CREATING, creates Child", Event: "not genuine"},
	{State: "CREATING, creates Child", Event: "repetition"},
	{State: "CREATING, creates Child", Event: "timer: CREATE"},
	{State: "CREATING, creates Child", Event: "timer: GETTGT"},
	{State: "CREATING, creates Child", Event: "unexpected"},
	{State: "DELETING", Event: "first packet of a Child SA"},
	{State: "DELETING", Event: "timer: DELETE"},
	{State: "DELETING", Event: "timer: liveness"},
	{State: "DELETING", Event: "timer: served CREATE"},
	{State: "none", Event: "CREATE"},
	{State: "none", Event: "DELETE: D"},
	{State: "none", Event: "GETTGT"},
	{State: "none", Event: "REPLY: D"},
	{State: "none", Event: "REPLY: INVALID-SPI"},
	{State: "none", Event: "REPLY: KRB_AP_ERR_SKEW"},
	{State: "none", Event: "REPLY: TGT"},
	{State: "none", Event: "STATUS"},
	{State: "none", Event: "malformed"},
	{State: "none", Event: "not genuine"},
	{State: "none", Event: "repetition"},
	{State: "none", Event: "timer: served DELETE"},
	{State: "none", Event: "unexpected"},
}
