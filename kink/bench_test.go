package kink

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
)

// BenchmarkCreate is CREATE and REPLY through two cores, both sides' work, with
// the ticket at hand. BenchmarkRaw beside it is the Kerberos cryptography in the
// two messages.
func BenchmarkCreate(b *testing.B) { coretest.BenchHandshake(b, benchCases(b)) }

// BenchmarkRaw is the cryptography of both sides of one CREATE.
func BenchmarkRaw(b *testing.B) { coretest.BenchRaw(b, benchCases(b)) }

// BenchmarkCreateRatio has both take turns.
func BenchmarkCreateRatio(b *testing.B) { coretest.BenchRatio(b, benchCases(b)) }

// BenchmarkSessionHeap reports what an association with one Child SA occupies on
// the heap, on either side, when it is idle.
func BenchmarkSessionHeap(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				coretest.BenchHeap(b, n, benchPair(b, krb.AES256SHA1))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchPair are two endpoints of one realm, without a data plane. Each session
// comes from an address of its own.
func benchPair(b *testing.B, etype krb.EType) *coretest.Bench[*Endpoint] {
	x := &coretest.Bench[*Endpoint]{Now: time.Unix(1_700_000_000, 0)}
	r := krbtest.NewRealm(realm, rand.Reader, etype)
	peers := []*Peer{peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA)}
	peers[1].Principal = "kink/*@" + realm
	r.Host(nameB)
	for i, name := range []string{nameA, nameB} {
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: nullplane.New(), Kerberos: manyPrincipals{r.Host(name), r}, Started: x.Now, Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet(peers[i : i+1])
		require.NoError(b, err)
		e.SetPeers(ps)
		x.Ends[i] = e
	}
	x.Now = x.Now.Add(time.Second)
	e := x.Ends[0]
	x.Initiate = func(n int, now time.Time) (ike.SessionID, error) {
		path := pathAB()
		path.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 910)
		path.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 910)
		return e.Initiate(now, Initiation{Peer: peers[0], Path: path})
	}
	return x
}

// manyPrincipals has each ticket for another client: one principal may begin only
// so many transactions in a minute.
type manyPrincipals struct {
	*krbtest.Host
	r *krbtest.Realm
}

func (m manyPrincipals) ServiceTicket(ctx context.Context, now time.Time, server krb.Principal, o krb.TicketOptions) (*krb.Ticket, error) {
	return m.r.Host(fmt.Sprintf("kink/client%d.example.com", m.r.Requests())).ServiceTicket(ctx, now, server, o)
}

func benchCases(b *testing.B) (cases []coretest.BenchCase[*Endpoint]) {
	for _, etype := range krb.DefaultETypes() {
		cases = append(cases, coretest.BenchCase[*Endpoint]{Name: etype.String(), New: func(b *testing.B) *coretest.Bench[*Endpoint] { return benchPair(b, etype) },
			Raw: rawCreate(b, etype)})
	}
	return cases
}

// rawCreate is what both sides of a CREATE cannot do without: the responder opens
// the ticket; an authenticator, an AP-REP and the payloads of both messages are
// encrypted and decrypted; both messages have a checksum, made and verified; and
// both sides derive the keys of two SAs.
func rawCreate(b *testing.B, etype krb.EType) func() {
	random := func() *krb.Key {
		k, err := krb.RandomKey(etype, rand.Reader)
		require.NoError(b, err)
		return k
	}
	service, session := random(), random()
	ticket, err := service.Encrypt(nil, 2, make([]byte, 200), rand.Reader)
	require.NoError(b, err)
	raw := session
	return func() {
		// The responder gets the session key with each message.
		if _, err := service.Decrypt(2, ticket); err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{100, 60, 200, 200} { // authenticator, AP-REP, payloads
			sealed, err := raw.Encrypt(nil, 39, make([]byte, n), rand.Reader)
			if err == nil {
				_, err = raw.Decrypt(39, sealed)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		head, rest := make([]byte, 16), make([]byte, 700)
		for range 2 {
			sum, err := raw.AppendChecksum(nil, head, rest)
			if err != nil || !raw.VerifyChecksum(head, rest, sum) {
				b.Fatal(err)
			}
		}
		for range 4 {
			raw.AppendKeyMat(nil, 20, krb.PRFStandard, rest[:5], rest[:32])
		}
	}
}
