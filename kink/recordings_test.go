package kink

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// keytabOnly is a host that only answers.
type keytabOnly struct {
	*krb.Keytab
	me krb.Principal
}

func (k keytabOnly) Principal() krb.Principal     { return k.me }
func (k keytabOnly) Reload(context.Context) error { return nil }
func (k keytabOnly) TGT(context.Context, time.Time) (*krb.Ticket, error) {
	return nil, errors.New("there is no KDC")
}

func (k keytabOnly) ServiceTicket(context.Context, time.Time, krb.Principal, krb.TicketOptions) (*krb.Ticket, error) {
	return nil, errors.New("there is no KDC")
}

// Our responder in the place of racoon2's, at the time of the recording and with
// its keytab, answers the recorded commands: CREATE, STATUS, DELETE. It takes the
// recorded SPIs, so the keys have to be those of the kernels that were recorded.
func TestRecordedCommands(t *testing.T) {
	b, err := os.ReadFile("krb/testdata/kinkd/keymat.json")
	require.NoError(t, err)
	var keymat []struct{ Recording, SPI, Encrypt, Integrity string }
	require.NoError(t, json.Unmarshal(b, &keymat))
	for _, r := range []struct {
		name, keytab, a, b, proposal string
		keys                         int
	}{
		{"kink-2way-aes128", "b-aes128", "kink/a128.example.com", "kink/b128.example.com", "aes128-sha1-noesn", 2},
		{"kink-2way-aes256", "b-aes256", "kink/a.example.com", "kink/b.example.com", "aes128-sha1-noesn", 2},
		{"kink-rekey", "b-aes256", "kink/a.example.com", "kink/b.example.com", "aes128-sha1-noesn", 2},
	} {
		t.Run(r.name, func(t *testing.T) {
			packets, err := pcap.ReadFile("krb/testdata/kinkd/" + r.name + ".pcap")
			require.NoError(t, err)
			file, err := os.ReadFile("krb/testdata/kinkd/" + r.keytab + ".keytab")
			require.NoError(t, err)
			keytab, err := krb.ParseKeytab(file)
			require.NoError(t, err)
			want := map[spd.SPI][2]string{}
			for _, k := range keymat {
				if k.Recording == r.name && k.SPI != "" {
					spi, err := hex.DecodeString(k.SPI)
					require.NoError(t, err)
					want[spd.SPI(uint32(spi[0])<<24|uint32(spi[1])<<16|uint32(spi[2])<<8|uint32(spi[3]))] = [2]string{k.Encrypt, k.Integrity}
				}
			}
			var all []pcap.Datagram
			for d := range pcap.UDP(packets) {
				if d.Dst.Port() == message.Port {
					all = append(all, d)
				}
			}
			e, plane := recordedResponder(t, keytab, r.a, r.b, r.proposal, all)
			answered := map[message.Type]int{}
			checked := map[spd.SPI]bool{}
			for _, d := range all {
				h, err := message.ParseHeader(d.Payload)
				require.NoError(t, err)
				if h.Type == message.Reply {
					continue
				}
				path := ike.Path{Local: d.Dst, Remote: d.Src}
				if d.Src.Addr().String() != "10.1.0.1" {
					continue // kinkd's own commands
				}
				e.HandleDatagram(d.Time, path, d.Payload)
				for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
					e.HandleResult(d.Time, j.Do(t.Context()))
				}
				// The answer as recorded: without identification payloads, as the request.
				from, err := (&krb.Acceptor{Keys: keytab, Skew: time.Hour}).Accept(d.Time, d.Src.Addr(), apReqOf(t, d.Payload))
				require.NoError(t, err)
				n := 0
				for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
					m, err := message.Parse(tx.Packet)
					require.NoError(t, err)
					require.Equal(t, message.Reply, m.Header.Type)
					require.Equal(t, h.XID, m.Header.XID)
					require.False(t, m.Header.AckReq, "optimistic")
					require.NotNil(t, m.APRep())
					require.EqualValues(t, message.Port, tx.Path.Remote.Port())
					want := all[slices.IndexFunc(all, func(r pcap.Datagram) bool { return isReplyTo(h.XID, r) })]
					require.Equal(t, formOf(t, want.Payload, from.Key), formOf(t, tx.Packet, from.Key))
					n++
				}
				require.Equal(t, 1, n, "%v", h.Type)
				answered[h.Type]++
				for _, b := range plane.Bundles() {
					for _, sa := range b.Bundle.SAs {
						if k, ok := want[sa.SPI]; ok {
							require.Equal(t, k, [2]string{hex.EncodeToString(sa.EncrKey), hex.EncodeToString(sa.IntegKey)}, "SPI %08x", uint32(sa.SPI))
							checked[sa.SPI] = true
						}
					}
				}
			}
			require.NotZero(t, answered[message.Create])
			require.GreaterOrEqual(t, len(checked), r.keys)
			t.Logf("answered %v, keys of %d SAs equal", answered, len(checked))
		})
	}
}

func apReqOf(t *testing.T, b []byte) *krb.APReq {
	m, err := message.Parse(b)
	require.NoError(t, err)
	ap, err := krb.ParseAPReq(m.APReq().Data)
	require.NoError(t, err)
	return ap
}

func isReplyTo(xid uint32, d pcap.Datagram) bool {
	h, err := message.ParseHeader(d.Payload)
	return err == nil && h.Type == message.Reply && h.XID == xid && d.Dst.Addr().String() == "10.1.0.1"
}

// recordedResponder is b of a recording. Its data plane has the SPIs that kinkd's
// had, in the order of its answers.
func recordedResponder(t *testing.T, keytab *krb.Keytab, a, b, proposal string, all []pcap.Datagram) (*Endpoint, *spd.Memory) {
	acceptor := krb.Acceptor{Keys: keytab, Skew: time.Hour}
	var spis []spd.SPI
	keys := map[uint32]*krb.Key{}
	for _, d := range all {
		m, err := message.Parse(d.Payload)
		require.NoError(t, err)
		if p := m.APReq(); p != nil && m.Header.Type == message.Create {
			req, err := krb.ParseAPReq(p.Data)
			require.NoError(t, err)
			from, err := acceptor.Accept(d.Time, d.Src.Addr(), req)
			require.NoError(t, err)
			keys[m.Header.XID] = from.Key
		} else if key := keys[m.Header.XID]; m.Header.Type == message.Reply && key != nil {
			ps, err := m.Open(key)
			require.NoError(t, err)
			qs, err := ps.ISAKMP().Payloads()
			require.NoError(t, err)
			if qs.SA() != nil {
				spi := qs.SA().Proposals[0].SPI
				spis = append(spis, spd.SPI(uint32(spi[0])<<24|uint32(spi[1])<<16|uint32(spi[2])<<8|uint32(spi[3])))
			}
			delete(keys, m.Header.XID)
		}
	}
	plane := spd.NewMemory(spd.MemoryConfig{SPI: func() spd.SPI { s := spis[0]; spis = spis[1:]; return s }})
	e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: plane, Tag: 1, Started: all[0].Time.Add(-time.Second),
		Kerberos: keytabOnly{keytab, krb.Principal{Name: b, Realm: realm}}})
	require.NoError(t, err)
	p := peerOf("a", a, spd.MustParseTrafficSelector("10.1.0.2/32"), spd.MustParseTrafficSelector("10.1.0.1/32"), proposal)
	p.Children[0].Mode = spd.ModeTransport
	p.Racoon2 = true
	ps, err := NewPeerSet([]*Peer{p})
	require.NoError(t, err)
	e.SetPeers(ps)
	return e, plane
}
