package krb

// nfold writes RFC 3961 5.1's n-fold of in to out.
func nfold(out, in []byte) {
	n := len(out)
	clear(out)
	a, b := n, len(in)
	for b != 0 {
		a, b = b, a%b
	}
	lcm := n * len(in) / a
	carry := 0
	// From the last octet of the concatenated rotations to the first, in one's
	// complement addition.
	for i := lcm - 1; i >= 0; i-- {
		carry += int(rotated(in, i)) + int(out[i%n])
		out[i%n] = byte(carry)
		carry >>= 8
	}
	for i := n - 1; carry != 0; i = (i + n - 1) % n {
		carry += int(out[i])
		out[i] = byte(carry)
		carry >>= 8
	}
}

// rotated is octet i of in | in rotated right by 13 bits | in rotated by 26
// bits...
func rotated(in []byte, i int) byte {
	bits := len(in) * 8
	start := ((i%len(in))*8 - 13*(i/len(in))) % bits
	if start < 0 {
		start += bits
	}
	first, shift := start/8, start%8
	return byte((uint(in[first])<<8 | uint(in[(first+1)%len(in)])) >> (8 - shift))
}
