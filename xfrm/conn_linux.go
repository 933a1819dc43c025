package xfrm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Sizes of the kernel's receive queues: a request has one answer, or a dump
// that waits for its reader, but events pile up.
const (
	requestQueue = 1 << 20
	eventQueue   = 8 << 20
)

// A namespace is the network namespace that all sockets of a data plane belong
// to, whichever thread opens them.
type namespace struct {
	file *os.File // nil: it could not be told
	info unix.Stat_t
}

const threadNamespace = "/proc/thread-self/ns/net"

// SystemDialer returns the Dialer of the running kernel, in the network
// namespace of the calling thread, and a function that releases it. Elsewhere
// than on Linux it fails with errors.ErrUnsupported.
func SystemDialer() (Dialer, func(), error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ns := &namespace{}
	if f, err := os.Open(threadNamespace); err == nil {
		if unix.Fstat(int(f.Fd()), &ns.info) == nil {
			ns.file = f
		}
	}
	return ns.dial, func() {
		if ns.file != nil {
			_ = ns.file.Close()
		}
	}, nil
}

func (ns *namespace) dial(p Protocol, groups Groups) (Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cfg := &netlink.Config{Groups: uint32(groups)}
	if ns.file != nil {
		// Entering a namespace takes more rights than XFRM does, so only from
		// another one.
		var here unix.Stat_t
		if err := unix.Stat(threadNamespace, &here); err != nil || here.Ino != ns.info.Ino || here.Dev != ns.info.Dev {
			cfg.NetNS = int(ns.file.Fd())
		}
	}
	c, err := netlink.Dial(int(p), cfg)
	if err != nil {
		return nil, fmt.Errorf("xfrm: opening a netlink socket: %w", err)
	}
	// The first makes errors explain themselves, the second keeps the kernel
	// from repeating requests, keys included. Old kernels have neither.
	_ = c.SetOption(netlink.ExtendedAcknowledge, true)
	_ = c.SetOption(netlink.CapAcknowledge, true)
	queue := requestQueue
	if groups != 0 {
		queue = eventQueue
	}
	_ = c.SetReadBuffer(queue) // as much as the system lets
	raw, err := c.SyscallConn()
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("xfrm: %w", err)
	}
	return &socket{conn: c, raw: raw}, nil
}

// socket is a netlink socket. The messages are this package's own business: it
// wipes what holds keys, and tells lost messages and foreign senders apart.
type socket struct {
	conn *netlink.Conn
	raw  syscall.RawConn
}

var toKernel = &unix.SockaddrNetlink{Family: unix.AF_NETLINK}

func (s *socket) Send(b []byte) error {
	var err error
	if e := s.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, 0, toKernel)
		return err != unix.EAGAIN
	}); e != nil {
		return e
	}
	return os.NewSyscallError("sendto", err)
}

func (s *socket) Receive(ctx context.Context, b []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
		close(ended)
	})
	defer func() {
		if !stop() {
			<-ended
			_ = s.conn.SetReadDeadline(time.Time{})
		}
	}()
	for {
		n, flags, from := 0, 0, unix.Sockaddr(nil)
		var err error
		if e := s.raw.Read(func(fd uintptr) bool {
			n, _, flags, from, err = unix.Recvmsg(int(fd), b, nil, unix.MSG_DONTWAIT)
			return err != unix.EAGAIN
		}); e != nil {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			return 0, e
		}
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			return 0, ErrOverflow
		case err != nil:
			return 0, os.NewSyscallError("recvmsg", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // not from the kernel
		}
		if flags&unix.MSG_TRUNC != 0 {
			return 0, &ParseError{Reason: "datagram is larger than the kernel makes them"}
		}
		return n, nil
	}
}

func (s *socket) Close() error { return s.conn.Close() }
