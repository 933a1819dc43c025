// Package simnet drives protocol cores under a virtual clock, through a network
// that loses, delays, repeats, reorders, damages, replays and forges datagrams.
//
// A [World] holds [Node]s, each with a core of the shape that the protocol
// packages share (see [Core] and package ike). It carries their datagrams, runs
// their jobs after random delays, fires their timers, moves their clocks, cuts
// them off and gives them new addresses behind a NAT. Nothing in it waits: an
// hour of virtual time takes as long as the cores need to work through it.
//
// Everything random comes from the seed, and the cores' randomness should too
// ([World.NewReader]), so that a run with the same seed is the same run:
// [World.Digest] tells two apart.
//
//	w := simnet.New(simnet.Config{Seed: 7, Faults: simnet.Faults{Loss: 0.1}})
//	a := w.AddNode(simnet.NodeConfig{Name: "a", Core: coreA, Addr: addrA})
//	b := w.AddNode(simnet.NodeConfig{Name: "b", Core: coreB, Addr: addrB})
//	w.Run(time.Minute)
//
// The package knows nothing of a protocol: what must hold at the end, and what
// was visited on the way, the test that uses it says.
package simnet
