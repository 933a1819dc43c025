package message

// ConfigAttributeType is a configuration attribute type: IANA "IKEv2
// Configuration Payload Attribute Types". 16384 to 32767 are for private use.
type ConfigAttributeType uint16

// String returns the IANA name, such as "INTERNAL_IP4_ADDRESS".
func (t ConfigAttributeType) String() string {
	return nameOf(configAttributeTypeNames[:], int(t), "ConfigAttributeType")
}

// Values.
const (
	AttrInternalIP4Address            ConfigAttributeType = 1  // 0 or 4 octets
	AttrInternalIP4Netmask            ConfigAttributeType = 2  // 0 or 4
	AttrInternalIP4DNS                ConfigAttributeType = 3  // 0 or 4
	AttrInternalIP4NBNS               ConfigAttributeType = 4  // 0 or 4
	AttrInternalAddressExpiry         ConfigAttributeType = 5  // IKEv1 and RFC 4306
	AttrInternalIP4DHCP               ConfigAttributeType = 6  // 0 or 4
	AttrApplicationVersion            ConfigAttributeType = 7  // text
	AttrInternalIP6Address            ConfigAttributeType = 8  // 0 or 17: address, prefix length
	AttrInternalIP6DNS                ConfigAttributeType = 10 // 0 or 16
	AttrInternalIP6NBNS               ConfigAttributeType = 11 // 0 or 16; RFC 4306
	AttrInternalIP6DHCP               ConfigAttributeType = 12 // 0 or 16
	AttrInternalIP4Subnet             ConfigAttributeType = 13 // 0 or 8: address, netmask
	AttrSupportedAttributes           ConfigAttributeType = 14 // 2 octets each
	AttrInternalIP6Subnet             ConfigAttributeType = 15 // 17: address, prefix length
	AttrMIP6HomePrefix                ConfigAttributeType = 16 // RFC 5026
	AttrInternalIP6Link               ConfigAttributeType = 17 // RFC 5739
	AttrInternalIP6Prefix             ConfigAttributeType = 18 // RFC 5739
	AttrHomeAgentAddress              ConfigAttributeType = 19 // 3GPP TS 24.302
	AttrPCSCFIP4Address               ConfigAttributeType = 20 // RFC 7651
	AttrPCSCFIP6Address               ConfigAttributeType = 21 // RFC 7651
	AttrFTTKAT                        ConfigAttributeType = 22 // 3GPP TS 24.302
	AttrExternalSourceIP4NATInfo      ConfigAttributeType = 23 // 3GPP TS 29.139
	AttrTimeoutPeriodForLivenessCheck ConfigAttributeType = 24 // 3GPP TS 24.302
	AttrInternalDNSDomain             ConfigAttributeType = 25 // RFC 8598
	AttrInternalDNSSECTA              ConfigAttributeType = 26 // RFC 8598
	AttrEncdnsIP4                     ConfigAttributeType = 27 // RFC 9464
	AttrEncdnsIP6                     ConfigAttributeType = 28 // RFC 9464
	AttrEncdnsDigestInfo              ConfigAttributeType = 29 // RFC 9464
)

var configAttributeTypeNames = [...]string{
	AttrInternalIP4Address:            "INTERNAL_IP4_ADDRESS",
	AttrInternalIP4Netmask:            "INTERNAL_IP4_NETMASK",
	AttrInternalIP4DNS:                "INTERNAL_IP4_DNS",
	AttrInternalIP4NBNS:               "INTERNAL_IP4_NBNS",
	AttrInternalAddressExpiry:         "INTERNAL_ADDRESS_EXPIRY",
	AttrInternalIP4DHCP:               "INTERNAL_IP4_DHCP",
	AttrApplicationVersion:            "APPLICATION_VERSION",
	AttrInternalIP6Address:            "INTERNAL_IP6_ADDRESS",
	AttrInternalIP6DNS:                "INTERNAL_IP6_DNS",
	AttrInternalIP6NBNS:               "INTERNAL_IP6_NBNS",
	AttrInternalIP6DHCP:               "INTERNAL_IP6_DHCP",
	AttrInternalIP4Subnet:             "INTERNAL_IP4_SUBNET",
	AttrSupportedAttributes:           "SUPPORTED_ATTRIBUTES",
	AttrInternalIP6Subnet:             "INTERNAL_IP6_SUBNET",
	AttrMIP6HomePrefix:                "MIP6_HOME_PREFIX",
	AttrInternalIP6Link:               "INTERNAL_IP6_LINK",
	AttrInternalIP6Prefix:             "INTERNAL_IP6_PREFIX",
	AttrHomeAgentAddress:              "HOME_AGENT_ADDRESS",
	AttrPCSCFIP4Address:               "P_CSCF_IP4_ADDRESS",
	AttrPCSCFIP6Address:               "P_CSCF_IP6_ADDRESS",
	AttrFTTKAT:                        "FTT_KAT",
	AttrExternalSourceIP4NATInfo:      "EXTERNAL_SOURCE_IP4_NAT_INFO",
	AttrTimeoutPeriodForLivenessCheck: "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK",
	AttrInternalDNSDomain:             "INTERNAL_DNS_DOMAIN",
	AttrInternalDNSSECTA:              "INTERNAL_DNSSEC_TA",
	AttrEncdnsIP4:                     "ENCDNS_IP4",
	AttrEncdnsIP6:                     "ENCDNS_IP6",
	AttrEncdnsDigestInfo:              "ENCDNS_DIGEST_INFO",
}

// ConfigType is the kind of a configuration payload: IANA "IKEv2 Configuration
// Payload CFG Types".
type ConfigType uint8

// String returns the IANA name, such as "CFG_REQUEST".
func (t ConfigType) String() string { return nameOf(configTypeNames[:], int(t), "ConfigType") }

// Values.
const (
	ConfigRequest ConfigType = 1
	ConfigReply   ConfigType = 2
	ConfigSet     ConfigType = 3
	ConfigAck     ConfigType = 4
)

var configTypeNames = [...]string{
	ConfigRequest: "CFG_REQUEST",
	ConfigReply:   "CFG_REPLY",
	ConfigSet:     "CFG_SET",
	ConfigAck:     "CFG_ACK",
}
