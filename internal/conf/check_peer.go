package conf

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/spd"
)

func itoa(n int) string { return strconv.Itoa(n) }

func (p *Peer) speaks(version string) bool { return slices.Contains(p.Versions, version) }

func (k *checker) peer(p *Peer) {
	k.peerAddresses(p)
	for _, c := range p.Children {
		k.child(p, c)
	}
	k.starts(p)
	if p.Protocol == "kink" {
		k.kinkPeer(p)
		return
	}
	if key := k.writtenAny(&p.Kink); key != "" {
		k.bad(&p.Kink, key, `write protocol = "kink", or remove it`, "has no effect with protocol = %q", p.Protocol)
	}
	if len(p.Versions) == 0 {
		k.bad(p, "versions", `write versions = ["ikev2"]`, "is empty: the peer may speak nothing")
	}
	k.identities(p)
	k.authentication(p)
	k.proposals(p, "proposals", spd.ProtoIKE, p.Proposals)
	k.clients(p)
	k.times(p)
	k.ikev1(p)
	if g := p.Quirks.RekeyGroupFirst; g != "" && groupNumber(g) == 0 {
		k.bad(&p.Quirks, "rekey-group-first", `write one such as "modp2048" or "ecp256"`, "is %q, which is not a key exchange", clip(g))
	}
	switch {
	case p.FragmentSize != 0 && p.Fragmentation == "off":
		k.bad(p, "fragment-size", "remove one of them", "has no effect with fragmentation = \"off\"")
	case p.FragmentSize != 0 && p.FragmentSize < 256:
		k.bad(p, "fragment-size", "use 576 or more, or 0", "is %d, which has no room for a fragment", p.FragmentSize)
	}
	if p.NATTraversal == "off" && k.DataPlane.Kind == "userspace" && !k.DataPlane.Userspace.RawESP {
		k.bad(p, "nat-traversal", "write raw-esp = true in [dataplane.userspace], or remove it", "is \"off\", but the data plane has ESP in UDP only")
	}
}

func (k *checker) peerAddresses(p *Peer) {
	var remote netip.Addr
	if p.Remote != "" {
		host := p.Remote
		if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
			remote = a.Unmap()
		} else {
			if strings.Contains(host, ":") {
				h, ps, err := net.SplitHostPort(host)
				if n, e := strconv.ParseUint(ps, 10, 16); err == nil && (e != nil || n == 0) {
					k.bad(p, "remote", "use 1 to 65535", "has %q, which is not a port", clip(ps))
				}
				host = h
			}
			if a, err := netip.ParseAddr(host); err == nil {
				remote = a.Unmap()
			} else if strings.Contains(host, "/") {
				k.bad(p, "remote", "write remote-addresses = [\""+clip(p.Remote)+"\"]", "is a network, but a peer is called at one address")
			} else if !validHost(host) || isAddressLike(host) {
				k.bad(p, "remote", `write a name or an address, such as "gw.example.org", "192.0.2.1" or "[2001:db8::1]:500"`, "is %q, which is neither a host name nor an address", clip(p.Remote))
			}
		}
	}
	for i, s := range p.RemoteAddresses {
		k.prefix(p, "remote-addresses", i, s)
	}
	if p.LocalAddress != "" {
		if a, ok := k.address(p, "local-address", -1, p.LocalAddress); ok && remote.IsValid() && a.Is4() != remote.Is4() {
			k.bad(p, "local-address", "use an address of the same family", "is %v, from which remote, %v, cannot be reached", a, remote)
		}
	}
}

