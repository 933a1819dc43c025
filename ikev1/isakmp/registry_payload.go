package isakmp

// PayloadType is a payload type: IANA "ISAKMP Next Payload Types".
type PayloadType uint8

// String returns the notation of RFC 2408 3.1 and its successors: "SA", "KE",
// "ID", "N"...
func (t PayloadType) String() string { return nameIn(payloadTypeNames, t, "PayloadType") }

// Values.
const (
	PayloadNone       PayloadType = 0  // no next payload
	PayloadSA         PayloadType = 1  // Security Association
	PayloadProposal   PayloadType = 2  // only inside of SA
	PayloadTransform  PayloadType = 3  // only inside of SA
	PayloadKE         PayloadType = 4  // Key Exchange
	PayloadID         PayloadType = 5  // Identification
	PayloadCERT       PayloadType = 6  // Certificate
	PayloadCR         PayloadType = 7  // Certificate Request
	PayloadHASH       PayloadType = 8  // Hash
	PayloadSIG        PayloadType = 9  // Signature
	PayloadNonce      PayloadType = 10 // Nonce
	PayloadNotify     PayloadType = 11 // Notification
	PayloadDelete     PayloadType = 12 // Delete
	PayloadVendorID   PayloadType = 13 // Vendor ID
	PayloadAttributes PayloadType = 14 // mode-config and XAuth (draft-dukes-ike-mode-cfg)
	PayloadSAK        PayloadType = 15 // SA KEK (GDOI)
	PayloadSAT        PayloadType = 16 // SA TEK (GDOI)
	PayloadKD         PayloadType = 17 // Key Download (GDOI)
	PayloadSEQ        PayloadType = 18 // Sequence Number (GDOI)
	PayloadPOP        PayloadType = 19 // Proof of Possession (GDOI)
	PayloadNATD       PayloadType = 20 // NAT Discovery (RFC 3947)
	PayloadNATOA      PayloadType = 21 // NAT Original Address (RFC 3947)
	PayloadGAP        PayloadType = 22 // Group Associated Policy (GDOI, RFC 6407)

	// Numbers of NAT-D and NAT-OA before RFC 3947. 15 and 16 are those of
	// draft-ietf-ipsec-nat-t-ike-04 to 08 and mean SAK and SAT otherwise; what
	// they mean follows from the vendor IDs of the exchange.
	PayloadNATDDraft04  PayloadType = 15
	PayloadNATOADraft04 PayloadType = 16
	PayloadNATDDraft    PayloadType = 130 // drafts 00 to 03
	PayloadNATOADraft   PayloadType = 131 // drafts 00 to 03

	PayloadFragment PayloadType = 132 // Cisco IKE fragmentation
)

var payloadTypeNames = map[PayloadType]string{
	PayloadNone:       "None",
	PayloadSA:         "SA",
	PayloadProposal:   "P",
	PayloadTransform:  "T",
	PayloadKE:         "KE",
	PayloadID:         "ID",
	PayloadCERT:       "CERT",
	PayloadCR:         "CR",
	PayloadHASH:       "HASH",
	PayloadSIG:        "SIG",
	PayloadNonce:      "NONCE",
	PayloadNotify:     "N",
	PayloadDelete:     "D",
	PayloadVendorID:   "VID",
	PayloadAttributes: "ATTR",
	PayloadSAK:        "SAK/NAT-D",
	PayloadSAT:        "SAT/NAT-OA",
	PayloadKD:         "KD",
	PayloadSEQ:        "SEQ",
	PayloadPOP:        "POP",
	PayloadNATD:       "NAT-D",
	PayloadNATOA:      "NAT-OA",
	PayloadGAP:        "GAP",
	PayloadNATDDraft:  "NAT-D(130)",
	PayloadNATOADraft: "NAT-OA(131)",
	PayloadFragment:   "FRAG",
}
