package spd

func transforms(typ TransformType, ids ...uint16) []Transform {
	r := make([]Transform, len(ids))
	for i, id := range ids {
		r[i] = Transform{Type: typ, ID: id}
	}
	return r
}

// DefaultIKEProposals returns what an IKE SA is negotiated from when nothing
// is configured: first combined-mode ciphers, then AES-CBC and SHA-2. Nothing
// in them is weak or on its way out (RFC 8247).
func DefaultIKEProposals() []Proposal {
	rest := append(
		transforms(TransformPRF, PRFHMACSHA256, PRFHMACSHA384, PRFHMACSHA512),
		transforms(TransformKE, KECurve25519, KEECP256, KEECP384, KEECP521, KEMODP3072, KEMODP4096, KEMODP2048)...)
	aead := append(defaultAEAD(), rest...)
	cbc := append(defaultCBC(), rest...)
	return []Proposal{{ProtoIKE, aead}, {ProtoIKE, cbc}}
}

// DefaultESPProposals returns what a Child SA with ESP is negotiated from
// when nothing is configured, as far as the data plane has it: combined-mode
// ciphers, then AES-CBC with SHA-2; 64-bit sequence numbers preferred. There
// is no perfect forward secrecy in them; [Proposal.WithKE] adds it.
func DefaultESPProposals(caps Capabilities) []Proposal {
	esn := transforms(TransformESN, ESNExtended, ESNNone)
	kept, _ := RestrictTo(caps, []Proposal{
		{ProtoESP, append(defaultAEAD(), esn...)},
		{ProtoESP, append(defaultCBC(), esn...)},
	})
	return kept
}

// DefaultAHProposals is the same for AH.
func DefaultAHProposals(caps Capabilities) []Proposal {
	kept, _ := RestrictTo(caps, []Proposal{{ProtoAH, append(
		transforms(TransformINTEG, IntegHMACSHA256_128, IntegHMACSHA384_192, IntegHMACSHA512_256),
		transforms(TransformESN, ESNExtended, ESNNone)...)}})
	return kept
}

func defaultAEAD() []Transform {
	return []Transform{
		{TransformENCR, EncrAESGCM16, 256},
		{TransformENCR, EncrAESGCM16, 128},
		{TransformENCR, EncrChaCha20Poly1305, 0},
	}
}

func defaultCBC() []Transform {
	return append([]Transform{
		{TransformENCR, EncrAESCBC, 256},
		{TransformENCR, EncrAESCBC, 128},
	}, transforms(TransformINTEG, IntegHMACSHA256_128, IntegHMACSHA384_192, IntegHMACSHA512_256)...)
}
