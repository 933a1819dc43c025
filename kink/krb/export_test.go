package krb

// Unseal decrypts the content of a KINK_ENCRYPT payload and returns the
// confounder too.
func (k *Key) Unseal(ciphertext []byte) []byte {
	n := len(ciphertext) - k.p.macLen
	text := append([]byte(nil), ciphertext[:n]...)
	if c := k.specific(usageKINKEncrypt).ke; k.p.cts {
		decryptCTS(c, text)
	} else {
		decryptCBC(c, text)
	}
	return text
}
