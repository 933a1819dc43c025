package vendorid

// Beginnings of vendor IDs. What follows is a version or a capability.
const (
	dpd           = "\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57" // RFC 3706 5.1
	unity         = "\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc" // of MD5("CISCO-UNITY")
	xauth         = "\x09\x00\x26\x89\xdf\xd6\xb7\x12"                         // of MD5("draft-ietf-ipsra-isakmp-xauth-06.txt")
	fragmentation = "\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3"
	windows       = "\x1e\x2b\x51\x69\x05\x99\x1c\x7d\x7c\x96\xfc\xbf\xb5\x87\xe4\x61"
	keyModules    = "\x01\x52\x8b\xbb\xc0\x06\x96\x12\x18\x49\xab\x9a\x1c\x5b\x2a\x51"
	authIPInitKE  = "\x7b\xb9\x38\x67\xd7\x6c\x8d\x80\xdf\x0f\x40\xfa\xe8\xfc\x3b\x19"
)

// texts are those whose MD5 is the vendor ID; a name says what the text does not.
var texts = []entry{
	// Products.
	{id: "strongSwan"},
	{id: "KAME/racoon"},
	{id: "IPSec-Tools", name: "ipsec-tools racoon"},
	{id: "forticlient connect license", name: "FortiClient"},
	{id: "Fortinet Endpoint Control"},
	{id: "SSH Sentinel"}, {id: "SSH Sentinel 1.1"}, {id: "SSH Sentinel 1.2"}, {id: "SSH Sentinel 1.3"}, {id: "SSH Sentinel 1.4"},
	{id: "SSH Sentinel 1.4.1"},
	{id: "SSH Communications Security QuickSec 0.9.0"}, {id: "SSH Communications Security QuickSec 1.1.0"},
	{id: "SSH Communications Security QuickSec 1.1.1"}, {id: "SSH Communications Security QuickSec 1.1.2"},
	{id: "SSH Communications Security QuickSec 1.1.3"}, {id: "SSH Communications Security QuickSec 2.1.0"},
	{id: "Microsoft Xbox One 2013"},

	// Microsoft's extensions.
	{id: "GSSAPI", name: "GSSAPI (Microsoft)", extension: GSSAPI},
	{id: "A GSS-API Authentication Method for IKE", extension: GSSAPI},
	{id: "A GSS-API Authentication Method for IKE\n", name: "A GSS-API Authentication Method for IKE", extension: GSSAPI},
	{id: "Vid-Initial-Contact", name: "Microsoft Initial-Contact", extension: InitialContact},
	{id: "MS-MamieExists", name: "Microsoft AuthIP"},
	{id: "MS-Negotiation Discovery Capable", name: "Microsoft Negotiation Discovery"},
	{id: "IKE CGA version 1", name: "Microsoft CGA"},
	{id: "NLBS_PRESENT", name: "Microsoft fast failover"},
	{id: "MSFT IPsec Security Realm Id", name: "Microsoft security realm"},

	// Drafts.
	{id: "draft-ietf-ipsec-nat-t-ike", name: "NAT traversal (draft-ietf-ipsec-nat-t-ike, Apple)"},
	{id: "draft-ietf-ipsec-nat-t-ike-09", name: "NAT traversal (draft-ietf-ipsec-nat-t-ike-09)"},
	{id: "RFC XXXX", name: "NAT traversal (draft before its number)"},
	{id: "Testing NAT-T RFC", name: "NAT traversal (testing)"},
	{id: "draft-stenberg-ipsec-nat-traversal-01"}, {id: "draft-stenberg-ipsec-nat-traversal-02"},
	{id: "draft-huttunen-ipsec-esp-in-udp-00.txt"}, {id: "ESPThruNAT", name: "draft-huttunen-ipsec-esp-in-udp-01"},
	{id: "IKE Challenge/Response for Authenticated Cryptographic Keys"},
	{id: "IKE Challenge/Response for Authenticated Cryptographic Keys\n", name: "IKE Challenge/Response for Authenticated Cryptographic Keys"},
	{id: "IKE Challenge/Response for Authenticated Cryptographic Keys (Revised)"},
}

