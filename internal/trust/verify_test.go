package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/stretchr/testify/require"
)

func id(t testing.TB, s string) ike.Identity {
	t.Helper()
	id, err := ike.ParseIdentity(s)
	require.NoError(t, err)
	return id
}

func trusting(roots ...*testpki.Cert) *ike.Trust {
	t := &ike.Trust{}
	for _, r := range roots {
		t.Roots = append(t.Roots, r.Certificate)
	}
	return t
}

func verify(t testing.TB, tr *ike.Trust, who string, certs ...[]byte) (Verified, error) {
	t.Helper()
	return Verify(testpki.Now, tr, id(t, who), certs, nil)
}

// refused checks the kind of an error, that it says something, and that it is
// one line.
func refused(t testing.TB, err error, kind error, says string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	var ce *CertificateError
	require.ErrorAs(t, err, &ce)
	require.ErrorContains(t, err, says)
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, len(err.Error()), 2000)
}

func TestVerify(t *testing.T) {
	root := testpki.NewCA(t, "root")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true})
	gw := sub.Leaf(t, "gw.lab")

	v, err := verify(t, trusting(root), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	require.True(t, v.Leaf.Equal(gw.Certificate))
	require.Len(t, v.Chain, 3)
	require.True(t, gw.PublicKey.(*ecdsa.PublicKey).Equal(v.PublicKey))
	require.Empty(t, v.Warnings)

	// Order after the first, duplicates, strangers, junk and the root do not matter.
	stranger := testpki.NewCA(t, "stranger")
	_, err = verify(t, trusting(stranger, root), "gw.lab", gw.Raw, stranger.Raw, []byte("junk"), root.Raw, sub.Raw, sub.Raw)
	require.NoError(t, err)
	// The first is the peer's own, whatever else is there.
	_, err = verify(t, trusting(root), "gw.lab", sub.Raw, gw.Raw)
	refused(t, err, ErrUsage, "digitalSignature")

	// A configured intermediate, and an intermediate as the anchor.
	tr := trusting(root)
	_, err = verify(t, tr, "gw.lab", gw.Raw)
	refused(t, err, ErrNoPath, "its issuer, C=CH, O=lab, CN=sub, is neither a root nor among the intermediates")
	tr.Intermediates = append(tr.Intermediates, sub.Certificate)
	_, err = verify(t, tr, "gw.lab", gw.Raw)
	require.NoError(t, err)
	v, err = verify(t, trusting(sub), "gw.lab", gw.Raw)
	require.NoError(t, err)
	require.Len(t, v.Chain, 2)

	_, err = verify(t, trusting(stranger), "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "certificate 1 (C=CH, O=lab, CN=sub): its issuer, C=CH, O=lab, CN=root, is neither")
	// A root of the same name that did not sign.
	_, err = verify(t, trusting(testpki.NewCA(t, "root")), "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "a root is named C=CH, O=lab, CN=root, but does not vouch for it")
	_, err = verify(t, &ike.Trust{}, "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "no root is configured")
	_, err = verify(t, nil, "gw.lab", gw.DER()...)
	refused(t, err, ErrNoPath, "no trust is configured")
	_, err = verify(t, trusting(root), "gw.lab")
	refused(t, err, ErrUnknownKey, "gw.lab sent no certificate")
}

func TestVerifyTimes(t *testing.T) {
	root := testpki.NewCA(t, "root")
	hour := time.Hour
	leaf := func(from, to time.Duration) *testpki.Cert {
		return root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, NotBefore: testpki.Now.Add(from), NotAfter: testpki.Now.Add(to)})
	}
	for _, v := range []struct {
		from, to time.Duration
		good     bool
	}{{-hour, hour, true}, {0, hour, true}, {-hour, 0, true}, {time.Second, hour, false}, {-hour, -time.Second, false}} {
		c := leaf(v.from, v.to)
		_, err := verify(t, trusting(root), "gw.lab", c.Raw)
		pinned := &ike.Trust{Pinned: c.Chain()}
		_, perr := verify(t, pinned, "gw.lab", c.Raw)
		if v.good {
			require.NoError(t, err)
			require.NoError(t, perr)
			continue
		}
		refused(t, err, ErrNotInterval, "certificate 0 (C=CH, O=lab, CN=gw): valid from")
		refused(t, perr, ErrNotInterval, "valid from")
	}
	old := testpki.NewRoot(t, testpki.Spec{Subject: "old", CA: true, NotAfter: testpki.Now.Add(-hour)})
	_, err := verify(t, trusting(old), "gw.lab", old.Leaf(t, "gw.lab").Raw)
	refused(t, err, ErrNotInterval, "CN=old")
}

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
		require.Less(t, time.Since(start), 5*time.Second)
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

func TestA27_PublicKeys(t *testing.T) {
	good := testpki.Key(t, testpki.RSA2048, 0).Public().(*rsa.PublicKey)
	require.NoError(t, CheckPublicKey(good, 0))
	n := func(bits uint) *big.Int {
		return new(big.Int).SetBit(new(big.Int).SetBit(new(big.Int), int(bits-1), 1), 0, 1)
	}
	for says, k := range map[string]*rsa.PublicKey{
		"exponent 0":               {N: good.N, E: 0},
		"exponent 1":               {N: good.N, E: 1},
		"exponent -3":              {N: good.N, E: -3},
		"exponent 65536":           {N: good.N, E: 65536},
		"exponent 4294967297":      {N: good.N, E: 1<<32 + 1},
		"even modulus":             {N: new(big.Int).Lsh(good.N, 1), E: 3},
		"16384 bits, at most 8192": {N: n(16384), E: 3},
		"8193 bits":                {N: n(8193), E: 3},
		"1024 bits, at least 2048": {N: n(1024), E: 3},
		"1 bits":                   {N: big.NewInt(1), E: 3},
		"without modulus":          {N: new(big.Int), E: 3},
	} {
		require.ErrorContains(t, CheckPublicKey(k, 0), says)
	}
	require.ErrorContains(t, CheckPublicKey(&rsa.PublicKey{}, 0), "without modulus")
	require.NoError(t, CheckPublicKey(&rsa.PublicKey{N: n(8192), E: 3}, 0))
	require.NoError(t, CheckPublicKey(&rsa.PublicKey{N: n(1024), E: 3}, 1024))
	require.Error(t, CheckPublicKey(nil, 0))
	require.Error(t, CheckPublicKey([]byte("key"), 0))
	require.Error(t, CheckPublicKey(&ecdsa.PublicKey{}, 0))

	// In a path, at the leaf and above it.
	root := testpki.NewCA(t, "root")
	weak := testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Key: testpki.RSA1024}
	_, err := verify(t, trusting(root), "gw.lab", root.Issue(t, weak).Raw)
	refused(t, err, ErrKey, "certificate 0 (C=CH, O=lab, CN=gw): RSA key of 1024 bits")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Key: testpki.RSA1024})
	_, err = verify(t, trusting(root), "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
	refused(t, err, ErrKey, "certificate 1 (C=CH, O=lab, CN=sub): RSA key of 1024 bits")
	lax := trusting(root)
	lax.MinRSABits = 1024
	_, err = verify(t, lax, "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
	require.NoError(t, err)
}

// Every small-order point must have one of the five y coordinates: the roots
// of the curve equation are computed here.
func TestSmallOrderEd25519(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d := new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p))
	type point struct{ x, y *big.Int }
	mod := func(a *big.Int) *big.Int { return a.Mod(a, p) }
	add := func(a, b point) point {
		xy := mod(new(big.Int).Mul(new(big.Int).Mul(a.x, b.x), new(big.Int).Mul(a.y, b.y)))
		k := mod(new(big.Int).Mul(d, xy))
		x := new(big.Int).Add(new(big.Int).Mul(a.x, b.y), new(big.Int).Mul(a.y, b.x))
		y := new(big.Int).Add(new(big.Int).Mul(a.y, b.y), new(big.Int).Mul(a.x, b.x))
		one := big.NewInt(1)
		x.Mul(x, new(big.Int).ModInverse(mod(new(big.Int).Add(one, k)), p))
		y.Mul(y, new(big.Int).ModInverse(mod(new(big.Int).Sub(one, k)), p))
		return point{mod(x), mod(y)}
	}
	for _, le := range smallOrderY {
		be := make([]byte, 32)
		for i, c := range le {
			be[31-i] = c
		}
		y := new(big.Int).SetBytes(be)
		// x^2 = (y^2-1) / (d y^2+1)
		y2 := new(big.Int).Mul(y, y)
		x2 := new(big.Int).Sub(y2, big.NewInt(1))
		x2.Mul(x2, new(big.Int).ModInverse(mod(new(big.Int).Add(new(big.Int).Mul(d, y2), big.NewInt(1))), p))
		x := new(big.Int).ModSqrt(mod(x2), p)
		require.NotNil(t, x, "on the curve")
		q := point{x, y}
		for range 3 {
			q = add(q, q)
		}
		require.Zero(t, q.x.Sign(), "8 times the point is the neutral element")
		require.Zero(t, q.y.Cmp(big.NewInt(1)))
		key := append([]byte(nil), le[:]...)
		require.True(t, smallOrderEd25519(key))
		key[31] |= 0x80
		require.True(t, smallOrderEd25519(key), "either sign of x")
	}
	require.False(t, canonicalEd25519(append([]byte{0xed}, append(bytesOf(0xff, 30), 0x7f)...)))
	require.True(t, canonicalEd25519(append([]byte{0xec}, append(bytesOf(0xff, 30), 0x7f)...)))
	require.False(t, smallOrderEd25519(append([]byte{9}, make([]byte, 31)...)))
}

