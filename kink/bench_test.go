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
	"github.com/racoon3/racoon/kink/message"
)

// BenchmarkCreate is CREATE and REPLY through two cores, both sides' work, each
// time with a new ticket, which is at hand. BenchmarkRaw beside it is the Kerberos
// cryptography in the two messages.
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
	stock := &atHand{Host: r.Host(nameA)}
	for i, k := range []krb.Kerberos{stock, r.Host(nameB)} {
		e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: nullplane.New(), Kerberos: k, Started: x.Now, Tag: uint8(i)})
		require.NoError(b, err)
		ps, err := NewPeerSet(peers[i : i+1])
		require.NoError(b, err)
		e.SetPeers(ps)
		x.Ends[i] = e
	}
	x.Now = x.Now.Add(time.Second)
	x.Prepare = func(n int, now time.Time) {
		t, err := r.Host(fmt.Sprintf("kink/client%d.example.com", n)).ServiceTicket(b.Context(), now, krb.Principal{Name: nameB, Realm: realm}, krb.TicketOptions{})
		require.NoError(b, err)
		stock.ticket = t
	}
	e := x.Ends[0]
	x.Initiate = func(n int, now time.Time) (ike.SessionID, error) {
		path := pathAB()
		path.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 910)
		path.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 910)
		return e.Initiate(now, Initiation{Peer: peers[0], Path: path})
	}
	return x
}

// atHand is a host with a ticket. Each is for another client: one principal may
// begin only so many transactions in a minute.
type atHand struct {
	*krbtest.Host
	ticket *krb.Ticket
}

func (h *atHand) ServiceTicket(context.Context, time.Time, krb.Principal, krb.TicketOptions) (*krb.Ticket, error) {
	return h.ticket, nil
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
// both sides derive the keys of two SAs. The session key is new to both, so what
// hangs on it is derived too.
func rawCreate(b *testing.B, etype krb.EType) func() {
	random := make([]byte, 64)
	_, _ = rand.Read(random)
	key := func() *krb.Key {
		for n := 16; n <= 32; n += 8 {
			if k, err := krb.NewKey(etype, random[:n]); err == nil {
				return k
			}
		}
		b.Fatal("no length fits")
		return nil
	}
	service := key()
	ticket, err := service.Encrypt(nil, 2, make([]byte, 200), rand.Reader)
	require.NoError(b, err)
	head, rest, text := make([]byte, message.HeaderLen), make([]byte, 700), make([]byte, 200)
	check := func(ok bool, err error) {
		if !ok || err != nil {
			b.Fatal(err)
		}
	}
	return func() {
		_, err := service.Decrypt(2, ticket)
		check(true, err)
		initiator, responder := key(), key()
		for _, m := range []struct {
			usage    uint32
			n        int
			from, to *krb.Key
		}{{11, 100, initiator, responder}, {39, 200, initiator, responder}, {12, 60, responder, initiator}, {39, 200, responder, initiator}} {
			sealed, err := m.from.Encrypt(nil, m.usage, text[:m.n], rand.Reader)
			check(true, err)
			_, err = m.to.Decrypt(m.usage, sealed)
			check(true, err)
		}
		for _, k := range [][2]*krb.Key{{initiator, responder}, {responder, initiator}} {
			sum, err := k[0].AppendChecksum(nil, head, rest)
			check(k[1].VerifyChecksum(head, rest, sum), err)
		}
		for _, k := range []*krb.Key{initiator, initiator, responder, responder} {
			k.AppendKeyMat(nil, 20, krb.PRFStandard, rest[:5], rest[:32])
		}
	}
}
