// Package pfkeytest is a kernel's side of PF_KEY in memory, for tests on any
// system: an SAD and an SPD that answer as the kernels of Linux, FreeBSD,
// NetBSD and macOS do, each in its dialect and with its habits. Who gets an
// answer, in which order its parts come, which errors come back from write(),
// what UPDATE does, what EXPIRE tells: all that differs.
//
//	k := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD})
//	client, err := pfkey.NewClient(k.Connect(), pfkey.ClientConfig{Dialect: pfkey.NetBSD})
//
// No packets are transformed. [Kernel.Packet] tells what would happen to one,
// counts it, and raises ACQUIRE and EXPIRE messages; [Kernel.Advance] lets time
// pass.
//
// What is modelled was seen in recordings of NetBSD, measured on Linux, and read
// in the source of the others; it is not complete.
package pfkeytest
