package isakmp_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/testhost"
)

// The name tables against tables taken from other implementations: the first
// of the two columns that has a name.
func TestRegistriesAgainstReference(t *testing.T) {
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	for _, c := range []struct {
		file        string
		name        func(int) string
		prefix      string // of our names
		first, last int
		least       int
	}{
		{"ikev1-oakley-attributes.tsv", func(i int) string { return isakmp.Phase1Attribute(i).String() }, "", 1, 20, 18},
		{"ikev1-encryption-algorithms.tsv", func(i int) string { return isakmp.EncryptionAlgorithm(i).String() }, "", 1, 129, 11},
		{"ikev1-hash-algorithms.tsv", func(i int) string { return isakmp.HashAlgorithm(i).String() }, "", 1, 20, 7},
		{"ikev1-auth-methods.tsv", func(i int) string { return isakmp.AuthMethod(i).String() }, "", 1, 11, 11},
		{"ikev1-auth-methods.tsv", func(i int) string { return isakmp.AuthMethod(i).String() }, "", 64221, 65010, 14},
		{"ikev1-group-types.tsv", func(i int) string { return isakmp.GroupType(i).String() }, "", 1, 3, 3},
		{"ikev1-id-types.tsv", func(i int) string { return isakmp.IDType(i).String() }, "ID_", 1, 11, 11},
		{"ikev1-cert-encodings.tsv", func(i int) string { return isakmp.CertEncoding(i).String() }, "", 1, 10, 10},
		{"ikev1-notify-types.tsv", func(i int) string { return isakmp.NotifyType(i).String() }, "", 1, 30, 30},
		{"ikev1-notify-types.tsv", func(i int) string { return isakmp.NotifyType(i).String() }, "", 24576, 40503, 8},
		{"ikev1-modecfg-types.tsv", func(i int) string { return isakmp.ConfigType(i).String() }, "", 1, 4, 4},
		{"ikev1-modecfg-attributes.tsv", func(i int) string { return isakmp.ConfigAttributeType(i).String() }, "", 1, 15, 15},
		{"ikev1-modecfg-attributes.tsv", func(i int) string { return isakmp.ConfigAttributeType(i).String() }, "", 16387, 16389, 3},
		{"ikev1-modecfg-attributes.tsv", func(i int) string { return isakmp.ConfigAttributeType(i).String() }, "", 16520, 28682, 21},
		{"ikev1-xauth-types.tsv", func(i int) string { return isakmp.XAuthType(i).String() }, "", 0, 3, 4},
		{"ipsec-attributes.tsv", func(i int) string { return isakmp.Phase2Attribute(i).String() }, "", 1, 15, 15},
		{"ipsec-auth-algorithms.tsv", func(i int) string { return isakmp.AuthAlgorithm(i).String() }, "", 1, 13, 13},
		{"ipsec-encapsulation-modes.tsv", func(i int) string { return isakmp.EncapsulationMode(i).String() }, "", 1, 61444, 7},
		{"ipsec-esp-transforms.tsv", func(i int) string { return isakmp.ESPTransform(i).String() }, "ESP_", 1, 12, 12},
		{"ipsec-ah-transforms.tsv", func(i int) string { return isakmp.AHTransform(i).String() }, "AH_", 2, 7, 6},
		{"ipsec-ipcomp-transforms.tsv", func(i int) string { return isakmp.IPCompTransform(i).String() }, "IPCOMP_", 1, 4, 4},
		{"ipsec-life-types.tsv", func(i int) string {
			return strings.ToUpper(isakmp.LifeType(i).String()[:1]) + isakmp.LifeType(i).String()[1:]
		}, "", 1, 2, 2},
		{"isakmp-doi.tsv", func(i int) string { return isakmp.DOI(i).String() }, "", 0, 2, 3},
	} {
		f, err := os.Open(filepath.Join(root, "iana", c.file))
		require.NoError(t, err)
		defer f.Close()
		checked := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			cols := strings.Split(s.Text(), "\t")
			v, err := strconv.Atoi(cols[0])
			if err != nil || v < c.first || v > c.last || len(cols) < 3 || cols[1] == "" {
				continue
			}
			require.Equal(t, c.prefix+cols[1], c.name(v), "%s %d", c.file, v)
			checked++
		}
		require.GreaterOrEqual(t, checked, c.least, c.file)
	}

	// The others by number: each value that libreswan names has a name here.
	for _, c := range []struct {
		file        string
		name        func(int) string
		first, last int
	}{
		{"isakmp-payload-types.tsv", func(i int) string { return isakmp.PayloadType(i).String() }, 0, 132},
		{"ikev1-exchange-types.tsv", func(i int) string { return isakmp.ExchangeType(i).String() }, 0, 33},
		{"ikev1-group-descriptions.tsv", func(i int) string { return isakmp.Group(i).String() }, 1, 32},
		{"ipsec-esp-transforms.tsv", func(i int) string { return isakmp.ESPTransform(i).String() }, 1, 253},
		{"ipsec-ah-transforms.tsv", func(i int) string { return isakmp.AHTransform(i).String() }, 2, 13},
		{"ikev1-notify-types.tsv", func(i int) string { return isakmp.NotifyType(i).String() }, 1, 40503},
	} {
		f, err := os.Open(filepath.Join(root, "iana", c.file))
		require.NoError(t, err)
		defer f.Close()
		checked := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			cols := strings.Split(s.Text(), "\t")
			v, err := strconv.Atoi(cols[0])
			if err != nil || v < c.first || v > c.last || len(cols) < 3 || cols[2] == "" {
				continue
			}
			require.NotContains(t, c.name(v), "Type(", "%s %d", c.file, v)
			require.NotContains(t, c.name(v), "Transform(", "%s %d", c.file, v)
			require.NotContains(t, c.name(v), "Group(", "%s %d", c.file, v)
			checked++
		}
		require.GreaterOrEqual(t, checked, 9, c.file)
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "NO-PROPOSAL-CHOSEN", isakmp.NotifyNoProposalChosen.String())
	require.Equal(t, "NotifyType(31)", isakmp.NotifyType(31).String())
	require.Equal(t, "Identity Protection", isakmp.ExchangeIdentityProtection.String())
	require.Equal(t, "ExchangeType(240)", isakmp.ExchangeType(240).String())
	require.Equal(t, "NONCE", isakmp.PayloadNonce.String())
	require.Equal(t, "PayloadType(200)", isakmp.PayloadType(200).String())
	require.Equal(t, "XAUTHInitPreShared", isakmp.AuthGSSAPI.String())
	require.Equal(t, "1.0", isakmp.Version1.String())
	require.Equal(t, "SIT_IDENTITY_ONLY|SIT_INTEGRITY|0x80000008", isakmp.Situation(0x8000000d).String())
	require.Equal(t, "0x0", isakmp.Situation(0).String())
	// No number panics or has no name.
	for i := range 1 << 16 {
		for _, s := range []string{
			isakmp.NotifyType(i).String(), isakmp.ConfigAttributeType(i).String(), isakmp.Phase1Attribute(i).String(), isakmp.Phase2Attribute(i).String(),
			isakmp.EncryptionAlgorithm(i).String(), isakmp.HashAlgorithm(i).String(), isakmp.AuthMethod(i).String(), isakmp.Group(i).String(),
			isakmp.GroupType(i).String(), isakmp.LifeType(i).String(), isakmp.EncapsulationMode(i).String(), isakmp.AuthAlgorithm(i).String(), isakmp.XAuthType(i).String(),
			isakmp.PayloadType(i).String(), isakmp.ExchangeType(i).String(), isakmp.IDType(i).String(), isakmp.CertEncoding(i).String(), isakmp.ConfigType(i).String(),
			isakmp.ESPTransform(i).String(), isakmp.AHTransform(i).String(), isakmp.IPCompTransform(i).String(), isakmp.DOI(i).String(),
		} {
			require.NotEmpty(t, s)
		}
	}
	require.True(t, isakmp.NotifyUnequalPayloadLengths.IsError())
	require.True(t, isakmp.NotifyType(16383).IsError())
	require.False(t, isakmp.NotifyConnected.IsError())
	require.False(t, isakmp.NotifyRUThere.IsError())
	require.False(t, isakmp.NotifyType(0).IsError())
}

// Importing the codec brings in the standard library and the vocabulary, not
// the machinery.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		testhost.Missing(t, "go list: %v", err)
	}
	var others []string
	external := regexp.MustCompile(`^[^/]+\.[^/]+/`)
	for _, p := range strings.Fields(string(out)) {
		if external.MatchString(p) {
			others = append(others, p)
		}
	}
	const module = "github.com/racoon3/racoon/"
	require.ElementsMatch(t, []string{module + "ikev1/isakmp", module + "spd", module + "internal/secret", module + "internal/trace"}, others)
}
