package kink

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
)

// newFuzzPair is a pair of one of several kinds, whose randomness is always the
// same.
func newFuzzPair(t testing.TB, kind byte) *pair {
	a, b := peerOf("b", nameB, netA, netB, "aes128-sha256-noesn", "aes128gcm16-noesn"), peerOf("a", nameA, netB, netA)
	switch kind % 4 {
	case 0:
		a = peerOf("b", nameB, netA, netB)
	case 2:
		b.ContributeNonce = true
	case 3:
		a = peerOf("b", nameB, netA, netB, "aes128gcm16-noesn-ecp256")
		a.UserToUser, b.UserToUser = UserToUserRequest, UserToUserAccept
	}
	r := krbtest.NewRealm(realm, rand.NewChaCha8([32]byte{3}), krb.AES128SHA256)
	p := newPair(t, a, b, func(ca, cb *Config) {
		ca.Rand, cb.Rand = rand.NewChaCha8([32]byte{1}), rand.NewChaCha8([32]byte{2})
		ca.Kerberos, cb.Kerberos = r.Host(nameA), r.Host(nameB)
		ca.Limits.Children, cb.Limits.Children = 4, 4
	})
	p.realm = r
	return p
}

// fuzzBounded fails if an endpoint holds more than its peer can have made it hold.
func fuzzBounded(t testing.TB, e *Endpoint) {
	require.LessOrEqual(t, len(e.sessions), 4)
	require.LessOrEqual(t, len(e.served), maxServed)
	require.LessOrEqual(t, len(e.reloads), maxReloads)
	require.LessOrEqual(t, len(e.transactions), 4*e.Limits.Queue)
	require.LessOrEqual(t, len(e.acceptor.TGTs), maxTGTs)
}

// fuzzLeft fails if anything is left when all sessions have ended.
func fuzzLeft(t testing.TB, e *Endpoint) {
	require.Empty(t, e.sessions)
	require.Empty(t, e.relations)
	require.Empty(t, e.places)
	require.Empty(t, e.transactions)
	require.Empty(t, e.served)
	require.Empty(t, e.servedBy)
	require.Empty(t, e.reloads)
}

// FuzzCore: whatever comes, in whatever order, with whatever delay, nothing
// panics, nothing grows without bound, and nothing is left in the end.
func FuzzCore(f *testing.F) {
	for kind := range byte(4) {
		for _, seed := range coretest.FuzzSeeds(kind) {
			f.Add(seed)
		}
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) == 0 {
			return
		}
		p := newFuzzPair(t, steps[0])
		x := coretest.Fuzzed[*Endpoint]{
			Ends: [2]*Endpoint{p.a, p.b}, Child: "net", Now: p.now,
			Bounded: func(e *Endpoint) { fuzzBounded(t, e) }, Left: func(e *Endpoint) { fuzzLeft(t, e) },
			Initiate: func(e *Endpoint, now time.Time) error {
				in := Initiation{Peer: p.a.peers.Peer("b"), Path: pathAB()}
				if e == p.b {
					in = Initiation{Peer: p.b.peers.Peer("a"), Path: coretest.Reverse(pathAB())}
				}
				_, err := e.Initiate(now, in)
				return err
			},
		}
		x.Planes[0], x.Planes[1] = p.pa, p.pb
		x.Fuzz(t, steps[1:])
	})
}
