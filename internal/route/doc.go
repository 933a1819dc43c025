// Package route changes the addresses, routes, rules and settings of this
// host's network, as a VPN program needs it, and takes all of it back.
//
//	c, err := route.New()
//	defer c.Undo()
//	err = c.SetUp("tun0", 1390)
//	err = c.AddAddress("tun0", netip.MustParsePrefix("10.99.0.7/32"))
//	err = c.AddRoute(route.Route{Dst: netip.MustParsePrefix("10.1.0.0/16"), Link: "tun0"})
//
// It speaks rtnetlink and works on Linux; elsewhere New fails with
// errors.ErrUnsupported. Everything concerns the network namespace of the
// thread that calls New.
package route