// strongSwanVersions are those that announced themselves as "strongSwan " and the version; later ones say "strongSwan".
const strongSwanVersions = `
2.2.0 2.2.1 2.2.2 2.3.0 2.3.1 2.3.2 2.4.0 2.4.1 2.4.2 2.4.3 2.4.4 2.5.0 2.5.1 2.5.2 2.5.3 2.5.4 2.5.5 2.5.6 2.5.7
2.6.0 2.6.1 2.6.2 2.6.3 2.6.4 2.7.0 2.7.1 2.7.2 2.7.3 2.8.0 2.8.1 2.8.2 2.8.3 2.8.4 2.8.5 2.8.6 2.8.7 2.8.8 2.8.9
4.0.0 4.0.1 4.0.2 4.0.3 4.0.4 4.0.5 4.0.6 4.0.7 4.1.0 4.1.1 4.1.2 4.1.3 4.1.4 4.1.5 4.1.6 4.1.7 4.1.8 4.1.9 4.1.10 4.1.11
4.2.0 4.2.1 4.2.2 4.2.3 4.2.4 4.2.5 4.2.6 4.2.7 4.2.8 4.2.9 4.3.0 4.3.1 4.3.2 4.3.3 4.3.4 4.3.5 4.3.7
4.4.0 4.4.1 4.5.0 4.5.1 4.5.2 4.5.3 4.6.0 4.6.1 4.6.2 4.6.3 4.6.4
5.0.0 5.0.1 5.0.2 5.0.3 5.0.4 5.1.0 5.1.1
4.3.5rc1 5.0.2dr4 5.0.2rc1 5.0.3dr1 5.0.3dr2 5.0.3dr3 5.0.3rc1 5.1.0dr1 5.1.0dr2 5.1.0rc1 5.1.1dr1 5.1.1dr2 5.1.1dr3 5.1.1dr4 5.1.1rc1`

// sshVersions are those that announced themselves as "SSH Communications Security IPSEC Express version " and the version, up
// to 1.2.2 with a small "sh".
const sshVersions = `1.1.0 1.1.1 1.1.2 1.2.1 1.2.2 2.0.0 2.1.0 2.1.1 2.1.2 3.0.0 3.0.1 4.0.0 4.0.1 4.1.0 4.1.1 4.2.0 5.0 5.0.0 5.1.0 5.1.1`

// windowsVersions follow the MD5 of "MS NT5 ISAKMPOAKLEY", in four octets.
var windowsVersions = [...]string{
	2: "Windows 2000", 3: "Windows XP", 4: "Windows Server 2003", 5: "Windows Vista", 6: "Windows Server 2008",
	7: "Windows 7", 8: "Windows Server 2008 R2", 9: "Windows 8, 10 or Server 2012 R2",
}

// plain are vendor IDs of other origin, to be met whole.
var plain = []entry{
	{id: keyModules + "\x00\x00\x00\x00", name: "Windows key modules (IKE)"},
	{id: keyModules + "\x00\x00\x00\x01", name: "Windows key modules (AuthIP)"},
	{id: keyModules + "\x00\x00\x00\x02", name: "Windows key modules (IKEv2)"},
	{id: "\x66\x08\x22\xb3\xa7\x3a\x24\x41\x49\x57\x8d\x62\xe0\xeb\x46\xa0", name: "Xbox IKEv2 negotiation"},
	{id: "\xf6\xf7\xef\xc7\xf5\xae\xb8\xcb\x15\x8c\xb9\xd0\x94\xba\x69\xe7", name: "Cisco VPN 3000 client"},
	{id: "\x10\x1f\xb0\xb3\x5c\x5a\x4f\x4c\x08\xb9\x19\xf1\xcb\x97\x77\xb0", name: "NCP client"},
	{id: "\xf1\x4b\x94\xb7\xbf\xf1\xfe\xf0\x27\x73\xb8\xc4\x9f\xed\xed\x26", name: "Shrew Soft client"},
	{id: "\x1d\x6e\x17\x8f\x6c\x2c\x0b\xe2\x84\x98\x54\x65\x45\x0f\xe9\xd4", name: "FortiGate"},
	{id: "\xfd\x80\x88\x04\xdf\x73\xb1\x51\x50\x70\x9d\x87\x80\x44\xcd\xe0\xac\x1e\xfc\xde", name: "Juniper SRX"},
	{id: "\x84\x04\xad\xf9\xcd\xa0\x57\x60\xb2\xca\x29\x2e\x4b\xff\x53\x7b", name: "Sidewinder"},
	{id: "\xdb\xfb\x81\xeb\x57\x60\xb0\x78\x85\x62\x06\x7d\xa1\x02\xd7\x55", name: "Netgear"},
	{id: "\x62\x50\x27\x74\x9d\x5a\xb9\x7f\x56\x16\xc1\x60\x27\x65\xcf\x48\x0a\x3b\x7d\x0b", name: "ZyXEL ZyWALL"},
	{id: "\xb8\x58\xd1\xad\xdd\x08\xc1\xe8\xad\xaf\xea\x15\x06\x08\xaa\x44\x97\xaa\x6c\xc8", name: "ZyXEL ZyWALL"},
	{id: "\x3b\x90\x31\xdc\xe4\xfc\xf8\x8b\x48\x9a\x92\x39\x63\xdd\x0c\x49", name: "dead peer detection (next generation)"},
	{id: "\x09\x00\x26\x89\xdf\xd6\xb7\x12\x80\xa2\x24\xde\xc3\x3b\x81\xe5", name: "XAuth", extension: XAuth},
	{id: "CISCO-DELETE-REASON", name: "Cisco delete reason"},
	{id: "CISCO-DYNAMIC-ROUTE", name: "Cisco dynamic route"},
	{id: "CISCO-GRE-MODE", name: "Cisco GRE mode"},
	{id: "CISCOVPN-REV-02", name: "Cisco VPN revision 2"},
	{id: "LVC7.1.2:XP", name: "Lucent VPN client"},
	{id: "LVG9.2.245:BRICK:9.2.245", name: "Lucent VPN gateway"},
	{id: "FLEXVPN-SUPPORTED", name: "Cisco FlexVPN"},
	{id: "CISCO(COPYRIGHT)&Copyright (c) 2009 Cisco Systems, Inc.", name: "Cisco copyright"},
	{id: "Opportunistic IPsec", name: "opportunistic IPsec"},
}

