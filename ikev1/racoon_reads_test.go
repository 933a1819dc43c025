package ikev1

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

// racoonReads are the payloads that ipsec-tools' racoon takes in each message of
// phase 1. It drops a message with any other, and one with NAT-D that no vendor
// ID before it has explained: in Base Mode with signatures, and in Aggressive
// Mode with NAT traversal, it did that to ours.
var racoonReads = map[Mode][]string{
	MainMode:       {"SA VID", "SA VID", "KE NONCE VID CR NAT-D", "KE NONCE VID CR NAT-D", "ID HASH CR CERT SIG VID N", "ID HASH CERT SIG VID N"},
	AggressiveMode: {"SA KE NONCE ID VID CR", "SA KE NONCE ID HASH CR CERT SIG VID N NAT-D", "HASH VID CERT SIG N NAT-D"},
	BaseMode:       {"SA NONCE ID VID", "SA NONCE ID VID", "KE HASH CERT SIG VID NAT-D", "KE HASH CERT SIG VID NAT-D"},
}

func TestRacoonReads(t *testing.T) {
	for mode, reads := range racoonReads {
		for method := range allMethods {
			t.Run(fmt.Sprintf("%v/%v", mode, method), func(t *testing.T) {
				a, b := methodPeers(t, mode, method)
				var sent []ike.TraceRecord
				p := newPair(t, a, b, func(a, _ *Config) { a.Trace = func(r ike.TraceRecord) { sent = append(sent, r) } })
				p.requireUp(p.initiate())
				n := 0
				for _, r := range sent {
					h, err := isakmp.ParseHeader(r.Message)
					require.NoError(t, err)
					if h.MessageID != 0 {
						continue
					}
					chain, err := isakmp.ParsePaddedChain(h.NextPayload, r.Message[isakmp.HeaderLen:])
					require.NoError(t, err)
					explained, natD, cert, sig := n > 1, false, false, false
					for _, pl := range chain {
						name := pl.Type.String()
						require.Contains(t, " "+reads[n]+" ", " "+name+" ", "message %d", n+1)
						explained = explained || pl.Type == isakmp.PayloadVendorID
						natD = natD || pl.Type == isakmp.PayloadNATD
						cert, sig = cert || pl.Type == isakmp.PayloadCERT, sig || pl.Type == isakmp.PayloadSIG
						require.True(t, !natD || explained && pl.Type != isakmp.PayloadVendorID, "message %d: NAT-D before a vendor ID", n+1)
					}
					require.Equal(t, sig, cert, "message %d: whoever signs sends the certificate", n+1)
					n++
				}
				require.Len(t, reads, n)
			})
		}
	}
}
