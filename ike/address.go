package ike

import (
	"context"
	"net/netip"
	"time"
)

// An AddressAssigner gives clients their inner addresses and network
// configuration. It is called from jobs, so it may block. IKEv1's mode config
// and IKEv2's configuration payload use the same one.
type AddressAssigner interface {
	// Assign leases addresses for a session. An error refuses the address
	// request; the error should say why.
	Assign(ctx context.Context, r AddressRequest) (*NetworkConfig, error)
	// Release ends the leases of a session.
	Release(ctx context.Context, r AddressRequest, assigned *NetworkConfig)
}

// AddressRequest is a client's request for addresses.
type AddressRequest struct {
	Session    SessionID
	Peer       string // configured peer
	RemoteID   Identity
	User       string   // EAP or XAuth user name, if any
	Groups     []string // of the user, as its authentication says
	Remote     netip.AddrPort
	IPv4, IPv6 bool
	Want       []netip.Addr // addresses the client would like
	// Fixed are the addresses that the user's authentication gives him
	// ([UserAccepted].Addresses), one of a family at most. They are leased as
	// they are, inside the pool or not; of the other families as usual.
	Fixed []netip.Addr
	// Expiry is the lifetime the client asks for (INTERNAL_ADDRESS_EXPIRY of
	// IKEv1), 0 if none.
	Expiry time.Duration
	// Application is what the client says it is (APPLICATION_VERSION).
	Application string
}

// NetworkConfig is what a gateway tells a client in the configuration payload
// (RFC 7296 3.15) or in mode config.
type NetworkConfig struct {
	Addresses  []netip.Prefix // a /32 or /128 where no netmask was given
	DNS        []netip.Addr
	NBNS       []netip.Addr // WINS, IPv4
	DHCP       []netip.Addr
	Subnets    []netip.Prefix // what is reached through the gateway (Unity: split include)
	Domains    []string       // names to resolve inside: INTERNAL_DNS_DOMAIN (RFC 8598), Unity split DNS
	HomePrefix []netip.Prefix // MIP6_HOME_PREFIX (RFC 5026)
	// Application is the APPLICATION_VERSION.
	Application string
	// Supported are the numbers of the attributes that the gateway knows, if it
	// was asked (SUPPORTED_ATTRIBUTES of IKEv2). A gateway fills it in by itself.
	Supported []uint16
	// Expiry is how long the addresses may be used before the client has to ask
	// again (INTERNAL_ADDRESS_EXPIRY of IKEv1, whole seconds); 0 is as long as
	// the session.
	Expiry time.Duration

	// Cisco's Unity attributes, IKEv1 only.
	Banner          string
	DefaultDomain   string
	LocalLANExclude []netip.Prefix // networks of the client's own that stay outside
	BackupServers   []string       // addresses or names
	SavePassword    bool           // the client may keep the user's password
	PFS             bool           // the client is to use PFS
	UDPPort         uint16         // of ESP in UDP as Cisco had it before NAT-T, 0 for none
	Firewall        []byte         // MODECFG_FW_TYPE, as it is
	DDNSHostname    string
}

// Override returns c with the fields that o has. Neither is changed; the result
// shares their slices. Nil stands for an empty configuration. A flag that o
// does not set stays.
func (c *NetworkConfig) Override(o *NetworkConfig) *NetworkConfig {
	var r NetworkConfig
	if c != nil {
		r = *c
	}
	if o == nil {
		return &r
	}
	override(&r.Addresses, o.Addresses)
	override(&r.DNS, o.DNS)
	override(&r.NBNS, o.NBNS)
	override(&r.DHCP, o.DHCP)
	override(&r.Subnets, o.Subnets)
	override(&r.Domains, o.Domains)
	override(&r.HomePrefix, o.HomePrefix)
	override(&r.Supported, o.Supported)
	override(&r.LocalLANExclude, o.LocalLANExclude)
	override(&r.BackupServers, o.BackupServers)
	override(&r.Firewall, o.Firewall)
	for _, t := range [...]struct {
		to   *string
		from string
	}{{&r.Application, o.Application}, {&r.Banner, o.Banner}, {&r.DefaultDomain, o.DefaultDomain}, {&r.DDNSHostname, o.DDNSHostname}} {
		if t.from != "" {
			*t.to = t.from
		}
	}
	if o.Expiry != 0 {
		r.Expiry = o.Expiry
	}
	if o.UDPPort != 0 {
		r.UDPPort = o.UDPPort
	}
	r.SavePassword = r.SavePassword || o.SavePassword
	r.PFS = r.PFS || o.PFS
	return &r
}

func override[T any](to *[]T, from []T) {
	if len(from) > 0 {
		*to = from
	}
}
