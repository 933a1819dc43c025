package racoon

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// peer is a Peer as the Manager works with it. It is immutable.
type peer struct {
	cfg  Peer
	v2   *ikev2.Peer // also holds what all versions share
	v1   *ikev1.Peer // nil without IKEv1
	kink *kink.Peer  // nil without KINK

	host     string     // to look up or to call; empty: cannot be called
	addr     netip.Addr // if host is an address
	port     uint16
	natt     uint16
	local    netip.Addr // own address, invalid: any
	children []*peerChild
	notes    []string // what an operator should know
}

// peerChild is what the Manager keeps of a Child beyond its ike.ChildConfig.
type peerChild struct {
	*ike.ChildConfig
	start StartMode
}

// speaks reports whether a version may be used with the peer.
func (p *peer) speaks(v Version) bool { return slices.Contains(p.cfg.Versions, v) }

func (p *peer) name() string { return p.cfg.Name }

// child returns the Child of that name, or nil.
func (p *peer) child(name string) *peerChild {
	for _, c := range p.children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// starts returns the names of the Children of a start mode.
func (p *peer) starts(mode StartMode) []string {
	var names []string
	for _, c := range p.children {
		if c.start == mode {
			names = append(names, c.Name)
		}
	}
	return names
}

// peerSet is all configured peers. It is immutable.
type peerSet struct {
	v1      *ikev1.PeerSet
	v2      *ikev2.PeerSet
	kink    *kink.PeerSet
	peers   []*peer
	byName  map[string]*peer
	byReqID map[uint32]peerAndChild // Children with a ReqID of their own

	kerberos KINKConfig // its Kerberos is nil without KINK
}

type peerAndChild struct {
	peer  *peer
	child *peerChild
}

// compiler turns the configuration of peers into the cores' form.
type compiler struct {
	caps      spd.Capabilities
	kerberos  krb.Kerberos
	proposals map[string]compiledProposals
	reqIDs    map[reqIDKey]uint32 // that this Manager has given, by Child
	usedIDs   map[uint32]bool
	nextID    uint32
}

type reqIDKey struct{ peer, child string }

// maxConfiguredReqID is the largest ReqID of a configuration; the cores choose
// from there on.
const maxConfiguredReqID = 16383

// newCompiler makes a compiler that keeps the ReqIDs given before.
func newCompiler(caps spd.Capabilities, kerberos krb.Kerberos, given map[reqIDKey]uint32) *compiler {
	return &compiler{caps: caps, kerberos: kerberos, proposals: make(map[string]compiledProposals), reqIDs: maps.Clone(given), usedIDs: make(map[uint32]bool)}
}

// compile checks all peers.
func (c *compiler) compile(peers []Peer) (*peerSet, error) {
	ps := &peerSet{byName: make(map[string]*peer, len(peers)), byReqID: make(map[uint32]peerAndChild)}
	if c.reqIDs == nil {
		c.reqIDs = make(map[reqIDKey]uint32)
	}
	alive := make(map[reqIDKey]bool)
	for i := range peers {
		for j := range peers[i].Children {
			c.usedIDs[peers[i].Children[j].ReqID] = true
			alive[reqIDKey{peers[i].Name, childName(&peers[i], j)}] = true
		}
	}
	maps.DeleteFunc(c.reqIDs, func(k reqIDKey, id uint32) bool { return !alive[k] })
	for k, id := range c.reqIDs {
		if c.usedIDs[id] {
			delete(c.reqIDs, k) // a configuration wants it now
		}
	}
	for _, id := range c.reqIDs {
		c.usedIDs[id] = true
	}
	var v1 []*ikev1.Peer
	var kinks []*kink.Peer
	v2 := make([]*ikev2.Peer, 0, len(peers))
	for i := range peers {
		field := fmt.Sprintf("Peers[%d] %q", i, peers[i].Name)
		p, err := c.peer(&peers[i])
		if err != nil {
			return nil, inField(field, err)
		}
		if ps.byName[p.name()] != nil {
			return nil, configError(field+": Name", "is used by another peer too; names must differ")
		}
		ps.byName[p.name()] = p
		ps.peers = append(ps.peers, p)
		for _, ch := range p.children {
			if ch.ReqID != 0 && p.host != "" {
				ps.byReqID[ch.ReqID] = peerAndChild{p, ch}
			}
		}
		if p.v1 != nil {
			v1 = append(v1, p.v1)
		}
		if p.kink != nil {
			kinks = append(kinks, p.kink)
		}
		if p.speaks(IKEv2) {
			v2 = append(v2, p.v2)
		}
	}
	var err error
	if ps.v2, err = ikev2.NewPeerSet(v2); err != nil {
		return nil, inField("Peers", err)
	}
	if ps.v1, err = ikev1.NewPeerSet(v1); err != nil {
		return nil, inField("Peers", err)
	}
	if ps.kink, err = kink.NewPeerSet(kinks); err != nil {
		return nil, inField("Peers", err)
	}
	return ps, nil
}

func childName(p *Peer, i int) string {
	switch {
	case p.Children[i].Name != "":
		return p.Children[i].Name
	case len(p.Children) == 1:
		return p.Name
	}
	return strconv.Itoa(i + 1)
}

func (c *compiler) peer(cfg *Peer) (*peer, error) {
	if cfg.Name == "" {
		return nil, configError("Name", "is empty; give each peer a name")
	}
	if cfg.NoNATT && !c.caps.RawESP {
		return nil, configError("NoNATT", "data plane %q has ESP in UDP only; leave it false (or, with package esp, set esp.Config.RawESP)", c.caps.Name)
	}
	if cfg.RequireAddress && cfg.Assign == nil {
		return nil, configError("RequireAddress", "is set, but Assign is nil; say where addresses come from, see NewPool")
	}
	p := &peer{cfg: *cfg, port: natt.PortIKE, natt: natt.PortNATT}
	v2 := &ikev2.Peer{
		Name: cfg.Name, Timing: cfg.Timing, Assign: cfg.Assign, Unique: cfg.Unique, ForceEncap: cfg.ForceEncap || !c.caps.RawESP, NoNATT: cfg.NoNATT,
		FragmentSize: cfg.FragmentSize, Childless: cfg.Childless, RequireAddress: cfg.RequireAddress, MakeBeforeBreak: cfg.MakeBeforeBreak, Quirks: cfg.Quirks,
	}
	p.v2 = v2
	for _, step := range []func(*Peer, *peer) error{c.plausible, c.versions, c.addresses, c.authentication, c.identities, c.ikeProposals, c.timing, c.childSAs, c.starts, c.request, c.ikev1, c.kink} {
		if err := step(cfg, p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// addresses: where the peer is, and where we are.
func (c *compiler) addresses(cfg *Peer, p *peer) error {
	if cfg.RemoteNATT != 0 {
		p.natt = cfg.RemoteNATT
	}
	kinkPort(cfg, p)
	if cfg.Remote != "" {
		host, port, err := splitRemote(cfg.Remote)
		if err != nil {
			return configError("Remote", "%w", err)
		}
		p.host = host
		if port != 0 {
			p.port = port
		}
		if a, err := netip.ParseAddr(host); err == nil {
			if p.addr = a.Unmap(); !isHost(p.addr) {
				return configError("Remote", "%v is not the address of a host; for a peer that may come from anywhere leave it empty", a)
			}
		}
	}
	for i, s := range cfg.RemoteAddrs {
		n, err := parsePrefix(s)
		if err != nil {
			return configError(fmt.Sprintf("RemoteAddrs[%d]", i), "%w", err)
		}
		p.v2.RemoteAddrs = append(p.v2.RemoteAddrs, n)
	}
	if len(p.v2.RemoteAddrs) == 0 && p.addr.IsValid() {
		p.v2.RemoteAddrs = []netip.Prefix{hostPrefix(p.addr)}
	}
	if cfg.LocalAddr != "" {
		a, err := netip.ParseAddr(cfg.LocalAddr)
		if err != nil {
			return configError("LocalAddr", "%q is not an IP address", cfg.LocalAddr)
		}
		if p.local = a.Unmap(); !isHost(p.local) {
			return configError("LocalAddr", "%v is not the address of a host; leave it empty for any", a)
		}
		p.v2.LocalAddrs = []netip.Prefix{hostPrefix(p.local)}
		if p.addr.IsValid() && p.addr.Is4() != p.local.Is4() {
			return configError("LocalAddr", "%v cannot reach Remote %v: they are of different families", p.local, p.addr)
		}
	}
	return nil
}

func hostPrefix(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return hostPrefix(a), nil
	}
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an IP address nor a prefix such as \"192.0.2.0/24\"", s)
	}
	if n != n.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits after the prefix length; write %v for the network or %v for the address", s, n.Masked(), n.Addr())
	}
	return n, nil
}