func bytesOf(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}

func TestB07_IdentityInCertificate(t *testing.T) {
	root := testpki.NewCA(t, "root")
	gw := root.Issue(t, testpki.Spec{Subject: "cn.lab", DNS: []string{"gw.lab", "Mixed.Lab", "*.wild.lab", "192.0.2.7"},
		Emails: []string{"Alice@Lab.Org"}, IPs: []string{"192.0.2.1", "2001:db8::1"}})
	tr := trusting(root)
	for who, want := range map[string]bool{
		"gw.lab":                  true,
		"GW.LAB":                  true,
		"mixed.lab":               true,
		"gw.lab.":                 true,
		"agw.lab":                 false,
		"gw.lab.org":              false,
		"cn.lab":                  false, // the common name is no host name
		"a.wild.lab":              false,
		"fqdn:*.wild.lab":         false, // a pattern is nobody's name
		"fqdn:*.lab":              false,
		"fqdn:192.0.2.1":          false,
		"Alice@lab.org":           true,
		"alice@lab.org":           false, // RFC 5280 7.5: the local part is exact
		"bob@lab.org":             false,
		"fqdn:Alice@Lab.Org":      false,
		"192.0.2.1":               true,
		"192.0.2.2":               false,
		"192.0.2.7":               false, // only as text in a DNS name
		"2001:db8::1":             true,
		"2001:db8::2":             false,
		"C=CH, O=lab, CN=cn.lab":  true,
		"C=ch, O=LAB, CN=CN.lab":  true,
		"CN=cn.lab, O=lab, C=CH":  false,
		"CN=cn.lab":               false,
		"C=CH, O=lab, CN=cn.labs": false,
		"C=CH, O=lab":             false,
		"keyid:gw.lab":            false,
		"%null":                   false,
		"192.0.2.0/24":            false,
		"gn:0x820667772e6c6162":   false,
	} {
		v, err := verify(t, tr, who, gw.Raw)
		if want {
			require.NoError(t, err, who)
			require.NotNil(t, v.PublicKey)
			continue
		}
		refused(t, err, ErrIdentity, "certificate 0 (C=CH, O=lab, CN=cn.lab): ")
		require.Nil(t, v.PublicKey, "nothing to verify with")
		_, err = verify(t, &ike.Trust{Pinned: gw.Chain()}, who, gw.Raw)
		refused(t, err, ErrIdentity, "")
	}
	_, err := verify(t, tr, "other.lab", gw.Raw)
	require.ErrorContains(t, err, "claimed is other.lab, the certificate has gw.lab, Mixed.Lab, fqdn:*.wild.lab, fqdn:192.0.2.7, 192.0.2.1, 2001:db8::1, Alice@Lab.Org, C=CH, O=lab, CN=cn.lab")

	// The identity itself is no text to be cut or matched.
	for _, bad := range []ike.Identity{{}, {Type: ike.IDFQDN}, {Type: ike.IDDERASN1DN}, {Type: ike.IDFQDN, Data: "gw.lab\x00.evil"}, {Type: ike.IDFQDN, Data: "gw.lab\x00"},
		{Type: ike.IDIPv4Addr, Data: "\xc0\x00\x02"}, {Type: 99, Data: "gw.lab"}} {
		_, err := Verify(testpki.Now, tr, bad, [][]byte{gw.Raw}, nil)
		require.ErrorIs(t, err, ike.ErrIdentity)
	}

	t.Run("settings", func(t *testing.T) {
		check := func(set func(*ike.Trust), who string, cert *testpki.Cert, want bool) {
			t.Helper()
			tr := trusting(root)
			set(tr)
			_, err := verify(t, tr, who, cert.Raw)
			require.Equal(t, want, err == nil, "%s: %v", who, err)
		}
		wild := func(tr *ike.Trust) { tr.WildcardSANs = true }
		check(wild, "a.wild.lab", gw, true)
		check(wild, "A.WILD.lab", gw, true)
		check(wild, "a.b.wild.lab", gw, false)
		check(wild, "wild.lab", gw, false)
		check(wild, "fqdn:.wild.lab", gw, false)
		check(wild, "fqdn:*.wild.lab", gw, false)
		top := root.Issue(t, testpki.Spec{Subject: "top", DNS: []string{"*.lab", "*"}})
		check(wild, "gw.lab", top, false) // a whole top level domain
		inDNS := func(tr *ike.Trust) { tr.AddressInDNS = true }
		check(inDNS, "192.0.2.7", gw, true)
		check(inDNS, "192.0.2.8", gw, false)
		cn := func(tr *ike.Trust) { tr.MatchCN = true }
		check(cn, "cn.lab", gw, false) // there are host names in the SAN
		bare := root.Issue(t, testpki.Spec{Subject: "Host.lab"})
		check(cn, "host.lab", bare, true)
		check(cn, "hosts.lab", bare, false)
		check(func(*ike.Trust) {}, "host.lab", bare, false)
		check(cn, "192.0.2.9", root.Issue(t, testpki.Spec{Subject: "192.0.2.9"}), true)
		check(cn, "a@lab", root.Issue(t, testpki.Spec{Subject: "a@lab"}), true)
		keyID := func(tr *ike.Trust) { tr.AnyIdentity = []ike.IDType{ike.IDKeyID} }
		check(keyID, "keyid:whatever", gw, true)
		check(keyID, "other.lab", gw, false)
	})

	t.Run("NUL in a name", func(t *testing.T) {
		raw := sanExtension(t, []byte("gw.lab\x00.evil"))
		evil := root.Issue(t, testpki.Spec{Subject: "evil", Extensions: []pkix.Extension{raw}})
		for _, who := range []string{"gw.lab", "fqdn:.evil"} {
			_, err := verify(t, tr, who, evil.Raw)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "\x00")
		}
		cn := root.Issue(t, testpki.Spec{RawSubject: []byte("\x30\x11\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06gw\x00bad")})
		lax := trusting(root)
		lax.MatchCN = true
		_, err := verify(t, lax, "gw", cn.Raw)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "\x00")
	})

	t.Run("a certificate proves its own identity only", func(t *testing.T) {
		// IDi and IDr swapped: the peer shows its certificate with our name.
		us := root.Leaf(t, "us.lab")
		_, err := verify(t, tr, "us.lab", gw.Raw)
		refused(t, err, ErrIdentity, "claimed is us.lab")
		_, err = verify(t, tr, "gw.lab", us.Raw)
		refused(t, err, ErrIdentity, "claimed is gw.lab")
		// And a certificate behind the first proves nothing.
		_, err = verify(t, tr, "gw.lab", us.Raw, gw.Raw)
		refused(t, err, ErrIdentity, "")
	})
}

