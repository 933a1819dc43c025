package message

// ExchangeType is an exchange type: IANA "IKEv2 Exchange Types".
type ExchangeType uint8

// String returns the IANA name, such as "IKE_SA_INIT".
func (t ExchangeType) String() string { return nameOf(exchangeTypeNames[:], int(t), "ExchangeType") }

// Values.
const (
	ExchangeIKESAInit        ExchangeType = 34
	ExchangeIKEAuth          ExchangeType = 35
	ExchangeCreateChildSA    ExchangeType = 36
	ExchangeInformational    ExchangeType = 37
	ExchangeIKESessionResume ExchangeType = 38 // RFC 5723
	ExchangeGSAAuth          ExchangeType = 39 // G-IKEv2
	ExchangeGSARegistration  ExchangeType = 40 // G-IKEv2
	ExchangeGSARekey         ExchangeType = 41 // G-IKEv2
	ExchangeGSAInbandRekey   ExchangeType = 42 // G-IKEv2
	ExchangeIKEIntermediate  ExchangeType = 43 // RFC 9242
	ExchangeIKEFollowupKE    ExchangeType = 44 // RFC 9370
)

var exchangeTypeNames = [...]string{
	ExchangeIKESAInit:        "IKE_SA_INIT",
	ExchangeIKEAuth:          "IKE_AUTH",
	ExchangeCreateChildSA:    "CREATE_CHILD_SA",
	ExchangeInformational:    "INFORMATIONAL",
	ExchangeIKESessionResume: "IKE_SESSION_RESUME",
	ExchangeGSAAuth:          "GSA_AUTH",
	ExchangeGSARegistration:  "GSA_REGISTRATION",
	ExchangeGSARekey:         "GSA_REKEY",
	ExchangeGSAInbandRekey:   "GSA_INBAND_REKEY",
	ExchangeIKEIntermediate:  "IKE_INTERMEDIATE",
	ExchangeIKEFollowupKE:    "IKE_FOLLOWUP_KE",
}
