// Package netstack is an inner network in user space: a TCP/IP stack whose
// only link is an [esp.Engine]. A program reaches hosts behind an IPsec gateway,
// or serves them, without a TUN device, without root's rights and without
// changing the system's routes.
//
//	engine := esp.New(esp.Config{})
//	stack, err := netstack.New(netstack.Config{Engine: engine})
//	m, err := racoon.NewManager(racoon.Config{DataPlane: engine, PacketHandler: stack, Peers: peers})
//	stack.SetWriter(m)
//	go m.Serve(ctx)
//	session, err := m.Initiate(ctx, "office")
//	stack.AddAddress(assigned) // by the gateway, or configured
//	conn, err := stack.DialContext(ctx, "tcp", "10.1.0.5:80")
//
// The stack is gVisor's. Packages that do not import this one do not link it.
//
// What is sent in the stack goes through the engine's policies, and what no
// policy protects is dropped, never sent in clear. The stack is a host, it
// forwards nothing.
package netstack
