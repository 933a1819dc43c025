package krb_test

import (
	"encoding/hex"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// A heard message is one of a recording between this package's kinkd (10.99.0.1)
// and racoon2's (10.99.0.2).
type heard struct {
	pcap.Datagram
	*message.Message
	clear   message.Payloads
	key     *krb.Key
	stamp   krb.Stamp // of the authenticator, or in the AP-REP; 0 if there is neither
	racoon2 bool      // who has sent it
}

// hear opens every message of a recording with the keytabs of both hosts.
func hear(t *testing.T, name string) (all []heard) {
	var acceptors []*krb.Acceptor
	for _, host := range []string{"a", "b"} {
		b, err := os.ReadFile("testdata/with-racoon2/" + name + "." + host + ".keytab")
		require.NoError(t, err)
		k, err := krb.ParseKeytab(b)
		require.NoError(t, err)
		acceptors = append(acceptors, &krb.Acceptor{Keys: k, ETypes: append(krb.DefaultETypes(), krb.DES3SHA1), Skew: time.Minute})
	}
	packets, err := pcap.ReadFile("testdata/with-racoon2/" + name + ".pcap")
	require.NoError(t, err)
	type transaction struct {
		xid     uint32
		racoon2 bool
	}
	keys := map[transaction]*krb.Key{}
	for d := range pcap.UDP(packets) {
		m, err := message.Parse(d.Payload)
		require.NoError(t, err)
		h := heard{Datagram: d, Message: m, racoon2: d.Src.Addr().String() == "10.99.0.2"}
		of := transaction{m.Header.XID, h.racoon2 != (m.Header.Type == message.Reply)}
		if p := m.APReq(); p != nil {
			req, err := krb.ParseAPReq(p.Data)
			require.NoError(t, err)
			i := 1
			if h.racoon2 {
				i = 0
			}
			from, err := acceptors[i].Accept(d.Time, d.Src.Addr(), req)
			require.NoError(t, err)
			h.key, h.stamp, keys[of] = from.Key, from.Stamp, from.Key
		} else if h.key = keys[of]; m.APRep() != nil {
			h.stamp, err = krb.OpenAPRep(m.APRep().Data, h.key)
			require.NoError(t, err)
		} else {
			require.NotNil(t, m.KRBError())
			all = append(all, h)
			continue
		}
		require.NoError(t, m.Verify(h.key))
		h.clear, err = m.Open(h.key)
		require.NoError(t, err)
		require.NoError(t, h.clear.Check(m.Header))
		require.Equal(t, d.Payload, rebuild(t, m, h.clear, h.key))
		all = append(all, h)
	}
	return all
}

// quickMode are the Quick Mode payloads of a message.
func (h *heard) quickMode(t *testing.T) isakmp.Payloads {
	if h.clear.ISAKMP() == nil {
		return nil
	}
	ps, err := h.clear.ISAKMP().Payloads()
	require.NoError(t, err)
	return ps
}

// Three messages with racoon2 as the responder, twice, and two with it as the
// initiator: what both compute is what its kernel had.
func TestRacoon2Keys(t *testing.T) {
	kernel := map[string]string{ // encryption and integrity key, by SPI
		"0fceb210": "acb02a3ac680d71fc92de6cb0b0ddcb2701fdb5cecfb2a04 dbd315ac5324adb5a1eaae548338d14f018c0e68",
		"0521d297": "a41e4a867c0bfa8201df8e0f429c7133089926b9042763d7 e2fa54151712eb43c9aad2a1cafc7184bed44cd2",
		"0f18c18c": "720dc27159fc31a3ab9fff0b5e20def2d18e4e86513c0c6c 2ae430a33ae9331f3e839fee3058eb2dc957d8c5",
		"cb88bfda": "8b0c9ea33b6099842d776445b3be1cc968cf254da289f98c 862ff691b32c4e0398f11934fc60b11860bfceb9",
	}
	nonces := map[uint32][]byte{} // of the initiators
	offered := map[uint32][]byte{}
	acks := 0
	for _, h := range hear(t, "three") {
		ps := h.quickMode(t)
		xid := h.Header.XID
		switch {
		case h.Header.Type == message.Ack:
			require.False(t, h.racoon2)
			acks++
		case h.Header.Type == message.Create:
			nonces[xid], offered[xid] = ps.Nonce().Data, ps.SA().Proposals[0].SPI
		case h.Header.Type == message.Reply && ps.SA() != nil:
			require.Equal(t, h.racoon2, h.Header.AckReq)
			require.Equal(t, h.Header.AckReq, ps.Nonce() != nil)
			var nr []byte
			if ps.Nonce() != nil {
				nr = ps.Nonce().Data
			}
			for _, spi := range [][]byte{offered[xid], ps.SA().Proposals[0].SPI} {
				want, ok := kernel[hex.EncodeToString(spi)]
				if !ok {
					continue
				}
				delete(kernel, hex.EncodeToString(spi))
				keymat := h.key.AppendKeyMat(nil, 24+20, krb.PRFRacoon2, []byte{3}, spi, nonces[xid], nr)
				require.Equal(t, unhex(want), keymat, "%x", spi)
			}
		}
	}
	require.Equal(t, 2, acks)
	require.Empty(t, kernel)
}

// Encryption type 16 both ways: CREATE, STATUS and DELETE.
func TestRacoon2DES3(t *testing.T) {
	count := map[message.Type]int{}
	for _, h := range hear(t, "des3") {
		require.Equal(t, krb.DES3SHA1, h.key.EType())
		if h.clear != nil {
			count[h.Header.Type]++
		}
	}
	require.GreaterOrEqual(t, count[message.Create], 3)
	require.GreaterOrEqual(t, count[message.Reply], 3)
	require.NotZero(t, count[message.Delete])
	require.NotZero(t, count[message.Status])
}

// What MIT's library makes of the time within a second: 731 ms after it has told
// the time last, it goes on counting from there.
func TestRacoon2Stamps(t *testing.T) {
	var creates []heard
	for _, h := range hear(t, "stamps") {
		if h.racoon2 && h.Header.Type == message.Create {
			creates = append(creates, h)
		}
	}
	first, second := creates[0], creates[1]
	require.Equal(t, first.stamp+1, second.stamp)
	require.Greater(t, second.Time.Sub(first.Time), time.Millisecond)
	behind := second.Time.Sub(second.stamp.Time())
	require.Greater(t, behind, 700*time.Millisecond)
	require.Less(t, behind, time.Second)
}

// When an answer of racoon2's is lost, the next one is the same, octet by octet: it
// answers the first authenticator. Its own commands that come again have the same
// XID and a new authenticator, and each gets an AP-REP for that.
func TestRacoon2Repeats(t *testing.T) {
	var ours, theirs []heard
	answered := map[krb.Stamp]int{}
	var replies []heard
	for _, h := range hear(t, "lost") {
		switch {
		case h.Header.Type == message.Create && h.racoon2:
			theirs = append(theirs, h)
		case h.Header.Type == message.Create:
			ours = append(ours, h)
		case h.Header.Type == message.Reply && h.racoon2 && h.quickMode(t).SA() != nil:
			replies = append(replies, h)
		case h.Header.Type == message.Reply && !h.racoon2:
			answered[h.stamp]++
		}
	}
	require.Len(t, ours, 3)
	require.Len(t, replies, 3)
	for _, r := range replies {
		require.Equal(t, ours[0].stamp, r.stamp)
		require.Equal(t, replies[0].Payload, r.Payload)
	}
	require.Len(t, theirs, 4)
	var stamps []krb.Stamp
	for _, h := range theirs {
		require.Equal(t, theirs[0].Header.XID, h.Header.XID)
		require.NotContains(t, stamps, h.stamp)
		require.LessOrEqual(t, answered[h.stamp], 1)
		stamps = append(stamps, h.stamp)
	}
	require.True(t, slices.IsSorted(stamps))
	require.Equal(t, 1, answered[stamps[3]])
}