// prefixes are vendor IDs that go on with a version or a capability.
var prefixes = []entry{
	{id: dpd, name: "dead peer detection", extension: DPD, length: len(dpd) + 2},
	{id: unity, name: "Cisco Unity", extension: Unity, length: len(unity) + 2},
	{id: xauth, name: "XAuth", extension: XAuth, length: len(xauth)},
	{id: fragmentation, name: "IKEv1 fragmentation", extension: Fragmentation, length: len(fragmentation)},
	{id: fragmentation, name: "IKEv1 fragmentation", extension: Fragmentation, length: len(fragmentation) + 4},
	{id: windows, name: "Windows"},
	{id: authIPInitKE, name: "Windows AuthIP initial key exchange"},
	{id: "\x1f\x07\xf7\x0e\xaa\x65\x14\xd3\xb0\xfa\x96\x54\x2a", name: "Cisco VPN concentrator"},
	{id: "\x82\x99\x03\x17\x57\xa3\x60\x82\xc6\xa6\x21\xde", name: "FortiGate"}, // of MD5("FORTIGATE")
	{id: "\xf4\xed\x19\xe0\xc1\x14\xeb\x51\x6f\xaa\xac\x0e\xe3\x7d\xaf\x28\x07\xb4\x38\x1f", name: "Check Point"},
	{id: "\x47\xbb\xe7\xc9\x93\xf1\xfc\x13\xb4\xe6\xd0\xdb\x56\x5c\x68\xe5", name: "SafeNet SoftRemote"},
	{id: "\x40\x4b\xf4\x39\x52\x2c\xa3\xf6", name: "SonicWall"},
	{id: "\x5b\x36\x2b\xc8\x20\xf6\x00", name: "SonicWall"},
	{id: "\xda\x8e\x93\x78\x80\x01\x00\x00", name: "SonicWall"},
	{id: "HeartBeat_Notify", name: "NetScreen heartbeat"},
	{id: "HeartBeat Notify", name: "NetScreen heartbeat"},
	{id: "OpenIKED-", name: "OpenIKED"},
	{id: "OpenIKED", name: "OpenIKED"},
	{id: "OE-Libreswan-", name: "Libreswan"},
	{id: "OSW", name: "Openswan", length: 12},
	{id: "OE", name: "FreeS/WAN, Openswan or Libreswan before 3.6", length: 12}, // "OE" and ten printable octets of a hash
	{id: "BNES", name: "Nortel Contivity", length: 8},
	{id: "Mac OSX 10.x", name: "Mac OS X"},
	{id: "TIMESTEP", name: "TimeStep"},
	{id: "VIA Auth Profile : ", name: "Aruba VIA profile"},
	{id: "Raptor PowerVpn Server", name: "Symantec Raptor"},
	{id: "OpenPGP", name: "OpenPGP"},
}
