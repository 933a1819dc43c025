// Package xfrm is the IPsec of the Linux kernel: its SAs and policies over
// netlink (NETLINK_XFRM), as a data plane for key management.
//
//	plane, err := xfrm.New(xfrm.Config{})        // needs CAP_NET_ADMIN
//	m, err := racoon.NewManager(racoon.Config{DataPlane: plane, Peers: peers})
//
// It has three layers:
//
//   - Messages: every message and attribute of linux/xfrm.h as a Go type, such as
//     [NewSA], [NewPolicy] and [Acquire]. [Parse] reads them, whatever the input,
//     and their Append methods write them. They work on every system.
//   - [Client] makes requests and streams dumps, for tools: [Client.AddSA],
//     [Client.SAs], [Client.Policies], [Client.Migrate]. The kernel's refusals are
//     of type [*Error] and match the errors of package spd.
//   - [DataPlane] is the [github.com/racoon3/racoon/spd.DataPlane]: it asks the
//     kernel what it can do, keeps the SAs and policies of a program, and tells
//     its events.
//
// # How policies become the kernel's
//
// The kernel selects by prefixes and port masks, so a range becomes several
// policies. An inbound policy becomes two, for packets to this host and for
// those that it forwards. Among policies of equal priority the kernel takes the
// first it finds; so the precedence of package spd, the more specific selector
// first, is packed into the kernel's priority together with the policy's own,
// which is at most 238740. Numbers of ports count by their powers of two there.
//
// # What the kernel does otherwise than package esp
//
//   - A packet that waits for an SA is dropped, unless Config.HoldPackets makes
//     the kernel keep it.
//   - Counters have whole seconds. SelectorDrops and OtherDrops are not told by
//     SA; they are in /proc/net/xfrm_stat.
//   - An SA cannot move to other addresses. [DataPlane.MovePeer] removes it and
//     adds it again with its last sequence number and replay window; the kernel's
//     own way, [Client.Migrate], copies an SA while packets may still change it.
//   - Neighbour discovery is traffic like any other: policies that protect
//     everything between two hosts on one link need a bypass for it.
//
// # Other kernels
//
// Sockets come from a [Dialer]. [SystemDialer] opens the running kernel's, in a
// network namespace; package xfrmtest has a kernel in memory for tests. On other
// systems than Linux everything but SystemDialer works.
//
// Keys are in memory only while a request is made: messages are wiped when they
// have been sent or read.
package xfrm
