package message

import "strconv"

// Port is the UDP port of KINK (RFC 4430 9).
const Port = 910

// Type is a KINK message type (RFC 4430 4).
type Type uint8

// Message types.
const (
	Create Type = 1
	Delete Type = 2
	Reply  Type = 3
	GetTGT Type = 4
	Ack    Type = 5
	Status Type = 6
)

var typeNames = [...]string{Create: "CREATE", Delete: "DELETE", Reply: "REPLY", GetTGT: "GETTGT", Ack: "ACK", Status: "STATUS"}

// String returns the name in RFC 4430 4, such as "CREATE".
func (t Type) String() string { return nameOf(typeNames[:], uint32(t), "Type") }

// IsCommand reports whether t begins a transaction.
func (t Type) IsCommand() bool { return t == Create || t == Delete || t == GetTGT || t == Status }

// PayloadType is a KINK payload type (RFC 4430 4.2).
type PayloadType uint8

// Payload types.
const (
	PayloadDone     PayloadType = 0 // no more payloads
	PayloadAPReq    PayloadType = 1
	PayloadAPRep    PayloadType = 2
	PayloadKRBError PayloadType = 3
	PayloadTGTReq   PayloadType = 4
	PayloadTGTRep   PayloadType = 5
	PayloadISAKMP   PayloadType = 6
	PayloadEncrypt  PayloadType = 7
	PayloadError    PayloadType = 8
)

var payloadNames = [...]string{
	PayloadDone: "KINK_DONE", PayloadAPReq: "KINK_AP_REQ", PayloadAPRep: "KINK_AP_REP", PayloadKRBError: "KINK_KRB_ERROR", PayloadTGTReq: "KINK_TGT_REQ",
	PayloadTGTRep: "KINK_TGT_REP", PayloadISAKMP: "KINK_ISAKMP", PayloadEncrypt: "KINK_ENCRYPT", PayloadError: "KINK_ERROR",
}

// String returns the name in RFC 4430 4.2, such as "KINK_AP_REQ".
func (t PayloadType) String() string { return nameOf(payloadNames[:], uint32(t), "PayloadType") }

// ErrorCode is the code of a KINK_ERROR payload (RFC 4430 4.2.8).
type ErrorCode uint32

// Error codes.
const (
	OK        ErrorCode = 0 // must not be sent
	ProtoErr  ErrorCode = 1 // the message was malformed
	InvDOI    ErrorCode = 2 // invalid DOI
	InvMaj    ErrorCode = 3 // invalid major version
	InvMin    ErrorCode = 4 // reserved; racoon2's kinkd sends it for a header with reserved bits
	IntErr    ErrorCode = 5 // unrecoverable internal error
	BadQMVers ErrorCode = 6 // unsupported Quick Mode version
	U2UDenied ErrorCode = 7 // returning a TGT is prohibited
)

var errorNames = [...]string{
	OK: "KINK_OK", ProtoErr: "KINK_PROTOERR", InvDOI: "KINK_INVDOI", InvMaj: "KINK_INVMAJ", InvMin: "KINK_INVMIN", IntErr: "KINK_INTERR",
	BadQMVers: "KINK_BADQMVERS", U2UDenied: "KINK_U2UDENIED",
}

// String returns the name in RFC 4430 4.2.8, such as "KINK_PROTOERR".
func (c ErrorCode) String() string { return nameOf(errorNames[:], uint32(c), "ErrorCode") }

// DOIIPsec is the IPsec domain of interpretation, the only one there is for
// KINK.
const DOIIPsec = 1

func nameOf(names []string, n uint32, kind string) string {
	if uint64(n) < uint64(len(names)) && names[n] != "" {
		return names[n]
	}
	return kind + "(" + strconv.FormatUint(uint64(n), 10) + ")"
}
