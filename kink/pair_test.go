package kink

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd"
)

// pair is two endpoints of one realm with a perfect network between them and a
// virtual clock. Jobs run at once.
type pair struct {
	t     testing.TB
	now   time.Time
	realm *krbtest.Realm
	ka    *krbtest.Host
	kb    *krbtest.Host
	a, b  *Endpoint
	pa    *spd.Memory
	pb    *spd.Memory
	evA   []ike.Event
	evB   []ike.Event
	// filter, if set, decides about each datagram; false drops it.
	filter func(from *Endpoint, tx ike.Transmit) bool
	// hold, if set, takes jobs that are not to run at once.
	hold func(of *Endpoint, j ike.Job) bool
}

var (
	addrA = netip.MustParseAddrPort("192.0.2.1:910")
	addrB = netip.MustParseAddrPort("192.0.2.2:910")
	netA  = spd.MustParseTrafficSelector("10.1.0.0/16")
	netB  = spd.MustParseTrafficSelector("10.2.0.0/16")
)

const (
	nameA = "kink/a.example.com"
	nameB = "kink/b.example.com"
	realm = "EXAMPLE.COM"
)

func pathAB() ike.Path { return ike.Path{Local: addrA, Remote: addrB} }

func peerOf(name, principal string, local, remote spd.TrafficSelector, proposals ...string) *Peer {
	c := &ike.ChildConfig{Name: "net", Local: []spd.TrafficSelector{local}, Remote: []spd.TrafficSelector{remote}}
	if len(proposals) == 0 {
		proposals = []string{"aes128gcm16-noesn"}
	}
	for _, p := range proposals {
		c.Proposals = append(c.Proposals, spd.MustParseProposal(spd.ProtoESP, p))
	}
	return &Peer{Name: name, Principal: principal + "@" + realm, Children: []*ike.ChildConfig{c}}
}

func newPair(t testing.TB, a, b *Peer, cfg func(a, b *Config)) *pair {
	p := &pair{t: t, now: time.Unix(1_700_000_000, 0), pa: spd.NewMemory(spd.MemoryConfig{}), pb: spd.NewMemory(spd.MemoryConfig{})}
	p.realm = krbtest.NewRealm(realm, rand.Reader, krb.AES128SHA1)
	p.ka, p.kb = p.realm.Host(nameA), p.realm.Host(nameB)
	ca := Config{Rand: rand.Reader, DataPlane: p.pa, Tag: 0xa, Kerberos: p.ka, Started: p.now}
	cb := Config{Rand: rand.Reader, DataPlane: p.pb, Tag: 0xb, Kerberos: p.kb, Started: p.now}
	if cfg != nil {
		cfg(&ca, &cb)
	}
	var err error
	p.a, err = NewEndpoint(ca)
	require.NoError(t, err)
	p.b, err = NewEndpoint(cb)
	require.NoError(t, err)
	for e, peer := range map[*Endpoint]*Peer{p.a: a, p.b: b} {
		ps, err := NewPeerSet([]*Peer{peer})
		require.NoError(t, err)
		e.SetPeers(ps)
	}
	p.now = p.now.Add(time.Second)
	return p
}

// plainPair is two hosts with one tunnel, that nothing was done with yet.
func plainPair(t testing.TB, proposals ...string) *pair {
	return newPair(t, peerOf("b", nameB, netA, netB, proposals...), peerOf("a", nameA, netB, netA, proposals...), nil)
}

func (p *pair) link() *coretest.Link[*Endpoint] {
	return &coretest.Link[*Endpoint]{
		Ends:   [2]*Endpoint{p.a, p.b},
		Filter: func(from *Endpoint, tx ike.Transmit) bool { return p.filter == nil || p.filter(from, tx) },
		Hold:   func(of *Endpoint, j ike.Job) bool { return p.hold != nil && p.hold(of, j) },
		Event: func(of *Endpoint, ev ike.Event) {
			if of == p.a {
				p.evA = append(p.evA, ev)
			} else {
				p.evB = append(p.evB, ev)
			}
		},
	}
}

// run delivers and works until both sides are quiet.
func (p *pair) run() { require.NoError(p.t, p.link().Run(&p.now)) }

// advance lets time pass, timer by timer.
func (p *pair) advance(d time.Duration) { require.NoError(p.t, p.link().Advance(&p.now, d)) }

// initiate has a begin, with all of its peer's Children.
func (p *pair) initiate() ike.SessionID {
	id, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.Peer("b"), Path: pathAB()})
	require.NoError(p.t, err)
	p.run()
	return id
}

// same checks that both data planes have the same SAs and keys, and that neither
// core holds anything else.
func (p *pair) same(children int) {
	p.t.Helper()
	require.Empty(p.t, spd.CompareMemory(p.pa, p.pb))
	require.Len(p.t, p.pa.SAs(), 2*children)
	for _, e := range []*Endpoint{p.a, p.b} {
		require.Equal(p.t, children, e.Held().ChildSAs)
		require.Zero(p.t, e.Held().Jobs)
	}
	require.Empty(p.t, p.pa.Larval())
	require.Empty(p.t, p.pb.Larval())
}

func find[E ike.Event](events []ike.Event) (found []E) {
	for _, e := range events {
		if v, ok := e.(E); ok {
			found = append(found, v)
		}
	}
	return found
}

func only(t testing.TB, e *Endpoint) *session {
	t.Helper()
	require.Len(t, e.sessions, 1)
	for _, s := range e.sessions {
		return s
	}
	return nil
}
