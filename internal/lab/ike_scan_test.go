//go:build linux

package lab_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/lab"
)

func TestIKEScan(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.StrongSwan, lab.IKEScanner)
	a, b := lab.NewPair(t)
	main := lab.StrongSwanConn{Version: 1, Local: b.Outer.String(), LocalID: "b.lab", Proposals: "aes128-sha256-modp2048"}
	aggressive := main
	aggressive.Name, aggressive.Aggressive = "aggressive", true
	lab.StartStrongSwan(t, b.Namespace, lab.StrongSwanConfig{PSK: "lab-psk", Conns: []lab.StrongSwanConn{main, aggressive}})

	got, err := a.IKEScan(b.Outer, "--trans=(1=7,14=128,2=4,3=1,4=14)", "--showbackoff=2")
	require.NoError(t, err)
	require.Equal(t, "Main Mode", got.Handshake)
	require.Equal(t, "AES", got.SA["Enc"])
	require.Equal(t, "14:modp2048", got.SA["Group"])
	require.True(t, got.Has("Dead Peer Detection"), "%v", got)
	require.Len(t, got.Answers, 1, "a responder waits for the next message")

	// Its key exchange value is random, and half of them are none to OpenSSL.
	for range 20 {
		got, err = a.IKEScan(b.Outer, "--aggressive", "--id=a.lab", "--idtype=2", "--dhgroup=14", "--trans=(1=7,14=128,2=4,3=1,4=14)")
		require.NoError(t, err)
		if got.Handshake != "" {
			break
		}
	}
	require.Equal(t, "Aggressive Mode", got.Handshake)
	require.True(t, got.Has("KeyExchange(256 bytes)"), "%v", got)
	require.True(t, got.Has("Value=b.lab"), "%v", got)

	got, err = a.IKEScan(b.Outer, "--trans=(1=7,14=256,2=4,3=1,4=14)")
	require.NoError(t, err)
	require.Empty(t, got.Handshake)
	require.Equal(t, "NO-PROPOSAL-CHOSEN", got.Notify)
}
