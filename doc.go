// Package racoon keeps IPsec tunnels up: it negotiates keys with other hosts
// (IKEv2, IKEv1, KINK) and gives them to a data plane, which protects the
// packets.
//
// A [Manager] owns the sockets, the goroutines and the [Session]s with any
// number of peers. It is made from a [Config] of plain structs, checked as a
// whole before anything starts.
//
//	m, err := racoon.NewManager(racoon.Config{DataPlane: plane, Peers: peers})
//	go m.Serve(ctx)                             // until Shutdown
//	s, err := m.Initiate(ctx, "office")         // established, or an error that explains
//	for ev := range m.Subscribe(ctx) { ... }    // what happens, typed
//	for s := range m.Sessions() { ... }
//	s.Rekey(ctx); s.Stats(ctx); s.Delete(ctx)
//	m.Reload(ctx, cfg)                          // what has not changed goes on
//	m.Shutdown(ctx)                             // peers are told
//
// # Who does what
//
//   - The data plane (package esp in userspace, xfrm and pfkey for kernels)
//     enforces policies. The program makes it, and closes it last.
//   - Packages ikev2, ikev1 and kink are the protocols, without I/O. Each
//     worker goroutine of the Manager owns one endpoint of each; the SPIs,
//     cookies and transaction IDs say whose a datagram is. Slow work (key
//     exchanges, signatures, tickets, callbacks, the data plane) runs on
//     bounded pools of goroutines, so that nobody waits for somebody else's.
//   - Decisions are callbacks (Config.Authorize, Config.Narrow, Peer.Assign);
//     facts are events ([Manager.Subscribe]).
//
// # Time, randomness and transport
//
// Sockets can be replaced by any net.PacketConn ([Listen]), randomness by any
// reader (Config.Rand) and name look-up by any [Resolver]. Time is
// time.Now: run a test in a testing/synctest bubble to have it virtual.
package racoon
