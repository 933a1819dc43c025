package isakmp_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// proposal makes a proposal payload of ISAKMP.
func proposal(num byte, last bool, transforms ...[]byte) []byte {
	p := []byte{2, 0, 0, 0, num, 1, 0, byte(len(transforms))}
	if last {
		p[0] = 0
	}
	for i, t := range transforms {
		t = bytes.Clone(t)
		t[0] = 3
		if i == len(transforms)-1 {
			t[0] = 0
		}
		p = append(p, t...)
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// transform makes a transform payload.
func transform(num, id byte, attributes ...byte) []byte {
	t := append([]byte{0, 0, 0, 0, num, id, 0, 0}, attributes...)
	binary.BigEndian.PutUint16(t[2:], uint16(len(t)))
	return t
}

// parseSA parses proposals behind DOI and situation.
func parseSA(t *testing.T, proposals []byte) (*isakmp.SA, error) {
	b := datagram(raw{t: isakmp.PayloadSA, body: append(unhex("00000001 00000001"), proposals...)})
	m, err := isakmp.Parse(b)
	if err != nil {
		requireKind(t, err, isakmp.ErrSyntax, isakmp.NotifyBadProposalSyntax)
		return nil, err
	}
	requireSame(t, m, b)
	return m.SA(), nil
}

func TestA08_SAPayload(t *testing.T) {
	ike := transform(1, isakmp.KeyIKE, unhex("80010007 800e0080")...)
	t.Run("no proposals", func(t *testing.T) {
		_, err := parseSA(t, nil)
		require.Error(t, err)
	})
	t.Run("an octet too many", func(t *testing.T) {
		_, err := parseSA(t, append(proposal(1, true, ike), 0))
		require.Error(t, err)
	})
	t.Run("no transforms", func(t *testing.T) {
		sa, err := parseSA(t, proposal(1, true))
		require.NoError(t, err) // the core chooses none of it
		require.Empty(t, sa.Proposals[0].Transforms)
	})
	t.Run("255 and 256 proposals", func(t *testing.T) {
		var body []byte
		for i := 1; i < 255; i++ {
			body = append(body, proposal(byte(i), false, ike)...)
		}
		sa, err := parseSA(t, append(bytes.Clone(body), proposal(255, true, ike)...))
		require.NoError(t, err)
		require.Len(t, sa.Proposals, 255)
		body = append(body, proposal(255, false, ike)...)
		_, err = parseSA(t, append(body, proposal(0, true, ike)...))
		require.ErrorContains(t, err, "more than 255 proposals")
	})
	t.Run("transform count lies", func(t *testing.T) {
		for _, n := range []byte{0, 1, 3, 255} {
			p := proposal(1, true, ike, ike)
			p[7] = n
			_, err := parseSA(t, p)
			require.ErrorContains(t, err, "transforms, has 2")
		}
	})
	t.Run("duplicate and 255 transforms are kept", func(t *testing.T) {
		ts := make([][]byte, 255)
		for i := range ts {
			ts[i] = ike
		}
		sa, err := parseSA(t, proposal(1, true, ts...))
		require.NoError(t, err)
		require.Len(t, sa.Proposals[0].Transforms, 255)
	})
	t.Run("attributes keep order, form and repetition", func(t *testing.T) {
		wire := unhex("800b0001 000c0004 00007080 80010007 000e0002 0080 800e0081 800e0000 00640000 80010001 7fff0001 aa")
		sa, err := parseSA(t, proposal(1, true, transform(1, 1, wire...)))
		require.NoError(t, err)
		as := sa.Proposals[0].Transforms[0].Attributes
		require.Len(t, as, 9)
		require.Equal(t, isakmp.Basic(isakmp.Phase1LifeType, isakmp.LifeSeconds), as[0])
		require.Equal(t, isakmp.Variable(isakmp.Phase1LifeDuration, unhex("00007080")), as[1])
		require.Equal(t, isakmp.Variable(uint16(0x7fff), unhex("aa")), as[8])
		require.Equal(t, wire, isakmp.AppendAttributes(nil, as...))
		// The first of a kind is found; all are there to be refused.
		require.Same(t, &as[2], sa.Proposals[0].Transforms[0].First(uint16(isakmp.Phase1EncryptionAlgorithm)))
	})
	t.Run("attribute cut short", func(t *testing.T) {
		for _, a := range [][]byte{{0x80}, {0x80, 14}, {0x80, 14, 0}, {0, 14, 0, 1}, {0, 14, 0, 5, 1, 2, 3, 4}} {
			_, err := parseSA(t, proposal(1, true, transform(1, 1, a...)))
			require.ErrorContains(t, err, "attribute is cut short", "%x", a)
		}
	})
	t.Run("attributes are bounded", func(t *testing.T) {
		attrs := func(n int) []byte { return bytes.Repeat(unhex("80110001"), n) }
		_, err := parseSA(t, proposal(1, true, transform(1, 1, attrs(isakmp.MaxAttributes)...)))
		require.NoError(t, err)
		_, err = parseSA(t, proposal(1, true, transform(1, 1, attrs(isakmp.MaxAttributes+1)...)))
		require.Error(t, err)
	})
	t.Run("next payload", func(t *testing.T) {
		good := append(proposal(1, false, ike), proposal(2, true, ike)...)
		_, err := parseSA(t, good)
		require.NoError(t, err)
		for _, at := range []int{0, 8, 24, 32} { // both proposals, both transforms
			for _, v := range []byte{0, 1, 2, 3, 255} {
				if v == good[at] {
					continue
				}
				b := bytes.Clone(good)
				b[at] = v
				_, err := parseSA(t, b)
				require.Error(t, err, "octet %d = %d", at, v)
			}
		}
	})
	t.Run("memory is bounded by the datagram", func(t *testing.T) {
		var ts [][]byte
		for range 20 {
			ts = append(ts, ike)
		}
		body := unhex("00000001 00000001")
		for i := range 150 {
			body = append(body, proposal(byte(i+1), false, ts...)...)
		}
		b := datagram(raw{t: isakmp.PayloadSA, body: append(body, proposal(255, true, ike)...)})
		require.LessOrEqual(t, testing.AllocsPerRun(10, func() { isakmp.Parse(b) }), 8.0)
		require.LessOrEqual(t, allocated(func() { isakmp.Parse(b) }), uint64(9*len(b)))
	})
}
