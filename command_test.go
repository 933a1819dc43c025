package racoon

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/krbtest"
	"github.com/racoon3/racoon/spd"
)

// Whatever the protocol, a command to a session that has just ended says so by
// the same error.
func TestCommandToEndedSession(t *testing.T) {
	realm := krbtest.NewRealm("EXAMPLE.COM", rand.Reader, krb.AES256SHA384)
	m, err := NewManager(Config{DataPlane: spd.NewMemory(spd.MemoryConfig{}), KINK: KINKConfig{Kerberos: realm.Host("kink/me.example.com")}})
	require.NoError(t, err)
	for _, v := range []Version{IKEv1, IKEv2, KINK} {
		id := ike.SessionID(map[Version]uint64{IKEv1: tagIKEv1, KINK: tagKINK}[v]<<56 | 7)
		require.Equal(t, v, VersionOf(id))
		k := m.workers[0].core
		now := clock()
		require.ErrorIs(t, k.CheckLiveness(now, id), ike.ErrNoSession, v)
		require.ErrorIs(t, k.RekeyIKE(now, id), ike.ErrNoSession, v)
		require.ErrorIs(t, k.RekeyChild(now, id, 1), ike.ErrNoSession, v)
		require.ErrorIs(t, k.Delete(now, id, ike.DownLocal), ike.ErrNoSession, v)
		require.ErrorIs(t, k.Forget(now, id, ike.DownLocal), ike.ErrNoSession, v)
	}
}