func sanExtension(t *testing.T, dns []byte) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: dns}})
	require.NoError(t, err)
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}
}

func TestB07_NameConstraints(t *testing.T) {
	root := testpki.NewCA(t, "root")
	for _, critical := range []bool{true, false} {
		excluding := root.Issue(t, testpki.Spec{Subject: "excluding", CA: true, ExcludedDNS: []string{"Secret.Lab"}, NameConstraintsUncritical: !critical})
		permitting := root.Issue(t, testpki.Spec{Subject: "permitting", CA: true, PermittedDNS: []string{"Site.Lab"}, NameConstraintsUncritical: !critical})
		for _, v := range []struct {
			ca   *testpki.Cert
			host string
			good bool
		}{
			{excluding, "gw.lab", true},
			{excluding, "secret.lab", false},
			{excluding, "SECRET.LAB", false},
			{excluding, "a.sEcReT.lAb", false},
			{permitting, "gw.site.lab", true},
			{permitting, "GW.SITE.LAB", true},
			{permitting, "gw.other.lab", false},
		} {
			leaf := v.ca.Leaf(t, v.host)
			_, err := verify(t, trusting(root), v.host, leaf.DER()...)
			require.Equal(t, v.good, err == nil, "%s: %v", v.host, err)
		}
		// A common name is not bound by the constraint, so it does not count.
		lax := trusting(root)
		lax.MatchCN = true
		leaf := excluding.Issue(t, testpki.Spec{Subject: "secret.lab"})
		_, err := verify(t, lax, "secret.lab", leaf.DER()...)
		require.Error(t, err)
		_, err = verify(t, lax, "secret.lab", root.Issue(t, testpki.Spec{Subject: "secret.lab"}).DER()...)
		require.NoError(t, err)
	}
}

