package core_test

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/core"
)

// A peer of some protocol, as it is configured.
type peer struct{ name, id, addr string }

// An initiator has come from an address and proves an identity: which of the
// configured peers is it?
func ExampleIndex() {
	peers := []*peer{
		{"office", "office.example.org", "192.0.2.1/32"},
		{"alice", "alice@example.org", ""},
		{"staff", "*@example.org", ""},
	}
	index, err := core.NewIndex(peers, func(p *peer) core.Facts {
		f := core.Facts{Name: p.name}
		f.RemoteID, _ = ike.ParseIdentityPattern(p.id)
		if p.addr != "" {
			f.RemoteAddrs = []netip.Prefix{netip.MustParsePrefix(p.addr)}
		}
		return f
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	path := ike.Path{Remote: netip.MustParseAddrPort("203.0.113.9:500")}
	for _, s := range []string{"alice@example.org", "bob@example.org", "office.example.org"} {
		id, _ := ike.ParseIdentity(s)
		if p, err := index.Choose(path, id, nil); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(p.name+":", index.Why(p, path))
		}
	}
	// Output:
	// alice: any address, identity is alice@example.org
	// staff: any address, identity matches *@example.org
	// peer identity office.example.org matches none of the 2 peers possible at address 203.0.113.9
}
