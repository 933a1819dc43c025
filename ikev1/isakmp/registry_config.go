package isakmp

// ConfigType is a type of an [Attributes] payload: draft-dukes-ike-mode-cfg-02
// 3.3.
type ConfigType uint8

// String returns the draft's name, such as "ISAKMP_CFG_REQUEST".
func (t ConfigType) String() string { return nameOf(configTypeNames[:], int(t), "ConfigType") }

// Values.
const (
	ConfigRequest ConfigType = 1
	ConfigReply   ConfigType = 2
	ConfigSet     ConfigType = 3
	ConfigAck     ConfigType = 4
)

var configTypeNames = [...]string{
	ConfigRequest: "ISAKMP_CFG_REQUEST", ConfigReply: "ISAKMP_CFG_REPLY", ConfigSet: "ISAKMP_CFG_SET", ConfigAck: "ISAKMP_CFG_ACK",
}

// ConfigAttributeType is a type of an attribute of the Transaction exchange:
// draft-dukes-ike-mode-cfg-02 3.4, draft-beaulieu-ike-xauth-02 6, and private
// numbers.
type ConfigAttributeType uint16

// String returns the name, such as "INTERNAL_IP4_ADDRESS".
func (t ConfigAttributeType) String() string {
	return nameIn(configAttributeNames, t, "ConfigAttributeType")
}

// Mode-config (draft-dukes-ike-mode-cfg-02 3.4).
const (
	AttrInternalIP4Address    ConfigAttributeType = 1
	AttrInternalIP4Netmask    ConfigAttributeType = 2
	AttrInternalIP4DNS        ConfigAttributeType = 3
	AttrInternalIP4NBNS       ConfigAttributeType = 4
	AttrInternalAddressExpiry ConfigAttributeType = 5 // seconds
	AttrInternalIP4DHCP       ConfigAttributeType = 6
	AttrApplicationVersion    ConfigAttributeType = 7
	AttrInternalIP6Address    ConfigAttributeType = 8
	AttrInternalIP6Netmask    ConfigAttributeType = 9
	AttrInternalIP6DNS        ConfigAttributeType = 10
	AttrInternalIP6NBNS       ConfigAttributeType = 11
	AttrInternalIP6DHCP       ConfigAttributeType = 12
	AttrInternalIP4Subnet     ConfigAttributeType = 13 // address and netmask
	AttrSupportedAttributes   ConfigAttributeType = 14
	AttrInternalIP6Subnet     ConfigAttributeType = 15 // address and prefix length
)

// XAuth (draft-beaulieu-ike-xauth-02 6).
const (
	AttrXAuthType         ConfigAttributeType = 16520 // basic, XAuthType
	AttrXAuthUserName     ConfigAttributeType = 16521
	AttrXAuthUserPassword ConfigAttributeType = 16522 // secret
	AttrXAuthPasscode     ConfigAttributeType = 16523 // secret
	AttrXAuthMessage      ConfigAttributeType = 16524 // text for the user
	AttrXAuthChallenge    ConfigAttributeType = 16525
	AttrXAuthDomain       ConfigAttributeType = 16526
	AttrXAuthStatus       ConfigAttributeType = 16527 // basic, XAuthStatusFail or XAuthStatusOK
	AttrXAuthNextPIN      ConfigAttributeType = 16528 // secret
	AttrXAuthAnswer       ConfigAttributeType = 16529 // secret
)

// Check Point's numbers for XAuth, from an early draft. They collide with those
// of mode-config; the vendor ID and the payload's other attributes tell which
// is meant. String returns the names of mode-config.
const (
	AttrCheckPointXAuthType         ConfigAttributeType = 13
	AttrCheckPointXAuthUserName     ConfigAttributeType = 14
	AttrCheckPointXAuthUserPassword ConfigAttributeType = 15 // secret
	AttrCheckPointXAuthPasscode     ConfigAttributeType = 16 // secret
	AttrCheckPointXAuthMessage      ConfigAttributeType = 17
	AttrCheckPointXAuthChallenge    ConfigAttributeType = 18
	AttrCheckPointXAuthDomain       ConfigAttributeType = 19
	AttrCheckPointXAuthStatus       ConfigAttributeType = 20
)

// Cisco Unity, of which there is no RFC.
const (
	AttrUnityBanner        ConfigAttributeType = 28672 // text for the user
	AttrUnitySavePassword  ConfigAttributeType = 28673 // basic, 1 if the client may save the password
	AttrUnityDefaultDomain ConfigAttributeType = 28674
	AttrUnitySplitDNS      ConfigAttributeType = 28675 // domains, separated by commas
	AttrUnitySplitInclude  ConfigAttributeType = 28676 // see UnityNetworks
	AttrUnityNATTPort      ConfigAttributeType = 28677 // basic, UDP port of cisco-udp encapsulation
	AttrUnityLocalLAN      ConfigAttributeType = 28678 // see UnityNetworks: excluded from the tunnel
	AttrUnityPFS           ConfigAttributeType = 28679 // basic, group
	AttrUnityFirewallType  ConfigAttributeType = 28680
	AttrUnityBackupServers ConfigAttributeType = 28681
	AttrUnityDDNSHostname  ConfigAttributeType = 28682
)

