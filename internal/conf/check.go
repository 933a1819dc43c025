package conf

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/spd"
)

// checker finds what cannot work together.
type checker struct {
	*Config
	*report
}

func (k *checker) all() {
	k.daemon()
	k.dataPlane()
	for _, i := range k.Interfaces {
		k.netInterface(i)
	}
	k.socket(&k.Control, "socket", k.Control.Socket, "mode", k.Control.Mode)
	for i, n := range k.Capture.Peers {
		k.refers(&k.Capture, "peers", i, "peer", n, names(k.Peers))
	}
	k.keys()
	for _, p := range k.Peers {
		k.peer(p)
	}
	k.twins()
	k.reqIDs()
	k.pools()
	for _, u := range k.Users {
		k.users(u)
	}
	for _, p := range k.Policies {
		k.policy(p)
	}
	k.spmd()
	k.kink()
	about := func(e *Error) bool {
		section, _, _ := strings.Cut(e.Key, ".")
		return slices.Contains([]string{"", "macros", "defaults", "template", "peer", "pool", "users", "secrets", "interface", "dataplane"}, section)
	}
	if !slices.ContainsFunc(k.errors, about) {
		k.rest()
	}
}

// bad reports an error about a key of the struct that at points to.
func (k *checker) bad(at any, key, suggestion, format string, args ...any) {
	p, path := k.sources.find(at, key)
	k.report.at(p, path, suggestion, format, args...)
}

// badItem reports an error about an element of a list.
func (k *checker) badItem(at any, key string, i int, suggestion, format string, args ...any) {
	p, path := k.sources.item(at, key, i)
	k.report.at(p, path, suggestion, format, args...)
}

// item returns where an element of a list is written.
func (s sources) item(at any, key string, i int) (place, string) {
	p, path := s.find(at, key)
	if v := s[at].table.get(key); v != nil && v.kind == kindArray {
		path = fmt.Sprintf("%s[%d]", path, i)
		if i < len(v.list) {
			p = v.list[i].place
		}
	}
	return p, path
}

// warn says what an operator should know.
func (k *checker) warn(at any, key, suggestion, format string, args ...any) {
	p, path := k.sources.find(at, key)
	w := newError(p, path, suggestion, format, args...)
	if !slices.ContainsFunc(k.warnings, func(o *Error) bool { return o.File == w.File && o.Line == w.Line && o.Message == w.Message }) {
		k.warnings = append(k.warnings, w)
	}
}

// written reports whether a key is written for just this peer, by itself or
// what it inherits by name, and not only in [defaults], where what does not
// apply to a peer is no mistake.
func (k *checker) written(at any, key string) bool {
	v := k.sources[at].table.get(key)
	if v == nil {
		return false
	}
	path := k.sources[at].path
	if len(path) < 2 || path[0] != "peer" {
		return true
	}
	d := k.sources[&k.Defaults].table
	rest := append(slices.Clone(path[2:]), key)
	if len(rest) > 2 && rest[0] == "child" {
		rest = append([]string{"child"}, rest[2:]...)
	}
	for _, r := range rest[:len(rest)-1] {
		d = d.sub(r)
	}
	general := d.get(rest[len(rest)-1])
	return general == nil || general.place != v.place
}

// writtenAny returns the first key of a struct that is written for it.
func (k *checker) writtenAny(at any) string {
	t := k.sources[at].table
	if t == nil {
		return ""
	}
	for _, key := range t.keys {
		if k.written(at, key) {
			return key
		}
	}
	return ""
}

func names[T hasName](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.name()
	}
	return out
}

// refers checks a name of another section; i is the index in a list, negative
// if it is no list.
func (k *checker) refers(at any, key string, i int, section, name string, known []string) bool {
	if slices.Contains(known, name) {
		return true
	}
	hint := "define [" + section + "." + quoteKey(name) + "]"
	if n := nearest(name, known); n != "" {
		hint = `did you mean "` + n + `"?`
	} else if len(known) > 0 && len(known) <= 8 {
		hint += ", or use " + list(quoteAll(known))
	}
	if i < 0 {
		k.bad(at, key, hint, "names [%s.%s], which is not there", section, quoteKey(name))
	} else {
		k.badItem(at, key, i, hint, "names [%s.%s], which is not there", section, quoteKey(name))
	}
	return false
}

// keys checks [secrets].
func (k *checker) keys() {
	s := &k.Secrets
	if s.KeyDirectory == "" && k.sources.isSet(s, "key-format") {
		k.bad(s, "key-format", "say where the keys are: key-directory", "has no effect without key-directory")
	}
	if s.InsecurePermissions {
		k.warn(s, "insecure-permissions", "", "lets other users of this host read or change secrets")
	}
}

