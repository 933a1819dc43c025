package ike

import "crypto/md5"

// CHAPSize is the length of a CHAP response in XAUTH-USER-PASSWORD, and in
// RADIUS's CHAP-Password: the identifier and an MD5 digest, in octets.
const CHAPSize = 1 + md5.Size

// AppendCHAP appends the response to a challenge: the identifier, which the
// client chooses, and MD5(identifier | password | challenge)
// (draft-beaulieu-ike-xauth-02 A-8, RFC 1994 4.1).
func AppendCHAP(dst []byte, id byte, password Secret, challenge []byte) []byte {
	h := md5.New()
	h.Write([]byte{id})
	h.Write(password)
	h.Write(challenge)
	return h.Sum(append(dst, id))
}

// VerifyCHAP reports whether a response was made with the password, in time
// that does not depend on its octets. An empty challenge proves nothing.
func VerifyCHAP(response, password Secret, challenge []byte) bool {
	if len(response) != CHAPSize || len(challenge) == 0 {
		return false
	}
	return response.Equal(AppendCHAP(make([]byte, 0, CHAPSize), response[0], password, challenge))
}
