package message

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Lengths of COOKIE data in octets (RFC 7296 2.6).
const (
	MinCookieLen = 1
	MaxCookieLen = 64
)

// dataError says that a notify's data is not what its type demands.
func (p *Notify) dataError() error {
	return syntaxError(PayloadNotify, 4+len(p.SPI), p.Type.String()+" data of "+strconv.Itoa(len(p.Data))+" octets")
}

// sized returns the data if it has n octets.
func (p *Notify) sized(n int) ([]byte, error) {
	if len(p.Data) != n {
		return nil, p.dataError()
	}
	return p.Data, nil
}

func (p *Notify) between(least, most int) ([]byte, error) {
	if n := len(p.Data); n < least || n > most {
		return nil, p.dataError()
	}
	return p.Data, nil
}

// UnsupportedPayload decodes UNSUPPORTED_CRITICAL_PAYLOAD: the type of the
// payload that was not understood.
func (p *Notify) UnsupportedPayload() (PayloadType, error) {
	d, err := p.sized(1)
	if err != nil {
		return 0, err
	}
	return PayloadType(d[0]), nil
}

// InvalidMessageID decodes INVALID_MESSAGE_ID: the message ID in question.
func (p *Notify) InvalidMessageID() (uint32, error) { return p.uint32() }

func (p *Notify) uint32() (uint32, error) {
	d, err := p.sized(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(d), nil
}

// InvalidKEGroup decodes INVALID_KE_PAYLOAD: the group that the responder wants.
func (p *Notify) InvalidKEGroup() (uint16, error) {
	d, err := p.sized(2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(d), nil
}

// AppendInvalidKEGroupData appends the data of INVALID_KE_PAYLOAD.
func AppendInvalidKEGroupData(dst []byte, group uint16) []byte {
	return binary.BigEndian.AppendUint16(dst, group)
}

// WindowSize decodes SET_WINDOW_SIZE: how many requests the sender accepts
// before the first is answered (RFC 7296 2.3). Zero is an error.
func (p *Notify) WindowSize() (uint32, error) {
	n, err := p.uint32()
	if err == nil && n == 0 {
		err = syntaxError(PayloadNotify, 4+len(p.SPI), "SET_WINDOW_SIZE of 0")
	}
	return n, err
}

// AppendWindowSizeData appends the data of SET_WINDOW_SIZE.
func AppendWindowSizeData(dst []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(dst, n)
}

// Cookie decodes COOKIE (1 to 64 octets, RFC 7296 2.6) and COOKIE2 (8 to 64,
// RFC 4555 4.2.5).
func (p *Notify) Cookie() ([]byte, error) {
	if p.Type == NotifyCookie2 {
		return p.between(8, MaxCookieLen)
	}
	return p.between(MinCookieLen, MaxCookieLen)
}

// NATDetectionHash decodes NAT_DETECTION_SOURCE_IP and
// NAT_DETECTION_DESTINATION_IP: a SHA-1 hash (RFC 7296 2.23).
func (p *Notify) NATDetectionHash() ([20]byte, error) {
	d, err := p.sized(20)
	if err != nil {
		return [20]byte{}, err
	}
	return [20]byte(d), nil
}

// IPComp decodes IPCOMP_SUPPORTED (RFC 7296 2.22): the CPI at which the sender
// wants to receive, and the IANA "IPComp Transform IDs" number (DEFLATE is 2).
// Transform attributes behind them are left out; none is defined.
func (p *Notify) IPComp() (cpi spd.SPI, transform uint8, err error) {
	if len(p.Data) < 3 {
		return 0, 0, p.dataError()
	}
	return spd.SPI(binary.BigEndian.Uint16(p.Data)), p.Data[2], nil
}

// AppendIPCompData appends the data of IPCOMP_SUPPORTED.
func AppendIPCompData(dst []byte, cpi spd.SPI, transform uint8) []byte {
	return append(dst, byte(cpi>>8), byte(cpi), transform)
}

// HashAlgorithms decodes SIGNATURE_HASH_ALGORITHMS (RFC 7427 4), in the
// sender's order.
func (p *Notify) HashAlgorithms() ([]HashAlgorithm, error) {
	return uint16s[HashAlgorithm](p)
}

// AppendHashAlgorithmsData appends the data of SIGNATURE_HASH_ALGORITHMS.
func AppendHashAlgorithmsData(dst []byte, algs ...HashAlgorithm) []byte {
	for _, a := range algs {
		dst = binary.BigEndian.AppendUint16(dst, uint16(a))
	}
	return dst
}

// SecurePasswordMethods decodes SECURE_PASSWORD_METHODS (RFC 6467 5).
func (p *Notify) SecurePasswordMethods() ([]uint16, error) { return uint16s[uint16](p) }

func uint16s[T ~uint16](p *Notify) ([]T, error) {
	if len(p.Data) == 0 || len(p.Data)%2 != 0 {
		return nil, p.dataError()
	}
	out := make([]T, 0, len(p.Data)/2)
	for b := p.Data; len(b) > 0; b = b[2:] {
		out = append(out, T(binary.BigEndian.Uint16(b)))
	}
	return out, nil
}

// AuthLifetime decodes AUTH_LIFETIME (RFC 4478 3): the time within which the
// peer wants to see a reauthentication; zero is at once.
func (p *Notify) AuthLifetime() (time.Duration, error) {
	n, err := p.uint32()
	return time.Duration(n) * time.Second, err
}

// AppendAuthLifetimeData appends the data of AUTH_LIFETIME, in whole seconds
// between 0 and 2^32-1.
func AppendAuthLifetimeData(dst []byte, d time.Duration) []byte {
	return appendSeconds(dst, d)
}

func appendSeconds(dst []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(min(max(d/time.Second, 0), 1<<32-1)))
}

// CrashDetectionToken decodes QUICK_CRASH_DETECTION: a token of 16 to 128
// octets (RFC 6290 4.1).
func (p *Notify) CrashDetectionToken() ([]byte, error) { return p.between(16, 128) }
