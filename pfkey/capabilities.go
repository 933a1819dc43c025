package pfkey

import (
	"slices"

	"github.com/racoon3/racoon/spd"
)

// capabilities returns what can be negotiated with a kernel that has answered
// REGISTER with these algorithms. What a dialect cannot say over PF_KEY is left
// out or marked, whatever the kernel has: a Linux kernel has AEADs and 128-bit
// integrity check values for HMAC-SHA2-256, PF_KEY there has neither.
func (d *Dialect) capabilities(auth, encrypt []Alg) spd.Capabilities {
	c := spd.Capabilities{
		Name: "pfkey", ESN: d.esn, Tunnel: true, Transport: true, UDPEncap: true, UDPEncap6: d.udpEncap6, RawESP: true,
		Bundles: d.bundles, MaxReplay: d.maxReplay, Volume: true, TrapPolicy: true,
	}
	if d.ipcomp {
		c.IPComp = []uint8{2} // DEFLATE, the only one that a kernel has
	}
	for _, a := range *d.algorithms {
		if a.Transform.ID == 0 {
			continue
		}
		list := auth
		if a.Kind == AlgEncrypt {
			list = encrypt
		}
		i := slices.IndexFunc(list, func(x Alg) bool { return x.ID == a.ID })
		if i < 0 {
			continue
		}
		switch a.Kind {
		case AlgAuth:
			x := spd.Algorithm{Protocol: spd.ProtoESP, Transform: a.Transform}
			if a.ICVBits != standardICV[a.Transform.ID] {
				x.ICVBits = a.ICVBits
			}
			c.Algorithms = append(c.Algorithms, x)
			if d.goos == "linux" && (12+a.ICVBits/8)%8 != 0 {
				continue // it pads AH to 64 bits over IPv4 too, where RFC 4302 3.3.3.2.1 has 32
			}
			x.Protocol = spd.ProtoAH
			c.Algorithms = append(c.Algorithms, x)
		case AlgEncrypt:
			// Linux has numbers for AEADs, and no code behind them.
			if d.goos == "linux" && spd.IsCombinedMode(a.Transform) {
				continue
			}
			c.Algorithms = append(c.Algorithms, keyLengths(a, list[i])...)
		}
	}
	return c
}

// standardICV is how long the RFCs have the integrity check value, in bits.
var standardICV = map[uint16]int{
	spd.IntegHMACMD5_96: 96, spd.IntegHMACSHA1_96: 96, spd.IntegAESXCBC96: 96, spd.IntegHMACSHA256_128: 128,
	spd.IntegHMACSHA384_192: 192, spd.IntegHMACSHA512_256: 256,
}

// keyLengths are the key lengths of a cipher that the kernel takes.
func keyLengths(a Algorithm, k Alg) (r []spd.Algorithm) {
	switch a.Transform.ID {
	case spd.Encr3DES, spd.EncrNULL, spd.EncrChaCha20Poly1305:
		return []spd.Algorithm{{Protocol: spd.ProtoESP, Transform: a.Transform}}
	}
	for _, bits := range []int{128, 192, 256} {
		if bits+a.SaltBits >= int(k.MinBits) && bits+a.SaltBits <= int(k.MaxBits) {
			t := a.Transform
			t.KeyLen = uint16(bits)
			r = append(r, spd.Algorithm{Protocol: spd.ProtoESP, Transform: t})
		}
	}
	return r
}
