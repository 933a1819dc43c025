package ikev2

import (
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

// ipcompDeflate is the only IPComp transform in use: DEFLATE (RFC 2394).
const ipcompDeflate = 2

// canIPComp reports whether compression is offered and accepted.
func (s *session) canIPComp(c *ike.ChildConfig) bool {
	return s.Compresses(c, s.ep.cfg.DataPlane.Capabilities())
}

// ipcompNotify offers or accepts compression with our CPI, the second of the
// reserved SPIs.
func (x *childExchange) ipcompNotify(spis []spd.SPI) message.Payloads {
	if !x.ipcomp || len(spis) < 2 {
		return nil
	}
	return message.Payloads{&message.Notify{Type: message.NotifyIPCompSupported, Data: message.AppendIPCompData(nil, spis[1], ipcompDeflate)}}
}

// agreeIPComp looks for the peer's side of the agreement.
func (x *childExchange) agreeIPComp(m *message.Message) {
	wanted := x.ipcomp
	x.ipcomp = false
	for n := range m.Notifies() {
		if n.Type != message.NotifyIPCompSupported || !wanted {
			continue
		}
		if cpi, transform, err := n.IPComp(); err == nil && transform == ipcompDeflate && cpi >= 256 {
			x.ipcomp, x.peerCPI = true, cpi
		}
	}
}

// withIPComp puts compression before the SA's transform. The mode is that of
// the first transform; what follows carries its result.
func (x *childExchange) withIPComp(sas []spd.SA, cpi spd.SPI) []spd.SA {
	if !x.ipcomp {
		return sas
	}
	sa := sas[0]
	compress := spd.SA{Protocol: spd.ProtoIPComp, SPI: cpi, Mode: sa.Mode, Encryption: spd.Transform{ID: ipcompDeflate}}
	sa.Mode = spd.ModeTransport
	return []spd.SA{compress, sa}
}
