package pfkey

import "fmt"

// An ExtType is the type of an extension. Those of RFC 2367 have their numbers;
// the others have values of this package's own, since one number means
// different things on different systems. A number without a name in its
// dialect is 0x10000 plus the number.
type ExtType uint32

// Extensions of RFC 2367 3.2.
const (
	ExtSA               ExtType = 1
	ExtLifetimeCurrent  ExtType = 2
	ExtLifetimeHard     ExtType = 3
	ExtLifetimeSoft     ExtType = 4
	ExtAddressSrc       ExtType = 5
	ExtAddressDst       ExtType = 6
	ExtAddressProxy     ExtType = 7
	ExtKeyAuth          ExtType = 8
	ExtKeyEncrypt       ExtType = 9
	ExtIdentitySrc      ExtType = 10
	ExtIdentityDst      ExtType = 11
	ExtSensitivity      ExtType = 12
	ExtProposal         ExtType = 13
	ExtSupportedAuth    ExtType = 14
	ExtSupportedEncrypt ExtType = 15
	ExtSPIRange         ExtType = 16
)

// Extensions of KAME and its descendants, Linux among them.
const (
	ExtKMPrivate     ExtType = 32 + iota // not OpenBSD
	ExtPolicy                            // not OpenBSD
	ExtSA2                               // not OpenBSD: mode and request ID
	ExtNATTType                          // Linux, FreeBSD, NetBSD, as are the next three
	ExtNATTSPort                         //
	ExtNATTDPort                         //
	ExtNATTOAI                           // the initiator's original address; NAT_T_OA on Linux
	ExtNATTOAR                           // the responder's original address; FreeBSD, NetBSD
	ExtNATTFrag                          // FreeBSD, NetBSD
	ExtSecCtx                            // Linux
	ExtKMAddress                         // Linux
	ExtFilter                            // Linux
	ExtSAReplay                          // FreeBSD
	ExtNewAddressSrc                     // FreeBSD
	ExtNewAddressDst                     // FreeBSD
	ExtSessionID                         // macOS, as are all that follow
	ExtSAStat
	ExtIPsecIf
	ExtRangeSrcStart
	ExtRangeSrcEnd
	ExtRangeDstStart
	ExtRangeDstEnd
	ExtMigrateSrc
	ExtMigrateDst
	ExtMigrateIPsecIf
)

// Extensions of OpenBSD.
const (
	ExtSrcMask ExtType = 80 + iota
	ExtDstMask
	ExtProtocol
	ExtFlowType
	ExtSrcFlow
	ExtDstFlow
	ExtSecondSA // SADB_X_EXT_SA2, another SA for GRPSPIS
	ExtDst2
	ExtPolicySeq // SADB_X_EXT_POLICY, for ASKPOLICY
	ExtLocalCredentials
	ExtRemoteCredentials
	ExtLocalAuth
	ExtRemoteAuth
	ExtSupportedComp
	ExtUDPEncap
	ExtLifetimeLastUse
	ExtTag
	ExtTap
	ExtSAType2
	ExtCounter
	ExtRDomain
	ExtMTU
	ExtReplay // the replay counter, not the window
	ExtIface
)

const unknownExt ExtType = 0x10000

var extNames = map[ExtType]string{
	ExtSA: "SA", ExtLifetimeCurrent: "LIFETIME_CURRENT", ExtLifetimeHard: "LIFETIME_HARD", ExtLifetimeSoft: "LIFETIME_SOFT",
	ExtAddressSrc: "ADDRESS_SRC", ExtAddressDst: "ADDRESS_DST", ExtAddressProxy: "ADDRESS_PROXY", ExtKeyAuth: "KEY_AUTH",
	ExtKeyEncrypt: "KEY_ENCRYPT", ExtIdentitySrc: "IDENTITY_SRC", ExtIdentityDst: "IDENTITY_DST", ExtSensitivity: "SENSITIVITY",
	ExtProposal: "PROPOSAL", ExtSupportedAuth: "SUPPORTED_AUTH", ExtSupportedEncrypt: "SUPPORTED_ENCRYPT", ExtSPIRange: "SPIRANGE",
	ExtKMPrivate: "X_KMPRIVATE", ExtPolicy: "X_POLICY", ExtSA2: "X_SA2", ExtNATTType: "X_NAT_T_TYPE", ExtNATTSPort: "X_NAT_T_SPORT",
	ExtNATTDPort: "X_NAT_T_DPORT", ExtNATTOAI: "X_NAT_T_OAI", ExtNATTOAR: "X_NAT_T_OAR", ExtNATTFrag: "X_NAT_T_FRAG",
	ExtSecCtx: "X_SEC_CTX", ExtKMAddress: "X_KMADDRESS", ExtFilter: "X_FILTER", ExtSAReplay: "X_SA_REPLAY",
	ExtNewAddressSrc: "X_NEW_ADDRESS_SRC", ExtNewAddressDst: "X_NEW_ADDRESS_DST", ExtSessionID: "SESSION_ID", ExtSAStat: "SASTAT",
	ExtIPsecIf: "X_IPSECIF", ExtRangeSrcStart: "X_ADDR_RANGE_SRC_START", ExtRangeSrcEnd: "X_ADDR_RANGE_SRC_END",
	ExtRangeDstStart: "X_ADDR_RANGE_DST_START", ExtRangeDstEnd: "X_ADDR_RANGE_DST_END", ExtMigrateSrc: "MIGRATE_ADDRESS_SRC",
	ExtMigrateDst: "MIGRATE_ADDRESS_DST", ExtMigrateIPsecIf: "X_MIGRATE_IPSECIF",
	ExtSrcMask: "X_SRC_MASK", ExtDstMask: "X_DST_MASK", ExtProtocol: "X_PROTOCOL", ExtFlowType: "X_FLOW_TYPE", ExtSrcFlow: "X_SRC_FLOW",
	ExtDstFlow: "X_DST_FLOW", ExtSecondSA: "X_SA2", ExtDst2: "X_DST2", ExtPolicySeq: "X_POLICY", ExtLocalCredentials: "X_LOCAL_CREDENTIALS",
	ExtRemoteCredentials: "X_REMOTE_CREDENTIALS", ExtLocalAuth: "X_LOCAL_AUTH", ExtRemoteAuth: "X_REMOTE_AUTH",
	ExtSupportedComp: "X_SUPPORTED_COMP", ExtUDPEncap: "X_UDPENCAP", ExtLifetimeLastUse: "X_LIFETIME_LASTUSE", ExtTag: "X_TAG",
	ExtTap: "X_TAP", ExtSAType2: "X_SATYPE2", ExtCounter: "X_COUNTER", ExtRDomain: "X_RDOMAIN", ExtMTU: "X_MTU", ExtReplay: "X_REPLAY",
	ExtIface: "X_IFACE",
}

// String returns the name without SADB_EXT_, "ADDRESS_SRC"; names that begin
// with SADB_X_EXT_ begin with X_.
func (t ExtType) String() string {
	if n, ok := extNames[t]; ok {
		return n
	}
	return fmt.Sprintf("ExtType(%d)", uint32(t&^unknownExt))
}