func TestB07_DirectoryNameConstraints(t *testing.T) {
	root := testpki.NewCA(t, "root")
	name := func(s string) string { return id(t, s).Data }
	constraint := func(critical bool, which int, bases ...asn1.RawValue) pkix.Extension {
		var trees []byte
		for _, b := range bases {
			der, err := asn1.Marshal([]asn1.RawValue{b})
			require.NoError(t, err)
			trees = append(trees, der...)
		}
		der, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: which, IsCompound: true, Bytes: trees}})
		require.NoError(t, err)
		return pkix.Extension{Id: oidNameConstraints, Critical: critical, Value: der}
	}
	directory := func(s string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: []byte(name(s))}
	}
	for _, critical := range []bool{true, false} {
		permitted := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Extensions: []pkix.Extension{constraint(critical, 0, directory("C=CH, O=Lab"))}})
		excluded := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, Extensions: []pkix.Extension{constraint(critical, 1, directory("C=CH, O=Lab"))}})
		for _, v := range []struct {
			ca   *testpki.Cert
			who  string
			good bool
		}{
			{permitted, "C=CH, O=lab, CN=a", true},
			{permitted, "C=CH, O=LAB, CN=a", true},
			{permitted, "C=CH, O=other, CN=a", false},
			{permitted, "C=CH", false},
			{excluded, "C=CH, O=lab, CN=a", false},
			{excluded, "C=ch, O=LAB, CN=a", false},
			{excluded, "C=CH, O=other, CN=a", true},
		} {
			leaf := v.ca.Issue(t, testpki.Spec{RawSubject: []byte(name(v.who))})
			_, err := verify(t, trusting(root), v.who, leaf.DER()...)
			require.Equal(t, v.good, err == nil, "critical %v, %s: %v", critical, v.who, err)
			if !v.good {
				refused(t, err, ErrNoPath, "outside the name constraints of C=CH, O=lab, CN=sub")
			}
			anonymous := v.ca.Issue(t, testpki.Spec{DNS: []string{"gw.lab"}})
			_, err = verify(t, trusting(root), "gw.lab", anonymous.DER()...)
			require.NoError(t, err, "no subject, no constraint on it")
		}
	}
	// A kind of name that nobody here compares.
	other := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{42}}
	odd := root.Issue(t, testpki.Spec{Subject: "odd", CA: true, Extensions: []pkix.Extension{constraint(true, 1, directory("C=XX"), other)}})
	_, err := verify(t, trusting(root), "gw.lab", odd.Leaf(t, "gw.lab").DER()...)
	refused(t, err, ErrMalformed, "critical extension 2.5.29.30")
}

