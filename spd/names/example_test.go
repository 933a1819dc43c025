package names_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/spd/names"
)

// A policy's selector is a name; KINK has a packet's address and wants the name.
func Example() {
	cache := names.NewCache(names.CacheConfig{Changed: func(name string) { fmt.Println("changed:", name) }})
	_, _ = cache.Register("www.example.org")

	// In a daemon, Follow asks for the addresses again and again, and a Forwarder
	// learns from the answers that programs get.
	cache.Learn("www.example.org.", []names.Answer{{Addr: netip.MustParseAddr("192.0.2.80"), TTL: time.Minute}})

	fmt.Println(cache.Addrs("www.example.org"))
	fmt.Println(cache.Names(netip.MustParseAddr("192.0.2.80")))
	// Output:
	// changed: www.example.org.
	// [192.0.2.80]
	// [www.example.org.]
}

// A directory asks a resolver for what is not in the cache, here a file of hosts.
func ExampleDirectory() {
	hosts := names.Hosts{}
	hosts.Add("gw.example.org", netip.MustParseAddr("192.0.2.1"))
	d := names.Directory{Cache: names.NewCache(names.CacheConfig{}), Resolver: hosts}
	fmt.Println(d.Names(context.Background(), netip.MustParseAddr("192.0.2.1")))
	// Output: [gw.example.org.] <nil>
}
