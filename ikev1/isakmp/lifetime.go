package isakmp

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/racoon3/racoon/spd"
)

// ErrLifetime says that lifetime attributes make no sense: a duration without
// its type before it, a type without its duration, an unknown type, the same
// type twice, or a duration that is zero or above 64 bits.
var ErrLifetime = errors.New("isakmp: lifetime attributes make no sense")

// A Lifetime is what lifetime attributes say. Zero means that they say nothing
// about the unit.
type Lifetime struct {
	Seconds   uint64
	Kilobytes uint64 // of 1024 octets
}

// LifetimeOf reads the pairs of life type and life duration in the attributes
// of a transform, or of a RESPONDER-LIFETIME notification, of protocol p (RFC
// 2409 Appendix A for ISAKMP, RFC 2407 4.5 for the others).
func LifetimeOf(p spd.Protocol, as []Attribute) (l Lifetime, err error) {
	kind, duration := lifeAttributes(p)
	var unit *uint64 // of the type that waits for its duration
	for i := range as {
		a := &as[i]
		v, ok := a.Uint()
		switch a.Type {
		case kind:
			switch {
			case unit != nil:
				return l, ErrLifetime
			case ok && v == uint64(LifeSeconds):
				unit = &l.Seconds
			case ok && v == uint64(LifeKilobytes):
				unit = &l.Kilobytes
			default:
				return l, ErrLifetime
			}
		case duration:
			if unit == nil || *unit != 0 || !ok || v == 0 {
				return l, ErrLifetime
			}
			*unit, unit = v, nil
		}
	}
	if unit != nil {
		return l, ErrLifetime
	}
	return l, nil
}

// AppendLifetime appends the attributes that say l for protocol p: seconds,
// then kilobytes, each if not zero; durations above 65535 in the variable form
// of four octets, or eight.
func AppendLifetime(dst []Attribute, p spd.Protocol, l Lifetime) []Attribute {
	kind, duration := lifeAttributes(p)
	for _, x := range [...]struct {
		unit LifeType
		v    uint64
	}{{LifeSeconds, l.Seconds}, {LifeKilobytes, l.Kilobytes}} {
		if x.v == 0 {
			continue
		}
		dst = append(dst, Basic(kind, x.unit))
		switch {
		case x.v <= 0xffff:
			dst = append(dst, Basic(duration, uint16(x.v)))
		case x.v <= 0xffffffff:
			dst = append(dst, Variable(duration, binary.BigEndian.AppendUint32(nil, uint32(x.v))))
		default:
			dst = append(dst, Variable(duration, binary.BigEndian.AppendUint64(nil, x.v)))
		}
	}
	return dst
}

func lifeAttributes(p spd.Protocol) (kind, duration uint16) {
	if p == spd.ProtoIKE {
		return uint16(Phase1LifeType), uint16(Phase1LifeDuration)
	}
	return uint16(Phase2LifeType), uint16(Phase2LifeDuration)
}

// String returns the lifetime as a trace shows it, such as "28800 seconds".
func (l Lifetime) String() string { return string(l.appendText(nil)) }

func (l *Lifetime) appendText(b []byte) []byte {
	if l.Seconds != 0 || l.Kilobytes == 0 {
		b = append(strconv.AppendUint(b, l.Seconds, 10), " seconds"...)
		if l.Kilobytes != 0 {
			b = append(b, ", "...)
		}
	}
	if l.Kilobytes != 0 {
		b = append(strconv.AppendUint(b, l.Kilobytes, 10), " kilobytes"...)
	}
	return b
}
