package pfkey

import "fmt"

// PolicyType is what a policy does with packets.
type PolicyType uint16

// Policy types (ipsec.h). The database takes the first three, and macOS the
// last; the others are for sockets.
const (
	PolicyDiscard  PolicyType = 0
	PolicyNone     PolicyType = 1 // packets pass in clear
	PolicyIPsec    PolicyType = 2
	PolicyEntrust  PolicyType = 3 // of a socket: as the database says
	PolicyBypass   PolicyType = 4 // of a socket: packets pass in clear, needs privilege
	PolicyGenerate PolicyType = 5 // macOS
)

func (t PolicyType) String() string {
	names := [...]string{"discard", "none", "ipsec", "entrust", "bypass", "generate"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("PolicyType(%d)", uint16(t))
}

// Dir is the direction of a policy.
type Dir uint8

// Directions (ipsec.h).
const (
	DirAny     Dir = 0
	DirIn      Dir = 1
	DirOut     Dir = 2
	DirForward Dir = 3 // Linux
)

func (d Dir) String() string {
	names := [...]string{"any", "in", "out", "fwd"}
	if int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("Dir(%d)", uint8(d))
}

// Level says how much a policy insists on a transform.
type Level uint8

// Levels (ipsec.h).
const (
	LevelDefault Level = iota // what the system is set to, in sysctl
	LevelUse                  // if there is an SA
	LevelRequire              // with any SA that fits
	LevelUnique               // with the SA of the request ID only
)

func (l Level) String() string {
	names := [...]string{"default", "use", "require", "unique"}
	if int(l) < len(names) {
		return names[l]
	}
	return fmt.Sprintf("Level(%d)", uint8(l))
}

// MaxReqID is the largest request ID that a policy may bring; larger ones are
// the kernel's own.
const MaxReqID = 0x3fff

// IP protocol numbers of the transforms, in a [Request].
const (
	IPProtoESP    = 50
	IPProtoAH     = 51
	IPProtoIPComp = 108
	IPProtoTCP    = 6 // TCP-MD5 on BSD
)

// A Request is one transform that a policy asks for (sadb_x_ipsecrequest).
type Request struct {
	Proto uint16 // IP protocol number, IPProtoESP and so on
	Mode  Mode
	Level Level
	ReqID uint32 // 16 bits on BSD

	// Src and Dst are the ends of a tunnel, both or none.
	Src, Dst SockAddr
}

// Policy is the X_POLICY extension: what a policy does, without its selector.
type Policy struct {
	Type     PolicyType
	Dir      Dir
	ID       uint32 // the kernel's number, 0 in a new policy
	Priority uint32 // Linux, FreeBSD: lower is looked at first
	Requests []Request

	// Byte7 is FreeBSD's scope (1 global, 2 interface, 4 socket) or NetBSD's
	// flags (0x80: the kernel's own policy); reserved on the others.
	Byte7 uint8
}

// Ext implements [Extension].
func (*Policy) Ext() ExtType { return ExtPolicy }

func (e *Policy) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint16(b, uint16(e.Type))
	b = append(b, byte(e.Dir), e.Byte7)
	b = d.order.AppendUint32(b, e.ID)
	priority := e.Priority
	if !d.priority {
		priority = 0
	}
	b = d.order.AppendUint32(b, priority)
	for i := range e.Requests {
		var err error
		if b, err = d.appendRequest(b, &e.Requests[i]); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (d *Dialect) appendRequest(b []byte, r *Request) ([]byte, error) {
	n := d.requestHeader
	with := r.Src.Addr.IsValid() || r.Dst.Addr.IsValid()
	if with {
		n += r.Src.size() + r.Dst.size()
	}
	b = d.order.AppendUint16(b, uint16(n))
	b = d.order.AppendUint16(b, r.Proto)
	b = append(b, byte(r.Mode), byte(r.Level))
	switch {
	case d.requestHeader == 16:
		b = append(b, 0, 0)
		b = d.order.AppendUint32(b, r.ReqID)
		b = append(b, 0, 0, 0, 0)
	case r.ReqID > 65535:
		return b, parseError("request ID above 65535")
	default:
		b = d.order.AppendUint16(b, uint16(r.ReqID))
	}
	if !with {
		return b, nil
	}
	// The addresses follow each other without padding.
	b, err := d.appendSockAddr(b, &r.Src)
	if err != nil {
		return b, err
	}
	return d.appendSockAddr(b, &r.Dst)
}

// maxRequests bounds what a message can make us allocate; kernels have 6 at
// most.
const maxRequests = 32

func (d *Dialect) parsePolicy(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	e := &Policy{Type: PolicyType(d.order.Uint16(b[4:])), Dir: Dir(b[6]), Byte7: b[7], ID: d.order.Uint32(b[8:])}
	if d.priority {
		e.Priority = d.order.Uint32(b[12:])
	}
	for b = b[16:]; len(b) > 0; {
		if len(e.Requests) == maxRequests {
			return nil, parseError("too many requests")
		}
		r, n, err := d.parseRequest(b)
		if err != nil {
			return nil, err
		}
		e.Requests = append(e.Requests, r)
		b = b[n:]
	}
	return e, nil
}

func (d *Dialect) parseRequest(b []byte) (Request, int, error) {
	if len(b) < d.requestHeader {
		return Request{}, 0, parseError("short request")
	}
	// The only length in a message that counts octets.
	n := int(d.order.Uint16(b))
	if n < d.requestHeader || n > len(b) {
		return Request{}, 0, parseError("length of a request")
	}
	r := Request{Proto: d.order.Uint16(b[2:]), Mode: Mode(b[4]), Level: Level(b[5])}
	if d.requestHeader == 16 {
		r.ReqID = d.order.Uint32(b[8:])
	} else {
		r.ReqID = uint32(d.order.Uint16(b[6:]))
	}
	if rest := b[d.requestHeader:n]; len(rest) > 0 {
		var size int
		var err error
		if r.Src, size, err = d.parseSockAddr(rest); err != nil {
			return r, 0, err
		} else if size == 0 {
			return r, 0, errNoAddress
		}
		if r.Dst, size, err = d.parseSockAddr(rest[size:]); err != nil {
			return r, 0, err
		} else if size == 0 {
			return r, 0, errNoAddress
		}
	}
	return r, n, nil
}

// AppendPolicy appends a policy as the value of the socket options
// IP_IPSEC_POLICY and IPV6_IPSEC_POLICY, and as libipsec's ipsec_set_policy
// returns it: the extension alone.
func (d *Dialect) AppendPolicy(b []byte, p *Policy) ([]byte, error) {
	r, err := d.appendExt(b, p)
	if err != nil {
		return b, err
	}
	return r, nil
}

// ParsePolicy decodes what AppendPolicy encodes.
func (d *Dialect) ParsePolicy(b []byte) (*Policy, error) {
	if len(b) < 16 || int(d.order.Uint16(b))*8 != len(b) {
		return nil, &ParseError{Ext: ExtPolicy, Reason: "length"}
	}
	if ExtType(d.exts.fromRaw(uint32(d.order.Uint16(b[2:])), uint32(unknownExt))) != ExtPolicy {
		return nil, &ParseError{Ext: ExtPolicy, Reason: "another extension"}
	}
	e, err := d.parsePolicy(b)
	if err != nil {
		return nil, &ParseError{Ext: ExtPolicy, Reason: err.Error()}
	}
	return e.(*Policy), nil
}