// splitRemote splits "host", "host:port", "[v6]:port" and "v6".
func splitRemote(s string) (host string, port uint16, err error) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.String(), 0, nil
	}
	host = s
	if strings.Contains(s, ":") {
		var ps string
		if host, ps, err = net.SplitHostPort(s); err != nil {
			return "", 0, fmt.Errorf("%q is not a host name or address with an optional port; write an IPv6 address with a port as [2001:db8::1]:500", s)
		}
		if port, err = parsePort(ps); err != nil || port == 0 {
			return "", 0, fmt.Errorf("%q: %q is not a port from 1 to 65535", s, ps)
		}
	}
	if host == "" || strings.ContainsAny(host, " /@,%") && !strings.Contains(host, "::") {
		return "", 0, fmt.Errorf("%q is not a host name or address; for addresses the peer may come from use RemoteAddrs", s)
	}
	return host, port, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a port from 0 to 65535", s)
	}
	return uint16(n), nil
}

// authentication: how each side proves its identity.
func (c *compiler) authentication(cfg *Peer, p *peer) error {
	if p.speaks(KINK) {
		return nil
	}
	if !p.speaks(IKEv2) && (cfg.IKEv1.Hybrid || len(cfg.IKEv1.Methods) > 0) {
		return nil // IKEv1 has methods of its own
	}
	local, remote := &p.v2.Local, &p.v2.Remote
	local.Signature, remote.Signature = cfg.LocalSignature, cfg.RemoteSignature
	local.AlwaysSendCert = cfg.AlwaysSendCert
	if cfg.Credential != nil {
		if err := cfg.Credential.Validate(); err != nil {
			return configError("Credential", "%w", err)
		}
	}
	if cfg.PSK != nil && len(cfg.PSK) == 0 {
		return configError("PSK", "is empty; everybody knows the empty key")
	}
	shared := cfg.Credentials
	if cfg.PSK != nil {
		shared = (&ike.Credential{PSK: cfg.PSK}).Source()
	}
	signing := cfg.Credentials
	if cfg.Credential != nil {
		signing = cfg.Credential.Source()
	}

	switch {
	case cfg.LocalAuth != 0:
		local.Method = cfg.LocalAuth
	case cfg.Credential != nil && cfg.Credential.Signer != nil:
		local.Method = ikev2.AuthSignature
	case cfg.PSK != nil:
		local.Method = ikev2.AuthPSK
	case cfg.Credentials != nil:
		return configError("LocalAuth", "is not set; say ikev2.AuthPSK or ikev2.AuthSignature, since Credentials may hold either")
	default:
		return configError("PSK", "is not set, and neither is Credential: this side has nothing to prove its identity with")
	}
	switch local.Method {
	case ikev2.AuthPSK:
		local.Credential = shared
		if shared == nil {
			return configError("LocalAuth", "is PSK, but neither PSK nor Credentials is set")
		}
	case ikev2.AuthSignature:
		local.Credential = signing
		if signing == nil {
			return configError("LocalAuth", "is signature, but neither Credential nor Credentials is set")
		}
		if cfg.Credential != nil && cfg.Credential.Signer == nil {
			return configError("Credential", "has no Signer; the private key is needed to sign")
		}
	default:
		return configError("LocalAuth", "%v is not available; use ikev2.AuthPSK or ikev2.AuthSignature", local.Method)
	}

	switch {
	case len(cfg.RemoteAuth) > 0:
		remote.Methods = cfg.RemoteAuth
	case cfg.Trust != nil:
		remote.Methods = []ikev2.AuthMethod{ikev2.AuthSignature}
	case cfg.PSK != nil:
		remote.Methods = []ikev2.AuthMethod{ikev2.AuthPSK}
	default:
		return configError("Trust", "is nil, and there is no PSK: nothing says how the peer proves its identity")
	}
	for i, m := range remote.Methods {
		field := fmt.Sprintf("RemoteAuth[%d]", i)
		switch m {
		case ikev2.AuthPSK:
			if remote.Credential = shared; shared == nil {
				return configError(field, "is PSK, but neither PSK nor Credentials is set")
			}
		case ikev2.AuthSignature:
			if remote.Trust = cfg.Trust; cfg.Trust == nil {
				return configError(field, "is signature, but Trust is nil")
			}
			if err := cfg.Trust.Validate(); err != nil {
				return configError("Trust", "%w", err)
			}
		default:
			return configError(field, "%v is not available; use ikev2.AuthPSK or ikev2.AuthSignature", m)
		}
	}
	return nil
}

