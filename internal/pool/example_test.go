package pool_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/internal/pool"
)

func Example() {
	now := time.Unix(1700000000, 0)
	dynamic, _ := pool.ParseRange("10.99.0.0/24")
	p, err := pool.New(pool.Config{
		Ranges:  []pool.Range{dynamic},
		Exclude: []netip.Prefix{netip.MustParsePrefix("10.99.0.1/32")}, // the gateway's own
		Static:  map[string]netip.Addr{"printer@example.org": netip.MustParseAddr("10.99.0.200")},
		Keep:    24 * time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	alice, _ := p.Lease("alice@example.org", netip.Addr{}, now)
	printer, _ := p.Lease("printer@example.org", netip.Addr{}, now)
	fmt.Println(alice.Addr, printer.Addr)

	// Alice comes back the next morning and has her address again.
	_ = p.Release(alice, now.Add(time.Hour))
	alice, _ = p.Lease("alice@example.org", netip.Addr{}, now.Add(12*time.Hour))
	fmt.Println(alice.Addr)
	// Output:
	// 10.99.0.2 10.99.0.200
	// 10.99.0.2
}