// validHost reports whether s can be the name of a host.
func validHost(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// isAddressLike reports whether a name looks like a mistyped IPv4 address:
// no top-level domain is a number.
func isAddressLike(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	_, err := strconv.ParseUint(last, 10, 64)
	return err == nil
}

func (k *checker) identities(p *Peer) {
	if p.LocalID != "" {
		if _, err := ike.ParseIdentity(p.LocalID); err != nil {
			k.bad(p, "local-id", identityHint(p.LocalID), "%s", identityReason(err))
		}
	}
	switch {
	case p.RemoteID != "":
		if _, err := ike.ParseIdentityPattern(p.RemoteID); err != nil {
			k.bad(p, "remote-id", identityHint(p.RemoteID), "%s", identityReason(err))
		}
	case p.Remote == "":
		k.bad(p, "remote-id", `write the peer's name, or "*" for anybody who proves one`, "is missing, and so is remote: nothing says who the peer must be")
	}
}

func identityReason(err error) string {
	return "is not an identity: " + strings.TrimPrefix(err.Error(), "ike: ")
}

func identityHint(s string) string {
	if strings.HasPrefix(s, "CN=") || strings.Contains(s, ", CN=") {
		return `write a distinguished name as "C=CH, O=lab, CN=gw"`
	}
	return `write one such as "gw.example.org", "alice@example.org", "192.0.2.1", "C=CH, CN=gw" or "keyid:staff"`
}

// authentication: how each side proves who it is.
func (k *checker) authentication(p *Peer) {
	s := &k.Secrets
	psk := p.PSKFile != "" || s.PSKFile != "" || s.KeyDirectory != ""
	sections := "[secrets] or psk-file"
	switch {
	case p.Certificate != "" && p.Key == "":
		k.bad(p, "certificate", "write key = \"...\"; it may be the same file", "has no key: a certificate proves nothing without it")
		return
	case p.PSKFile == "" && k.written(p, "psk-format") && p.PSKFormat != "text":
		k.bad(p, "psk-format", "write psk-file = \"...\"", "has no effect without psk-file")
	}
	if p.IKEv1.Hybrid {
		k.hybrid(p)
		return
	}
	both := p.PSKFile != "" && p.signs() && p.trusts()
	switch {
	case both && p.LocalAuth == "" && len(p.RemoteAuth) == 0:
		k.bad(p, "psk-file", "remove it, or say who uses which with local-auth and remote-auth", "is there beside certificate, key and ca: both sides would sign, and the key is of no use")
	case !p.signs() && !p.trusts() && !psk && p.LocalAuth == "" && len(p.RemoteAuth) == 0:
		k.bad(p, "psk-file", `write psk-file = "..."; or certificate, key and ca`, "is missing, and so are certificate, key and ca: neither side has anything to prove its identity with")
		return
	case !p.signs() && !psk && p.LocalAuth == "":
		k.bad(p, "key", "write certificate and key, or psk-file", "is missing, and so is psk-file: this side has nothing to prove its identity with")
	case !p.trusts() && !psk && len(p.RemoteAuth) == 0:
		k.bad(p, "ca", `write ca = ["ca.pem"], or pinned or raw-keys in [peer.`+quoteKey(p.Name)+`.trust]`, "is missing: nothing says how the peer proves its identity")
	}
	switch {
	case p.LocalAuth == "psk" && !psk:
		k.bad(p, "local-auth", "write psk-file = \"...\"", "is \"psk\", but there is no key in %s", sections)
	case p.LocalAuth == "signature" && !p.signs():
		k.bad(p, "local-auth", "write certificate and key", "is \"signature\", but there is no key to sign with")
	}
	for i, m := range p.RemoteAuth {
		switch {
		case m == "psk" && !psk:
			k.badItem(p, "remote-auth", i, "write psk-file = \"...\"", "is \"psk\", but there is no key in %s", sections)
		case m == "signature" && !p.trusts():
			k.badItem(p, "remote-auth", i, `write ca = ["ca.pem"]`, "is \"signature\", but there is no ca")
		}
	}
	if key := k.writtenAny(&p.Trust); key != "" && !p.trusts() {
		k.bad(&p.Trust, key, `write ca = ["ca.pem"], or remove it`, "has no effect: no certificate of the peer is accepted")
	}
	own, theirs := p.methods()
	if p.speaks("ikev1") && len(p.IKEv1.Methods) == 0 && own != theirs {
		k.bad(p, "versions", "use the same method on both sides, or IKEv2 alone", "has \"ikev1\", which has one method for both sides; here this side has %s and the peer %s", own, theirs)
	}
	if !p.speaks("ikev2") {
		for _, key := range []string{"local-auth", "remote-auth"} {
			if k.written(p, key) {
				k.bad(p, key, "use methods in [peer."+quoteKey(p.Name)+".ikev1]", "belongs to IKEv2")
			}
		}
		if key := k.writtenAny(&p.Signature); key != "" {
			k.bad(&p.Signature, key, "remove it", "belongs to IKEv2")
		}
	}
}

// methods are how each side authenticates.
func (p *Peer) methods() (own, theirs string) {
	own, theirs = p.LocalAuth, "psk"
	if own == "" {
		own = "psk"
		if p.signs() {
			own = "signature"
		}
	}
	if len(p.RemoteAuth) > 0 {
		return own, strings.Join(p.RemoteAuth, " or ")
	}
	if p.trusts() {
		theirs = "signature"
	}
	return own, theirs
}

const whoLogsIn = `write users (gateway) or user-name (client), or leave start = "none" and give the user with racoonctl vpn-connect -u`

// asksWhoCalls reports whether the user of this side is whom the caller names with
// the order to call (racoonctl vpn-connect -u): nobody else calls.
func (p *Peer) asksWhoCalls() bool {
	return p.Remote != "" && p.Start == "none" && p.Users == "" && p.UserName == ""
}

func (k *checker) hybrid(p *Peer) {
	o := &p.IKEv1
	switch {
	case p.Users == "" && p.UserName == "" && !p.asksWhoCalls():
		k.bad(o, "hybrid", whoLogsIn, "needs users who log in: clients prove nothing else")
	case p.Users != "" && !p.signs():
		k.bad(o, "hybrid", "write certificate and key", "needs a key that the gateway signs with")
	case p.Users == "" && !p.trusts():
		k.bad(o, "hybrid", `write ca = ["ca.pem"]`, "needs an authority of the gateway's certificate")
	case p.PSKFile != "":
		k.bad(p, "psk-file", "remove it", "is not used with hybrid authentication")
	}
}

// clients: addresses and users.
func (k *checker) clients(p *Peer) {
	if p.Pool != "" {
		k.refers(p, "pool", -1, "pool", p.Pool, names(k.Pools))
	}
	if p.Users != "" {
		k.refers(p, "users", -1, "users", p.Users, names(k.Users))
	}
	switch {
	case p.Pool != "" && p.RequestAddress:
		k.bad(p, "request-address", "remove one of them", "is what a client does, but pool is what a gateway does")
	case p.RequireAddress && p.Pool == "":
		k.bad(p, "require-address", "write pool = \"...\"", "has no effect without pool")
	case p.RequestAddress && p.Remote == "":
		k.bad(p, "request-address", "write remote = \"...\"", "needs a gateway to ask, but remote is missing")
	}
	if key := k.writtenAny(&p.Request); key != "" && !p.RequestAddress {
		k.bad(&p.Request, key, "write request-address = true", "has no effect without request-address")
	}
	for i, s := range p.Request.Want {
		k.address(&p.Request, "want", i, s)
	}
	if p.RequestAddress && !p.Request.IPv4 && !p.Request.IPv6 {
		k.bad(&p.Request, "ipv4", "write ipv4 = true or ipv6 = true", "is false, and so is ipv6: nothing would be asked for")
	}
	switch {
	case p.Users != "" && p.UserName != "":
		k.bad(p, "user-name", "remove one of them", "is what a client has, but users is what a gateway has")
	case p.Users == "" && p.UserName == "" && k.written(p, "user-kind"):
		k.bad(p, "user-kind", "write users = \"...\"", "has no effect without users")
	case p.UserName == "" && p.UserPasswordFile != "":
		k.bad(p, "user-password-file", "write user-name = \"...\"", "has no effect without user-name")
	case p.UserName != "" && p.UserPasswordFile == "" && k.Secrets.PSKFile == "":
		k.bad(p, "user-name", "write user-password-file = \"...\"", "has no password")
	}
	if p.Users != "" && p.speaks("ikev2") {
		k.bad(p, "users", `write versions = ["ikev1"], and another peer for IKEv2`, "are asked for by IKEv1 only; clients with IKEv2 would come in without logging in")
	}
	if p.UserName != "" && !p.speaks("ikev1") {
		k.bad(p, "user-name", `write versions = ["ikev1"]`, "has no effect without IKEv1: IKEv2 cannot ask for a user yet")
	}
}

// times that contradict each other.
func (k *checker) times(p *Peer) {
	t := &p.Timing
	switch {
	case t.Rekey > 0 && t.Lifetime > 0 && t.Lifetime <= t.Rekey:
		k.bad(t, pick(k.sources.isSet(t, "lifetime"), "lifetime", "rekey"), "make lifetime longer than rekey, or leave it out", "makes the IKE SA end (%v) before it gets new keys (%v)", t.Lifetime, t.Rekey)
	case t.RetransmitBase > t.RetransmitMax:
		k.bad(t, pick(k.sources.isSet(t, "retransmit-base"), "retransmit-base", "retransmit-max"), "make retransmit-base less than retransmit-max", "makes the first retransmission (%v) later than the last (%v)", t.RetransmitBase, t.RetransmitMax)
	}
	if p.Backoff > p.BackoffMax {
		k.bad(p, pick(k.sources.isSet(p, "backoff"), "backoff", "backoff-max"), "make backoff less than backoff-max", "makes the first wait (%v) longer than the longest (%v)", p.Backoff, p.BackoffMax)
	}
	if p.MakeBeforeBreak && t.Reauth <= 0 {
		k.bad(p, "make-before-break", "write reauth in [peer."+quoteKey(p.Name)+".timing]", "has no effect without reauthentication")
	}
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// ikev1: what only that version knows.
func (k *checker) ikev1(p *Peer) {
	o := &p.IKEv1
	if !p.speaks("ikev1") {
		if key := k.writtenAny(o); key != "" {
			k.bad(o, key, `add "ikev1" to versions, or remove it`, "has no effect: versions of the peer are %s", strings.Join(quoteAll(p.Versions), ", "))
		}
		if p.Fragmentation == "force" {
			k.bad(p, "fragmentation", `write "on"`, "is \"force\", which IKEv1 alone has")
		}
		return
	}
	if len(o.Modes) == 0 {
		k.bad(o, "modes", `write modes = ["main"]`, "is empty")
	}
	if o.Hybrid && p.speaks("ikev2") {
		k.bad(o, "hybrid", `write versions = ["ikev1"]`, "is not known to IKEv2")
	}
	if len(o.PrivateGroups) > 0 && p.speaks("ikev2") {
		k.bad(o, "private-groups", `write versions = ["ikev1"]`, "are not known to IKEv2")
	}
	if o.PushConfig && p.Pool == "" && !p.RequestAddress {
		k.bad(o, "push-config", "write pool (gateway) or request-address (client)", "has nothing to send or to wait for")
	}
	for i, m := range o.Methods {
		xauth := logsIn(m)
		switch {
		case xauth && p.Users == "" && p.UserName == "" && !p.asksWhoCalls():
			k.badItem(o, "methods", i, whoLogsIn, "is %q, but nobody logs in", m)
		case !xauth && (p.Users != ""):
			k.badItem(o, "methods", i, "write \"xauth-"+m+"\"", "is %q, so users would not be asked for", m)
		}
		psk := p.PSKFile != "" || k.Secrets.PSKFile != "" || k.Secrets.KeyDirectory != ""
		hybrid := strings.HasPrefix(m, "hybrid-")
		switch base := methods[m].Base(); {
		case base == ikev1.AuthPSK && !psk:
			k.badItem(o, "methods", i, "write psk-file = \"...\"", "is %q, but there is no pre-shared key", m)
		case base != ikev1.AuthPSK && !p.signs() && !(hybrid && p.Users == ""):
			k.badItem(o, "methods", i, "write certificate and key", "is %q, but there is no key to sign with", m)
		case base != ikev1.AuthPSK && !p.trusts() && !(hybrid && p.Users != ""):
			k.badItem(o, "methods", i, `write ca = ["ca.pem"]`, "is %q, but there is no ca", m)
		}
		if strings.Contains(m, "dss") {
			k.warn(o, "methods", "use RSA or ECDSA", "names DSS, which is weak: 160 bits of SHA-1")
		}
	}
	own, _ := p.methods()
	if own == "psk" && !o.Hybrid && (slices.Contains(o.Modes, "aggressive") || slices.Contains(o.Modes, "base")) {
		k.warn(o, "modes", `write modes = ["main"] where all peers can`, "lets anybody who asks guess at the pre-shared key offline (CVE-2018-5389)")
	}
	for _, c := range p.Children {
		if len(c.OuterAH) > 0 && p.speaks("ikev2") {
			k.bad(c, "outer-ah", `write versions = ["ikev1"]`, "cannot be negotiated by IKEv2")
		}
	}
}

// starts: who can be called.
func (k *checker) starts(p *Peer) {
	if p.Remote != "" {
		return
	}
	if p.Start != "none" {
		k.bad(p, "start", "write remote = \"...\"", "is %q, but nothing says where the peer is", p.Start)
		return
	}
	for _, a := range []struct{ key, value string }{{"dead-action", p.DeadAction}, {"close-action", p.CloseAction}} {
		if a.value == "trap" || a.value == "restart" {
			k.bad(p, a.key, `write "clear", or remote = "..."`, "is %q, but the peer cannot be called, since remote is missing", a.value)
		}
	}
	for _, c := range p.Children {
		if c.Start != "none" && c.Start != "" {
			k.bad(c, "start", "write remote = \"...\" for the peer", "is %q, but nothing says where the peer is", c.Start)
		}
	}
}

// twins are peers that nobody could tell apart.
func (k *checker) twins() {
	seen := make(map[string]*Peer)
	for _, p := range k.Peers {
		id := fmt.Sprintf("%q", []string{p.Protocol, p.Remote, strings.Join(p.RemoteAddresses, " "), p.LocalAddress, strings.ToLower(p.LocalID), strings.ToLower(p.RemoteID), p.Kink.Principal, strings.Join(p.Versions, " "), strings.Join(p.IKEv1.Modes, " ")})
		if o := seen[id]; o != nil {
			k.bad(p, pick(k.sources.isSet(p, "remote-id"), "remote-id", "remote"), "give it another remote-id, remote, remote-addresses or local-id, or join them", "makes it a twin of [peer.%s]: nobody could tell which one is meant", quoteKey(o.Name))
			continue
		}
		seen[id] = p
	}
}

// reqIDs are used once.
func (k *checker) reqIDs() {
	seen := make(map[int]string)
	for _, p := range k.Peers {
		for _, c := range p.Children {
			if c.ReqID == 0 {
				continue
			}
			name := joinKey("peer", p.Name, "child", c.Name)
			if o := seen[c.ReqID]; o != "" {
				k.bad(c, "reqid", "use another number, or leave it out", "is %d, as that of [%s]: their traffic would take one another's SAs", c.ReqID, o)
				continue
			}
			seen[c.ReqID] = name
		}
	}
}
