// Package xfrmtest is a kernel in memory that speaks XFRM's netlink messages,
// for tests of what uses package xfrm, on any system and without root.
//
//	kernel := xfrmtest.NewKernel()
//	plane, err := xfrm.New(xfrm.Config{Dial: kernel.Dial})
//
// It keeps SAs and policies as Linux does, answers with its error numbers, and
// sends its events. [Kernel.Output] and [Kernel.Input] look packets up as the
// kernel would, without any cryptography. Requests can be made to fail.
package xfrmtest
