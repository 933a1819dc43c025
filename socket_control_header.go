//go:build linux || darwin || freebsd || netbsd || openbsd

package racoon

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// putControlHeader writes a cmsghdr, whose layout is the system's own.
func putControlHeader(b []byte, level, typ int32, length int) {
	var h unix.Cmsghdr
	h.Level, h.Type = level, typ
	h.SetLen(length)
	copy(b, unsafe.Slice((*byte)(unsafe.Pointer(&h)), unix.SizeofCmsghdr))
}