func TestUsage(t *testing.T) {
	root := testpki.NewCA(t, "root")
	codeSigning := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	oids := func(o ...asn1.ObjectIdentifier) []asn1.ObjectIdentifier { return o }
	for _, v := range []struct {
		name string
		ekus []asn1.ObjectIdentifier
		set  func(*ike.Trust)
		says string // empty: accepted
	}{
		{"absent", nil, nil, ""},
		{"serverAuth", oids(oidServerAuth), nil, ""},
		{"clientAuth", oids(oidClientAuth), nil, ""},
		{"ipsecIKE", oids(oidIPsecIKE), nil, ""},
		{"ipsecIKEIntermediate", oids(oidIKEIntermediate), nil, ""},
		{"any", oids(oidAnyEKU), nil, ""},
		{"one of two", oids(codeSigning, oidClientAuth), nil, ""},
		{"codeSigning", oids(codeSigning), nil, "its extended key usages are codeSigning, wanted is one of ipsecIKE, serverAuth, clientAuth, ipsecIKEIntermediate"},
		{"codeSigning ignored", oids(codeSigning), func(t *ike.Trust) { t.EKU = ike.EKUIgnored }, ""},
		{"absent, required", nil, func(t *ike.Trust) { t.EKU = ike.EKURequired }, "it has no extended key usage"},
		{"present, required", oids(oidServerAuth), func(t *ike.Trust) { t.EKU = ike.EKURequired }, ""},
		{"not the configured one", oids(oidClientAuth), func(t *ike.Trust) { t.EKUs = oids(oidServerAuth) }, "wanted is one of serverAuth"},
		{"the configured one", oids(codeSigning), func(t *ike.Trust) { t.EKUs = oids(codeSigning) }, ""},
	} {
		for _, critical := range []bool{false, true} {
			tr := trusting(root)
			if v.set != nil {
				v.set(tr)
			}
			c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, EKU: v.ekus, EKUCritical: critical})
			_, err := verify(t, tr, "gw.lab", c.Raw)
			if v.says == "" {
				require.NoError(t, err, v.name)
				continue
			}
			refused(t, err, ErrUsage, v.says)
		}
	}
	// What an intermediate limits, its leaf cannot widen.
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true, EKU: oids(codeSigning)})
	_, err := verify(t, trusting(root), "gw.lab", sub.Leaf(t, "gw.lab").DER()...)
	refused(t, err, ErrUsage, "certificate 1 (C=CH, O=lab, CN=sub)")
	sub = root.Issue(t, testpki.Spec{Subject: "sub", CA: true, EKU: oids(oidClientAuth)})
	_, err = verify(t, trusting(root), "gw.lab", sub.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, EKU: oids(oidServerAuth)}).DER()...)
	refused(t, err, ErrUsage, "certificate 1")

	// RFC 4945 5.1.3.2.
	for usage, good := range map[x509.KeyUsage]bool{
		-1: true, x509.KeyUsageDigitalSignature: true, x509.KeyUsageContentCommitment: true,
		x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment: true,
		x509.KeyUsageKeyEncipherment:                                 false, x509.KeyUsageCertSign: false,
	} {
		c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, KeyUsage: usage})
		_, err := verify(t, trusting(root), "gw.lab", c.Raw)
		require.Equal(t, good, err == nil, "%v: %v", usage, err)
	}
}

