package pfkey

import "fmt"

// A MsgType is the type of a message (RFC 2367 2.3.1 and what systems have
// added). The values are this package's own: they are the same for every
// system, and a [Dialect] knows the number that a system gives them. A number
// without a name in its dialect is 0x100 plus the number.
type MsgType uint16

// Message types of RFC 2367 3.1.
const (
	MsgReserved MsgType = 0
	MsgGetSPI   MsgType = 1
	MsgUpdate   MsgType = 2
	MsgAdd      MsgType = 3
	MsgDelete   MsgType = 4
	MsgGet      MsgType = 5
	MsgAcquire  MsgType = 6
	MsgRegister MsgType = 7
	MsgExpire   MsgType = 8
	MsgFlush    MsgType = 9
	MsgDump     MsgType = 10
	MsgPromisc  MsgType = 11
)

// Message types of KAME and its descendants, Linux among them; OpenBSD has
// none of them but MsgSPDDump.
const (
	MsgPChange        MsgType = 12
	MsgSPDUpdate      MsgType = 13
	MsgSPDAdd         MsgType = 14
	MsgSPDDelete      MsgType = 15 // by selector
	MsgSPDGet         MsgType = 16
	MsgSPDAcquire     MsgType = 17
	MsgSPDDump        MsgType = 18
	MsgSPDFlush       MsgType = 19
	MsgSPDSetIdx      MsgType = 20
	MsgSPDExpire      MsgType = 21
	MsgSPDDelete2     MsgType = 22 // by ID
	MsgNATTNewMapping MsgType = 23 // Linux, NetBSD
	MsgMigrate        MsgType = 24 // Linux: a policy's and its SAs' endpoints
)

// Message types of macOS alone.
const (
	MsgGetSAStat  MsgType = 32
	MsgSPDEnable  MsgType = 33
	MsgSPDDisable MsgType = 34
	MsgMigrateSA  MsgType = 35 // one SA's addresses
)

// Message types of OpenBSD alone.
const (
	MsgAddFlow   MsgType = 40
	MsgDelFlow   MsgType = 41
	MsgGrpSPIs   MsgType = 42
	MsgAskPolicy MsgType = 43
)

const unknownMsg MsgType = 0x100

var msgNames = map[MsgType]string{
	MsgReserved: "RESERVED", MsgGetSPI: "GETSPI", MsgUpdate: "UPDATE", MsgAdd: "ADD", MsgDelete: "DELETE", MsgGet: "GET",
	MsgAcquire: "ACQUIRE", MsgRegister: "REGISTER", MsgExpire: "EXPIRE", MsgFlush: "FLUSH", MsgDump: "DUMP", MsgPromisc: "X_PROMISC",
	MsgPChange: "X_PCHANGE", MsgSPDUpdate: "X_SPDUPDATE", MsgSPDAdd: "X_SPDADD", MsgSPDDelete: "X_SPDDELETE", MsgSPDGet: "X_SPDGET",
	MsgSPDAcquire: "X_SPDACQUIRE", MsgSPDDump: "X_SPDDUMP", MsgSPDFlush: "X_SPDFLUSH", MsgSPDSetIdx: "X_SPDSETIDX",
	MsgSPDExpire: "X_SPDEXPIRE", MsgSPDDelete2: "X_SPDDELETE2", MsgNATTNewMapping: "X_NAT_T_NEW_MAPPING", MsgMigrate: "X_MIGRATE",
	MsgGetSAStat: "GETSASTAT", MsgSPDEnable: "X_SPDENABLE", MsgSPDDisable: "X_SPDDISABLE", MsgMigrateSA: "MIGRATE",
	MsgAddFlow: "X_ADDFLOW", MsgDelFlow: "X_DELFLOW", MsgGrpSPIs: "X_GRPSPIS", MsgAskPolicy: "X_ASKPOLICY",
}

// String returns the name without SADB_, "X_SPDADD".
func (t MsgType) String() string {
	if n, ok := msgNames[t]; ok {
		return n
	}
	return fmt.Sprintf("MsgType(%d)", uint16(t&^unknownMsg))
}

// An SAType is the kind of SA that a message is about (RFC 2367 2.3.1). As
// with [MsgType] the values are the same for every system; a number without a
// name in its dialect is 0x100 plus the number.
type SAType uint16

// SA types. The numbers are those of every system but OpenBSD.
const (
	SATypeUnspec       SAType = 0
	SATypeAH           SAType = 2
	SATypeESP          SAType = 3
	SATypeRSVP         SAType = 5
	SATypeOSPFv2       SAType = 6
	SATypeRIPv2        SAType = 7
	SATypeMIP          SAType = 8
	SATypeIPComp       SAType = 9
	SATypePolicy       SAType = 10 // macOS
	SATypeTCPSignature SAType = 11 // FreeBSD, NetBSD, OpenBSD
	SATypeIPIP         SAType = 20 // OpenBSD
)

const unknownSAType SAType = 0x100

var saTypeNames = map[SAType]string{
	SATypeUnspec: "unspec", SATypeAH: "ah", SATypeESP: "esp", SATypeRSVP: "rsvp", SATypeOSPFv2: "ospfv2", SATypeRIPv2: "ripv2",
	SATypeMIP: "mip", SATypeIPComp: "ipcomp", SATypePolicy: "policy", SATypeTCPSignature: "tcp", SATypeIPIP: "ipip",
}

func (t SAType) String() string {
	if n, ok := saTypeNames[t]; ok {
		return n
	}
	return fmt.Sprintf("SAType(%d)", uint16(t&^unknownSAType))
}