// identities: what each side is called.
func (c *compiler) identities(cfg *Peer, p *peer) error {
	if p.speaks(KINK) {
		return nil // kink knows principals only
	}
	switch {
	case cfg.LocalID != "":
		id, err := ike.ParseIdentity(cfg.LocalID)
		if err != nil {
			return configError("LocalID", "%w", err)
		}
		p.v2.Local.ID = id
	case p.v2.Local.Method == ikev2.AuthSignature && cfg.Credential != nil:
		if ids := cfg.Credential.Identities(); len(ids) > 0 {
			p.v2.Local.ID = ids[0]
		}
	}
	remote := cfg.RemoteID
	if remote == "" {
		if remote = p.host; remote == "" {
			return configError("RemoteID", "is empty; say who the peer must be, or \"*\" for anybody who proves an identity")
		}
	}
	pattern, err := ike.ParseIdentityPattern(remote)
	if err != nil {
		return configError("RemoteID", "%w", err)
	}
	p.v2.Remote.ID = pattern
	return nil
}

// timing: times that contradict each other.
func (c *compiler) timing(cfg *Peer, p *peer) error {
	t := cfg.Timing
	if t.Rekey > 0 && t.Lifetime > 0 && t.Lifetime <= t.Rekey {
		return configError("Timing.Lifetime", "%v is not longer than Timing.Rekey, %v; the SA would end before it is replaced", t.Lifetime, t.Rekey)
	}
	for _, f := range []struct {
		name  string
		value float64
		max   float64
	}{{"Jitter", t.Jitter, 1}, {"RetransmitJitter", t.RetransmitJitter, 1}, {"RetransmitFactor", t.RetransmitFactor, 10}} {
		if !(f.value >= 0 && f.value <= f.max) {
			return configError("Timing."+f.name, "%v is out of range; use 0 to %v", f.value, f.max)
		}
	}
	if t.RetransmitBase < 0 || t.RetransmitMax < 0 || t.RetransmitTries < 0 {
		return configError("Timing", "negative retransmission values; leave them 0 for the defaults")
	}
	if cfg.Backoff < 0 || cfg.BackoffMax < 0 {
		return configError("Backoff", "is negative; leave it 0 for the default")
	}
	if p.cfg.Backoff == 0 {
		p.cfg.Backoff = 2 * time.Second
	}
	if p.cfg.BackoffMax == 0 {
		p.cfg.BackoffMax = max(5*time.Minute, p.cfg.Backoff)
	}
	if p.cfg.BackoffMax < p.cfg.Backoff {
		return configError("BackoffMax", "%v is less than Backoff, %v", cfg.BackoffMax, p.cfg.Backoff)
	}
	return nil
}

