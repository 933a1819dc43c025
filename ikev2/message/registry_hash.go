package message

// HashAlgorithm is a hash algorithm of SIGNATURE_HASH_ALGORITHMS: IANA "IKEv2
// Hash Algorithms" (RFC 7427).
type HashAlgorithm uint16

// String returns the IANA name, such as "SHA2-256".
func (t HashAlgorithm) String() string { return nameOf(hashAlgorithmNames[:], int(t), "HashAlgorithm") }

// Values.
const (
	HashSHA1        HashAlgorithm = 1
	HashSHA256      HashAlgorithm = 2
	HashSHA384      HashAlgorithm = 3
	HashSHA512      HashAlgorithm = 4
	HashIdentity    HashAlgorithm = 5 // RFC 8420: the signature algorithm hashes by itself
	HashStreebog256 HashAlgorithm = 6 // RFC 9385
	HashStreebog512 HashAlgorithm = 7 // RFC 9385
)

var hashAlgorithmNames = [...]string{
	HashSHA1:        "SHA1",
	HashSHA256:      "SHA2-256",
	HashSHA384:      "SHA2-384",
	HashSHA512:      "SHA2-512",
	HashIdentity:    "Identity",
	HashStreebog256: "STREEBOG_256",
	HashStreebog512: "STREEBOG_512",
}
