package netstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	echoHeader = 8
	echoData   = 56 // as ping(8) sends
)

// Ping sends one ICMP echo request to a host in the inner network, and returns
// how long its answer took. Without an answer it waits until ctx ends.
func (s *Stack) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	rtt, err := s.ping(ctx, to.Unmap().WithZone(""))
	if err != nil {
		return 0, fmt.Errorf("netstack: ping %v: %w", to, err)
	}
	return rtt, nil
}

func (s *Stack) ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	if s.isClosed() {
		return 0, ErrClosed
	}
	if !to.IsValid() {
		return 0, errors.New("the address is not valid")
	}
	transport, request, reply := icmp.ProtocolNumber4, byte(header.ICMPv4Echo), byte(header.ICMPv4EchoReply)
	if to.Is6() {
		transport, request, reply = icmp.ProtocolNumber6, byte(header.ICMPv6EchoRequest), byte(header.ICMPv6EchoReply)
	}
	var wq waiter.Queue
	ep, terr := s.net.NewEndpoint(transport, protocolOf(to), &wq)
	if terr != nil {
		return 0, errors.New(terr.String())
	}
	defer ep.Close()
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)

	// The endpoint sets identifier and checksum.
	var m [echoHeader + echoData]byte
	m[0] = request
	binary.BigEndian.PutUint16(m[6:], 1)
	rand.Read(m[echoHeader:])
	full := fullAddress(netip.AddrPortFrom(to, 0))
	begin := time.Now()
	if _, terr := ep.Write(bytes.NewReader(m[:]), tcpip.WriteOptions{To: &full}); terr != nil {
		if !s.hasFamily(to) {
			return 0, fmt.Errorf("%v (the stack has no address of that family; see AddAddress)", terr)
		}
		return 0, errors.New(terr.String())
	}
	var got bytes.Buffer
	for {
		got.Reset()
		_, terr := ep.Read(&got, tcpip.ReadOptions{})
		switch terr.(type) {
		case nil:
			if b := got.Bytes(); len(b) >= echoHeader && b[0] == reply && bytes.Equal(b[echoHeader:], m[echoHeader:]) {
				return time.Since(begin), nil
			}
			continue
		case *tcpip.ErrWouldBlock:
		default:
			if s.isClosed() {
				return 0, ErrClosed
			}
			return 0, errors.New(terr.String())
		}
		select {
		case <-readable:
			if s.isClosed() {
				return 0, ErrClosed
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}
