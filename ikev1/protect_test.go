package ikev1

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// libreswan fills messages in clear with zeros to a multiple of 4 octets, which
// the header's length counts.
func TestClearMessagePadded(t *testing.T) {
	m := isakmp.Message{Header: isakmp.Header{CookieI: 1, Exchange: isakmp.ExchangeAggressive}, Payloads: isakmp.Payloads{&isakmp.Nonce{Data: make([]byte, 19)}}}
	b, err := m.AppendBinary(nil)
	require.NoError(t, err)
	open := func(rest ...byte) (*inbound, error) {
		b := append(b[:len(b):len(b)], rest...)
		h := m.Header
		h.NextPayload, h.Length = isakmp.PayloadNonce, uint32(len(b))
		return openClear(h, b)
	}
	for _, rest := range [][]byte{nil, {0}, {0, 0}, {0, 0, 0}} {
		got, err := open(rest...)
		require.NoError(t, err, "%x", rest)
		require.Equal(t, b[isakmp.HeaderLen:], got.body, "what is hashed ends with the last payload")
		require.Len(t, got.Nonce().Data, 19)
	}
	for _, rest := range [][]byte{{1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 0}} {
		_, err := open(rest...)
		require.ErrorIs(t, err, errMalformed, "%x", rest)
	}
}
