//go:build linux

package interop

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/natt"
)

// TestIKEv1NATVariants: two of our Managers with a NAT between them, and every
// kind of NAT traversal alone: traffic over userspace ESP both ways, rekeys of
// both kinds, and a NAT that forgets.
func TestIKEv1NATVariants(t *testing.T) {
	t.Parallel()
	for v := range natt.Variants() {
		t.Run(v.String(), func(t *testing.T) {
			lab.Require(t, lab.Root)
			router := lab.NewRouter(t, lab.RouterConfig{})
			a, b := router.Inside("a"), router.Outside("b")
			peer := func(name, local, remote string, ends [2]*lab.Site) racoon.Peer {
				p := racoon.Peer{Name: name, LocalID: local, RemoteID: remote, PSK: ike.Secret(psk), Children: []racoon.Child{{
					Name: "net", Local: []string{ends[0].InnerNet.String()}, Remote: []string{ends[1].InnerNet.String()}, Proposals: []string{"aes128gcm16"}}}}
				useV1(&p)
				if v%2 == 0 {
					useAggressive(&p)
				}
				p.IKEv1.NATT = []natt.Variant{v}
				return p
			}
			atA, atB := peer("b", "a.lab", "b.lab", [2]*lab.Site{a, b}), peer("a", "b.lab", "a.lab", [2]*lab.Site{b, a})
			atA.Remote = b.Outer.String()
			hb := startHost(t, b, hostConfig{Peers: []racoon.Peer{atB}})
			ha := startHost(t, a, hostConfig{Peers: []racoon.Peer{atA}})
			ha.routeTo(b.InnerNet, a.Inner)
			hb.routeTo(a.InnerNet, b.Inner)
			wire := b.Sniff()
			s := ha.initiate("b")
			require.True(t, s.Info().LocalNAT)
			require.True(t, s.ChildSAs()[0].UDPEncap)
			theirs := hb.session()
			hb.until("the Child SA", func() bool { return len(theirs.ChildSAs()) == 1 })
			both := func() {
				t.Helper()
				ha.reach(a, a.Inner, b, b.Inner)
				hb.reach(b, b.Inner, a, a.Inner)
			}
			both()
			require.NoError(t, s.RekeyChild(ha.within(), s.ChildSAs()[0].ID))
			both()
			require.NoError(t, theirs.RekeyChild(hb.within(), theirs.ChildSAs()[0].ID))
			waitEvent[ike.ChildRekeyed](ha, 2)
			both()
			require.NoError(t, s.Rekey(ha.within()))
			both()

			before := theirs.Path().Remote
			router.Rebind()
			require.NoError(t, s.CheckLiveness(ha.within()))
			hb.until("the new path", func() bool { return theirs.Path().Remote != before })
			both()
			requireNATVariant(t, v, wire.Packets(), b)
		})
	}
}

// requireNATVariant looks at what was on the wire at the side outside: the port
// on its side and what is at the beginning of the datagrams.
func requireNATVariant(t *testing.T, v natt.Variant, packets []*lab.Packet, at *lab.Site) {
	ours := map[uint32]bool{} // SPIs
	count := map[string]int{}
	for _, p := range packets {
		require.NotEqual(t, uint8(unix.IPPROTO_ESP), p.Proto)
		if p.Proto != unix.IPPROTO_UDP {
			continue
		}
		port := p.Dst.Port()
		if p.Src.Addr() == at.Outer {
			port = p.Src.Port()
		}
		marker := bytes.Repeat([]byte{0}, 8)
		switch b := p.Payload; {
		case len(b) < 16:
		case port == 4500 && bytes.HasPrefix(b, marker[:4]):
			count["IKE on 4500"]++
		case port == 4500:
			count["ESP on 4500"]++
			ours[binary.BigEndian.Uint32(b)] = true
		case port == 500 && bytes.HasPrefix(b, marker):
			count["ESP on 500"]++
			ours[binary.BigEndian.Uint32(b[8:])] = true
		case port == 500:
			require.Equal(t, byte(0x10), b[17], "version 1.0 in its place")
			count["IKE on 500"]++
		}
	}
	require.NotContains(t, ours, uint32(0))
	require.GreaterOrEqual(t, len(ours), 6, "two directions, two rekeys")
	kinds := []string{"ESP on 500", "IKE on 500"}
	if v >= natt.Draft02 {
		kinds = []string{"ESP on 4500", "IKE on 4500", "IKE on 500"}
	}
	var seen []string
	for k := range count {
		seen = append(seen, k)
	}
	slices.Sort(seen)
	require.Equal(t, kinds, seen)
	require.GreaterOrEqual(t, count[kinds[0]], 60, "datagrams that came and went")
}

// strongSwan, with each kind that it uses (of drafts 04 to 08 it knows the vendor
// IDs and no more; they go without UDP then): we announce one alone, so
// that nothing else can be used.
func TestIKEv1StrongSwanNATVariants(t *testing.T) {
	t.Parallel()
	for _, v := range []natt.Variant{natt.Draft02, natt.Draft02Newline, natt.Draft03, natt.RFC3947} {
		t.Run(v.String(), func(t *testing.T) {
			s, router := natted(t, true, lab.RouterConfig{})
			s.v1()
			s.Peer.IKEv1.NATT = []natt.Variant{v}
			session := s.upV1(weInitiate)
			require.Equal(t, router.Public, s.agree().RemoteHost.Addr())
			require.True(t, session.Info().LocalNAT)
			require.True(t, session.ChildSAs()[0].UDPEncap)
			s.traffic()
		})
	}
}
