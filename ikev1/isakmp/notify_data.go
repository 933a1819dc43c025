package isakmp

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/racoon3/racoon/internal/trace"
)

func (p *Notify) dataError() error {
	return syntaxError(PayloadNotify, 8+len(p.SPI), p.Type.String()+" with "+strconv.Itoa(len(p.Data))+" octets of data")
}

// Sequence decodes the sequence number of R-U-THERE and R-U-THERE-ACK (RFC
// 3706 5.3).
func (p *Notify) Sequence() (uint32, error) {
	if len(p.Data) != 4 {
		return 0, p.dataError()
	}
	return binary.BigEndian.Uint32(p.Data), nil
}

// AppendSequenceData appends the data of R-U-THERE and R-U-THERE-ACK.
func AppendSequenceData(dst []byte, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, seq)
}

// ReplayStatus decodes REPLAY-STATUS (RFC 2407 4.6.3.2): whether the responder
// does replay detection.
func (p *Notify) ReplayStatus() (bool, error) {
	if len(p.Data) != 4 {
		return false, p.dataError()
	}
	switch binary.BigEndian.Uint32(p.Data) {
	case 0:
		return false, nil
	case 1:
		return true, nil
	}
	return false, p.dataError()
}

// AppendReplayStatusData appends the data of REPLAY-STATUS.
func AppendReplayStatusData(dst []byte, on bool) []byte {
	if on {
		return append(dst, 0, 0, 0, 1)
	}
	return append(dst, 0, 0, 0, 0)
}

// ResponderLifetime decodes RESPONDER-LIFETIME (RFC 2407 4.6.3.1).
func (p *Notify) ResponderLifetime() (Lifetime, error) {
	as, err := ParseAttributes(p.Data)
	if err != nil {
		return Lifetime{}, err
	}
	return LifetimeOf(p.Protocol, as)
}

// UnityLoadBalance decodes UNITY-LOAD-BALANCE: the gateway to which a Cisco
// concentrator sends its client, an IPv4 address.
func (p *Notify) UnityLoadBalance() (netip.Addr, error) {
	if len(p.Data) != 4 {
		return netip.Addr{}, p.dataError()
	}
	return netip.AddrFrom4([4]byte(p.Data)), nil
}

func (p *Notify) appendData(b []byte) []byte {
	switch p.Type {
	case NotifyRUThere, NotifyRUThereAck:
		if seq, err := p.Sequence(); err == nil {
			return strconv.AppendUint(b, uint64(seq), 10)
		}
	case NotifyReplayStatus:
		if on, err := p.ReplayStatus(); err == nil {
			return strconv.AppendBool(b, on)
		}
	case NotifyResponderLifetime:
		if l, err := p.ResponderLifetime(); err == nil {
			return l.appendText(b)
		}
	case NotifyUnityLoadBalance:
		if a, err := p.UnityLoadBalance(); err == nil {
			return a.AppendTo(b)
		}
	case NotifyUnityGroupHash:
		return trace.AppendOctets(b, len(p.Data))
	}
	if p.Type.IsError() && trace.Printable(p.Data) {
		return trace.AppendQuoted(b, p.Data)
	}
	return trace.AppendHex(b, p.Data)
}
