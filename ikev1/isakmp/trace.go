package isakmp

import (
	"crypto/x509/pkix"
	"encoding/asn1"

	"github.com/racoon3/racoon/internal/trace"
)

// appendDN appends the text of a DER Distinguished Name, quoted, or hexadecimal
// digits if it is none.
func appendDN(b, der []byte) []byte {
	var dn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &dn); err == nil && len(rest) == 0 {
		return trace.AppendQuoted(b, dn.String())
	}
	return trace.AppendHex(b, der)
}
