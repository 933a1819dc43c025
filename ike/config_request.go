package ike

import "net/netip"

// ConfigRequest is what a client asks of its gateway (RFC 7296 3.15).
type ConfigRequest struct {
	IPv4, IPv6 bool         // an address of the family
	Want       []netip.Addr // preferred addresses
	DNS        bool
	Domains    bool   // INTERNAL_DNS_DOMAIN (RFC 8598)
	Version    string // APPLICATION_VERSION to send, empty for none
	Supported  bool   // SUPPORTED_ATTRIBUTES: what the gateway could tell; IKEv2 only
}
