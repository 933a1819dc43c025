package pfkey

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/spd"
)

// recordedSAs are the SAs that both ends of a capture had added, by SPI.
func recordedSAs(t *testing.T, name string) map[spd.SPI]*SAEntry {
	r := map[spd.SPI]*SAEntry{}
	for _, x := range recordings(t) {
		if x.dialogue != "A"+name || x.dir != "req" {
			continue
		}
		m, err := netBSDLittle.Parse(x.octets)
		require.NoError(t, err)
		if m.Type == MsgAdd {
			s, err := netBSDLittle.SAEntry(m)
			require.NoError(t, err)
			r[s.SPI] = s
		}
	}
	require.Len(t, r, 2, name)
	return r
}

// TestNetBSDCaptures opens the packets that a NetBSD kernel has sent, with the
// keys and algorithms that PF_KEY had given it: ESP in package esp, AH here.
func TestNetBSDCaptures(t *testing.T) {
	files, err := filepath.Glob("testdata/netbsd/*.pcap")
	require.NoError(t, err)
	require.Len(t, files, 14)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".pcap")
		t.Run(name, func(t *testing.T) {
			sas := recordedSAs(t, name)
			packets, err := pcap.ReadFile(file)
			require.NoError(t, err)
			open := map[spd.SPI]*esp.InboundSA{}
			n := 0
			for _, p := range packets {
				ip, ok := p.IP()
				if !ok || ip.Protocol != IPProtoESP && ip.Protocol != IPProtoAH {
					continue
				}
				spi := spd.SPI(ip.Payload[0])<<24 | spd.SPI(ip.Payload[1])<<16 | spd.SPI(ip.Payload[2])<<8 | spd.SPI(ip.Payload[3])
				if ip.Protocol == IPProtoAH {
					spi = spd.SPI(ip.Payload[4])<<24 | spd.SPI(ip.Payload[5])<<16 | spd.SPI(ip.Payload[6])<<8 | spd.SPI(ip.Payload[7])
				}
				e := sas[spi]
				require.NotNil(t, e)
				require.Equal(t, e.Src, ip.Src)
				require.Equal(t, e.Dst, ip.Dst)
				n++
				if ip.Protocol == IPProtoAH {
					checkAH(t, p, ip, e)
					continue
				}
				if open[spi] == nil {
					open[spi], err = esp.NewInboundSA(espSA(t, e))
					require.NoError(t, err)
				}
				o, err := open[spi].Open(append([]byte(nil), ip.Payload...))
				require.NoError(t, err)
				switch {
				case e.Mode == ModeTunnel:
					require.EqualValues(t, 4, o.Next)
				case ip.Src.Is4():
					require.EqualValues(t, 1, o.Next)
				default:
					require.EqualValues(t, 58, o.Next)
				}
			}
			require.GreaterOrEqual(t, n, 10)
		})
	}
}

// espSA is an SA of PF_KEY in the words of package spd.
func espSA(t *testing.T, e *SAEntry) *spd.SA {
	s := &spd.SA{Protocol: spd.ProtoESP, SPI: e.SPI, EncrKey: e.EncryptKey, IntegKey: e.AuthKey}
	a, ok := netBSDLittle.AlgorithmByID(AlgEncrypt, e.Encrypt)
	require.True(t, ok)
	s.Encryption = a.Transform
	if s.Encryption.ID == spd.EncrNULL {
		s.EncrKey = nil // a dummy
	} else if s.Encryption.ID != spd.Encr3DES {
		s.Encryption.KeyLen = uint16(len(e.EncryptKey)*8 - a.SaltBits)
	}
	if e.Auth != 0 {
		a, ok := netBSDLittle.AlgorithmByID(AlgAuth, e.Auth)
		require.True(t, ok)
		s.Integrity = a.Transform
	}
	return s
}

// checkAH verifies the integrity check value of an AH packet (RFC 4302 3.3.3).
func checkAH(t *testing.T, p pcap.Packet, ip pcap.IP, e *SAEntry) {
	a, ok := netBSDLittle.AlgorithmByID(AlgAuth, e.Auth)
	require.True(t, ok)
	newHash := map[string]func() hash.Hash{"hmac-sha1": sha1.New, "hmac-sha2-256": sha256.New}[a.Name]
	at := len(p.Data) - len(ip.Payload)
	for at > 0 && string(p.Data[at:at+len(ip.Payload)]) != string(ip.Payload) {
		at-- // padding of the link
	}
	header := 20
	if ip.Src.Is6() {
		header = 40
	}
	b := append([]byte(nil), p.Data[at-header:at+len(ip.Payload)]...)
	if ip.Src.Is4() { // mutable fields: TOS, flags and offset, TTL, checksum
		b[1], b[6], b[7], b[8], b[10], b[11] = 0, 0, 0, 0, 0, 0
	} else { // class and flow label, hop limit
		b[0], b[1], b[2], b[3], b[7] = 0x60, 0, 0, 0, 0
	}
	icv := b[header+12 : header+12+a.ICVBits/8]
	sent := append([]byte(nil), icv...)
	clear(b[header+12 : header+(int(b[header+1])+2)*4])
	mac := hmac.New(newHash, e.AuthKey)
	mac.Write(b)
	require.Equal(t, sent, mac.Sum(nil)[:len(sent)])
}
