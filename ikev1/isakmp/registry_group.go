package isakmp

// Group is a group description: RFC 2409 Appendix A, IANA "Group Description".
// Where IKEv2 has the group too it has the same number there.
type Group uint16

// String returns the name, such as "MODP_2048".
func (t Group) String() string { return nameOf(groupNames[:], int(t), "Group") }

// Values, as far as the project can compute with them.
const (
	GroupMODP768     Group = 1
	GroupMODP1024    Group = 2
	GroupMODP1536    Group = 5 // RFC 3526, and the next
	GroupMODP2048    Group = 14
	GroupMODP3072    Group = 15
	GroupMODP4096    Group = 16
	GroupMODP6144    Group = 17
	GroupMODP8192    Group = 18
	GroupECP256      Group = 19 // RFC 5903, and the next
	GroupECP384      Group = 20
	GroupECP521      Group = 21
	GroupMODP1024160 Group = 22 // RFC 5114, and the next
	GroupMODP2048224 Group = 23
	GroupMODP2048256 Group = 24
	GroupECP192      Group = 25
	GroupECP224      Group = 26
	GroupCurve25519  Group = 31 // RFC 8031 assigns it to IKEv2; some implementations of IKEv1 use it
	GroupCurve448    Group = 32 // likewise
)

var groupNames = [...]string{
	1: "MODP_768", 2: "MODP_1024", 3: "EC2N_155", 4: "EC2N_185", 5: "MODP_1536",
	6: "EC2N_163_6", 7: "EC2N_163_7", 8: "EC2N_283_8", 9: "EC2N_283_9",
	10: "EC2N_409_10", 11: "EC2N_409_11", 12: "EC2N_571_12", 13: "EC2N_571_13",
	14: "MODP_2048", 15: "MODP_3072", 16: "MODP_4096", 17: "MODP_6144", 18: "MODP_8192",
	19: "ECP_256", 20: "ECP_384", 21: "ECP_521",
	22: "MODP_1024_160", 23: "MODP_2048_224", 24: "MODP_2048_256", 25: "ECP_192", 26: "ECP_224",
	27: "BRAINPOOL_P224R1", 28: "BRAINPOOL_P256R1", 29: "BRAINPOOL_P384R1", 30: "BRAINPOOL_P512R1",
	31: "CURVE25519", 32: "CURVE448", 33: "GOST3410_2012_256", 34: "GOST3410_2012_512",
}
