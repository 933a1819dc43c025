package isakmp

// ExchangeType is an exchange type: IANA "ISAKMP Exchange Types".
type ExchangeType uint8

// String returns the name in RFC 2408 3.1 or RFC 2409 Appendix A, such as
// "Identity Protection".
func (t ExchangeType) String() string { return nameOf(exchangeTypeNames[:], int(t), "ExchangeType") }

// Values.
const (
	ExchangeNone               ExchangeType = 0
	ExchangeBase               ExchangeType = 1
	ExchangeIdentityProtection ExchangeType = 2 // Main Mode
	ExchangeAuthOnly           ExchangeType = 3
	ExchangeAggressive         ExchangeType = 4
	ExchangeInformational      ExchangeType = 5
	ExchangeTransaction        ExchangeType = 6  // draft-dukes-ike-mode-cfg
	ExchangeQuickMode          ExchangeType = 32 // RFC 2409 5.5
	ExchangeNewGroupMode       ExchangeType = 33 // RFC 2409 5.6
)

var exchangeTypeNames = [...]string{
	ExchangeNone:               "None",
	ExchangeBase:               "Base",
	ExchangeIdentityProtection: "Identity Protection",
	ExchangeAuthOnly:           "Authentication Only",
	ExchangeAggressive:         "Aggressive",
	ExchangeInformational:      "Informational",
	ExchangeTransaction:        "Transaction",
	ExchangeQuickMode:          "Quick Mode",
	ExchangeNewGroupMode:       "New Group Mode",
}
