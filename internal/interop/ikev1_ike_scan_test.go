//go:build linux

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/internal/lab"
)

// ike-scan gets answers that make sense, once each and not much longer than what
// it has asked.
func TestIKEv1IKEScan(t *testing.T) {
	t.Parallel()
	const trans = "--trans=(1=7,14=128,2=4,3=1,4=14)"
	p := newPair(t, lab.IKEScanner)
	useV1(&p.Peer)
	p.Peer.Remote, p.Peer.RemoteID = "", "b.lab"
	p.Peer.Proposals = []string{"aes128-sha256-modp2048"}
	p.start(t)

	wire := p.b.Sniff()
	got, err := p.b.IKEScan(p.a.Outer, trans, "--showbackoff=8")
	require.NoError(t, err)
	t.Log(got)
	require.Equal(t, "Main Mode", got.Handshake)
	require.Subset(t, got.SA, map[string]string{"Enc": "AES", "KeyLength": "128", "Hash": "SHA2-256", "Group": "14:modp2048", "Auth": "PSK"})
	require.True(t, got.Has("Dead Peer Detection"), "%v", got)
	require.True(t, got.Has("IKE Fragmentation"), "%v", got)
	require.Len(t, got.Answers, 1, "a responder does not send again by itself")
	require.Equal(t, oneAnswer, got.Guess)
	bounded(t, wire, 2)

	// Nothing that the configuration does not have: a group that is too weak, no
	// Aggressive Mode, which would give away a hash of the key.
	got, err = p.b.IKEScan(p.a.Outer)
	require.NoError(t, err)
	require.Empty(t, got.Handshake)
	require.Equal(t, "NO-PROPOSAL-CHOSEN", got.Notify)
	got, err = p.b.IKEScan(p.a.Outer, "--aggressive", "--id=b.lab", "--idtype=2", "--dhgroup=14", trans)
	require.NoError(t, err)
	require.Empty(t, got.Handshake, "%v", got)
	require.Equal(t, "NO-PROPOSAL-CHOSEN", got.Notify)
	require.Empty(t, p.plane.installed())
}

// oneAnswer is what ike-scan takes those for that answer once.
const oneAnswer = "Linksys Etherfast"

// bounded checks that the answers on the wire are as many as the questions at
// most, and no longer than so many times.
func bounded(t *testing.T, wire *lab.Sniffer, factor int) {
	t.Helper()
	var asked, answered, questions, answers int
	for _, packet := range wire.Packets() {
		switch {
		case packet.Dst.Port() == 500:
			asked += len(packet.Payload)
			questions++
		case packet.Src.Port() == 500:
			answered += len(packet.Payload)
			answers++
		}
	}
	t.Logf("%d octets asked in %d datagrams, %d answered in %d", asked, questions, answered, answers)
	require.NotZero(t, asked)
	require.NotZero(t, answers)
	require.LessOrEqual(t, answered, factor*asked)
	require.LessOrEqual(t, answers, questions)
}

// Aggressive Mode where it is configured.
func TestIKEv1IKEScanAggressive(t *testing.T) {
	t.Parallel()
	p := newPair(t, lab.IKEScanner)
	useV1(&p.Peer)
	useAggressive(&p.Peer)
	p.Peer.Remote, p.Peer.RemoteID = "", "b.lab"
	p.Peer.Proposals = []string{"aes128-sha256-modp2048"}
	p.Peer.IKEv1.Fragmentation = ikev1.FragmentOff // ike-scan reads no fragments
	p.start(t)
	const trans = "--trans=(1=7,14=128,2=4,3=1,4=14)"
	wire := p.b.Sniff()
	got, err := p.b.IKEScan(p.a.Outer, "--aggressive", "--id=b.lab", "--idtype=2", "--dhgroup=14", trans, "--showbackoff=8")
	require.NoError(t, err)
	t.Log(got)
	require.Equal(t, "Aggressive Mode", got.Handshake)
	require.Subset(t, got.SA, map[string]string{"Enc": "AES", "KeyLength": "128", "Hash": "SHA2-256", "Group": "14:modp2048", "Auth": "PSK"})
	for _, want := range []string{"KeyExchange(256 bytes)", "Value=a.lab", "Nonce(32 bytes)", "Hash(32 bytes)", "Dead Peer Detection"} {
		require.True(t, got.Has(want), "%s: %v", want, got)
	}
	require.Len(t, got.Answers, 1)
	require.Equal(t, oneAnswer, got.Guess)
	bounded(t, wire, 2)

	// Nobody learns a hash without the name of somebody who is known; a wrong
	// group is refused as well. Neither is more than one short answer.
	for _, c := range []struct{ id, trans, dh, notify string }{
		{"x.lab", trans, "14", "INVALID-ID-INFORMATION"},
		{"b.lab", "--trans=(1=7,14=128,2=4,3=1,4=5)", "5", "NO-PROPOSAL-CHOSEN"},
	} {
		wire := p.b.Sniff()
		got, err := p.b.IKEScan(p.a.Outer, "--aggressive", "--id="+c.id, "--idtype=2", "--dhgroup="+c.dh, c.trans)
		require.NoError(t, err)
		require.Empty(t, got.Handshake, "%v", got)
		require.Equal(t, c.notify, got.Notify)
		bounded(t, wire, 1)
	}
}
