package ikev1

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// fuzzKinds are the ways of phase 1 and of what follows it that fuzzing goes.
var fuzzKinds = []struct {
	mode    Mode
	method  AuthMethod
	assigns bool // mode config
	pushes  bool
	private bool // groups, by New Group Mode
}{
	{mode: MainMode, method: AuthPSK},
	{mode: AggressiveMode, method: AuthPSK},
	{mode: BaseMode, method: AuthPSK},
	{mode: MainMode, method: AuthECDSA256},
	{mode: MainMode, method: AuthXAuthInitPSK, assigns: true},
	{mode: AggressiveMode, method: AuthXAuthInitPSK, assigns: true, pushes: true},
	{mode: MainMode, method: AuthXAuthRespPSK},
	{mode: MainMode, method: AuthPSK, private: true},
}

// A lender assigns each client an address of its own.
type lender struct {
	t    testing.TB
	next byte
	lent map[netip.Addr]bool
}

func (l *lender) Assign(context.Context, ike.AddressRequest) (*ike.NetworkConfig, error) {
	l.next++
	c := officeConfig()
	c.Addresses = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, l.next}), 32)}
	l.lent[c.Addresses[0].Addr()] = true
	return &c, nil
}

func (l *lender) Release(_ context.Context, _ ike.AddressRequest, c *ike.NetworkConfig) {
	require.True(l.t, l.lent[c.Addresses[0].Addr()], "%v is not lent", c.Addresses[0])
	delete(l.lent, c.Addresses[0].Addr())
}

// newFuzzPair is a pair of one of the kinds, whose randomness is always the same.
func newFuzzPair(t testing.TB, kind byte) *pair {
	k := fuzzKinds[int(kind)%len(fuzzKinds)]
	a, b := methodPeers(t, k.mode, k.method)
	if k.assigns {
		l := &lender{t: t, lent: map[netip.Addr]bool{}}
		a.Request, b.Assign, b.PushConfig = &ike.ConfigRequest{IPv4: true, DNS: true, Domains: true}, l, k.pushes
		a.Children[0].Local, a.Children[0].LocalDynamic = nil, true
		b.Children[0].Remote, b.Children[0].RemoteDynamic = nil, true
		t.Cleanup(func() {
			if !t.Failed() {
				require.Empty(t, l.lent)
			}
		})
	}
	if k.private {
		(&simProtocol{t: t}).privateGroups(a, b)
	}
	p := newPair(t, a, b, func(a, b *Config) {
		a.Rand, b.Rand = rand.NewChaCha8([32]byte{1}), rand.NewChaCha8([32]byte{2})
		a.Limits.Children, b.Limits.Children = 4, 4
	})
	p.now = testpki.Now
	return p
}

// fuzzBounded fails if an endpoint holds more than two peers can have made it
// hold.
func fuzzBounded(t testing.TB, e *Endpoint) {
	require.LessOrEqual(t, len(e.sas), 64)
	require.LessOrEqual(t, e.Held().Jobs, 256)
	require.LessOrEqual(t, e.fragments.early.octets+e.fragments.late.octets, 1<<20)
	for _, sa := range e.sas {
		require.LessOrEqual(t, len(sa.exchanges), maxExchanges+maxEnded+e.Limits.Queue)
		require.LessOrEqual(t, len(sa.collecting), maxCollecting)
		require.LessOrEqual(t, sa.s.Children.Len(), 2*e.Limits.Children+2)
	}
}

// fuzzEmpty fails if an endpoint holds anything.
func fuzzEmpty(t testing.TB, e *Endpoint) {
	require.Empty(t, e.sas)
	require.Empty(t, e.sessions)
	require.Empty(t, e.initial)
	require.Empty(t, e.relations)
	require.Empty(t, e.grouped)
	require.Empty(t, e.beginning)
	require.Zero(t, e.fragments.early.octets+e.fragments.late.octets+len(e.fragments.firsts))
}

// FuzzCore lets octets choose what happens to two endpoints: commands,
// deliveries in any order, damage, time, results of jobs. The first one chooses
// the modes and methods.
func FuzzCore(f *testing.F) {
	for kind := range fuzzKinds {
		for _, seed := range coretest.FuzzSeeds() {
			f.Add(byte(kind), seed)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, steps []byte) {
		p := newFuzzPair(t, kind)
		z := &coretest.Fuzzed[*Endpoint]{Ends: [2]*Endpoint{p.a, p.b}, Planes: [2]*spd.Memory{p.pa, p.pb}, Now: p.now, Child: "net",
			Initiate: func(e *Endpoint, now time.Time) error {
				path := pathAB()
				if e == p.b {
					path = reverse(path)
				}
				if peer := e.peers.index.All()[0]; len(peer.policy(true).methods) > 0 { // else only the other side can begin
					_, err := e.Initiate(now, Initiation{Peer: peer, Path: path})
					return err
				}
				return nil
			},
			Bounded: func(e *Endpoint) { fuzzBounded(t, e) },
			Left:    func(e *Endpoint) { fuzzEmpty(t, e) },
		}
		z.Fuzz(t, steps)
	})
}
