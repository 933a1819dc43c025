package message

// GatewayIDType says how REDIRECT names a gateway: IANA "IKEv2 Gateway Identity
// Types" (RFC 5685).
type GatewayIDType uint8

// String returns the kind of name.
func (t GatewayIDType) String() string { return nameOf(gatewayIDTypeNames[:], int(t), "GatewayIDType") }

// Values.
const (
	GatewayIPv4 GatewayIDType = 1
	GatewayIPv6 GatewayIDType = 2
	GatewayFQDN GatewayIDType = 3
)

var gatewayIDTypeNames = [...]string{
	GatewayIPv4: "IPv4",
	GatewayIPv6: "IPv6",
	GatewayFQDN: "FQDN",
}
