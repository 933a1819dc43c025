package message

import "strconv"

// Sealed is the layout of a message that ends in an SK or SKF payload. All
// slices share one array.
//
//	| header ... SK header (SKF: number, total) | IV | content, padding, pad length | ICV |
//	|<------------------ AAD ------------------>|<IV>|<-------- Plaintext --------->|<ICV>|
//	|<----------------------------------- Message -------------------------------------->|
type Sealed struct {
	// Message is the whole message. A separate integrity algorithm covers
	// Message without the ICV (RFC 7296 3.14).
	Message []byte
	// AAD is the additional data of an AEAD cipher: everything before the IV
	// (RFC 5282 5.1, RFC 7383 2.5).
	AAD []byte
	IV  []byte
	// Plaintext is content, padding and pad length; encrypted or not,
	// depending on the moment. Its capacity includes the ICV, as
	// cipher.AEAD.Seal(Plaintext[:0], nonce, Plaintext, AAD) wants it.
	Plaintext []byte
	ICV       []byte
}

func splitSealed(m []byte, iv, ivLen, icvLen int) Sealed {
	text, end := iv+ivLen, len(m)-icvLen
	return Sealed{
		Message:   m,
		AAD:       m[:iv:iv],
		IV:        m[iv:text:text],
		Plaintext: m[text:end:len(m)],
		ICV:       m[end:len(m):len(m)],
	}
}

// Ciphertext returns Plaintext with the ICV behind it, as cipher.AEAD.Open
// wants it.
func (s *Sealed) Ciphertext() []byte { return s.Plaintext[:len(s.Plaintext)+len(s.ICV)] }

// Authenticated returns what a separate integrity algorithm covers: the
// message without the ICV.
func (s *Sealed) Authenticated() []byte { return s.Message[:len(s.Message)-len(s.ICV)] }

// OpenLayout splits a received datagram that ends in an SK or SKF payload with
// the given body (SK.Body, SKF.Body). It is an error, of kind ErrSyntax, if
// the body has no room for the IV, the ICV and a pad length.
func OpenLayout(datagram, body []byte, ivLen, icvLen int) (Sealed, error) {
	at := len(datagram) - len(body)
	if at < 0 || len(body) < ivLen+1+icvLen {
		return Sealed{}, syntaxError(PayloadSK, max(at, 0), "encrypted payload of "+strconv.Itoa(len(body))+" octets is too short")
	}
	return splitSealed(datagram, at, ivLen, icvLen), nil
}

// Unpad removes padding and pad length from a decrypted Plaintext. The octets
// of the padding may have any value (RFC 7296 3.14).
func Unpad(plaintext []byte) ([]byte, error) {
	n := len(plaintext)
	if n == 0 {
		return nil, syntaxError(PayloadSK, 0, "no pad length")
	}
	pad := int(plaintext[n-1])
	if pad+1 > n {
		return nil, syntaxError(PayloadSK, n-1, "pad length "+strconv.Itoa(pad)+" in "+strconv.Itoa(n)+" octets")
	}
	return plaintext[: n-1-pad : n-1-pad], nil
}
