package conf

import (
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// Manager returns the configuration of a [racoon.Manager], but for DataPlane,
// PacketHandler, Logger and what else a program decides itself. It reads keys
// and secrets; the error is of type [Errors].
//
// The peers and sockets are those of the protocols, "ike" or "kink"; of both, if
// none is named.
//
// A program that reloads uses a [Store] instead, which keeps what has not
// changed.
func (c *Config) Manager(protocols ...string) (racoon.Config, error) {
	return new(Store).Manager(c, protocols...)
}

// A Store makes configurations for one Manager, one after the other: what has
// not changed from one to the next (pools with their leases, credentials,
// users, tickets) is the same object again, so that a reload does not take it
// for a change. The zero Store is ready. It is for one goroutine.
type Store struct {
	kept objects // of the last configuration
}

// Manager is as [Config.Manager]. A configuration with an error leaves the
// store as it was.
func (s *Store) Manager(c *Config, protocols ...string) (racoon.Config, error) {
	f := &files{old: s.kept, kept: make(objects), any: c.Secrets.InsecurePermissions}
	b := &builder{Config: c, report: new(report), secrets: f}
	out := racoon.Config{Workers: c.Daemon.Workers, EventBuffer: c.Daemon.EventBuffer, Limits: c.Daemon.Limits.ike()}
	for _, v := range c.Daemon.VendorIDs {
		id, _ := vendorID(v) // checked
		out.VendorIDs = append(out.VendorIDs, id)
	}
	wanted := func(protocol string) bool { return len(protocols) == 0 || slices.Contains(protocols, protocol) }
	kink := false
	for _, p := range c.Peers {
		if wanted(p.Protocol) {
			out.Peers = append(out.Peers, b.peer(p))
			kink = kink || p.Protocol == "kink"
		}
	}
	if kink || wanted("kink") && !wanted("ike") {
		out.KINK = b.kink()
		out.Listen = c.Listeners("kink")
	}
	if wanted("ike") {
		out.Listen = append(c.Listeners("ike"), out.Listen...)
	}
	if err := b.err(c.Files); err != nil {
		return racoon.Config{}, err
	}
	s.kept = f.kept
	return out, nil
}

// Listeners returns the sockets of a protocol.
func (c *Config) Listeners(protocol string) []racoon.Listen {
	all := []racoon.Listen{}
	if protocol == "kink" {
		for _, a := range c.Kink.Listen {
			all = append(all, racoon.Listen{Address: a, KINK: true})
		}
		return all
	}
	for _, a := range c.Daemon.Listen {
		_, port, _ := net.SplitHostPort(a)
		all = append(all, racoon.Listen{Address: a, NATT: port == "4500"})
	}
	for _, a := range c.Daemon.ListenNATT {
		all = append(all, racoon.Listen{Address: a, NATT: true})
	}
	return all
}

func (l Limits) ike() ike.Limits {
	threshold := l.CookieThreshold
	if threshold == 0 {
		threshold = -1
	}
	return ike.Limits{
		HalfOpen: l.HalfOpen, CookieThreshold: threshold, HalfOpenPerIP: l.HalfOpenPerIP,
		Sessions: l.Sessions, Children: l.Children, Queue: l.Queue, Events: l.Events,
	}
}

// vendorID reads a vendor ID: text, or 0x and hexadecimal digits.
func vendorID(s string) ([]byte, error) {
	digits, isHex := strings.CutPrefix(s, "0x")
	if !isHex {
		return []byte(s), nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("is not hexadecimal after 0x")
	}
	return b, nil
}