// Check Point's private attributes.
const (
	AttrCheckPointDefaultDomain ConfigAttributeType = 16387
	AttrCheckPointMACAddress    ConfigAttributeType = 16388
	AttrCheckPointReasonCode    ConfigAttributeType = 16389
)

var configAttributeNames = map[ConfigAttributeType]string{
	AttrInternalIP4Address:    "INTERNAL_IP4_ADDRESS",
	AttrInternalIP4Netmask:    "INTERNAL_IP4_NETMASK",
	AttrInternalIP4DNS:        "INTERNAL_IP4_DNS",
	AttrInternalIP4NBNS:       "INTERNAL_IP4_NBNS",
	AttrInternalAddressExpiry: "INTERNAL_ADDRESS_EXPIRY",
	AttrInternalIP4DHCP:       "INTERNAL_IP4_DHCP",
	AttrApplicationVersion:    "APPLICATION_VERSION",
	AttrInternalIP6Address:    "INTERNAL_IP6_ADDRESS",
	AttrInternalIP6Netmask:    "INTERNAL_IP6_NETMASK",
	AttrInternalIP6DNS:        "INTERNAL_IP6_DNS",
	AttrInternalIP6NBNS:       "INTERNAL_IP6_NBNS",
	AttrInternalIP6DHCP:       "INTERNAL_IP6_DHCP",
	AttrInternalIP4Subnet:     "INTERNAL_IP4_SUBNET",
	AttrSupportedAttributes:   "SUPPORTED_ATTRIBUTES",
	AttrInternalIP6Subnet:     "INTERNAL_IP6_SUBNET",

	AttrCheckPointDefaultDomain: "CHKPT_DEF_DOMAIN",
	AttrCheckPointMACAddress:    "CHKPT_MAC_ADDRESS",
	AttrCheckPointReasonCode:    "CHKPT_MARCIPAN_REASON_CODE",

	AttrXAuthType:         "XAUTH_TYPE",
	AttrXAuthUserName:     "XAUTH_USER_NAME",
	AttrXAuthUserPassword: "XAUTH_USER_PASSWORD",
	AttrXAuthPasscode:     "XAUTH_PASSCODE",
	AttrXAuthMessage:      "XAUTH_MESSAGE",
	AttrXAuthChallenge:    "XAUTH_CHALLENGE",
	AttrXAuthDomain:       "XAUTH_DOMAIN",
	AttrXAuthStatus:       "XAUTH_STATUS",
	AttrXAuthNextPIN:      "XAUTH_NEXT_PIN",
	AttrXAuthAnswer:       "XAUTH_ANSWER",

	AttrUnityBanner:        "UNITY_BANNER",
	AttrUnitySavePassword:  "UNITY_SAVE_PASSWD",
	AttrUnityDefaultDomain: "UNITY_DEF_DOMAIN",
	AttrUnitySplitDNS:      "UNITY_SPLIT_DOMAIN",
	AttrUnitySplitInclude:  "UNITY_SPLIT_INCLUDE",
	AttrUnityNATTPort:      "UNITY_NATT_PORT",
	AttrUnityLocalLAN:      "UNITY_SPLIT_EXCLUDE",
	AttrUnityPFS:           "UNITY_PFS",
	AttrUnityFirewallType:  "UNITY_FW_TYPE",
	AttrUnityBackupServers: "UNITY_BACKUP_SERVERS",
	AttrUnityDDNSHostname:  "UNITY_DDNS_HOSTNAME",
}

// XAuthType is a value of XAUTH_TYPE: draft-beaulieu-ike-xauth-02 6.
type XAuthType uint16

// String returns the draft's name.
func (t XAuthType) String() string { return nameOf(xauthTypeNames[:], int(t), "XAuthType") }

// Values.
const (
	XAuthGeneric XAuthType = 0
	XAuthCHAP    XAuthType = 1
	XAuthOTP     XAuthType = 2
	XAuthSKEY    XAuthType = 3
)

var xauthTypeNames = [...]string{XAuthGeneric: "Generic", XAuthCHAP: "RADIUS-CHAP", XAuthOTP: "OTP", XAuthSKEY: "S/KEY"}

// Values of XAUTH_STATUS (draft-beaulieu-ike-xauth-02 6).
const (
	XAuthStatusFail uint16 = 0
	XAuthStatusOK   uint16 = 1
)
