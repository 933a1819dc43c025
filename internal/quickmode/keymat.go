package quickmode

import (
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// A Keymat derives n octets of KEYMAT for the SA whose receiver chose the SPI
// (RFC 2409 5.5, RFC 4430 7).
type Keymat func(n int, protocol spd.Protocol, spi spd.SPI) secret.Bytes

// NewSA makes one direction of one ESP or AH SA: the encryption key first, then
// that of the integrity algorithm. p is what was selected, one transform of each
// type. An IPComp SA takes no keys and is not made here.
func NewSA(p spd.Proposal, spi spd.SPI, keymat Keymat) spd.SA {
	sa := spd.SA{Protocol: p.Protocol, SPI: spi, ESN: p.ESN()}
	sa.Encryption, _ = p.Get(spd.TransformENCR)
	if t, ok := p.Get(spd.TransformINTEG); ok && t.ID != spd.IntegNone {
		sa.Integrity = t
	}
	e, i := sa.Encryption.KeymatLen(), sa.Integrity.KeymatLen()
	b := keymat(e+i, p.Protocol, spi)
	sa.EncrKey, sa.IntegKey = b[:e:e], b[e:]
	return sa
}
