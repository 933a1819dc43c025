package kink

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// delete serves DELETE (RFC 4430 3.3): SAs go in both directions, and the answer
// names ours. For those that are not there it says INVALID-SPI, by which the peer
// knows that it can let go too. A bundle goes as a whole, whichever of its SPIs are
// named.
func (v *served) delete(now time.Time, s *session) {
	var content []message.Payload
	var gone []*child.SA
	for p := range v.request.payloads.ISAKMPs() {
		ps, err := p.Payloads()
		if err != nil {
			answer, _ := unreadable(err)
			content = append(content, answer)
			continue
		}
		var answer []isakmp.Payload
		for d := range ps.Deletes() {
			found, own, missing := s.named(d)
			for _, a := range found {
				if !slices.Contains(gone, a) {
					s.presume(now, a)
					gone = append(gone, a)
				}
			}
			if len(own) > 0 {
				answer = append(answer, &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: d.Protocol, SPISize: d.SPISize, SPIs: own})
			}
			if s != nil && len(s.creating) > 0 && len(s.overtook)+len(missing) <= maxOvertook {
				s.overtook = append(s.overtook, missing...)
			}
			for _, spi := range missing {
				answer = append(answer, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: d.Protocol, SPI: quickmode.AppendSPI(nil, spi), Type: isakmp.NotifyInvalidSPI})
			}
		}
		if len(answer) == 0 {
			continue
		}
		if q, err := message.NewISAKMP(answer...); err == nil {
			content = append(content, q)
		}
	}
	v.answer(now, false, content...)
	for _, a := range gone {
		s.Children.Remove(now, a, ike.DownRemote, nil, true)
	}
}

// maxOvertook bounds the SPIs that are remembered because an answer with them may
// be on its way.
const maxOvertook = 64

// named finds the Child SAs with the peer's inbound SPIs, of any protocol that they
// have, and appends our SPIs of the same protocol in their form.
func (s *session) named(d *isakmp.Delete) (found []*child.SA, own []byte, missing []spd.SPI) {
	for spi := range d.IPsecSPIs() {
		var a *child.SA
		var in spd.SPI
		if s != nil {
			a, in = s.Children.ByPart(d.Protocol, spi)
		}
		if a == nil {
			missing = append(missing, spi)
			continue
		}
		found = append(found, a)
		four := quickmode.AppendSPI(nil, in)
		own = append(own, four[4-d.SPISize:]...)
	}
	return found, own, missing
}
