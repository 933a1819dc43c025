package isakmp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// What libreswan 4.10 gives a client: an address, and a network for Unity's
// split-include, and two zero octets to the next multiple of four, which the
// payload's length counts.
func TestAttributesPadded(t *testing.T) {
	reply := unhex("02 00 0000  0001 0004 0a030001  7004 000e 0a020000ffffff00000000000000")
	parse := func(b []byte) (*isakmp.Attributes, error) {
		p, err := isakmp.ParsePayload(isakmp.RawPayload{Type: isakmp.PayloadAttributes, Body: b})
		if err != nil {
			return nil, err
		}
		return p.(*isakmp.Attributes), nil
	}
	want, err := parse(reply)
	require.NoError(t, err)
	require.Len(t, want.Attributes, 2)
	for _, padding := range []string{"00", "0000", "000000"} {
		got, err := parse(append(reply[:len(reply):len(reply)], unhex(padding)...))
		require.NoError(t, err, padding)
		require.Equal(t, want, got)
	}
	for _, rest := range []string{"01", "0001", "000001"} {
		_, err := parse(append(reply[:len(reply):len(reply)], unhex(rest)...))
		require.ErrorIs(t, err, isakmp.ErrSyntax, rest)
	}
}
