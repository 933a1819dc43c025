package hook

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// defaultPath is where scripts find programs.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment collects variables. Empty values are left out.
type environment []string

// set adds a variable whose value is ours: nothing of a peer that was not made
// safe.
func (e *environment) set(name, value string) {
	if value != "" {
		*e = append(*e, name+"="+value)
	}
}

func (e *environment) setAddr(prefix string, a netip.AddrPort) {
	if a.IsValid() {
		e.set(prefix+"_ADDR", a.Addr().Unmap().String())
		e.set(prefix+"_PORT", strconv.Itoa(int(a.Port())))
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// spaced prints the elements of a list with spaces between, as many as fit.
func spaced[T fmt.Stringer](list []T) string {
	var b strings.Builder
	for _, v := range list {
		s := v.String()
		if b.Len()+len(s)+1 > maxList {
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	return b.String()
}

// facts are what is known when an event has happened.
type facts struct {
	event   Event
	header  ike.EventHeader
	info    *ike.SessionInfo // nil if it is not known
	child   *ike.ChildInfo
	former  *ike.ChildSPIs // replaced by a rekey
	old     *ike.Path      // before a migration
	reason  string
	err     error
	in, out *spd.Counters
}

// environmentOf makes the environment of a script.
func environmentOf(f *facts, style Style, path string) []string {
	e := environment{"PATH=" + path, "LC_ALL=C"}
	e.native(f)
	switch style {
	case StyleRacoon:
		e.racoon(f)
	case StyleRacoon2:
		e.racoon2(f)
	}
	return e
}

func (e *environment) native(f *facts) {
	h := &f.header
	e.set("RACOON_EVENT", string(f.event))
	e.set("RACOON_PEER", safe(h.Peer))
	if h.Session != 0 {
		e.set("RACOON_SESSION", strconv.FormatUint(uint64(h.Session), 10))
		e.set("RACOON_VERSION", racoon.VersionOf(h.Session).String())
	}
	e.setAddr("RACOON_LOCAL", h.Path.Local)
	e.setAddr("RACOON_REMOTE", h.Path.Remote)
	if i := f.info; i != nil {
		e.set("RACOON_INITIATOR", yes(i.Initiator))
		e.identity("RACOON_LOCAL_ID", i.LocalID)
		e.identity("RACOON_REMOTE_ID", i.RemoteID)
		e.set("RACOON_LOCAL_SPI", fmt.Sprintf("%016x", i.LocalSPI))
		e.set("RACOON_REMOTE_SPI", fmt.Sprintf("%016x", i.RemoteSPI))
		e.set("RACOON_PROPOSAL", i.Proposal.String())
		e.set("RACOON_LOCAL_NAT", yes(i.LocalNAT))
		e.set("RACOON_REMOTE_NAT", yes(i.RemoteNAT))
		e.set("RACOON_USER", safe(i.User))
		e.set("RACOON_GROUPS", safeAll(i.Groups))
		e.network(i.Config)
	}
	if c := f.child; c != nil {
		e.set("RACOON_CHILD", safe(c.Name))
		e.set("RACOON_CHILD_ID", strconv.FormatUint(uint64(c.ID), 10))
		e.set("RACOON_PROTOCOL", strings.ToLower(c.Protocol.String()))
		e.set("RACOON_MODE", c.Mode.String())
		e.set("RACOON_LOCAL_TS", spaced(c.LocalTS))
		e.set("RACOON_REMOTE_TS", spaced(c.RemoteTS))
		e.set("RACOON_SPI_IN", fmt.Sprintf("%08x", uint32(c.In)))
		e.set("RACOON_SPI_OUT", fmt.Sprintf("%08x", uint32(c.Out)))
		e.set("RACOON_REQID", strconv.FormatUint(uint64(c.ReqID), 10))
		e.set("RACOON_CHILD_PROPOSAL", c.Proposal.String())
		e.set("RACOON_UDP_ENCAP", yes(c.UDPEncap))
	}
	if f.former != nil {
		e.set("RACOON_OLD_SPI_IN", fmt.Sprintf("%08x", uint32(f.former.In)))
		e.set("RACOON_OLD_SPI_OUT", fmt.Sprintf("%08x", uint32(f.former.Out)))
	}
	if f.old != nil {
		e.setAddr("RACOON_OLD_LOCAL", f.old.Local)
		e.setAddr("RACOON_OLD_REMOTE", f.old.Remote)
	}
	e.set("RACOON_REASON", f.reason)
	if f.err != nil {
		e.set("RACOON_ERROR", safe(f.err.Error()))
	}
	if f.in != nil {
		e.set("RACOON_BYTES_IN", strconv.FormatUint(f.in.Bytes, 10))
		e.set("RACOON_PACKETS_IN", strconv.FormatUint(f.in.Packets, 10))
		e.set("RACOON_BYTES_OUT", strconv.FormatUint(f.out.Bytes, 10))
		e.set("RACOON_PACKETS_OUT", strconv.FormatUint(f.out.Packets, 10))
	}
}

// identity says an identity as text, and in a form in which it cannot be taken
// for another one.
func (e *environment) identity(name string, id ike.Identity) {
	e.set(name, safe(id.String()))
	e.set(name+"_TYPE", safe(id.Type.String()))
	if len(id.Data) <= 2*maxText {
		e.set(name+"_HEX", hex.EncodeToString([]byte(id.Data)))
	}
}

// network is what the gateway has told its client, on both sides.
func (e *environment) network(c *ike.NetworkConfig) {
	if c == nil {
		return
	}
	e.set("RACOON_ADDRESSES", spaced(c.Addresses))
	e.set("RACOON_DNS", spaced(c.DNS))
	e.set("RACOON_NBNS", spaced(c.NBNS))
	e.set("RACOON_DHCP", spaced(c.DHCP))
	e.set("RACOON_SUBNETS", spaced(c.Subnets))
	e.set("RACOON_LOCAL_LAN", spaced(c.LocalLANExclude))
	e.set("RACOON_DOMAINS", safeAll(domains(c.Domains)))
	e.set("RACOON_DEFAULT_DOMAIN", safeAll(domains([]string{c.DefaultDomain})))
	e.set("RACOON_BANNER", safe(c.Banner))
	e.set("RACOON_APPLICATION", safe(c.Application))
}

// ofFamily returns the elements of one address family.
func ofFamily(list []netip.Addr, v4 bool) (out []netip.Addr) {
	for _, a := range list {
		if a.Unmap().Is4() == v4 {
			out = append(out, a.Unmap())
		}
	}
	return out
}

func first[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].String()
}

// maskOf is an IPv4 netmask.
func maskOf(p netip.Prefix) string {
	m := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// racoon adds what racoon tells its scripts.
func (e *environment) racoon(f *facts) {
	h := &f.header
	e.setAddr("LOCAL", h.Path.Local)
	e.setAddr("REMOTE", h.Path.Remote)
	i := f.info
	if i == nil {
		return
	}
	e.set("REMOTE_ID", safe(i.RemoteID.String()))
	ispi, rspi := i.LocalSPI, i.RemoteSPI
	if !i.Initiator {
		ispi, rspi = rspi, ispi
	}
	e.set("IKE_COOKIE", fmt.Sprintf("%016x:%016x", ispi, rspi))
	if !i.Initiator {
		e.set("XAUTH_USER", safe(i.User))
	}
	c := i.Config
	if c == nil {
		return
	}
	for _, p := range c.Addresses {
		if p.Addr().Is4() {
			e.set("INTERNAL_ADDR4", p.Addr().String())
			e.set("INTERNAL_MASK4", maskOf(p))
			e.set("INTERNAL_NETMASK4", maskOf(p))
			e.set("INTERNAL_CIDR4", strconv.Itoa(p.Bits()))
			break
		}
	}
	dns, wins := ofFamily(c.DNS, true), ofFamily(c.NBNS, true)
	e.set("INTERNAL_DNS4", first(dns))
	e.set("INTERNAL_DNS4_LIST", spaced(dns))
	e.set("INTERNAL_WINS4", first(wins))
	e.set("INTERNAL_WINS4_LIST", spaced(wins))
	e.set("DEFAULT_DOMAIN", safeAll(domains([]string{c.DefaultDomain})))
	e.set("INTERNAL_SPLITDNS_DOMAINS", safeAll(domains(c.Domains)))
	e.networks("SPLIT_INCLUDE", c.Subnets)
	e.networks("SPLIT_LOCAL", c.LocalLANExclude)
}

// networks adds IPv4 networks with their masks, and with the lengths of their
// prefixes.
func (e *environment) networks(name string, list []netip.Prefix) {
	var masks, cidr []string
	for _, p := range list {
		if p.Addr().Is4() {
			masks = append(masks, p.Addr().String()+"/"+maskOf(p))
			cidr = append(cidr, p.String())
		}
	}
	e.set(name, safeAll(masks))
	e.set(name+"_CIDR", safeAll(cidr))
}

// racoon2 adds what racoon2 tells its scripts.
func (e *environment) racoon2(f *facts) {
	h := &f.header
	e.setAddr("LOCAL", h.Path.Local)
	e.setAddr("REMOTE", h.Path.Remote)
	if f.old != nil {
		e.set("OLD_SRC", f.old.Local.Addr().Unmap().String())
		e.set("OLD_DST", f.old.Remote.Addr().Unmap().String())
		e.set("NEW_SRC", h.Path.Local.Addr().Unmap().String())
		e.set("NEW_DST", h.Path.Remote.Addr().Unmap().String())
	}
	if c := f.child; c != nil {
		e.set("SELECTOR_INDEX", safe(c.Name))
		if len(c.LocalTS) > 1 || len(c.RemoteTS) > 1 {
			// racoon2's second selector, of which the Child SA is too: here both are of
			// one name.
			e.set("SELECTOR2_INDEX", safe(c.Name))
		}
		e.set("IPSEC_MODE", c.Mode.String())
		e.side("LOCAL_NET", c.LocalTS)
		e.side("REMOTE_NET", c.RemoteTS)
		if len(c.LocalTS) > 0 {
			e.set("UPPER_LAYER_PROTOCOL", upperLayer(c.LocalTS[0].Protocol))
		}
		if f.info != nil {
			e.racoon2Network(f.info)
		}
	}
}

// side adds the first selector of a side. One that is no network has no such
// form; RACOON_LOCAL_TS and RACOON_REMOTE_TS say it.
func (e *environment) side(name string, list []spd.TrafficSelector) {
	if len(list) == 0 {
		return
	}
	p, ok := list[0].Prefix()
	if !ok {
		return
	}
	e.set(name+"_ADDR", p.Addr().String())
	e.set(name+"_PREFIXLEN", strconv.Itoa(p.Bits()))
	port := 0
	if r := list[0].Ports; r.First == r.Last {
		port = int(r.First)
	}
	e.set(name+"_PORT", strconv.Itoa(port))
}

func upperLayer(p uint8) string {
	switch p {
	case 0:
		return "any"
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "ipv6-icmp"
	}
	return strconv.Itoa(int(p))
}

// racoon2Network adds the addresses: on the gateway those leased to the peer, on
// the client all that it was told.
func (e *environment) racoon2Network(i *ike.SessionInfo) {
	c := i.Config
	if c == nil {
		return
	}
	for _, v4 := range []bool{true, false} {
		family := "6"
		if v4 {
			family = "4"
		}
		var addr []netip.Addr
		for _, p := range c.Addresses {
			addr = append(addr, p.Addr())
		}
		addr = ofFamily(addr, v4)
		if i.Initiator {
			e.set("INTERNAL_ADDR"+family, spaced(addr))
			e.set("INTERNAL_DNS"+family, spaced(ofFamily(c.DNS, v4)))
			e.set("INTERNAL_DHCP"+family, spaced(ofFamily(c.DHCP, v4)))
			if v4 {
				e.set("INTERNAL_WINS4", spaced(ofFamily(c.NBNS, v4)))
			}
			continue
		}
		e.set("INTERNAL"+family+"_ADDR", first(addr))
	}
	if i.Initiator {
		e.set("APPLICATION_VERSION", safe(c.Application))
	} else if len(c.Addresses) > 0 {
		e.set("INTERNAL_ADDR", c.Addresses[0].Addr().String())
	}
}
