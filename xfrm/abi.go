//go:build !386

package xfrm

// The kernel's structures are laid out by its C ABI. Nearly everywhere a
// 64-bit integer is aligned to eight octets, and structures that hold one are
// padded at their end; on 386 it is four. These are the octets of padding
// after usersa_info, userpolicy_info, and the "hard" octet of the two expire
// messages.
const (
	saPadding     = 7
	policyPadding = 4
	hardPadding   = 7
)
