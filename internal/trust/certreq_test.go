package trust

import (
	"testing"

	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestCertificateRequests(t *testing.T) {
	a, b := testpki.NewCA(t, "a"), testpki.NewCA(t, "b")
	hashes := CAHashes(trusting(a, b, a))
	require.Equal(t, [][20]byte{KeyHash(a.Certificate), KeyHash(b.Certificate)}, hashes)
	require.Nil(t, CAHashes(nil))
}
