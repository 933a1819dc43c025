package message

// PayloadType is a payload type: IANA "IKEv2 Payload Types".
type PayloadType uint8

// String returns the notation that RFC 7296 3.2 uses: "SA", "KE", "IDi", "N"...
func (t PayloadType) String() string { return nameOf(payloadTypeNames[:], int(t), "PayloadType") }

// Values.
const (
	PayloadNone     PayloadType = 0  // no next payload
	PayloadSA       PayloadType = 33 // Security Association
	PayloadKE       PayloadType = 34 // Key Exchange
	PayloadIDi      PayloadType = 35 // Identification - Initiator
	PayloadIDr      PayloadType = 36 // Identification - Responder
	PayloadCERT     PayloadType = 37 // Certificate
	PayloadCERTREQ  PayloadType = 38 // Certificate Request
	PayloadAUTH     PayloadType = 39 // Authentication
	PayloadNonce    PayloadType = 40 // Ni, Nr
	PayloadNotify   PayloadType = 41 // Notify
	PayloadDelete   PayloadType = 42 // Delete
	PayloadVendorID PayloadType = 43 // Vendor ID
	PayloadTSi      PayloadType = 44 // Traffic Selector - Initiator
	PayloadTSr      PayloadType = 45 // Traffic Selector - Responder
	PayloadSK       PayloadType = 46 // Encrypted and Authenticated
	PayloadCP       PayloadType = 47 // Configuration
	PayloadEAP      PayloadType = 48 // Extensible Authentication
	PayloadGSPM     PayloadType = 49 // Generic Secure Password Method (RFC 6467)
	PayloadIDg      PayloadType = 50 // Group Identification (G-IKEv2)
	PayloadGSA      PayloadType = 51 // Group Security Association (G-IKEv2)
	PayloadKD       PayloadType = 52 // Key Download (G-IKEv2)
	PayloadSKF      PayloadType = 53 // Encrypted and Authenticated Fragment (RFC 7383)
	PayloadPS       PayloadType = 54 // Puzzle Solution (RFC 8019)
)

var payloadTypeNames = [...]string{
	PayloadNone:     "None",
	PayloadSA:       "SA",
	PayloadKE:       "KE",
	PayloadIDi:      "IDi",
	PayloadIDr:      "IDr",
	PayloadCERT:     "CERT",
	PayloadCERTREQ:  "CERTREQ",
	PayloadAUTH:     "AUTH",
	PayloadNonce:    "Nonce",
	PayloadNotify:   "N",
	PayloadDelete:   "D",
	PayloadVendorID: "V",
	PayloadTSi:      "TSi",
	PayloadTSr:      "TSr",
	PayloadSK:       "SK",
	PayloadCP:       "CP",
	PayloadEAP:      "EAP",
	PayloadGSPM:     "GSPM",
	PayloadIDg:      "IDg",
	PayloadGSA:      "GSA",
	PayloadKD:       "KD",
	PayloadSKF:      "SKF",
	PayloadPS:       "PS",
}
