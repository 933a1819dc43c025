package pfkey

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// table reads a table of numbers by system, which others have collected; it is
// not part of this project.
func table(t *testing.T, name string) []map[string]string {
	dir := os.Getenv("RACOON_REFERENCE")
	if dir == "" {
		t.Skip("RACOON_REFERENCE is not set")
	}
	f, err := os.Open(filepath.Join(dir, "pfkey", name))
	require.NoError(t, err)
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	require.NoError(t, err)
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, v := range row {
			if i < len(rows[0]) {
				m[rows[0][i]] = v
			}
		}
		out = append(out, m)
	}
	return out
}

var columns = map[string]*Dialect{"linux": Linux, "freebsd": FreeBSD, "netbsd": NetBSD, "xnu": MacOS, "openbsd": OpenBSD}

// headerNames are the names of algorithms in header files and setkey's.
var headerNames = map[string]string{
	"AALG_MD5HMAC": "hmac-md5", "AALG_SHA1HMAC": "hmac-sha1", "AALG_SHA2_256": "hmac-sha2-256", "AALG_SHA2_384": "hmac-sha2-384",
	"AALG_SHA2_512": "hmac-sha2-512", "AALG_RIPEMD160HMAC": "hmac-ripemd160", "AALG_AES_XCBC_MAC": "aes-xcbc-mac", "AALG_MD5": "keyed-md5",
	"AALG_SHA": "keyed-sha1", "AALG_NULL": "null", "AALG_TCP_MD5": "tcp-md5", "AALG_AES128GMAC": "aes-128-gmac", "AALG_AES192GMAC": "aes-192-gmac",
	"AALG_AES256GMAC": "aes-256-gmac", "AALG_SM3_256HMAC": "hmac-sm3-256", "AALG_CHACHA20POLY1305": "chacha20-poly1305",
	"EALG_DESCBC": "des-cbc", "EALG_3DESCBC": "3des-cbc", "EALG_NULL": "null", "EALG_BLOWFISHCBC": "blowfish-cbc", "EALG_CAST128CBC": "cast128-cbc",
	"EALG_AES": "aes-cbc", "EALG_AESCTR": "aes-ctr", "EALG_AESGCM16": "aes-gcm-16", "EALG_AESGCM12": "aes-gcm-12", "EALG_AESGCM8": "aes-gcm-8",
	"EALG_AES_CCM_ICV16": "aes-ccm-16", "EALG_AES_CCM_ICV12": "aes-ccm-12", "EALG_AES_CCM_ICV8": "aes-ccm-8", "EALG_AESGMAC": "aes-gmac",
	"EALG_CHACHA20POLY1305": "chacha20-poly1305", "EALG_CAMELLIACBC": "camellia-cbc", "EALG_TWOFISHCBC": "twofish-cbc",
	"EALG_SERPENTCBC": "serpent-cbc", "EALG_SKIPJACK": "skipjack-cbc", "EALG_SM4CBC": "sm4-cbc",
	"CALG_OUI": "oui", "CALG_DEFLATE": "deflate", "CALG_LZS": "lzs", "CALG_LZJH": "lzjh",
}

// TestReferenceNumbers compares messages, extensions, SA types and algorithms
// with tables of the systems' header files.
func TestReferenceNumbers(t *testing.T) {
	msgs := map[string]MsgType{}
	for v, n := range msgNames {
		msgs[n] = v
	}
	n := 0
	for _, row := range table(t, "messages.tsv") {
		name := strings.TrimPrefix(row["name"], "SADB_")
		if name == "MAX" {
			continue
		}
		v, ok := msgs[name]
		require.True(t, ok, name)
		for col, d := range columns {
			raw, has := d.msgs.raw[uint32(v)]
			require.Equal(t, row[col] != "-", has, "%s %s", col, name)
			if has {
				require.Equal(t, row[col], strconv.Itoa(int(raw)), "%s %s", col, name)
				n++
			}
		}
	}
	exts := map[string][]ExtType{}
	for v, name := range extNames {
		exts[name] = append(exts[name], v)
	}
	for _, row := range table(t, "extensions.tsv") {
		name := strings.TrimPrefix(strings.TrimPrefix(row["name"], "SADB_"), "EXT_")
		name = strings.Replace(name, "X_EXT_", "X_", 1)
		for col, d := range columns {
			want, err := strconv.Atoi(row[col])
			if err != nil || name == "MAX" || name == "RESERVED" {
				continue
			}
			found := false
			for _, v := range exts[name] {
				raw, has := d.exts.raw[uint32(v)]
				found = found || has && int(raw) == want
			}
			require.True(t, found, "%s %s is %d", col, name, want)
			n++
		}
	}
	for _, row := range table(t, "algorithms.tsv") {
		kind := map[byte]AlgKind{'A': AlgAuth, 'E': AlgEncrypt, 'C': AlgCompress}
		name := strings.TrimPrefix(strings.TrimPrefix(row["name"], "SADB_"), "X_")
		k, ok := kind[name[0]]
		if !ok || strings.HasSuffix(name, "_MAX") || strings.HasSuffix(name, "_NONE") {
			continue
		}
		for col, d := range columns {
			id, err := strconv.Atoi(row["num_"+col])
			if err != nil {
				continue
			}
			a, known := d.AlgorithmByID(k, uint8(id))
			require.True(t, known, "%s %s %d", col, name, id)
			require.Equal(t, headerNames[name], a.Name, "%s %s %d", col, name, id)
			n++
		}
	}
	require.Greater(t, n, 300)
}

// TestReferenceSATypes compares the SA types.
func TestReferenceSATypes(t *testing.T) {
	names := map[string]SAType{"UNSPEC": 0, "AH": SATypeAH, "ESP": SATypeESP, "RSVP": SATypeRSVP, "OSPFV2": SATypeOSPFv2, "RIPV2": SATypeRIPv2, "MIP": SATypeMIP,
		"IPIP": SATypeIPIP, "TCPSIGNATURE": SATypeTCPSignature, "IPCOMP": SATypeIPComp, "POLICY": SATypePolicy}
	for _, row := range table(t, "constants.tsv") {
		if row["group"] != "satype" || strings.HasSuffix(row["name"], "MAX") {
			continue
		}
		name := row["name"][strings.LastIndex(row["name"], "_")+1:]
		for col, d := range columns {
			if raw, err := strconv.Atoi(row[col]); err == nil {
				require.EqualValues(t, raw, d.saTypes.raw[uint32(names[name])], "%s %s", col, name)
			}
		}
	}
}
