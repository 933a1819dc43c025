//go:build linux

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

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
	require.Len(t, got.Answers, 1, "a responder does not send again by itself")
	var asked, answered int
	for _, packet := range wire.Packets() {
		switch {
		case packet.Dst.Port() == 500:
			asked += len(packet.Payload)
		case packet.Src.Port() == 500:
			answered += len(packet.Payload)
		}
	}
	require.NotZero(t, asked)
	require.LessOrEqual(t, answered, 3*asked)

	// Nothing that the configuration does not have: a group that is too weak, no
	// Aggressive Mode, which would give away a hash of the key.
	got, err = p.b.IKEScan(p.a.Outer)
	require.NoError(t, err)
	require.Empty(t, got.Handshake)
	require.Equal(t, "NO-PROPOSAL-CHOSEN", got.Notify)
	got, err = p.b.IKEScan(p.a.Outer, "--aggressive", "--id=b.lab", "--idtype=2", "--dhgroup=14", trans, "--timeout=1000")
	require.NoError(t, err)
	require.Empty(t, got.Handshake, "%v", got)
	require.Empty(t, p.plane.installed())
}

// Aggressive Mode where it is configured.
func TestIKEv1IKEScanAggressive(t *testing.T) {
	t.Parallel()
	p := newPair(t, lab.IKEScanner)
	useV1(&p.Peer)
	useAggressive(&p.Peer)
	p.Peer.Remote, p.Peer.RemoteID = "", "b.lab"
	p.Peer.Proposals = []string{"aes128-sha256-modp2048"}
	p.start(t)
	got, err := p.b.IKEScan(p.a.Outer, "--aggressive", "--id=b.lab", "--idtype=2", "--dhgroup=14", "--trans=(1=7,14=128,2=4,3=1,4=14)")
	require.NoError(t, err)
	t.Log(got)
	require.Equal(t, "Aggressive Mode", got.Handshake)
	require.True(t, got.Has("KeyExchange(256 bytes)"), "%v", got)
	require.True(t, got.Has("Value=a.lab"), "%v", got)
}
