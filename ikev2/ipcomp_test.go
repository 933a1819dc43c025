package ikev2

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// TestIPComp: both sides configure compression, or one does; in IKE_AUTH and
// at a rekey (RFC 7296 2.22).
func TestIPComp(t *testing.T) {
	for _, both := range []bool{true, false} {
		a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
		b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
		a.Children[0].IPComp, b.Children[0].IPComp = true, both
		p := newPair(t, a, b, nil)
		id := p.initiate()
		check := func() {
			s, _ := p.a.Session(id)
			require.Len(t, s.Children, 1)
			require.Equal(t, both, s.Children[0].IPComp)
			want := 1
			if both {
				want = 2
			}
			require.Len(t, s.Children[0].InSA, want)
			require.Len(t, s.Children[0].OutSA, want)
			if both {
				require.Equal(t, spd.ProtoIPComp, s.Children[0].InSA[0].Protocol)
				other, _ := p.b.Session(find[ike.SessionUp](p.evB)[0].Session)
				require.Equal(t, s.Children[0].InSA[0].SPI, other.Children[0].OutSA[0].SPI)
				require.Equal(t, s.Children[0].OutSA[0].SPI, other.Children[0].InSA[0].SPI)
			}
		}
		check()
		s, _ := p.a.Session(id)
		require.NoError(t, p.a.RekeyChild(p.now, id, s.Children[0].ID))
		p.advance(time.Minute)
		check()
	}
}

// Compression is neither offered nor accepted for packets of another family than
// the tunnel's: no kernel has that.
func TestIPCompFamilies(t *testing.T) {
	v6 := spd.AnyIPv6
	for _, at := range []string{"initiator", "responder"} {
		t.Run(at, func(t *testing.T) {
			a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
			b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
			a.Children[0].IPComp, b.Children[0].IPComp = true, true
			wide := a.Children[0]
			if at == "responder" {
				wide = b.Children[0]
			}
			wide.Local, wide.Remote = append(wide.Local, v6), append(wide.Remote, v6)
			p := newPair(t, a, b, nil)
			s, _ := p.a.Session(p.initiate())
			require.Len(t, s.Children, 1)
			require.False(t, s.Children[0].IPComp)
			require.Len(t, s.Children[0].InSA, 1)
		})
	}
}

func TestAH(t *testing.T) {
	p := pskPair(t)
	for _, e := range []*Endpoint{p.a, p.b} {
		e.peers.index.All()[0].Children[0].Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoAH, "sha256-noesn")}
	}
	id := p.initiate()
	s, _ := p.a.Session(id)
	require.Len(t, s.Children, 1)
	require.Equal(t, spd.ProtoAH, s.Children[0].Protocol)
}