// socket checks a Unix socket.
func (k *checker) socket(at any, key, path, modeKey, mode string) {
	if len(path) > 103 {
		k.bad(at, key, "use a shorter one", "is longer than the 103 octets that a socket's name can have")
	}
	m, err := strconv.ParseUint(mode, 8, 32)
	switch {
	case err != nil || m > 0o777:
		k.bad(at, modeKey, `write "0600" or "0660"`, "is %q, which is not a mode in octal", clip(mode))
	case m&0o002 != 0:
		k.warn(at, modeKey, `write "0660", and a group`, "lets everybody on this host use the socket")
	}
}

// addrPort checks an address with a port. host may be empty if anyHost.
func (k *checker) addrPort(at any, key string, i int, s string, anyHost bool) bool {
	host, port, err := net.SplitHostPort(s)
	hint := `write "192.0.2.1", "192.0.2.1:500", "[2001:db8::1]:500" or ":500"`
	if !anyHost {
		hint = `write "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"`
	}
	switch {
	case err != nil:
		k.badItem(at, key, i, hint, "is %q, which is not an address with an optional port", clip(s))
		return false
	case host == "" || host == "*":
		if !anyHost {
			k.badItem(at, key, i, hint, "has no address")
			return false
		}
	default:
		if _, err := netip.ParseAddr(host); err != nil {
			k.badItem(at, key, i, "names are not looked up here; "+hint, "has %q, which is not an IP address", clip(host))
			return false
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && !anyHost {
		k.badItem(at, key, i, "use 1 to 65535", "has %q, which is not a port", clip(port))
		return false
	}
	return true
}

// address checks an IP address, prefix a network.
func (k *checker) address(at any, key string, i int, s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		hint := `write one such as "192.0.2.1" or "2001:db8::1"`
		if strings.Contains(s, "/") {
			hint = "leave the prefix length out"
		}
		k.either(at, key, i, hint, "is %q, which is not an IP address", clip(s))
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func (k *checker) either(at any, key string, i int, hint, format string, args ...any) {
	if i < 0 {
		k.bad(at, key, hint, format, args...)
		return
	}
	k.badItem(at, key, i, hint, format, args...)
}

func (k *checker) prefix(at any, key string, i int, s string) (netip.Prefix, bool) {
	p, err := parsePrefix(s)
	if err == nil {
		return p, true
	}
	hint := `write one such as "10.1.0.0/16" or "2001:db8::/32"`
	if q, e := netip.ParsePrefix(s); e == nil {
		hint = fmt.Sprintf("write %q for the network or %q for the address", q.Masked(), q.Addr())
		k.badItem(at, key, i, hint, "is %q, which has bits after the prefix length", clip(s))
		return netip.Prefix{}, false
	}
	k.badItem(at, key, i, hint, "is %q, which is neither an IP address nor a network", clip(s))
	return netip.Prefix{}, false
}

// parsePrefix reads an address or a network without bits after its length.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p != p.Masked() {
		err = fmt.Errorf("bits after the prefix length")
	}
	return p, err
}

// interfaceAddresses checks addresses with a prefix length.
func (k *checker) interfaceAddresses(at any, key string, all []string) {
	for i, s := range all {
		if _, err := netip.ParsePrefix(s); err != nil {
			hint := `write one such as "10.1.0.1/16"`
			if a, err := netip.ParseAddr(s); err == nil {
				hint = fmt.Sprintf("write \"%v/%d\", or the length of its network", a, a.BitLen())
			}
			k.badItem(at, key, i, hint, "is %q, which is not an address with a prefix length", clip(s))
		}
	}
}

// proposals checks algorithms and warns of weak ones.
func (k *checker) proposals(at any, key string, proto spd.Protocol, all []string) {
	for i, s := range all {
		ps, err := spd.ParseProposals(proto, s)
		if err != nil {
			m := strings.TrimPrefix(err.Error(), spd.ErrProposal.Error()+": ")
			m, hint, _ := strings.Cut(m, ", did you mean ")
			if hint != "" {
				hint = "did you mean " + hint
			} else {
				hint = "write one such as " + proposalExample(proto)
			}
			m = transformWords.Replace(m)
			k.badItem(at, key, i, hint, "%s", m)
			continue
		}
		for _, p := range ps {
			for _, t := range p.Transforms {
				if why := spd.Weak(t); why != "" {
					k.warn(at, key, "use "+proposalExample(proto), "names the weak %s: %s", spd.TransformName(t.Type, t.ID), why)
				}
			}
		}
	}
}

// transformWords says what is missing in a proposal in words of the language.
var transformWords = strings.NewReplacer("no KE transform", "no key exchange", "no ENCR transform", "no cipher", "no INTEG transform", "no integrity algorithm", "no PRF transform", "no pseudorandom function")

func proposalExample(p spd.Protocol) string {
	switch p {
	case spd.ProtoIKE:
		return `"aes256gcm16-prfsha256-x25519" or "aes256-sha256-modp3072"`
	case spd.ProtoAH:
		return `"sha256-esn"`
	}
	return `"aes256gcm16-x25519" or "aes128-sha256"`
}