func TestChainSignatures(t *testing.T) {
	root := testpki.NewRoot(t, testpki.Spec{Subject: "root", CA: true, Key: testpki.RSA2048})
	tr := trusting(root)
	for alg, good := range map[x509.SignatureAlgorithm]bool{x509.SHA256WithRSA: true, x509.SHA384WithRSA: true, x509.SHA512WithRSA: true, x509.SHA256WithRSAPSS: true, x509.SHA1WithRSA: false} {
		c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, SignatureAlgorithm: alg})
		_, err := verify(t, tr, "gw.lab", c.Raw)
		require.Equal(t, good, err == nil, "%v: %v", alg, err)
	}
	strict := trusting(root)
	strict.Hashes = []crypto.Hash{crypto.SHA384}
	c := root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, SignatureAlgorithm: x509.SHA256WithRSA})
	_, err := verify(t, strict, "gw.lab", c.Raw)
	refused(t, err, ErrKey, "signed with SHA256-RSA; allowed are [SHA-384]")
	c = root.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, SignatureAlgorithm: x509.SHA384WithRSA})
	_, err = verify(t, strict, "gw.lab", c.Raw)
	require.NoError(t, err)
	for _, key := range []testpki.KeyType{testpki.P384, testpki.P521, testpki.Ed25519, testpki.RSA3072} {
		ca := testpki.NewRoot(t, testpki.Spec{Subject: "ca", CA: true, Key: key})
		_, err = verify(t, trusting(ca), "gw.lab", ca.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"gw.lab"}, Key: key, KeyNumber: 1}).Raw)
		require.NoError(t, err, key)
	}
}

func TestRevocation(t *testing.T) {
	root := testpki.NewCA(t, "root")
	sub := root.Issue(t, testpki.Spec{Subject: "sub", CA: true})
	gw, bad := sub.Leaf(t, "gw.lab"), sub.Leaf(t, "bad.lab")
	sub.Revoke(bad, 1)
	lists := func(p ike.RevocationPolicy, l ...*x509.RevocationList) *ike.Trust {
		tr := trusting(root)
		tr.Revocation, tr.CRLs = p, l
		return tr
	}
	rootCRL, subCRL := root.CRL(t), sub.CRL(t)
	for _, p := range []ike.RevocationPolicy{ike.RevocationIfPresent, ike.RevocationStrict} {
		v, err := verify(t, lists(p, rootCRL, subCRL), "gw.lab", gw.DER()...)
		require.NoError(t, err)
		require.Empty(t, v.Warnings)
		_, err = verify(t, lists(p, rootCRL, subCRL), "bad.lab", bad.DER()...)
		refused(t, err, ErrRevoked, "certificate 0 (C=CH, O=lab, CN=bad.lab): since 2026-01-02T02:04:05Z, reason keyCompromise")
	}
	_, err := verify(t, lists(ike.RevocationOff, rootCRL, subCRL), "bad.lab", bad.DER()...)
	require.NoError(t, err)

	// Missing lists.
	_, err = verify(t, lists(ike.RevocationIfPresent), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	_, err = verify(t, lists(ike.RevocationStrict), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "there is no revocation list of C=CH, O=lab, CN=sub")
	_, err = verify(t, lists(ike.RevocationStrict, subCRL), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "certificate 1 (C=CH, O=lab, CN=sub): there is no revocation list of C=CH, O=lab, CN=root")

	// Outdated: what it revokes stays revoked, about others it says nothing.
	old := sub.CRLAt(t, testpki.Now.Add(-48*time.Hour), testpki.Now.Add(-24*time.Hour))
	v, err := verify(t, lists(ike.RevocationIfPresent, old), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	require.Len(t, v.Warnings, 1)
	refused(t, v.Warnings[0], ErrRevocation, "is outdated since 2026-01-01T03:04:05Z")
	_, err = verify(t, lists(ike.RevocationIfPresent, old), "bad.lab", bad.DER()...)
	refused(t, err, ErrRevoked, "")
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, old), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "outdated")
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, old, subCRL), "gw.lab", gw.DER()...)
	require.NoError(t, err, "a current one beside it")
	future := sub.CRLAt(t, testpki.Now.Add(time.Hour), testpki.Now.Add(24*time.Hour))
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, future), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")

	// Lists of others do not count: same name, another key; a damaged signature.
	impostor := testpki.NewCA(t, "sub")
	impostor.Revoke(gw, 1)
	_, err = verify(t, lists(ike.RevocationIfPresent, impostor.CRL(t)), "gw.lab", gw.DER()...)
	require.NoError(t, err)
	forged := *subCRL
	forged.Signature = append([]byte(nil), subCRL.Signature...)
	forged.Signature[10] ^= 1
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, &forged), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, impostor.CRL(t)), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")

	// An intermediate is revoked by its own issuer.
	root.Revoke(sub, 4)
	_, err = verify(t, lists(ike.RevocationIfPresent, root.CRL(t), subCRL), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevoked, "certificate 1 (C=CH, O=lab, CN=sub): since 2026-01-02T02:04:05Z, reason superseded")

	// A partial list cannot say that a certificate is good.
	partial := sub.CRLAt(t, testpki.Now, testpki.Now.Add(time.Hour), pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 3, 0x81, 1, 0xff}})
	_, err = verify(t, lists(ike.RevocationStrict, rootCRL, partial), "gw.lab", gw.DER()...)
	refused(t, err, ErrRevocation, "")
}

