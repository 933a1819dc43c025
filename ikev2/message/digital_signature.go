package message

import "strconv"

// ParseDigitalSignature splits the data of an AUTH payload with method
// AuthDigitalSignature (RFC 7427 3): a DER AlgorithmIdentifier, and the
// signature. Neither is looked into further.
func ParseDigitalSignature(data []byte) (algorithm, signature []byte, err error) {
	if len(data) < 1 {
		return nil, nil, syntaxError(PayloadAUTH, 4, "no AlgorithmIdentifier")
	}
	n := int(data[0])
	if n == 0 || n >= len(data)-1 {
		return nil, nil, syntaxError(PayloadAUTH, 4, "AlgorithmIdentifier of "+strconv.Itoa(n)+" octets in "+strconv.Itoa(len(data)))
	}
	return data[1 : 1+n : 1+n], data[1+n:], nil
}

// AppendDigitalSignature appends AUTH data for method AuthDigitalSignature.
// The AlgorithmIdentifier has 1 to 255 octets; all in use do.
func AppendDigitalSignature(dst, algorithm, signature []byte) []byte {
	dst = append(dst, byte(len(algorithm)))
	dst = append(dst, algorithm...)
	return append(dst, signature...)
}
