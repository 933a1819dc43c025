package isakmp

// NotifyType is a Notify Message Type: RFC 2408 3.14.1 and RFC 2407 4.6.3.
type NotifyType uint16

// statusTypes is where status types begin.
const statusTypes = 16384

// IsError reports whether t is an error type, known or not: 1 to 16383.
func (t NotifyType) IsError() bool { return t > 0 && t < statusTypes }

// String returns the RFC's name, such as "NO-PROPOSAL-CHOSEN".
func (t NotifyType) String() string { return nameIn(notifyNames, t, "NotifyType") }

// Error types (RFC 2408 3.14.1).
const (
	NotifyInvalidPayloadType      NotifyType = 1
	NotifyDOINotSupported         NotifyType = 2
	NotifySituationNotSupported   NotifyType = 3
	NotifyInvalidCookie           NotifyType = 4
	NotifyInvalidMajorVersion     NotifyType = 5
	NotifyInvalidMinorVersion     NotifyType = 6
	NotifyInvalidExchangeType     NotifyType = 7
	NotifyInvalidFlags            NotifyType = 8
	NotifyInvalidMessageID        NotifyType = 9
	NotifyInvalidProtocolID       NotifyType = 10
	NotifyInvalidSPI              NotifyType = 11
	NotifyInvalidTransformID      NotifyType = 12
	NotifyAttributesNotSupported  NotifyType = 13
	NotifyNoProposalChosen        NotifyType = 14
	NotifyBadProposalSyntax       NotifyType = 15
	NotifyPayloadMalformed        NotifyType = 16
	NotifyInvalidKeyInformation   NotifyType = 17
	NotifyInvalidIDInformation    NotifyType = 18
	NotifyInvalidCertEncoding     NotifyType = 19
	NotifyInvalidCertificate      NotifyType = 20
	NotifyCertTypeUnsupported     NotifyType = 21
	NotifyInvalidCertAuthority    NotifyType = 22
	NotifyInvalidHashInformation  NotifyType = 23
	NotifyAuthenticationFailed    NotifyType = 24
	NotifyInvalidSignature        NotifyType = 25
	NotifyAddressNotification     NotifyType = 26
	NotifySALifetime              NotifyType = 27
	NotifyCertificateUnavailable  NotifyType = 28
	NotifyUnsupportedExchangeType NotifyType = 29
	NotifyUnequalPayloadLengths   NotifyType = 30
)

// Status types.
const (
	NotifyConnected         NotifyType = 16384 // RFC 2408
	NotifyResponderLifetime NotifyType = 24576 // RFC 2407 4.6.3.1
	NotifyReplayStatus      NotifyType = 24577 // RFC 2407 4.6.3.2
	NotifyInitialContact    NotifyType = 24578 // RFC 2407 4.6.3.3

	NotifyRUThere    NotifyType = 36136 // RFC 3706
	NotifyRUThereAck NotifyType = 36137 // RFC 3706

	// Private types of vendors.
	NotifyCiscoHello       NotifyType = 30000
	NotifyCiscoWWTEBR      NotifyType = 30001
	NotifyCiscoShutUp      NotifyType = 30002
	NotifyIOSKeepAlive     NotifyType = 32768
	NotifyIOSKeepAliveAck  NotifyType = 32769
	NotifyNetScreenNHTB    NotifyType = 40001
	NotifyUnityLoadBalance NotifyType = 40501 // the address to turn to, see UnityLoadBalance
	NotifyUnityUnknown     NotifyType = 40502
	NotifyUnityGroupHash   NotifyType = 40503
)

var notifyNames = map[NotifyType]string{
	NotifyInvalidPayloadType:      "INVALID-PAYLOAD-TYPE",
	NotifyDOINotSupported:         "DOI-NOT-SUPPORTED",
	NotifySituationNotSupported:   "SITUATION-NOT-SUPPORTED",
	NotifyInvalidCookie:           "INVALID-COOKIE",
	NotifyInvalidMajorVersion:     "INVALID-MAJOR-VERSION",
	NotifyInvalidMinorVersion:     "INVALID-MINOR-VERSION",
	NotifyInvalidExchangeType:     "INVALID-EXCHANGE-TYPE",
	NotifyInvalidFlags:            "INVALID-FLAGS",
	NotifyInvalidMessageID:        "INVALID-MESSAGE-ID",
	NotifyInvalidProtocolID:       "INVALID-PROTOCOL-ID",
	NotifyInvalidSPI:              "INVALID-SPI",
	NotifyInvalidTransformID:      "INVALID-TRANSFORM-ID",
	NotifyAttributesNotSupported:  "ATTRIBUTES-NOT-SUPPORTED",
	NotifyNoProposalChosen:        "NO-PROPOSAL-CHOSEN",
	NotifyBadProposalSyntax:       "BAD-PROPOSAL-SYNTAX",
	NotifyPayloadMalformed:        "PAYLOAD-MALFORMED",
	NotifyInvalidKeyInformation:   "INVALID-KEY-INFORMATION",
	NotifyInvalidIDInformation:    "INVALID-ID-INFORMATION",
	NotifyInvalidCertEncoding:     "INVALID-CERT-ENCODING",
	NotifyInvalidCertificate:      "INVALID-CERTIFICATE",
	NotifyCertTypeUnsupported:     "CERT-TYPE-UNSUPPORTED",
	NotifyInvalidCertAuthority:    "INVALID-CERT-AUTHORITY",
	NotifyInvalidHashInformation:  "INVALID-HASH-INFORMATION",
	NotifyAuthenticationFailed:    "AUTHENTICATION-FAILED",
	NotifyInvalidSignature:        "INVALID-SIGNATURE",
	NotifyAddressNotification:     "ADDRESS-NOTIFICATION",
	NotifySALifetime:              "NOTIFY-SA-LIFETIME",
	NotifyCertificateUnavailable:  "CERTIFICATE-UNAVAILABLE",
	NotifyUnsupportedExchangeType: "UNSUPPORTED-EXCHANGE-TYPE",
	NotifyUnequalPayloadLengths:   "UNEQUAL-PAYLOAD-LENGTHS",

	NotifyConnected:         "CONNECTED",
	NotifyResponderLifetime: "RESPONDER-LIFETIME",
	NotifyReplayStatus:      "REPLAY-STATUS",
	NotifyInitialContact:    "INITIAL-CONTACT",
	NotifyRUThere:           "R-U-THERE",
	NotifyRUThereAck:        "R-U-THERE-ACK",

	NotifyCiscoHello:       "CISCO-HELLO",
	NotifyCiscoWWTEBR:      "CISCO-WWTEBR",
	NotifyCiscoShutUp:      "CISCO-SHUT-UP",
	NotifyIOSKeepAlive:     "IOS-KEEP-ALIVE-REQ",
	NotifyIOSKeepAliveAck:  "IOS-KEEP-ALIVE-ACK",
	NotifyNetScreenNHTB:    "NETSCREEN-NHTB-INFORM",
	NotifyUnityLoadBalance: "UNITY-LOAD-BALANCE",
	NotifyUnityUnknown:     "UNITY-UNKNOWN",
	NotifyUnityGroupHash:   "UNITY-GROUP-HASH",
}
