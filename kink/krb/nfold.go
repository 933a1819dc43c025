package krb

// nfold writes RFC 3961 5.1's n-fold of in to out: in, and in rotated right by 13
// bits more each time, one behind the other until the length is a multiple of both,
// and then the sum of the pieces of out's length in one's complement.
func nfold(out, in []byte) {
	n, size := len(out), len(in)
	clear(out)
	a, b := n, size
	for b != 0 {
		a, b = b, a%b
	}
	bits := size * 8
	carry := uint(0)
	at := n - 1 // in out
	// From the last octet to the first, rotation by rotation.
	for r := n/a - 1; r >= 0; r-- {
		// Octet i of this rotation begins at bit 8*i - 13*r of in.
		from := bits - 13*r%bits
		first, shift := (from/8+size-1)%size, from%8
		for range size {
			next := first + 1
			if next == size {
				next = 0
			}
			carry += uint(byte((uint(in[first])<<8|uint(in[next]))>>(8-shift))) + uint(out[at])
			out[at] = byte(carry)
			carry >>= 8
			if at--; at < 0 {
				at = n - 1
			}
			if first--; first < 0 {
				first = size - 1
			}
		}
	}
	for i := n - 1; carry != 0; i = (i + n - 1) % n {
		carry += uint(out[i])
		out[i] = byte(carry)
		carry >>= 8
	}
}
