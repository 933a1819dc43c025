//go:build linux

package lab_test

import (
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/internal/lab"
)

// A filter that loses the first IKE message of each host. In a test it is given to
// a router between namespaces:
//
//	r := lab.NewRouter(t, lab.RouterConfig{})
//	a, b := r.Outside("a"), r.Outside("b")
//	r.SetFilter(loseFirst)
func ExampleRouter_SetFilter() {
	lost := map[netip.AddrPort]bool{}
	loseFirst := func(p *lab.Packet) lab.Verdict {
		if p.Proto != 17 || p.Dst.Port() != 500 || lost[p.Src] {
			return lab.Verdict{}
		}
		lost[p.Src] = true
		return lab.Verdict{Drop: true}
	}
	a, b := netip.MustParseAddrPort("10.99.0.1:500"), netip.MustParseAddrPort("10.99.0.2:500")
	for _, p := range []*lab.Packet{{Proto: 17, Src: a, Dst: b}, {Proto: 17, Src: a, Dst: b}, {Proto: 50, Src: a, Dst: b}, {Proto: 17, Src: b, Dst: a}} {
		fmt.Println(p.Src, p.Proto, "lost:", loseFirst(p).Drop)
	}
	// Output:
	// 10.99.0.1:500 17 lost: true
	// 10.99.0.1:500 17 lost: false
	// 10.99.0.1:500 50 lost: false
	// 10.99.0.2:500 17 lost: true
}
