package ikev1

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// respondFrom is respondTo for a message from any address.
func (p *pair) respondFrom(remote netip.AddrPort, b []byte) (octets int) {
	p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: remote}, b)
	p.work(p.b)
	for {
		tx, ok := p.b.PollTransmit()
		if !ok {
			return octets
		}
		require.Equal(p.t, remote, tx.Path.Remote)
		octets += len(tx.Packet)
	}
}

// With certificates the answer of Aggressive Mode is several times as long as the
// question. Whoever invents source addresses gets a network so much sent and no
// more, whether with many questions or with one again and again; others are
// served, and the network itself is again a little later.
func TestA18_AggressiveCertificates(t *testing.T) {
	a, b := methodPeers(t, AggressiveMode, AuthRSA)
	b.Local.AlwaysSendCert = true
	a.RemoteAddrs, b.RemoteAddrs = nil, nil
	p := newPairNow(t, a, b)
	victim := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 500)
	}
	question := func(i int) []byte { return p.first(AggressiveMode, isakmp.Cookie(i+1)) }
	one := p.respondFrom(victim(0), question(0))
	factor := float64(one) / float64(len(question(0)))
	t.Logf("%d octets answered with %d: %.1f times", len(question(0)), one, factor)
	require.Greater(t, factor, 3.0, "else this test shows nothing")

	excess := one - freeReply*len(question(0))
	asked, sent := len(question(0)), one
	for range 1000 { // the same question
		asked, sent = asked+len(question(0)), sent+p.respondFrom(victim(0), question(0))
	}
	require.Less(t, sent-one, replyBurst/excess*one+one)
	t.Logf("one question 1001 times, %d octets: %d octets sent", asked, sent)
	for i := range 1000 { // many questions from all over the network
		asked, sent = asked+len(question(i)), sent+p.respondFrom(victim(i%250), question(i))
	}
	require.LessOrEqual(t, sent, (replyBurst/excess+2)*one)
	require.Less(t, sent, asked)
	require.NotZero(t, p.b.Stats().Limited)

	require.NotZero(t, p.respondFrom(netip.MustParseAddrPort("198.51.101.1:500"), question(5000)), "another network")
	require.Zero(t, p.respondFrom(victim(7), question(5001)))
	before := p.now
	p.advance(time.Duration(2*excess)*time.Second/replyRate + time.Second)
	require.NotZero(t, p.respondFrom(victim(7), question(5002)), "after %v", p.now.Sub(before))
}

// What is accounted is bounded, and forgotten.
func TestA18_BudgetsBounded(t *testing.T) {
	a, b := methodPeers(t, AggressiveMode, AuthRSA)
	p := newPairNow(t, a, b)
	e := p.b
	charge := func(i int) {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}), 500)
		if e.affords(p.now, remote) {
			s := &session{ep: e}
			s.Path.Remote = remote
			(&isakmpSA{ep: e, s: s, p1: &phase1{asked: 10, sent: [][]byte{make([]byte, 1000)}}}).chargeReply(p.now)
		}
	}
	for i := range 2 * maxBudgets {
		charge(i)
	}
	require.Len(t, e.budgets.of, maxBudgets)
	require.Equal(t, uint64(maxBudgets), e.Stats().Limited)
	p.now = p.now.Add(time.Second)
	charge(3 * maxBudgets)
	require.Len(t, e.budgets.of, 1)
	require.Equal(t, netip.MustParsePrefix("2001:db8:1::/48"), networkOf(netip.MustParseAddrPort("[2001:db8:1:2::3]:500")))
}
