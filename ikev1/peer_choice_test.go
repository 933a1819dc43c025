package ikev1

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/spd"
)

func mustPattern(s string) ike.IdentityPattern {
	p, err := ike.ParseIdentityPattern(s)
	if err != nil {
		panic(err)
	}
	return p
}

// setPeersB gives the gateway several peers.
func (p *pair) setPeersB(peers ...*Peer) {
	ps, err := NewPeerSet(peers)
	require.NoError(p.t, err)
	p.b.SetPeers(ps)
}

// Of several configured peers the one is chosen, and the events say why, that the
// address, the identity, the certificate and the order say.
func TestWhyThisPeer(t *testing.T) {
	variant := func(b *Peer, name, pattern string, nets ...netip.Prefix) *Peer {
		v := *b
		v.Name, v.Remote.ID, v.RemoteAddrs = name, mustPattern(pattern), nets
		return &v
	}
	for _, mode := range allModes {
		for _, c := range []struct {
			name   string
			peers  func(b *Peer) []*Peer
			chosen string
			why    []string
		}{
			{"more specific", func(b *Peer) []*Peer {
				return []*Peer{variant(b, "all", "*"), variant(b, "one", "a.example"), variant(b, "some", "*.example")}
			}, "one", []string{"any address, identity is a.example", `more specific than "some"`}},
			{"order", func(b *Peer) []*Peer {
				return []*Peer{variant(b, "first", "*"), variant(b, "second", "*")}
			}, "first", []string{"any identity", `earlier in the configuration than "second"`}},
			{"address", func(b *Peer) []*Peer {
				return []*Peer{variant(b, "elsewhere", "a.example", netip.MustParsePrefix("198.51.100.0/24")), variant(b, "here", "*.example", netip.MustParsePrefix("192.0.2.0/24"))}
			}, "here", []string{"address 192.0.2.1 is in 192.0.2.0/24, identity matches *.example"}},
			{"proposal", func(b *Peer) []*Peer {
				other := variant(b, "other", "a.example")
				other.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes256-sha512-prfsha512-ecp521")}
				return []*Peer{other, variant(b, "fits", "*.example")}
			}, "fits", []string{"identity matches *.example", `not "other", which does not allow`}},
		} {
			t.Run(mode.String()+"/"+c.name, func(t *testing.T) {
				a, b := methodPeers(t, mode, AuthPSK)
				p := newPairNow(t, a, b)
				p.setPeersB(c.peers(b)...)
				p.initiate()
				up := find[ike.SessionUp](p.evB)
				require.Len(t, up, 1)
				require.Equal(t, c.chosen, up[0].Peer)
				for _, text := range c.why {
					require.Contains(t, up[0].Info.Why, text)
				}
				require.Equal(t, "called by this side", find[ike.SessionUp](p.evA)[0].Info.Why)
			})
		}
	}
}

func TestWhyCertificate(t *testing.T) {
	for _, mode := range allModes {
		a, b := methodPeers(t, mode, AuthRSA)
		var asked string
		p := newPair(t, a, b, nil)
		p.now = newPairNow(t, a, b).now
		p.initiate()
		asked = find[ike.SessionUp](p.evB)[0].Info.Why
		t.Log(asked)
		require.Contains(t, asked, "identity is a.example, certificate C=CH, O=lab, CN=a.example under C=CH, O=lab, CN=")
		require.Contains(t, find[ike.SessionUp](p.evA)[0].Info.Why, "called by this side, certificate C=CH, O=lab, CN=b.example")
	}
}

// Why a Child was chosen: its selectors, which fit best, and the order.
func TestWhyThisChild(t *testing.T) {
	a, b := methodPeers(t, MainMode, AuthPSK)
	net := b.Children[0]
	wide, twin := *net, *net
	wide.Name, wide.Local = "wide", []spd.TrafficSelector{spd.MustParseTrafficSelector("10.0.0.0/8")}
	twin.Name = "twin"
	for _, c := range []struct {
		children []*ike.ChildConfig
		chosen   string
		why      string
	}{
		{[]*ike.ChildConfig{net}, "net", "selectors are the Child's"},
		{[]*ike.ChildConfig{&wide}, "wide", "selectors are within the Child's"},
		{[]*ike.ChildConfig{&wide, net}, "net", `selectors are the Child's, better than "wide"'s`},
		{[]*ike.ChildConfig{net, &twin}, "net", `selectors are the Child's, earlier in the configuration than "twin"`},
	} {
		b.Children = c.children
		p := newPairNow(t, a, b)
		p.initiate()
		up := find[ike.ChildUp](p.evB)
		require.Len(t, up, 1)
		require.Equal(t, c.chosen, up[0].Child.Name)
		require.Equal(t, c.why, up[0].Child.Why)
		require.Equal(t, "begun by this side", find[ike.ChildUp](p.evA)[0].Child.Why)
	}
	l := &leases{give: prefixes("10.9.0.7/32")}
	p := gatewayPair(t, l, nil)
	p.initiate()
	require.Equal(t, "selectors are the Child's, of the client's leased address", find[ike.ChildUp](p.evB)[0].Child.Why)
}

// What a gateway announces before it knows who is there is for any of the peers
// that it may be: a road warrior is told of Unity, XAuth and fragments though
// another peer, which has none of them, stands first.
func TestAnnouncedForAnyPeer(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32"), rest: ike.NetworkConfig{Banner: "welcome"}}
	p := gatewayPair(t, l, nil)
	_, gateway := methodPeers(t, MainMode, AuthPSK)
	site := *gateway
	site.Name, site.Remote.ID, site.Fragmentation = "site", mustPattern("site.example"), FragmentOff
	gateway.Assign, gateway.Modes = l, []Mode{MainMode, BaseMode}
	gateway.Children[0].Remote, gateway.Children[0].RemoteDynamic = nil, true
	p.setPeersB(&site, gateway)
	id := p.initiate()
	require.Equal(t, "welcome", find[ike.SessionUp](p.evA)[0].Info.Config.Banner)
	sa := p.a.sessions[id].current
	require.Equal(t, vendorid.FragmentsMain|vendorid.FragmentsBase, sa.peerVIDs.Fragmentation())

	require.Zero(t, ownFragments([]*Peer{&site}))
}
