package conf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/spd"
)

// As openssl dhparam writes it, of 1024 bits.
const dhParameters = `-----BEGIN DH PARAMETERS-----
MIGHAoGBANTIJJrI+G6q+QZMoWXf8nxzL7xdAoWW2HiZVKV+2xkEMGYMGi/eTxEe
jQHp0Z4jvktya97MER7vjbDcv6bkIgE+QRWTVqvg7+Eu/Tqy185mXUw2c0656Eab
9Bc1uCze9CoFdoP6ZTAPORjhvQEmyS8y8s0EM/j3+J768eP7IyAPAgEC
-----END DH PARAMETERS-----
`

const privateGroupPeer = `
[peer.a]
versions = ["ikev1"]
remote = "192.0.2.2"
psk-file = "a.psk"
[peer.a.ikev1]
private-groups = ["dh.pem"]
[peer.a.child.net]
proposals = ["aes128gcm16-group32768"]
`

func TestPrivateGroups(t *testing.T) {
	c, dir := inDir(t, map[string]string{"a.psk": "secret\n", "dh.pem": dhParameters, "racoon.toml": privateGroupPeer})
	cfg, err := c.Manager()
	require.NoError(t, err)
	groups := cfg.Peers[0].IKEv1.PrivateGroups
	require.Len(t, groups, 1)
	require.Equal(t, dh.FirstPrivate, groups[0].ID())
	require.Equal(t, 1024, groups[0].Bits())
	cfg.DataPlane = spd.NewMemory(spd.MemoryConfig{})
	m, err := racoon.NewManager(cfg)
	require.NoError(t, err)
	require.NoError(t, m.Shutdown(t.Context()))

	for text, want := range map[string]string{
		"nonsense": "has no DH PARAMETERS",
		"-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n":                     "DH PARAMETERS",
		"-----BEGIN DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END DH PARAMETERS-----\n":             "the prime has 3 bits",
		"-----BEGIN DH PARAMETERS-----\nMAYCAf8CAQI=\n-----END DH PARAMETERS-----\n":             "not a prime and a generator",
		"-----BEGIN X9.42 DH PARAMETERS-----\nMAYCAQcCAQI=\n-----END X9.42 DH PARAMETERS-----\n": "has no DH PARAMETERS",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dh.pem"), []byte(text), 0o600))
		_, err := c.Manager()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "peer.a.ikev1.private-groups")
	}
}
