package pfkey

// socketOptions are the numbers of a system's socket options, 0 for none.
type socketOptions struct {
	policy4  int // IP_IPSEC_POLICY, level IPPROTO_IP
	policy6  int // IPV6_IPSEC_POLICY, level IPPROTO_IPV6
	udpEncap int // UDP_ENCAP, level IPPROTO_UDP
}
