package ikev2

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/spd"
)

// pair is two endpoints with a perfect network between them and a virtual
// clock. Jobs run at once.
type pair struct {
	t    *testing.T
	now  time.Time
	a, b *Endpoint
	pa   *spd.Memory
	pb   *spd.Memory
	evA  []ike.Event
	evB  []ike.Event
	// filter, if set, decides about each datagram; false drops it.
	filter func(from *Endpoint, tx ike.Transmit) bool
}

var (
	addrA = netip.MustParseAddrPort("192.0.2.1:500")
	addrB = netip.MustParseAddrPort("192.0.2.2:500")
)

func pathAB() ike.Path { return ike.Path{Local: addrA, Remote: addrB} }

func reverse(p ike.Path) ike.Path { return coretest.Reverse(p) }

func newPair(t *testing.T, a, b *Peer, cfg func(a, b *Config)) *pair {
	p := &pair{t: t, now: time.Unix(1_700_000_000, 0), pa: spd.NewMemory(spd.MemoryConfig{}), pb: spd.NewMemory(spd.MemoryConfig{})}
	ca := Config{Rand: rand.Reader, DataPlane: p.pa, Tag: 0xa}
	cb := Config{Rand: rand.Reader, DataPlane: p.pb, Tag: 0xb}
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
	return p
}

// link is the network as the pair's fields make it.
func (p *pair) link() *coretest.Link[*Endpoint] {
	return &coretest.Link[*Endpoint]{
		Ends:   [2]*Endpoint{p.a, p.b},
		Filter: func(from *Endpoint, tx ike.Transmit) bool { return p.filter == nil || p.filter(from, tx) },
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

func find[E ike.Event](events []ike.Event) (found []E) {
	for _, e := range events {
		if v, ok := e.(E); ok {
			found = append(found, v)
		}
	}
	return found
}

func pskPeer(name, local, remote string) *Peer {
	id := func(s string) ike.Identity {
		i, err := ike.ParseIdentity(s)
		if err != nil {
			panic(err)
		}
		return i
	}
	cred := (&ike.Credential{PSK: ike.Secret("a shared secret")}).Source()
	return &Peer{
		Name:      name,
		Local:     LocalAuth{ID: id(local), Method: AuthPSK, Credential: cred},
		Remote:    RemoteAuth{ID: ike.ExactIdentity(id(remote)), Methods: []AuthMethod{AuthPSK}, Credential: cred},
		Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes128gcm16-prfsha256-x25519-ecp256")},
		Children: []*ike.ChildConfig{{
			Name:      "net",
			Local:     []spd.TrafficSelector{spd.MustParseTrafficSelector("10.1.0.0/16")},
			Remote:    []spd.TrafficSelector{spd.MustParseTrafficSelector("10.2.0.0/16")},
			Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes128gcm16-noesn")},
		}},
	}
}

func pskPair(t *testing.T) *pair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	return newPair(t, a, b, nil)
}

func (p *pair) initiate() ike.SessionID {
	id, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: pathAB()})
	require.NoError(p.t, err)
	p.run()
	return id
}

func TestPSKHandshake(t *testing.T) {
	p := pskPair(t)
	id := p.initiate()
	for _, ev := range append(p.evA, p.evB...) {
		t.Logf("%T %+v", ev, ev)
	}
	s, ok := p.a.Session(id)
	require.True(t, ok)
	require.True(t, s.Up)
	require.Len(t, s.Children, 1)
	require.Len(t, find[ike.SessionUp](p.evB), 1)
	require.Len(t, find[ike.ChildUp](p.evB), 1)
}

func TestRekeyAndDelete(t *testing.T) {
	p := pskPair(t)
	id := p.initiate()
	first, _ := p.a.Session(id)
	require.NoError(t, p.a.RekeyChild(p.now, id, first.Children[0].ID))
	p.advance(10 * time.Second)
	s, _ := p.a.Session(id)
	require.Len(t, s.Children, 1)
	require.NotEqual(t, first.Children[0].In, s.Children[0].In)
	require.Equal(t, first.Children[0].ID, s.Children[0].ID)

	other := find[ike.SessionUp](p.evB)[0].Session
	sb, _ := p.b.Session(other)
	require.Len(t, sb.Children, 1)
	require.NoError(t, p.b.RekeyIKE(p.now, other))
	p.advance(time.Minute)
	s2, _ := p.a.Session(id)
	require.NotEqual(t, s.Info.LocalSPI, s2.Info.LocalSPI)
	require.Len(t, s2.Children, 1)
	require.Len(t, p.a.sas, 1)
	require.Len(t, p.b.sas, 1)

	require.NoError(t, p.b.Delete(p.now, other, ike.DownLocal))
	p.advance(time.Minute)
	for _, e := range []*Endpoint{p.a, p.b} {
		require.Empty(t, e.sessions)
		require.Empty(t, e.sas)
		require.Empty(t, e.Held().SAs)
		require.Zero(t, e.Held().Jobs)
		require.Zero(t, e.Held().Timers)
	}
	require.Len(t, find[ike.SessionDown](p.evA), 1)
	require.Equal(t, ike.DownRemote, find[ike.SessionDown](p.evA)[0].Reason)
	for _, ev := range append(p.evA, p.evB...) {
		w, bad := ev.(ike.Warning)
		require.False(t, bad, "%v", w.Err)
	}
}
