package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/netstack"
)

// host is one side: key management, ESP and an inner network, all in user
// space.
type host struct {
	*racoon.Manager
	stack     *netstack.Stack
	engine    *esp.Engine
	ike, natt netip.AddrPort
	served    chan error
}

// newHost starts a side with two sockets: one for the first IKE messages (the
// part of port 500), one for IKE and ESP in UDP (the part of port 4500).
func newHost(cfg racoon.Config, inner ...netip.Addr) (*host, error) {
	engine := esp.New(esp.Config{})
	stack, err := netstack.New(netstack.Config{Engine: engine, Addresses: inner})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	cfg.DataPlane = engine
	cfg.PacketHandler = stack
	cfg.Listen = []racoon.Listen{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", NATT: true}}
	m, err := racoon.NewManager(cfg)
	if err != nil {
		return nil, errors.Join(err, stack.Close(), engine.Close())
	}
	h := &host{Manager: m, stack: stack, engine: engine, served: make(chan error, 1)}
	stack.SetWriter(m)
	// Not the caller's context: close ends it, in order.
	go func() { h.served <- m.Serve(context.Background()) }()
	select {
	case <-m.Ready():
	case err := <-h.served:
		return nil, errors.Join(err, stack.Close(), engine.Close())
	}
	h.ike, h.natt = m.Addrs()[0], m.Addrs()[1]
	return h, nil
}

// close tells the peers, and ends all that runs.
func (h *host) close(ctx context.Context) error {
	err := h.Shutdown(ctx)
	return errors.Join(err, <-h.served, h.stack.Close(), h.engine.Close())
}

// onlySession returns the session that a side with one peer has.
func (h *host) onlySession() (*racoon.Session, error) {
	for s := range h.Sessions() {
		return s, nil
	}
	return nil, errors.New("the gateway has no session")
}

func (h *host) String() string {
	return fmt.Sprintf("IKE on UDP %v, IKE and ESP on UDP %v", h.ike, h.natt)
}
