package ikev1

import (
	"crypto/x509"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// TestRacoonSignatures: the signatures of two racoons, in phase 1 that is in
// clear, are over the hashes that we would make, and their NAT-D payloads are
// what we would take them for.
func TestRacoonSignatures(t *testing.T) {
	for name, mode := range map[string]Mode{"rsa-base": BaseMode, "rsa-aggressive-natt": AggressiveMode} {
		t.Run(name, func(t *testing.T) {
			h := hashOf(t, spd.PRFHMACSHA1)
			packets, err := pcap.ReadFile("testdata/racoon/" + name + ".pcap")
			require.NoError(t, err)
			var in phase1Hash
			var ni, nr []byte
			var skeyid []byte
			n, natD := 0, 0
			for d := range pcap.UDP(packets) {
				b := d.Payload
				if d.Dst.Port() == natt.PortNATT {
					_, b = natt.Classify(b)
				}
				header, err := isakmp.ParseHeader(b)
				require.NoError(t, err)
				if header.Encrypted() {
					break
				}
				m, err := isakmp.Parse(b)
				require.NoError(t, err)
				initiator := n%2 == 0
				n++
				set := func(to *[]byte, body []byte) {
					if body != nil {
						*to = body
					}
				}
				ke, nonce, id := &in.gxr, &nr, &in.idr
				if initiator {
					ke, nonce, id = &in.gxi, &ni, &in.idi
				}
				set(ke, m.Chain.Body(isakmp.PayloadKE))
				set(nonce, m.Chain.Body(isakmp.PayloadNonce))
				set(id, m.Chain.Body(isakmp.PayloadID))
				if n == 1 {
					in.sai = m.Chain.Body(isakmp.PayloadSA)
				}
				copy(in.cookies[:], b[:16])
				for _, p := range m.Chain {
					if p.Type == isakmp.PayloadNATD {
						natD++
					}
				}
				sig := m.Chain.Body(isakmp.PayloadSIG)
				if sig == nil {
					continue
				}
				if mode == AggressiveMode {
					var s racoonSecrets
					readJSON(t, "testdata/racoon/"+name+".keys.json", &s)
					skeyid = h.skeyidSignature(ni, nr, s.Shared[0])
				}
				cert, err := x509.ParseCertificate(m.Chain.Body(isakmp.PayloadCERT)[1:])
				require.NoError(t, err)
				for _, side := range []bool{true, false} {
					hash := in.proofHash(mode, AuthRSA, h, skeyid, ni, nr, side)
					err := verifyHash(cert.PublicKey, AuthRSA, hash, sig, SignatureOptions{})
					require.Equal(t, side == initiator, err == nil, "message %d: %v", n, err)
				}
			}
			if mode == BaseMode {
				require.Equal(t, 4, n)
			} else {
				require.Equal(t, 3, n)
				require.Equal(t, 4, natD)
			}
		})
	}
}
