package message_test

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

	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/testhost"
)

// The name tables against tables taken from other implementations.
func TestRegistriesAgainstReference(t *testing.T) {
	root := os.Getenv("RACOON_REFERENCE")
	if root == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	for _, c := range []struct {
		file  string
		name  func(int) string
		strip string // prefix of libreswan's names
		first int
		last  int
		least int
	}{
		{"ikev2-notify-types.tsv", func(i int) string { return message.NotifyType(i).String() }, "v2N_", 1, 40959, 88},
		{"ikev2-exchange-types.tsv", func(i int) string { return message.ExchangeType(i).String() }, "ISAKMP_v2_", 34, 44, 9},
		{"ikev2-id-types.tsv", func(i int) string { return message.IDType(i).String() }, "", 9, 13, 5},
		{"ikev2-ts-types.tsv", func(i int) string { return message.TSType(i).String() }, "IKEv2_", 7, 10, 4},
		{"ikev2-cp-attributes.tsv", func(i int) string { return message.ConfigAttributeType(i).String() }, "IKEv2_", 1, 26, 22},
	} {
		f, err := os.Open(filepath.Join(root, "iana", c.file))
		require.NoError(t, err)
		defer f.Close()
		checked := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			cols := strings.Split(s.Text(), "\t")
			v, err := strconv.Atoi(cols[0])
			if err != nil || v < c.first || v > c.last || len(cols) < 3 {
				continue
			}
			name := strings.TrimPrefix(cols[2], c.strip)
			if name == "" || strings.Contains(name, "RESERVED") {
				continue
			}
			got := c.name(v)
			require.Equal(t, name, got, "%s %d", c.file, v)
			checked++
		}
		require.GreaterOrEqual(t, checked, c.least, c.file)
	}
}

func TestNames(t *testing.T) {
	require.Equal(t, "NO_PROPOSAL_CHOSEN", message.NotifyNoProposalChosen.String())
	require.Equal(t, "NotifyType(40960)", message.NotifyType(40960).String())
	require.Equal(t, "NotifyType(2)", message.NotifyType(2).String())
	require.Equal(t, "MS_NOTIFY_STATUS", message.NotifyType(12345).String())
	require.Equal(t, "IKE_SA_INIT", message.ExchangeIKESAInit.String())
	require.Equal(t, "ExchangeType(240)", message.ExchangeType(240).String())
	require.Equal(t, "SKF", message.PayloadSKF.String())
	require.Equal(t, "PayloadType(200)", message.PayloadType(200).String())
	require.Equal(t, "CFG_REPLY", message.ConfigReply.String())
	require.Equal(t, "PPK_ID_OPAQUE", message.PPKIDOpaque.String())
	require.Equal(t, "2.0", message.Version2.String())
	// No number panics.
	for i := range 1 << 16 {
		_ = message.NotifyType(i).String() + message.ConfigAttributeType(i).String() + message.HashAlgorithm(i).String()
	}
	for i := range 256 {
		require.NotEmpty(t, message.AuthMethod(i).String()+message.CertEncoding(i).String()+message.EAPType(i).String()+
			message.EAPCode(i).String()+message.GatewayIDType(i).String()+message.ConfigType(i).String()+message.IDType(i).String())
	}
	require.True(t, message.NotifyStateNotFound.IsError())
	require.False(t, message.NotifyInitialContact.IsError())
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
	require.ElementsMatch(t, []string{module + "ikev2/message", module + "spd", module + "internal/secret", module + "internal/trace"}, others)
}
