package ikev1

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// Identities of every type (RFC 2407 4.6.2.1) in phase 1: each is taken from the
// peer that has it, and from no other.
func TestIdentityTypes(t *testing.T) {
	for kind, ids := range map[isakmp.IDType][2]string{
		isakmp.IDIPv4Addr:       {"192.0.2.1", "192.0.2.7"},
		isakmp.IDIPv6Addr:       {"2001:db8::1", "2001:db8::7"},
		isakmp.IDFQDN:           {"a.example", "c.example"},
		isakmp.IDUserFQDN:       {"alice@example.org", "carol@example.org"},
		isakmp.IDIPv4AddrSubnet: {"10.1.0.0/16", "10.1.0.0/17"},
		isakmp.IDIPv6AddrSubnet: {"2001:db8::/32", "2001:db8::/33"},
		isakmp.IDIPv4AddrRange:  {"10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.8"},
		isakmp.IDIPv6AddrRange:  {"2001:db8::1-2001:db8::9", "2001:db8::1-2001:db8::8"},
		isakmp.IDDERASN1DN:      {"C=CH, O=lab, CN=a", "C=CH, O=lab, CN=c"},
		isakmp.IDDERASN1GN:      {"gn:0x820378797a", "gn:0x8203787979"},
		isakmp.IDKeyID:          {"keyid:a", "fqdn:a"}, // the type counts
	} {
		require.Equal(t, ike.IDType(kind), mustID(ids[0]).Type)
		for _, mode := range allModes {
			for i, right := range []bool{true, false} {
				t.Run(fmt.Sprintf("%v/%v/%v", kind, mode, right), func(t *testing.T) {
					p := modePair(t, mode, func(a, b *Peer) {
						a.Local.ID, b.Remote.ID = mustID(ids[0]), ike.ExactIdentity(mustID(ids[i]))
					})
					id := p.initiate()
					if right {
						p.requireUp(id)
						require.Equal(t, mustID(ids[0]), only(t, p.b).RemoteID)
						return
					}
					p.advance(5 * time.Minute)
					require.Empty(t, find[ike.SessionUp](p.evB))
				})
			}
		}
	}
}

// Selectors of every kind that ID payloads of Quick Mode have: both sides install
// the same.
func TestSelectorTypes(t *testing.T) {
	for kind, c := range map[isakmp.IDType][2]string{
		isakmp.IDIPv4Addr:       {"10.1.0.1", "10.2.0.1[tcp/443]"},
		isakmp.IDIPv4AddrSubnet: {"10.1.0.0/16[udp]", "10.2.0.0/17[udp/53]"},
		isakmp.IDIPv4AddrRange:  {"10.1.0.1-10.1.0.9", "10.2.0.3-10.2.1.4[icmp]"},
		isakmp.IDIPv6Addr:       {"2001:db8:1::1", "2001:db8:2::1[tcp/443]"},
		isakmp.IDIPv6AddrSubnet: {"2001:db8:1::/48", "2001:db8:2::/49[udp]"},
		isakmp.IDIPv6AddrRange:  {"2001:db8:1::1-2001:db8:1::9", "2001:db8:2::3-2001:db8:2::1:4"},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			local, remote := selectors(c[0]), selectors(c[1])
			for _, ts := range []spd.TrafficSelector{local[0], remote[0]} {
				id, ok := isakmp.NewSelectorID(ts)
				require.True(t, ok)
				require.Equal(t, kind, id.Type)
			}
			p := childPair(t, func(a, b *Peer) {
				a.Children[0].Local, a.Children[0].Remote = local, remote
				b.Children[0].Local, b.Children[0].Remote = remote, local
			})
			p.initiate()
			p.agree(1)
			up := find[ike.ChildUp](p.evB)[0].Child
			require.Equal(t, remote, up.LocalTS)
			require.Equal(t, local, up.RemoteTS)
		})
	}
}

// An initiator wants the peer that it has called, whatever key that has.
func TestResponderIdentity(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, func(a, b *Peer) { a.Remote.ID = ike.ExactIdentity(mustID("c.example")) })
		p.initiate()
		p.advance(5 * time.Minute)
		require.Empty(t, find[ike.SessionUp](p.evA), "%v", mode)
		failed := find[ike.SessionFailed](p.evA)
		require.Len(t, failed, 1)
		require.ErrorContains(t, failed[0].Err, "expected", "%v", mode)
	}
}
