package ikev1

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// One answer for a request, and none without: what it is worth to an attacker
// is what is printed.
func TestA18_NoAmplification(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		m := p.first(mode, 1)
		answers := p.respondTo(m)
		require.Len(t, answers, 1)
		t.Logf("%v: %d octets answered with %d", mode, len(m), len(answers[0]))
		require.Less(t, len(answers[0]), 2*len(m))
		sent := p.b.Stats().Sent
		p.advance(5 * time.Minute)
		require.Equal(t, sent, p.b.Stats().Sent, "%v: sent without having been asked", mode)

		// A refusal is one datagram too, and leaves nothing behind.
		p = modePair(t, mode, func(_, b *Peer) {
			b.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes256-sha512-prfsha512-ecp521")}
		})
		m = p.first(mode, 1)
		answers = p.respondTo(m)
		require.Len(t, answers, 1)
		require.Less(t, len(answers[0]), len(m))
		require.Empty(t, p.b.sas)
		// The initiator learns of it.
		p.initiate()
		p.advance(time.Minute)
		var refusal *NotifyError
		require.ErrorAs(t, find[ike.SessionFailed](p.evA)[0].Err, &refusal)
		require.Equal(t, isakmp.NotifyNoProposalChosen, refusal.Type)
		require.Contains(t, refusal.Error(), "we offered")
	}
}

// Aggressive Mode costs a key exchange for one datagram: not where it is not
// configured, and not under load.
func TestA19_AggressiveUnderLoad(t *testing.T) {
	p := modePair(t, MainMode, nil)
	require.Len(t, p.respondTo(p.first(AggressiveMode, 1)), 1, "refused")
	require.Zero(t, p.b.Held().Jobs)
	require.Empty(t, p.b.sas)
	p.evB = nil
	require.ErrorContains(t, find[ike.SessionFailed](p.eventsB())[0].Err, "accepts Aggressive Mode")

	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	a.Modes, b.Modes = []Mode{AggressiveMode, MainMode}, []Mode{AggressiveMode, MainMode}
	p = newPair(t, a, b, func(_, cb *Config) { cb.Limits = ike.Limits{CookieThreshold: 3} })
	for i := range 10 {
		p.b.HandleDatagram(p.now, reverse(pathAB()), p.first(AggressiveMode, isakmp.Cookie(i+1)))
	}
	require.Equal(t, 3, p.b.HalfOpen())
	require.Equal(t, uint64(7), p.b.Stats().Limited)
	p.b.HandleDatagram(p.now, reverse(pathAB()), p.first(MainMode, 100))
	require.Equal(t, 4, p.b.HalfOpen(), "Main Mode goes on")
	p.advance(time.Minute)
	require.Zero(t, p.b.HalfOpen())
}

// What a half-open responder of Main Mode costs, whatever the size of the first
// message.
func TestA19_HalfOpenCost(t *testing.T) {
	t.Run("small", func(t *testing.T) { testHalfOpenCost(t) })
	t.Run("large", func(t *testing.T) { testHalfOpenCost(t, &isakmp.VendorID{ID: make([]byte, 30_000)}) })
}

func testHalfOpenCost(t *testing.T, extra ...isakmp.Payload) {
	const n = 1000
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	p := newPair(t, a, b, nil)
	messages := make([][]byte, n)
	for i := range messages {
		messages[i] = p.first(MainMode, isakmp.Cookie(i+1), extra...)
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i, m := range messages {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 500)
		p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: from}, m)
		for {
			if _, ok := p.b.PollTransmit(); !ok {
				break
			}
		}
	}
	require.Equal(t, n, p.b.HalfOpen())
	cost := (int64(heap()) - int64(before)) / n
	t.Logf("%d octets for a half-open responder, whose first message had %d", cost, len(messages[0]))
	require.Less(t, cost, int64(6<<10))
	runtime.KeepAlive(messages)
	runtime.KeepAlive(p)
}

// Another responder than the one that was asked for, with a credential as good:
// the identity is checked. Many half-built SAs are bounded.
func TestC22_RedirectedInitiator(t *testing.T) {
	for _, mode := range allModes {
		for _, method := range []AuthMethod{AuthPSK, AuthRSA, AuthECDSA384} {
			a, b := methodPeers(t, mode, method)
			c := *b
			c.Local.ID = mustID("c.example")
			if method != AuthPSK {
				issuer := testpki.NewIssuer(t, testpki.P256, 0)
				signing(a, b, issuer.Host(t, allMethods[method], "a.example"), issuer.Host(t, allMethods[method], "b.example"))
				c = *b
				other := issuer.Host(t, allMethods[method], "c.example")
				c.Local.ID = mustID("c.example")
				c.Local.Credential = (&ike.Credential{Certificates: other.Chain(), Signer: other.Key}).Source()
			}
			p := newPairNow(t, a, &c)
			p.initiate()
			p.advance(5 * time.Minute)
			require.Empty(t, find[ike.SessionUp](p.evA), "%v %v", mode, method)
			require.ErrorContains(t, find[ike.SessionFailed](p.evA)[0].Err, "expected b.example")
			p.requireNothingLeft()
		}
	}
}
