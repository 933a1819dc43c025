package krb_test

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// recordings are captures of racoon2's kinkd and the keytab of its responder.
var recordings = []struct {
	name, keytab string
	messages     int
}{
	{"kink-2way-aes128", "b-aes128", 2},
	{"kink-2way-aes256", "b-aes256", 2},
	{"kink-krberror-skew", "b-aes256", 4},
	{"kink-rekey", "b-aes256", 10},
}

func readKeytab(t testing.TB, name string) *krb.Keytab {
	b, err := os.ReadFile("testdata/kinkd/" + name + ".keytab")
	require.NoError(t, err)
	k, err := krb.ParseKeytab(b)
	require.NoError(t, err)
	return k
}

func recording(t testing.TB, name string) []pcap.Datagram {
	packets, err := pcap.ReadFile("testdata/kinkd/" + name + ".pcap")
	require.NoError(t, err)
	var out []pcap.Datagram
	for d := range pcap.UDP(packets) {
		if d.Src.Port() == message.Port || d.Dst.Port() == message.Port {
			out = append(out, d)
		}
	}
	return out
}

// confounder returns the confounder of a recorded encryption.
func confounder(t testing.TB, k *krb.Key, ciphertext []byte) []byte {
	text := k.Unseal(ciphertext)
	require.Greater(t, len(text), k.ConfounderLen())
	return text[:k.ConfounderLen()]
}

// Every recorded message: the ticket opens with the responder's keytab, the
// checksum is right, KINK_ENCRYPT opens, what is in it decodes, and all of it
// encodes to the same octets; the AP-REP answers the authenticator.
func TestRecordings(t *testing.T) {
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) {
			keytab := readKeytab(t, r.keytab)
			a := krb.Acceptor{Keys: keytab, Skew: time.Hour, Replays: krb.NewReplayCache(time.Hour, 0, 0)}
			var key *krb.Key
			var stamps []krb.Stamp
			n := 0
			for _, d := range recording(t, r.name) {
				m, err := message.Parse(d.Payload)
				require.NoError(t, err)
				again, err := m.AppendBinary(nil)
				require.NoError(t, err)
				require.Equal(t, d.Payload, again)
				n++

				if p := m.APReq(); p != nil {
					req, err := krb.ParseAPReq(p.Data)
					require.NoError(t, err)
					require.True(t, req.Mutual)
					peer, err := a.Accept(d.Time, d.Src.Addr(), req)
					require.NoError(t, err)
					require.True(t, strings.HasPrefix(peer.Client.Name, "kink/a"), "%v", peer.Client)
					key = peer.Key
					stamps = append(stamps, peer.Stamp)
					_, err = a.Accept(d.Time, d.Src.Addr(), req)
					require.ErrorIs(t, err, krb.APErrRepeat)
				}
				if p := m.APRep(); p != nil {
					s, err := krb.OpenAPRep(p.Data, key)
					require.NoError(t, err)
					require.Contains(t, stamps, s)
				}
				require.NoError(t, m.Verify(key))
				ps, err := m.Open(key)
				require.NoError(t, err)
				require.NoError(t, ps.Check(m.Header))
				require.Equal(t, d.Payload, rebuild(t, m, ps, key))
				if e := ps.KRBError(); e != nil {
					ke, err := krb.ParseKRBError(e.Data)
					require.NoError(t, err)
					require.ErrorIs(t, ke, krb.APErrSkew)
					require.Equal(t, `krb: KRB_AP_ERR_SKEW ("Clock skew too great")`, ke.Error())
					skew, ok := ke.Skew()
					require.True(t, ok)
					require.InDelta(t, 1200, skew.Seconds(), 1)
					require.Equal(t, stamps[0], ke.ClientTime)
				}
			}
			require.GreaterOrEqual(t, n, r.messages)
		})
	}
}

// rebuild writes a message again, payload after payload, with the Builder: the
// Quick Mode payloads encoded, KINK_ENCRYPT sealed with the recorded
// confounder, the checksum computed.
func rebuild(t testing.TB, m *message.Message, ps message.Payloads, k *krb.Key) []byte {
	b := message.NewBuilder(make([]byte, 0, 1500), m.Header)
	enc := m.Encrypt()
	outer := len(m.Payloads)
	if enc != nil {
		outer--
	}
	for i, p := range ps {
		if i == outer {
			b.BeginEncrypt(confounder(t, k, enc.Ciphertext))
		}
		q, ok := p.(*message.ISAKMP)
		if !ok {
			b.Add(p)
			continue
		}
		inner, err := q.Payloads()
		require.NoError(t, err)
		c := b.BeginISAKMP()
		for _, x := range inner {
			c.Add(x)
		}
		b.EndISAKMP(&c)
	}
	if enc != nil {
		b.EndEncrypt(k)
	}
	out, err := b.Sign(k)
	require.NoError(t, err)
	return out
}

