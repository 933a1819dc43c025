package spd

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseTrafficSelector(f *testing.F) {
	for _, s := range []string{"10.1.0.0/16", "10.0.0.1-10.0.0.9[tcp/80]", "::/0", "fe80::1[icmp6/128/0-129/0]", "::1[mh/5]", "1.2.3.4[any/opaque]", "1.2.3.4[17]", "[", "-", "/", "10.0.0.1[tcp/90-80]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseTrafficSelector(s)
		if err != nil {
			require.ErrorIs(t, err, ErrSelector)
			require.Less(t, len(err.Error()), 1000)
			return
		}
		require.NoError(t, v.Valid())
		again, err := ParseTrafficSelector(v.String())
		require.NoError(t, err, v.String())
		require.Equal(t, v, again)
		require.True(t, v.Contains(v))
		require.True(t, Covers([]TrafficSelector{v}, v))
		var sum []TrafficSelector
		for p := range v.Prefixes() {
			sum = append(sum, FromPrefix(p).WithProtocol(v.Protocol, v.Ports))
		}
		require.LessOrEqual(t, len(sum), 254)
		require.True(t, Covers(sum, v))
		require.True(t, coversAll([]TrafficSelector{v}, sum))
	})
}

// selectorsFrom reads selectors as a hostile peer may send them, invalid ones
// included: address octets are few, so that they meet.
func selectorsFrom(b []byte) (r []TrafficSelector) {
	for ; len(b) >= 8; b = b[8:] {
		a := func(x byte) netip.Addr {
			if b[0]&1 == 0 {
				return netip.AddrFrom4([4]byte{10, 0, x >> 4, x << 4})
			}
			return netip.AddrFrom16([16]byte{0: 0xfd, 7: x >> 4, 15: x})
		}
		v := TrafficSelector{First: a(b[1]), Last: a(b[2]), Ports: PortRange{binary.BigEndian.Uint16(b[3:]), binary.BigEndian.Uint16(b[5:])}, Protocol: b[7]}
		switch b[0] >> 1 & 3 {
		case 1:
			v.Ports = AnyPort
		case 2:
			v.Ports = OpaquePort
		case 3:
			v.Ports, v.Protocol = AnyPort, 0
		}
		r = append(r, v)
	}
	return r
}

func FuzzNarrow(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		b := make([]byte, 8*(2+r.IntN(6)))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b, uint8(r.IntN(5)))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		all := selectorsFrom(b[:min(len(b), 8*32)])
		at := min(int(cut), len(all))
		offered, own := all[:at], all[at:]
		got := Narrow(offered, own)
		require.LessOrEqual(t, len(got), MaxSelectors)
		require.True(t, CoversSet(offered, got), "within the offer")
		require.True(t, CoversSet(own, got), "within the policy")
		for i := range got {
			for j := range got {
				require.False(t, i != j && got[i].Contains(got[j]), "one contains another")
			}
		}
		require.Equal(t, got, Narrow(got, own), "idempotent")
		require.Equal(t, got, Narrow(got, offered), "idempotent")
		require.Equal(t, got, Narrow(got, got), "idempotent")
		require.True(t, CoversSet(got, Narrow(own, offered)), "the same traffic either way round")
		if n, ok := NarrowPair(offered, own, own, own); ok {
			require.NotEmpty(t, n.TSi)
			require.NotEmpty(t, n.TSr)
			s, _ := n.Single(offered, own)
			require.True(t, len(s.TSi) == 1 && len(s.TSr) == 1 && s.TSi[0].pairs(s.TSr[0]))
			require.True(t, CoversSet(n.TSi, s.TSi) && CoversSet(n.TSr, s.TSr))
			if s.First {
				require.True(t, s.TSi[0].Contains(offered[0]) && s.TSr[0].Contains(own[0]))
			}
		}
	})
}

func FuzzParseProposal(f *testing.F) {
	for _, s := range []string{"aes128-sha256-modp2048", "aes256gcm16-prfsha256-x25519", "null-md5", "aes128gcm-esn-noesn-none", "sha2-256", "ke1_mlkem768", "--", ""} {
		for _, p := range []byte{1, 2, 3} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, proto byte, s string) {
		p, err := ParseProposal(Protocol(proto), s)
		if err != nil {
			require.ErrorIs(t, err, ErrProposal)
			require.Less(t, len(err.Error()), 1000)
			return
		}
		require.NoError(t, p.Valid())
		again, err := ParseProposal(p.Protocol, p.String())
		require.NoError(t, err, p.String())
		require.True(t, p.Equal(again), "%v %v", p, again)
		// Whoever offers what he wants gets it.
		sel, err := Select([]Proposal{p}, []Proposal{p}, SelectOptions{})
		if err == nil {
			require.NoError(t, sel.Valid())
			_, err = CheckSelected([]Proposal{p}, sel.Proposal)
			require.NoError(t, err)
		} else {
			// Only the same key exchange in two places has no choice.
			require.ErrorContains(t, err, "ADDKE")
		}
	})
}
