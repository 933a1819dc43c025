package pfkey

// Proposal is the PROPOSAL extension of an ACQUIRE (RFC 2367 2.3.7): what the
// kernel would take. Key management has its own configuration and need not
// heed it.
type Proposal struct {
	Replay uint8
	Combs  []Comb
}

// A Comb is one combination of algorithms and limits. Not all fields can be
// believed: FreeBSD and macOS fill the lifetimes wrongly.
type Comb struct {
	Auth, Encrypt                    uint8 // the system's numbers
	Flags                            uint16
	AuthMinBits, AuthMaxBits         uint16
	EncryptMinBits, EncryptMaxBits   uint16
	SoftAllocations, HardAllocations uint32
	SoftBytes, HardBytes             uint64
	SoftAddTime, HardAddTime         uint64
	SoftUseTime, HardUseTime         uint64
}

const combSize = 72

// Ext implements [Extension].
func (*Proposal) Ext() ExtType { return ExtProposal }

func (e *Proposal) appendBody(d *Dialect, b []byte) ([]byte, error) {
	if d.plainAddress { // OpenBSD counts them
		b = append(b, byte(len(e.Combs)), e.Replay, 0, 0)
	} else {
		b = append(b, e.Replay, 0, 0, 0)
	}
	for i := range e.Combs {
		c := &e.Combs[i]
		b = append(b, c.Auth, c.Encrypt)
		for _, v := range [...]uint16{c.Flags, c.AuthMinBits, c.AuthMaxBits, c.EncryptMinBits, c.EncryptMaxBits} {
			b = d.order.AppendUint16(b, v)
		}
		b = append(b, 0, 0, 0, 0)
		b = d.order.AppendUint32(b, c.SoftAllocations)
		b = d.order.AppendUint32(b, c.HardAllocations)
		for _, v := range [...]uint64{c.SoftBytes, c.HardBytes, c.SoftAddTime, c.HardAddTime, c.SoftUseTime, c.HardUseTime} {
			b = d.order.AppendUint64(b, v)
		}
	}
	return b, nil
}

func (d *Dialect) parseProposal(b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	e := &Proposal{Replay: b[4]}
	if d.plainAddress {
		e.Replay = b[5]
	}
	b = b[8:]
	if len(b)%combSize != 0 {
		return nil, parseError("length of the combinations")
	}
	if len(b) > 0 {
		e.Combs = make([]Comb, len(b)/combSize)
	}
	for i := range e.Combs {
		x := b[i*combSize:]
		u16, u64 := d.order.Uint16, d.order.Uint64
		e.Combs[i] = Comb{
			Auth: x[0], Encrypt: x[1], Flags: u16(x[2:]), AuthMinBits: u16(x[4:]), AuthMaxBits: u16(x[6:]),
			EncryptMinBits: u16(x[8:]), EncryptMaxBits: u16(x[10:]),
			SoftAllocations: d.order.Uint32(x[16:]), HardAllocations: d.order.Uint32(x[20:]),
			SoftBytes: u64(x[24:]), HardBytes: u64(x[32:]), SoftAddTime: u64(x[40:]), HardAddTime: u64(x[48:]),
			SoftUseTime: u64(x[56:]), HardUseTime: u64(x[64:]),
		}
	}
	return e, nil
}

// Supported is a list of algorithms in the answer to REGISTER (RFC 2367
// 2.3.8).
type Supported struct {
	Type ExtType
	Algs []Alg
}

// An Alg is an algorithm that a kernel has.
type Alg struct {
	ID               uint8  // the system's number
	IVLen            uint8  // octets; bits on OpenBSD
	MinBits, MaxBits uint16 // of the key, a salt included
	Reserved         uint16 // NetBSD: the step between key lengths, for some
}

// Ext implements [Extension].
func (e *Supported) Ext() ExtType { return e.Type }

func (e *Supported) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = append(b, 0, 0, 0, 0)
	for _, a := range e.Algs {
		b = append(b, a.ID, a.IVLen)
		b = d.order.AppendUint16(b, a.MinBits)
		b = d.order.AppendUint16(b, a.MaxBits)
		b = d.order.AppendUint16(b, a.Reserved)
	}
	return b, nil
}

func (d *Dialect) parseSupported(t ExtType, b []byte) (Extension, error) {
	if err := need(b, 8); err != nil {
		return nil, err
	}
	e := &Supported{Type: t, Algs: make([]Alg, len(b)/8-1)}
	for i := range e.Algs {
		x := b[8+i*8:]
		e.Algs[i] = Alg{ID: x[0], IVLen: x[1], MinBits: d.order.Uint16(x[2:]), MaxBits: d.order.Uint16(x[4:]), Reserved: d.order.Uint16(x[6:])}
	}
	return e, nil
}

// SPIRange is the SPIRANGE extension of GETSPI (RFC 2367 2.3.9), both ends
// included.
type SPIRange struct{ Min, Max uint32 }

// Ext implements [Extension].
func (*SPIRange) Ext() ExtType { return ExtSPIRange }

func (e *SPIRange) appendBody(d *Dialect, b []byte) ([]byte, error) {
	b = d.order.AppendUint32(b, e.Min)
	b = d.order.AppendUint32(b, e.Max)
	return append(b, 0, 0, 0, 0), nil
}

func (d *Dialect) parseSPIRange(b []byte) (Extension, error) {
	if err := need(b, 16); err != nil {
		return nil, err
	}
	return &SPIRange{Min: d.order.Uint32(b[4:]), Max: d.order.Uint32(b[8:])}, nil
}