// Two paths, one of them through a revoked intermediate: the other counts.
func TestSecondPath(t *testing.T) {
	a, b := testpki.NewCA(t, "a"), testpki.NewCA(t, "b")
	key := testpki.Key(t, testpki.P256, 20)
	viaA := a.Issue(t, testpki.Spec{Subject: "sub", CA: true, Signer: key})
	viaB := b.Issue(t, testpki.Spec{Subject: "sub", CA: true, Signer: key})
	gw := viaA.Leaf(t, "gw.lab")
	a.Revoke(viaA, 1)
	tr := trusting(a, b)
	tr.CRLs = []*x509.RevocationList{a.CRL(t)}
	v, err := verify(t, tr, "gw.lab", gw.Raw, viaA.Raw, viaB.Raw)
	require.NoError(t, err)
	require.True(t, v.Chain[2].Equal(b.Certificate))
	_, err = verify(t, tr, "gw.lab", gw.Raw, viaA.Raw)
	refused(t, err, ErrRevoked, "keyCompromise")
}

func TestPinnedAndRawKeys(t *testing.T) {
	root := testpki.NewCA(t, "root")
	gw, other := root.Leaf(t, "gw.lab"), root.Leaf(t, "other.lab")
	self := testpki.NewRoot(t, testpki.Spec{Subject: "self", DNS: []string{"self.lab"}, KeyNumber: -1})
	spki := func(c *testpki.Cert) []byte { return c.RawSubjectPublicKeyInfo }
	pattern, err := ike.ParseIdentityPattern("raw.lab")
	require.NoError(t, err)
	raw := testpki.NewCA(t, "raw")
	tr := &ike.Trust{
		Pinned:  []*x509.Certificate{gw.Certificate, self.Certificate},
		RawKeys: []ike.RawKey{{ID: pattern, Key: raw.PublicKey}},
	}
	with := func(who string, certs [][]byte, key []byte) (Verified, error) {
		return Verify(testpki.Now, tr, id(t, who), certs, key)
	}
	same := func(v Verified, c *testpki.Cert) {
		t.Helper()
		require.True(t, c.PublicKey.(*ecdsa.PublicKey).Equal(v.PublicKey))
	}
	v, err := with("gw.lab", [][]byte{gw.Raw}, nil)
	require.NoError(t, err)
	same(v, gw)
	require.Len(t, v.Chain, 1)
	_, err = with("self.lab", [][]byte{self.Raw}, nil)
	require.NoError(t, err)
	_, err = with("self.lab", [][]byte{gw.Raw}, nil)
	refused(t, err, ErrIdentity, "claimed is self.lab")
	_, err = with("other.lab", [][]byte{other.Raw}, nil)
	refused(t, err, ErrNoPath, "not a pinned one")
	// Another certificate with the pinned one's names and key is another one.
	twin := root.Issue(t, testpki.Spec{Subject: "gw.lab", DNS: []string{"gw.lab"}, Signer: gw.Key})
	_, err = with("gw.lab", [][]byte{twin.Raw}, nil)
	refused(t, err, ErrNoPath, "")

	// RFC 7670: the key itself, in a CERT payload.
	v, err = with("raw.lab", nil, spki(raw))
	require.NoError(t, err)
	same(v, raw)
	require.Nil(t, v.Leaf)
	_, err = with("else.lab", nil, spki(raw))
	refused(t, err, ErrUnknownKey, "raw public key of else.lab is configured for another identity")
	_, err = with("raw.lab", nil, spki(other))
	refused(t, err, ErrUnknownKey, "raw public key of raw.lab")
	v, err = with("gw.lab", nil, spki(gw))
	require.NoError(t, err, "the key of a pinned certificate")
	require.NotNil(t, v.Leaf)
	_, err = with("raw.lab", nil, spki(gw))
	refused(t, err, ErrIdentity, "")
	for _, junk := range [][]byte{{}, []byte("key"), make([]byte, 100_000), gw.Raw} {
		_, err = with("raw.lab", nil, junk)
		refused(t, err, ErrKey, "raw public key")
	}

	// Nothing sent.
	v, err = with("self.lab", nil, nil)
	require.NoError(t, err)
	same(v, self)
	require.Len(t, v.PublicKeys, 1)
	v, err = with("raw.lab", nil, nil)
	require.NoError(t, err)
	same(v, raw)
	_, err = with("nobody.lab", nil, nil)
	refused(t, err, ErrUnknownKey, "nobody.lab sent no certificate")
	tr.RawKeys = append(tr.RawKeys, ike.RawKey{ID: pattern, Key: other.PublicKey}, ike.RawKey{ID: pattern, Key: raw.PublicKey})
	v, err = with("raw.lab", nil, nil)
	require.NoError(t, err)
	require.Len(t, v.PublicKeys, 2, "a key in rotation; each counts once")
}

