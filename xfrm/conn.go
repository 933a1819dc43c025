package xfrm

import (
	"context"
	"errors"
)

// A Conn carries netlink datagrams to a kernel and back. One goroutine sends
// and receives at a time; Close may come from another one, and ends a Receive.
type Conn interface {
	// Send sends a datagram of one or more netlink messages. It does not keep b.
	Send(b []byte) error
	// Receive waits for a datagram, copies it into b and returns its length. A
	// datagram that does not fit is an error that wraps ErrSyntax, and when the
	// kernel had to drop messages it is ErrOverflow. When ctx ends, so does
	// the wait, with its error; the Conn cannot be used any more then.
	Receive(ctx context.Context, b []byte) (int, error)
	Close() error
}

// A Dialer opens a Conn of a netlink protocol that gets the messages of these
// groups.
type Dialer func(p Protocol, groups Groups) (Conn, error)

// Protocol is a netlink protocol.
type Protocol int

// Protocols.
const (
	ProtocolRoute Protocol = 0 // links
	ProtocolXFRM  Protocol = 6
)

// Groups is a set of multicast groups of NETLINK_XFRM.
type Groups uint32

// Groups.
const (
	GroupAcquire Groups = 1 << iota
	GroupExpire
	GroupSA
	GroupPolicy
	GroupAE
	GroupReport
	GroupMigrate
	GroupMapping
)

var (
	// ErrOverflow says that the kernel had messages for which there was no room.
	ErrOverflow = errors.New("xfrm: messages from the kernel were lost")
	// ErrNoAnswer says that the kernel did not answer a request in time, or
	// not in a way that can be understood. Whether it was carried out is not
	// known.
	ErrNoAnswer = errors.New("xfrm: no answer from the kernel")
)
