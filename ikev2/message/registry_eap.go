package message

// EAPType is an EAP method type: IANA "EAP Method Types" (RFC 3748).
type EAPType uint8

// String returns the name of the method.
func (t EAPType) String() string { return nameOf(eAPTypeNames[:], int(t), "EAPType") }

// Values.
const (
	EAPTypeIdentity     EAPType = 1
	EAPTypeNotification EAPType = 2
	EAPTypeNak          EAPType = 3 // responses only
	EAPTypeMD5Challenge EAPType = 4
	EAPTypeOTP          EAPType = 5
	EAPTypeGTC          EAPType = 6  // Generic Token Card
	EAPTypeTLS          EAPType = 13 // RFC 5216, RFC 9190
	EAPTypeSIM          EAPType = 18 // RFC 4186
	EAPTypeTTLS         EAPType = 21 // RFC 5281
	EAPTypeAKA          EAPType = 23 // RFC 4187
	EAPTypePEAP         EAPType = 25
	EAPTypeMSCHAPv2     EAPType = 26
	EAPTypeTNC          EAPType = 38
	EAPTypeFAST         EAPType = 43  // RFC 4851
	EAPTypeAKAPrime     EAPType = 50  // RFC 5448, RFC 9048
	EAPTypePWD          EAPType = 52  // RFC 5931
	EAPTypeTEAP         EAPType = 55  // RFC 7170
	EAPTypeExpanded     EAPType = 254 // RFC 3748 5.7
)

var eAPTypeNames = [...]string{
	EAPTypeIdentity:     "Identity",
	EAPTypeNotification: "Notification",
	EAPTypeNak:          "Nak",
	EAPTypeMD5Challenge: "MD5-Challenge",
	EAPTypeOTP:          "OTP",
	EAPTypeGTC:          "GTC",
	EAPTypeTLS:          "TLS",
	EAPTypeSIM:          "SIM",
	EAPTypeTTLS:         "TTLS",
	EAPTypeAKA:          "AKA",
	EAPTypePEAP:         "PEAP",
	EAPTypeMSCHAPv2:     "MSCHAPv2",
	EAPTypeTNC:          "TNC",
	EAPTypeFAST:         "FAST",
	EAPTypeAKAPrime:     "AKA'",
	EAPTypePWD:          "PWD",
	EAPTypeTEAP:         "TEAP",
	EAPTypeExpanded:     "Expanded",
}

// EAPCode is the code of an EAP packet: IANA "EAP Packet Codes".
type EAPCode uint8

// String returns the name of the code.
func (c EAPCode) String() string { return nameOf(eapCodeNames[:], int(c), "EAPCode") }

// Values.
const (
	EAPRequest  EAPCode = 1
	EAPResponse EAPCode = 2
	EAPSuccess  EAPCode = 3
	EAPFailure  EAPCode = 4
	EAPInitiate EAPCode = 5 // RFC 6696
	EAPFinish   EAPCode = 6 // RFC 6696
)

var eapCodeNames = [...]string{
	EAPRequest:  "Request",
	EAPResponse: "Response",
	EAPSuccess:  "Success",
	EAPFailure:  "Failure",
	EAPInitiate: "Initiate",
	EAPFinish:   "Finish",
}