func TestCertificateRequests(t *testing.T) {
	a, b := testpki.NewCA(t, "a"), testpki.NewCA(t, "b")
	hashes := CAHashes(trusting(a, b, a))
	require.Equal(t, [][20]byte{KeyHash(a.Certificate), KeyHash(b.Certificate)}, hashes)
	require.Nil(t, CAHashes(nil))
	cred := func(c *testpki.Cert) *ike.Credential {
		return &ike.Credential{Certificates: append(c.Chain(), c.Root()), Signer: c.Key}
	}
	ofA, ofB := cred(a.Leaf(t, "a.lab")), cred(b.Leaf(t, "b.lab"))
	creds := []*ike.Credential{nil, {PSK: ike.Secret("k")}, ofA, ofB}
	require.Same(t, ofA, Choose(creds, hashes[:1]))
	require.Same(t, ofB, Choose(creds, hashes[1:]))
	require.Same(t, ofA, Choose(creds, nil), "no CERTREQ")
	require.Same(t, ofA, Choose(creds, [][20]byte{{1}}), "an unknown authority")
	require.Nil(t, Choose(creds[:2], hashes))
	// Without the root in the chain, its key identifier serves.
	leafOnly := &ike.Credential{Certificates: b.Leaf(t, "b.lab").Chain(), Signer: ofB.Signer}
	require.Same(t, leafOnly, Choose([]*ike.Credential{ofA, leafOnly}, hashes[1:]))
}

// What comes from a certificate is fit for a log.
func TestErrorsArePrintable(t *testing.T) {
	root := testpki.NewCA(t, "root")
	evil := root.Issue(t, testpki.Spec{Subject: "x\nFAKE: root logged in\x1b[2J", DNS: []string{"a\x07.lab"}})
	_, err := verify(t, trusting(root), "gw.lab", evil.Raw)
	refused(t, err, ErrIdentity, `CN=x\0AFAKE: root logged in\1B[2J`)
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\x07")
}

func FuzzVerifyCerts(f *testing.F) {
	root := testpki.NewCA(f, "root")
	sub := root.Issue(f, testpki.Spec{Subject: "sub", CA: true, PermittedDNS: []string{"lab"}})
	gw := sub.Leaf(f, "gw.lab")
	f.Add(gw.Raw, sub.Raw, "gw.lab")
	f.Add(gw.Raw, []byte{0x30, 0x80}, "gw.lab")
	f.Add(root.Raw, root.Raw, "C=CH, O=lab, CN=root")
	f.Add(gw.RawSubjectPublicKeyInfo, []byte{}, "10.0.0.1")
	tr := trusting(root)
	tr.MatchCN, tr.WildcardSANs, tr.AddressInDNS = true, true, true
	tr.Intermediates = []*x509.Certificate{sub.Certificate}
	tr.CRLs = []*x509.RevocationList{root.CRL(f), sub.CRL(f)}
	tr.RawKeys = []ike.RawKey{{Key: gw.PublicKey}}
	f.Fuzz(func(t *testing.T, a, b []byte, who string) {
		i, err := ike.ParseIdentity(who)
		if err != nil {
			i = ike.Identity{Type: ike.IDFQDN, Data: who}
		}
		v, err := Verify(testpki.Now, tr, i, [][]byte{a, b}, nil)
		if err == nil {
			// The fuzzer cannot sign.
			require.True(t, v.Leaf.Equal(gw.Certificate) || v.Leaf.Equal(sub.Certificate) || v.Leaf.Equal(root.Certificate))
		} else {
			require.NotContains(t, err.Error(), "\n")
		}
		if _, err := Verify(testpki.Now, tr, i, nil, a); err == nil {
			require.Equal(t, gw.RawSubjectPublicKeyInfo, a)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	root := testpki.NewCA(b, "root")
	gw := root.Issue(b, testpki.Spec{Subject: "sub", CA: true}).Leaf(b, "gw.lab")
	tr, who, der := trusting(root), id(b, "gw.lab"), gw.DER()
	sum := make([]byte, 32)
	sig, err := gw.Key.Sign(rand.Reader, sum, crypto.SHA256)
	require.NoError(b, err)
	b.Run("chain of 3, P-256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Verify(testpki.Now, tr, who, der, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("raw: two P-256 verifications", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range 2 {
				ecdsa.VerifyASN1(gw.PublicKey.(*ecdsa.PublicKey), sum, sig)
			}
		}
	})
}