// KEYMAT as the daemons logged it, with racoon2's PRF, and their kernels' keys.
func TestRecordedKeyMat(t *testing.T) {
	b, err := os.ReadFile("testdata/kinkd/keymat.json")
	require.NoError(t, err)
	var sas []struct {
		Recording string
		EType     krb.EType
		Session   string
		Seed      string
		KeyMat    string
		SPI       string
		Encrypt   string
		Integrity string
	}
	require.NoError(t, json.Unmarshal(b, &sas))
	require.Len(t, sas, 12)
	kernel := 0
	for _, sa := range sas {
		k, err := krb.NewKey(sa.EType, unhex(sa.Session))
		require.NoError(t, err)
		seed := unhex(sa.Seed)
		want := unhex(sa.KeyMat)
		got := k.AppendKeyMat([]byte{1}, len(want), krb.PRFRacoon2, seed[:1], seed[1:5], seed[5:])
		require.Equal(t, want, got[1:], sa.Recording)
		standard := k.AppendKeyMat(nil, len(want), krb.PRFStandard, seed)
		require.NotEqual(t, want[:16], standard[:16])
		if sa.SPI != "" {
			require.Equal(t, unhex(sa.SPI), seed[1:5])
			n := len(sa.Encrypt) / 2
			require.Equal(t, unhex(sa.Encrypt), got[1:1+n])
			require.Equal(t, unhex(sa.Integrity), got[1+n:1+n+len(sa.Integrity)/2])
			kernel++
		}
	}
	require.GreaterOrEqual(t, kernel, 6)
}

// The trace of a recorded message shows no secret and all that is negotiated.
func TestRecordingTrace(t *testing.T) {
	d := recording(t, "kink-2way-aes256")[0]
	m, err := message.Parse(d.Payload)
	require.NoError(t, err)
	require.Equal(t, "CREATE 00000000: KINK_AP_REQ(epoch 2026-11-22T01:12:12Z 659 octets) KINK_ENCRYPT(136 octets)", m.String())
	key := recordedKey(t, m, "b-aes256", d.Time)
	ps, err := m.Open(key)
	require.NoError(t, err)
	require.Equal(t, "KINK_ISAKMP(SA(#1 ESP SPI 099a1ea9 T1 ESP_AES(3600 seconds, Transport, 128 bits, HMAC-SHA) T2 ESP_3DES(3600 seconds, Transport, HMAC-SHA)) NONCE(16 octets))", ps.ISAKMP().String())
	qm, err := ps.ISAKMP().Payloads()
	require.NoError(t, err)
	require.NoError(t, qm.Require(isakmp.PayloadSA, isakmp.PayloadNonce))
}

func recordedKey(t testing.TB, m *message.Message, keytab string, now time.Time) *krb.Key {
	req, err := krb.ParseAPReq(m.APReq().Data)
	require.NoError(t, err)
	a := krb.Acceptor{Keys: readKeytab(t, keytab), Skew: time.Hour}
	peer, err := a.Accept(now, netip.Addr{}, req)
	require.NoError(t, err)
	return peer.Key
}

// A recorded ticket whose service has another key now, or is another service.
func TestRecordedWrongKey(t *testing.T) {
	d := recording(t, "kink-2way-aes256")[0]
	m, err := message.Parse(d.Payload)
	require.NoError(t, err)
	req, err := krb.ParseAPReq(m.APReq().Data)
	require.NoError(t, err)
	for name, want := range map[string]krb.Code{"b-wrongkey": krb.APErrBadIntegrity, "a-aes256": krb.APErrNotUs} {
		a := krb.Acceptor{Keys: readKeytab(t, name)}
		peer, err := a.Accept(d.Time, d.Src.Addr(), req)
		require.Nil(t, peer)
		require.ErrorIs(t, err, want, name)
	}
}

// unhex decodes hexadecimal with white space.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}
