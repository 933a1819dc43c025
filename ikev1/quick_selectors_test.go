package ikev1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

func TestGeneratedPolicies(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy GeneratePolicy
		edit   func(c *ike.ChildConfig) // of the client
		not    string
	}{
		{"off", GenerateOff, nil, "no common traffic"},
		{"on", GenerateOn, nil, ""},
		{"require", GenerateRequire, nil, ""},
		{"unique", GenerateUnique, nil, ""},
		{"ours are not its matter", GenerateOn, func(c *ike.ChildConfig) { c.Remote = selectors("0.0.0.0/0") }, "is not within"},
		{"draws everything to itself", GenerateOn, func(c *ike.ChildConfig) { c.Local = selectors("0.0.0.0/0") }, "overlaps with our"},
		{"draws ours to itself", GenerateOn, func(c *ike.ChildConfig) { c.Local = selectors("10.2.3.4/32") }, "overlaps with our"},
		{"other algorithms", GenerateOn, func(c *ike.ChildConfig) { c.Proposals = proposals(spd.ProtoESP, "aes192-md5") }, "like Child"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := childPair(t, func(a, b *Peer) {
				a.Children[0].Local = selectors("172.16.5.7/32")
				b.GeneratePolicy = c.policy
				b.Children[0].ReqID = 77
				if c.edit != nil {
					c.edit(a.Children[0])
				}
			})
			p.initiate()
			if c.not != "" {
				p.agree(0)
				require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, c.not)
				require.Empty(t, p.pb.Policies())
				return
			}
			p.agree(1)
			f := flow("172.16.5.7", "10.2.0.1")
			p.delivers(f)
			reqid := p.pb.Bundles()[0].Bundle.ReqID
			require.Equal(t, c.policy != GenerateUnique, reqid == 77)
			p.rekey(p.b)
			p.advance(20 * time.Second)
			p.agree(1)
			p.rekey(p.a)
			p.advance(20 * time.Second)
			p.agree(1)
			p.delivers(f)
			require.Equal(t, reqid, p.pb.Bundles()[0].Bundle.ReqID)
			require.NoError(t, p.a.Delete(p.now, only(t, p.a).ID, ike.DownLocal))
			p.run()
			require.Empty(t, p.pb.Policies(), "they end with the session")
		})
	}
	// They are bounded.
	p := childPair(t, func(a, b *Peer) {
		a.Children[0].Local = nil
		for i := range maxGenerated + 5 {
			a.Children[0].Local = append(a.Children[0].Local, selectors(fmt.Sprintf("172.16.0.%d/32", i+1))...)
		}
		b.GeneratePolicy = GenerateUnique
	})
	p.initiate()
	require.Equal(t, maxGenerated, only(t, p.b).Children.Len())
	require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "limit of 32 is reached")
	// A client with an address of ours gets no other one's packets.
	p = gatewayPair(t, &leases{give: prefixes("10.9.0.7/32")}, func(client, gateway *Peer) {
		client.Children[0].Local, client.Children[0].LocalDynamic = selectors("10.9.0.8/32"), false
		gateway.GeneratePolicy = GenerateOn
	})
	p.initiate()
	require.NotNil(t, only(t, p.b).Leased)
	p.agree(0)
	require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "the peer was leased [10.9.0.7/32], and asks for 10.9.0.8")
}

// Transport mode behind NATs: the data plane learns what the peers call the
// hosts, for the checksums.
func TestTransportBehindNAT(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		for _, q := range []*Peer{a, b} {
			c := q.Children[0]
			c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = spd.ModeTransport, nil, nil, true, true
		}
	})
	inside, outside := netip.MustParseAddrPort("192.168.1.7:500"), addrA
	toNAT := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(outside.Addr(), a.Port()) }
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a {
			path := reverse(tx.Path)
			path.Remote = toNAT(path.Remote)
			p.b.HandleDatagram(p.now, path, tx.Packet)
		} else {
			path := reverse(tx.Path)
			path.Local = netip.AddrPortFrom(inside.Addr(), path.Local.Port())
			p.a.HandleDatagram(p.now, path, tx.Packet)
		}
		return false
	}
	float := ike.Path{Local: netip.AddrPortFrom(inside.Addr(), 4500), Remote: netip.AddrPortFrom(addrB.Addr(), 4500)}
	_, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: ike.Path{Local: inside, Remote: addrB}, NATTPath: float})
	require.NoError(t, err)
	p.run()
	if len(find[ike.ChildUp](p.evA)) == 0 {
		p.explain()
	}
	p.agree(1)
	a, b := p.pa.Bundles()[0].Bundle, p.pb.Bundles()[0].Bundle
	require.True(t, a.UDPEncap && b.UDPEncap)
	require.Equal(t, inside.Addr(), a.LocalTS[0].First)
	require.Equal(t, outside.Addr(), b.RemoteTS[0].First, "what the packets have there")
	require.Equal(t, inside.Addr(), b.OriginalRemote, "what the peer calls itself")
	require.Equal(t, addrB.Addr(), b.OriginalLocal)
	require.Equal(t, outside.Addr(), a.OriginalLocal, "as the peer sees it")
	require.Equal(t, addrB.Addr(), a.OriginalRemote)

	// NAT-OA counts for more than the identities.
	s := only(t, p.a)
	policy := s.policyOf(s.current, s.peer.Children[0])
	offer, err := policy.Offer(dh.None, quickmode.SPIs{spd.ProtoESP: 0x1000})
	require.NoError(t, err)
	host := func(a netip.Addr) *isakmp.ID { return &isakmp.ID{Type: isakmp.IDIPv4Addr, Data: a.AsSlice()} }
	own, peer := netip.MustParseAddr("192.168.1.99"), netip.MustParseAddr("10.77.0.1")
	natOA := isakmp.PayloadType(s.current.variant.NATOA())
	p.quick(offer, &isakmp.Nonce{Data: bytes.Repeat([]byte{1}, 16)}, host(inside.Addr()), host(addrB.Addr()),
		&isakmp.NATOA{Type: natOA, Addr: own}, &isakmp.NATOA{Type: natOA, Addr: peer})
	found := false
	for _, x := range p.pb.Bundles() {
		found = found || x.Bundle.OriginalRemote == own && x.Bundle.OriginalLocal == peer
	}
	require.True(t, found, "%+v", p.pb.Bundles())
}

// A program may refuse what the configuration allows, but not change it.
func TestNarrow(t *testing.T) {
	for _, c := range []struct {
		answer func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error)
		ok     bool
	}{
		{func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
			return r.Local, r.Remote, nil
		}, true},
		{func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
			return nil, nil, errors.New("not today")
		}, false},
		{func(r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
			return selectors("10.2.0.0/24"), r.Remote, nil
		}, false},
	} {
		a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
		b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
		p := newPair(t, a, b, func(_, b *Config) {
			b.Narrow = func(_ context.Context, r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
				return c.answer(r)
			}
		})
		p.initiate()
		require.Equal(t, c.ok, only(t, p.b).Children.Len() == 1)
		require.Equal(t, c.ok, only(t, p.a).Children.Len() == 1)
	}
}
