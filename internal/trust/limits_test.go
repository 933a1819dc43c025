package trust

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func TestA27_CertificateLimits(t *testing.T) {
	root := testpki.NewCA(t, "root")
	tr := trusting(root)
	gw := root.Leaf(t, "gw.lab")

	t.Run("deep chain", func(t *testing.T) {
		chain := []*testpki.Cert{root}
		for i := range 100 {
			chain = append(chain, chain[len(chain)-1].Issue(t, testpki.Spec{Subject: fmt.Sprint("sub ", i), CA: true, KeyNumber: -1}))
		}
		leaf := chain[100].Leaf(t, "gw.lab")
		_, err := verify(t, tr, "gw.lab", leaf.DER()...)
		refused(t, err, ErrLimit, "101 certificates, at most 16")
		// The same from our own files: the path is too long.
		long := trusting(root)
		for _, c := range chain[1:] {
			long.Intermediates = append(long.Intermediates, c.Certificate)
		}
		_, err = verify(t, long, "gw.lab", leaf.Raw)
		require.Error(t, err)
		for n, want := range map[int]bool{6: true, 7: false} {
			leaf := chain[n].Leaf(t, "gw.lab")
			_, err := verify(t, tr, "gw.lab", leaf.DER()...) // n subs, leaf and root
			if want {
				require.NoError(t, err)
				continue
			}
			refused(t, err, ErrLimit, "a path of 9 certificates, at most 8")
		}
		short := trusting(root)
		short.MaxChain = 2
		_, err = verify(t, short, "gw.lab", gw.DER()...)
		require.NoError(t, err)
		_, err = verify(t, short, "gw.lab", chain[1].Leaf(t, "gw.lab").DER()...)
		refused(t, err, ErrLimit, "a path of 3")
	})
	t.Run("many and large", func(t *testing.T) {
		many := make([][]byte, 1000)
		for i := range many {
			many[i] = gw.Raw
		}
		_, err := verify(t, tr, "gw.lab", many...)
		refused(t, err, ErrLimit, "1000 certificates")
		_, err = verify(t, tr, "gw.lab", make([]byte, 64<<10))
		refused(t, err, ErrLimit, "65536 octets, at most 16384")
		_, err = verify(t, tr, "gw.lab", gw.Raw, make([]byte, 16<<10), make([]byte, 16<<10), make([]byte, 16<<10), make([]byte, 16<<10))
		refused(t, err, ErrLimit, "together")
		names := make([]string, 400)
		for i := range names {
			names[i] = "n" + strings.Repeat("x", i%20) + ".lab"
		}
		_, err = verify(t, tr, "gw.lab", root.Issue(t, testpki.Spec{Subject: "gw", DNS: names}).Raw)
		refused(t, err, ErrLimit, "alternative names")
	})
	t.Run("loops", func(t *testing.T) {
		// A and B sign each other; neither is a root.
		ka, kb := testpki.Key(t, testpki.P256, 10), testpki.Key(t, testpki.P256, 11)
		a0 := testpki.NewRoot(t, testpki.Spec{Subject: "a", CA: true, Signer: ka})
		b0 := testpki.NewRoot(t, testpki.Spec{Subject: "b", CA: true, Signer: kb})
		a, b := b0.Issue(t, testpki.Spec{Subject: "a", CA: true, Signer: ka}), a0.Issue(t, testpki.Spec{Subject: "b", CA: true, Signer: kb})
		leaf := a0.Leaf(t, "gw.lab")
		_, err := verify(t, tr, "gw.lab", leaf.Raw, a.Raw, b.Raw, a0.Raw, b0.Raw)
		refused(t, err, ErrNoPath, "")
		v, err := verify(t, trusting(b0), "gw.lab", leaf.Raw, a.Raw, b.Raw)
		require.NoError(t, err, "the loop does not hide the path")
		require.Len(t, v.Chain, 3)
		// Many of one name and key: the number of paths is bounded.
		certs := [][]byte{leaf.Raw}
		for i := range MaxCertificates - 1 {
			by, s := a0, testpki.Spec{Subject: "b", CA: true, Signer: kb}
			if i%2 == 0 {
				by, s = b0, testpki.Spec{Subject: "a", CA: true, Signer: ka}
			}
			certs = append(certs, by.Issue(t, s).Raw)
		}
		start := time.Now()
		_, err = verify(t, tr, "gw.lab", certs...)
		require.Error(t, err)
		require.Less(t, time.Since(start), testhost.Patience)
	})
	t.Run("leaf named as its issuer", func(t *testing.T) {
		same := root.Issue(t, testpki.Spec{Subject: "root", DNS: []string{"gw.lab"}, KeyNumber: 3})
		_, err := verify(t, tr, "gw.lab", same.Raw)
		require.NoError(t, err, "names alone make no loop")
		self := testpki.NewRoot(t, testpki.Spec{Subject: "root", DNS: []string{"gw.lab"}, KeyNumber: 4})
		_, err = verify(t, tr, "gw.lab", self.Raw)
		refused(t, err, ErrNoPath, "")
	})
	t.Run("leaf signs a leaf", func(t *testing.T) {
		evil := gw.Issue(t, testpki.Spec{Subject: "evil", DNS: []string{"evil.lab"}})
		_, err := verify(t, tr, "evil.lab", evil.Raw, gw.Raw)
		refused(t, err, ErrNoPath, "")
	})
	t.Run("junk", func(t *testing.T) {
		_, err := verify(t, tr, "gw.lab", []byte{})
		refused(t, err, ErrMalformed, "certificate 0")
		for i := range gw.Raw {
			_, err := verify(t, tr, "gw.lab", gw.Raw[:i])
			require.ErrorIs(t, err, ErrMalformed)
		}
		for i := range gw.Raw {
			b := append([]byte(nil), gw.Raw...)
			b[i] ^= 0x55
			_, err := verify(t, tr, "gw.lab", b)
			require.Error(t, err, "octet %d", i)
		}
		_, err = verify(t, tr, "gw.lab", append([]byte{0x30, 0x80}, gw.Raw[4:]...))
		refused(t, err, ErrMalformed, "")
	})
	t.Run("critical extension", func(t *testing.T) {
		odd := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
		c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Extensions: []pkix.Extension{odd}})
		_, err := verify(t, tr, "gw.lab", c.Raw)
		refused(t, err, ErrMalformed, "critical extension 1.2.3.4 is not understood")
		_, err = verify(t, &ike.Trust{Pinned: c.Chain()}, "gw.lab", c.Raw)
		refused(t, err, ErrMalformed, "critical extension 1.2.3.4")
		sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Extensions: []pkix.Extension{odd}})
		_, err = verify(t, tr, "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
		require.Error(t, err)
		odd.Critical = false
		c = root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Extensions: []pkix.Extension{odd}})
		_, err = verify(t, tr, "gw.lab", c.Raw)
		require.NoError(t, err)
	})
	t.Run("explicit curve parameters", func(t *testing.T) {
		// P-256 with its parameters written out, as CVE-2020-0601 had it.
		_, err := Verify(testpki.Now, tr, id(t, "gw.lab"), [][]byte{explicitParameters(t, gw.Raw)}, nil)
		refused(t, err, ErrMalformed, "")
	})
	t.Run("times", func(t *testing.T) {
		i := strings.Index(string(gw.Raw), "\x17\x0d") // UTCTime
		require.Positive(t, i)
		for _, s := range []string{"99999999999Z\x00", "261332010000Z", "26010203040\x00Z", "260102030405+"} {
			b := append([]byte(nil), gw.Raw...)
			copy(b[i+2:], s[:13])
			_, err := verify(t, tr, "gw.lab", b)
			require.Error(t, err)
		}
	})
}

// explicitParameters replaces the curve's name in a certificate by a sequence.
func explicitParameters(t *testing.T, der []byte) []byte {
	t.Helper()
	var cert struct {
		TBS struct {
			Raw       asn1.RawContent
			Version   int `asn1:"explicit,tag:0"`
			Serial    *big.Int
			Signature pkix.AlgorithmIdentifier
			Issuer    asn1.RawValue
			Validity  asn1.RawValue
			Subject   asn1.RawValue
			SPKI      struct {
				Algorithm struct {
					OID    asn1.ObjectIdentifier
					Params asn1.RawValue
				}
				Key asn1.BitString
			}
			Extensions asn1.RawValue `asn1:"optional,tag:3"`
		}
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	_, err := asn1.Unmarshal(der, &cert)
	require.NoError(t, err)
	cert.TBS.Raw = nil
	cert.TBS.SPKI.Algorithm.Params = asn1.RawValue{FullBytes: []byte{0x30, 6, 2, 1, 1, 0x30, 1, 0}}
	out, err := asn1.Marshal(cert)
	require.NoError(t, err)
	return out
}
