package spd

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Private groups of IKEv1 (RFC 2409 5.6) have words too.
func TestPrivateGroupWords(t *testing.T) {
	for _, s := range []string{"aes128gcm16-group32768", "aes128-sha256-modp2048-group40000-group65535"} {
		p, err := ParseProposal(ProtoESP, s)
		require.NoError(t, err)
		require.Equal(t, s, p.String())
	}
	p := MustParseProposal(ProtoIKE, "aes128-sha256-group32768")
	require.Contains(t, p.Transforms, Transform{Type: TransformKE, ID: FirstPrivateKE})
	for _, bad := range []string{"group32767", "group65536", "group032768", "group", "group-1", "group+40000", "ke1_group32768"} {
		_, err := ParseProposal(ProtoIKE, "aes128-sha256-modp2048-"+bad)
		require.ErrorIs(t, err, ErrProposal, bad)
	}
}
