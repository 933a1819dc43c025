package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/internal/control"
)

// upperProtocols are the words that may end the options of an SA.
var upperProtocols = []string{"icmp", "tcp", "udp", "gre", "any"}

// parseSelect reads the words that say which SAs are meant.
func (p *program) parseSelect(words []string) (q control.Select, err error) {
	if len(words) == 0 {
		return q, usage("it is not said which SAs")
	}
	kind, rest := words[0], words[1:]
	one := map[string]*string{"peer": &q.Peer, "session": &q.Session, "child": &q.Child, "spi": &q.SPI, "user": &q.User}
	if f := one[kind]; f != nil {
		if len(rest) != 1 || rest[0] == "" {
			return q, usage("one word is to follow %s", kind)
		}
		*f = rest[0]
		return q, nil
	}
	switch kind {
	case "isakmp":
		q.Local, q.Remote, err = p.parseHosts(rest)
	case "esp", "ah":
		q.Protocol = kind
		q.Source, q.Destination, err = p.parseTraffic(rest)
	default:
		err = usage("%q is no kind of SA; %s", kind, saoptsFormat)
	}
	return q, err
}

// family reads "inet" or "inet6".
func family(words []string) (network string, rest []string, err error) {
	if len(words) > 0 {
		switch words[0] {
		case "inet":
			return "ip4", words[1:], nil
		case "inet6":
			return "ip6", words[1:], nil
		}
	}
	return "", nil, usage("inet or inet6 is missing; %s", saoptsFormat)
}

// parseHosts reads "inet src dst". "any" is every address.
func (p *program) parseHosts(words []string) (src, dst string, err error) {
	network, rest, err := family(words)
	if err != nil {
		return "", "", err
	}
	if len(rest) != 2 {
		return "", "", usage("a source and a destination are to follow %s", words[0])
	}
	if src, err = p.host(network, rest[0]); err != nil {
		return "", "", err
	}
	dst, err = p.host(network, rest[1])
	return src, dst, err
}

// host returns an address, of a name if it must be.
func (p *program) host(network, s string) (string, error) {
	if s == "any" || s == "*" {
		return "", nil
	}
	addrs, err := p.lookUp(network, s)
	if err != nil {
		return "", err
	}
	return addrs[0].String(), nil
}

// lookUp returns the addresses of a host in one family, or with "ip" in both.
func (p *program) lookUp(network, s string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if network != "ip" && a.Unmap().Is4() != (network == "ip4") {
			return nil, usage("%s is not of the family that is said before it", s)
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, s)
	if err != nil || len(addrs) == 0 {
		return nil, usage("%s is no address, and no host of that name is known", s)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// parseTraffic reads "inet src/prefixlen/port dst/prefixlen/port protocol". It
// returns traffic selectors.
func (p *program) parseTraffic(words []string) (src, dst string, err error) {
	network, rest, err := family(words)
	if err != nil {
		return "", "", err
	}
	if len(rest) == 2 {
		rest = append(rest, "any")
	}
	if len(rest) != 3 || !slices.Contains(upperProtocols, rest[2]) {
		return "", "", usage("a source, a destination and one of %s are to follow %s", strings.Join(upperProtocols, ", "), words[0])
	}
	if src, err = p.side(network, rest[0], rest[2]); err != nil {
		return "", "", err
	}
	dst, err = p.side(network, rest[1], rest[2])
	return src, dst, err
}

// side reads one side of traffic.
func (p *program) side(network, s, protocol string) (string, error) {
	parts := strings.Split(s, "/")
	if len(parts) > 3 {
		return "", usage("%q is not of the form address/prefixlen/port", s)
	}
	addrs, err := p.lookUp(network, parts[0])
	if err != nil {
		return "", err
	}
	a := addrs[0]
	out := a.String()
	if len(parts) > 1 {
		n, err := strconv.Atoi(parts[1])
		if err != nil || n < 0 || n > a.BitLen() {
			return "", usage("%q: %q is no length of a prefix", s, parts[1])
		}
		prefix := netip.PrefixFrom(a, n)
		if prefix != prefix.Masked() {
			return "", usage("%q has bits after the prefix length; write %s", s, prefix.Masked())
		}
		out = prefix.String()
	}
	port := ""
	if len(parts) > 2 && parts[2] != "any" && parts[2] != "0" {
		n, err := strconv.ParseUint(parts[2], 10, 16)
		if err != nil {
			return "", usage("%q: %q is no port", s, parts[2])
		}
		if protocol != "tcp" && protocol != "udp" {
			return "", usage("%q: a port goes with tcp and udp", s)
		}
		port = "/" + strconv.FormatUint(n, 10)
	}
	if protocol == "icmp" && network == "ip6" {
		protocol = "icmp6"
	}
	if protocol == "any" {
		return out, nil
	}
	return out + "[" + protocol + port + "]", nil
}
