// Package xfrm is the IPsec of the Linux kernel as a data plane: its SAs and
// policies over netlink (NETLINK_XFRM).
package xfrm
