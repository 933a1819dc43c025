package pfkey

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorded is a message of testdata/netbsd/dialogues.tsv.
type recorded struct {
	dialogue, name, dir string
	errno               uint8
	octets              []byte
	text                string
}

// netBSDLittle is the dialect of the machine that was recorded.
var netBSDLittle = NetBSD.WithByteOrder(binary.LittleEndian)

func recordings(t testing.TB) []recorded {
	t.Helper()
	f, err := os.Open("testdata/netbsd/dialogues.tsv")
	require.NoError(t, err)
	defer f.Close()
	var r []recorded
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		c := strings.Split(s.Text(), "\t")
		require.Len(t, c, 6)
		octets, err := hex.DecodeString(c[4])
		require.NoError(t, err)
		errno, _ := strconv.Atoi(c[3])
		r = append(r, recorded{c[0], c[1], c[2], uint8(errno), octets, c[5]})
	}
	require.Greater(t, len(r), 700)
	return r
}

// find returns the octets of a recorded message.
func (r recorded) is(name string) bool { return r.dialogue == "pfkey" && r.name == name }

func recording(t testing.TB, name string) []byte {
	t.Helper()
	for _, r := range recordings(t) {
		if r.is(name) {
			return r.octets
		}
	}
	t.Fatalf("no recording %s", name)
	return nil
}

// malformedRecordings are the requests that were malformed on purpose; NetBSD
// answered them with an error of write().
var malformedRecordings = map[string]string{
	"R055-err-dupext.req":     "twice",
	"R057-err-zeroext.req":    "length 0",
	"R058-err-extoverrun.req": "longer than the message",
	"R059-err-msglen.req":     "length field and length differ",
	"R066-err-short.req":      "short message",
}

// TestNetBSDRecordings decodes each recorded message and encodes it to the same
// octets, but for reserved fields: the kernel leaves what was in its memory
// there.
func TestNetBSDRecordings(t *testing.T) {
	n := 0
	for _, r := range recordings(t) {
		if r.dir == "write-error" {
			continue
		}
		m, err := netBSDLittle.Parse(r.octets)
		if reason := malformedRecordings[r.name]; r.dialogue == "pfkey" && reason != "" {
			var parse *ParseError
			require.ErrorAs(t, err, &parse, r.name)
			require.ErrorIs(t, err, ErrMessage)
			require.Contains(t, parse.Reason, reason, r.name)
			continue
		}
		require.NoError(t, err, r.name)
		n++
		again, err := netBSDLittle.Append(nil, m)
		require.NoError(t, err, r.name)
		want, got := bytes.Clone(r.octets), bytes.Clone(again)
		clearReserved(want)
		clearReserved(got)
		require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got), "%s %s: %s", r.dialogue, r.name, r.text)
		if r.dir == "req" && m.Version == 2 && r.name != "R065-err-reserved.req" {
			require.Equal(t, hex.EncodeToString(r.octets), hex.EncodeToString(again), "what programs wrote had zeros in reserved fields")
		}
	}
	require.Greater(t, n, 690)
}

// clearReserved clears the reserved fields of a little-endian NetBSD message.
func clearReserved(b []byte) {
	clear(b[6:8])
	if b[1] == 11 && len(b) > 16 { // X_PROMISC: the kernel's length is wrong too
		clear(b[4:6])
		return
	}
	for x := b[16:]; len(x) >= 8; {
		n := int(binary.LittleEndian.Uint16(x)) * 8
		switch binary.LittleEndian.Uint16(x[2:]) {
		case 5, 6, 7, 8, 9, 23, 24: // addresses, keys
			clear(x[6:8])
		case 18:
			clear(x[12:16])
		case 19:
			clear(x[5:8])
		case 20:
			clear(x[5:8])
		case 14, 15:
			clear(x[4:8])
		case 21, 22, 25:
			clear(x[6:8])
		case 13:
			clear(x[5:8])
		}
		x = x[n:]
	}
}

// TestNetBSDWrapped reads a message inside an X_PROMISC message.
func TestNetBSDWrapped(t *testing.T) {
	m, err := netBSDLittle.Parse(recording(t, "R107-flush-ah.reply00"))
	require.NoError(t, err)
	inner, err := netBSDLittle.Parse(m.Inner)
	require.NoError(t, err)
	require.Equal(t, MsgFlush, inner.Type)
	require.Equal(t, SATypeAH, inner.SAType)
	require.EqualValues(t, 4242, inner.PID)
}

// TestNetBSDFields reads fields of some recordings, which are known from how
// they were made.
func TestNetBSDFields(t *testing.T) {
	m, err := netBSDLittle.Parse(recording(t, "R035-add-life-ident.req"))
	require.NoError(t, err)
	require.Equal(t, &SA{Type: ExtSA, SPI: 0x3022, Replay: 32, State: StateMature, Auth: 5, Encrypt: 12}, m.SA())
	require.Equal(t, &Lifetime{Type: ExtLifetimeHard, Allocations: 1000, Bytes: 1 << 30, AddTime: 86400, UseTime: 3600}, m.Lifetime(ExtLifetimeHard))
	require.Equal(t, &Lifetime{Type: ExtLifetimeSoft, Allocations: 900, Bytes: 1 << 29, AddTime: 80000, UseTime: 3000}, m.Lifetime(ExtLifetimeSoft))
	require.Equal(t, "10.9.0.1", m.Address(ExtAddressSrc).Addr.String())
	require.Equal(t, "a.test", string(m.Identity(ExtIdentitySrc).Name))
	require.Equal(t, IdentityFQDN, m.Identity(ExtIdentityDst).Kind)
	require.Equal(t, &SA2{Mode: ModeTransport}, m.SA2())
	require.Len(t, m.Key(ExtKeyAuth).Key, 32)

	m, err = netBSDLittle.Parse(recording(t, "R074-spdadd-v6-tunnel.req"))
	require.NoError(t, err)
	p := m.Policy()
	require.Equal(t, PolicyIPsec, p.Type)
	require.Len(t, p.Requests, 1)
	require.EqualValues(t, IPProtoESP, p.Requests[0].Proto)
	require.Equal(t, ModeTunnel, p.Requests[0].Mode)
	require.True(t, p.Requests[0].Src.Addr.Is6())

	m, err = netBSDLittle.Parse(recording(t, "R099-acquire-tunnel.reply00"))
	require.NoError(t, err)
	require.Len(t, m.Proposal().Combs, 7)
	require.EqualValues(t, 20, m.Proposal().Combs[4].Encrypt)
	require.EqualValues(t, 86400, m.Proposal().Combs[4].HardAddTime)

	m, err = netBSDLittle.Parse(recording(t, "R104-delete-missing.reply00"))
	require.NoError(t, err)
	err = netBSDLittle.kernelError(m.Type, m.Errno)
	require.True(t, errors.Is(err, ENOENT))
	require.Equal(t, "pfkey: DELETE: no such entry (ENOENT)", err.Error())
}