// starts: modes that need something.
func (c *compiler) starts(cfg *Peer, p *peer) error {
	var passive string // why this side cannot call, and what to do
	switch {
	case p.host == "":
		passive = "Remote is empty; say where the peer is"
	case p.speaks(KINK) && strings.Contains(cfg.KINK.Principal, "*"):
		passive = "KINK.Principal has a *, and no ticket is to be had for that; name the peer's principal"
	}
	callable := passive == ""
	if !callable && cfg.Start == StartAlways {
		return configError("Start", "is StartAlways, but %s", passive)
	}
	needTrap := p.cfg.action(cfg.DeadAction) == ActionTrap || p.cfg.action(cfg.CloseAction) == ActionTrap
	if !callable && (p.cfg.action(cfg.DeadAction) > ActionClear || p.cfg.action(cfg.CloseAction) > ActionClear) {
		return configError("DeadAction", "the peer cannot be called again, since %s, or use ActionClear", passive)
	}
	for i, ch := range p.children {
		field := fmt.Sprintf("Children[%d] %q: Start", i, ch.Name)
		if ch.start > StartAlways {
			return configError(field, "%d is not a start mode", ch.start)
		}
		if !callable && ch.start > StartNone {
			return configError(field, "is %v, but the peer's %s", ch.start, passive)
		}
		if ch.start != StartTrap && !needTrap {
			continue
		}
		switch {
		case !c.caps.TrapPolicy:
			return configError(field, "data plane %q has no trap policies; use StartAlways or StartNone", c.caps.Name)
		case ch.LocalDynamic || ch.RemoteDynamic:
			if ch.start == StartTrap {
				return configError(field, "a trap needs fixed selectors; write addresses into Local and Remote instead of \"dynamic\"")
			}
			continue
		case ch.NoPolicies:
			return configError(field, "a trap is a policy, but NoPolicies is set")
		}
		if ch.ReqID == 0 {
			id, err := c.reqID(reqIDKey{cfg.Name, ch.Name})
			if err != nil {
				return configError(field, "%w", err)
			}
			ch.ReqID = id
		}
	}
	return nil
}

