// Package policy reads and prints IPsec policies as text, in the language of
// KAME's ipsec_set_policy(3) and of setkey(8)'s -P:
//
//	in bypass
//	out ipsec esp/transport//require
//	out prio high + 10 ipsec ipcomp/transport//use esp/tunnel/192.0.2.1-198.51.100.1/unique:7
//
// A policy is a direction (in, out, fwd), where the kernel has priorities
// perhaps one, and what to do: discard, none, ipsec with rules, or for sockets
// entrust or bypass. A rule is
//
//	protocol/mode[/source-destination][/level]
//
// with the protocol esp, ah, ipcomp or tcp, the mode transport, tunnel or any,
// the ends of a tunnel, perhaps with ports in brackets, and the level default,
// use, require, unique or unique:number.
//
// The result is the X_POLICY extension of package pfkey:
//
//	p, err := policy.Parse("out ipsec esp/transport//require")
//	err = dialect.SetSocketPolicy(conn, false, p)
//
// Parse is a total function: any text is a policy or a [*SyntaxError] that
// tells the column.
package policy
