package message

import "github.com/racoon3/racoon/spd"

// The constants and names of transforms are those of package spd.

// appendTransformName appends the name of a transform, with its type where the
// name alone would be ambiguous: NONE, and the additional key exchanges.
func appendTransformName(b []byte, t spd.TransformType, id uint16) []byte {
	if id == 0 && (t == spd.TransformINTEG || t == spd.TransformKE) || t >= spd.TransformADDKE1 && t <= spd.TransformADDKE7 {
		b = append(append(b, t.String()...), ':')
	}
	return append(b, spd.TransformName(t, id)...)
}

// protocolName returns the name of a protocol in IKEv2's registry, in which 4
// is not IPComp.
func protocolName(p spd.Protocol) string {
	return nameOf(protocolNames[:], int(p), "Protocol")
}

// IANA "IKEv2 Security Protocol Identifiers".
var protocolNames = [...]string{
	0: "none", 1: "IKE", 2: "AH", 3: "ESP", 4: "FC_ESP_HEADER", 5: "FC_CT_AUTHENTICATION", 6: "GIKE_UPDATE",
}
