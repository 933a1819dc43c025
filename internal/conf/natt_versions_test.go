package conf

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// Every kind of NAT traversal has a word, and what a data plane cannot is said at
// its key.
func TestNATTVersions(t *testing.T) {
	text := `[peer.a]
versions = ["ikev1"]
remote = "192.0.2.2"
psk-file = "a.psk"
[peer.a.ikev1]
natt-versions = ["rfc3947", "draft-08", "draft-07", "draft-06", "draft-05", "draft-04", "draft-03", "draft-02-newline", "draft-02", "draft-01", "draft-00"]
`
	c, _ := inDir(t, map[string]string{"a.psk": "secret\n", "racoon.toml": text})
	cfg, err := c.Manager()
	require.NoError(t, err)
	var want []natt.Variant
	for v := range natt.Variants() {
		want = append(want, v)
	}
	require.Equal(t, want, cfg.Peers[0].IKEv1.NATT)
	cfg.DataPlane = spd.NewMemory(spd.MemoryConfig{})
	_, err = racoon.NewManager(cfg)
	require.NoError(t, err)
}