// reqID gives a Child a number of its own, the same in each reload.
func (c *compiler) reqID(k reqIDKey) (uint32, error) {
	if id := c.reqIDs[k]; id != 0 {
		return id, nil
	}
	for range maxConfiguredReqID {
		c.nextID = c.nextID%maxConfiguredReqID + 1
		if !c.usedIDs[c.nextID] {
			c.usedIDs[c.nextID] = true
			c.reqIDs[k] = c.nextID
			return c.nextID, nil
		}
	}
	return 0, errors.New("there are too many traps, each needs a ReqID from 1 to 16383")
}

// request: what a client asks for.
func (c *compiler) request(cfg *Peer, p *peer) error {
	if cfg.Request != nil {
		p.v2.Request = cfg.Request
		return nil
	}
	if !cfg.RequestAddress {
		return nil
	}
	r := &ike.ConfigRequest{DNS: true, Domains: true}
	for _, ch := range p.children {
		r.IPv4 = r.IPv4 || ch.RemoteDynamic || slices.ContainsFunc(ch.Remote, spd.TrafficSelector.Is4)
		r.IPv6 = r.IPv6 || ch.RemoteDynamic || slices.ContainsFunc(ch.Remote, spd.TrafficSelector.Is6)
	}
	p.v2.Request = r
	return nil
}
