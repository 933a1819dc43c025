package isakmp

import (
	"iter"
	"log/slog"
)

// Payloads are the decoded payloads of a message in the order of the wire.
type Payloads []Payload

// decoded is what one decoding allocates at once: the message and the payloads
// that a message rarely has more of.
type decoded struct {
	Message
	sa    SA
	ke    KE
	hash  HASH
	sig   SIG
	nonce Nonce
	ids   [2]ID
}

// ParsePayloads decodes the chain in body, the first payload of which has type
// first, without octets behind it: [ParseChain] and [Chain.Payloads]. It is
// what KINK (RFC 4430 4.2.3) needs, which carries payloads without a header.
func ParsePayloads(first PayloadType, body []byte) (Payloads, error) {
	c, err := ParseChain(first, body)
	if err != nil {
		return nil, err
	}
	return c.Payloads()
}

// Payloads decodes every payload of the chain. KE, HASH, SIG and NONCE may
// appear once, ID twice; whether several SA, Delete or other payloads make
// sense is for the exchange to say. Errors are of type [*ParseError]; offsets
// count from the start of what the chain was parsed from.
func (c Chain) Payloads() (Payloads, error) {
	d := new(decoded)
	if e := d.decode(c); e != nil {
		return nil, e
	}
	return d.Payloads, nil
}

// ParsePayload decodes one payload of a chain. Offsets of errors are those of
// the chain.
func ParsePayload(r RawPayload) (Payload, error) {
	ps, err := Chain{r}.Payloads()
	if err != nil {
		return nil, err
	}
	return ps[0], nil
}

func (d *decoded) decode(c Chain) *ParseError {
	if len(c) == 0 {
		return nil
	}
	var count [32]uint8 // MaxPayloads fits
	for i := range c {
		t := c[i].Type
		if int(t) >= len(count) {
			continue
		}
		count[t]++
		limit := 0
		switch t {
		case PayloadKE, PayloadHASH, PayloadSIG, PayloadNonce:
			limit = 1
		case PayloadID:
			limit = 2
		default:
			continue
		}
		if int(count[t]) > limit {
			return &ParseError{Payload: t, Offset: c[i].Offset, Err: ErrDuplicatePayload}
		}
	}

	d.Payloads = make(Payloads, 0, len(c))
	var ns []Notify
	var vs []VendorID
	if n := count[PayloadNotify]; n > 0 {
		ns = make([]Notify, 0, n)
	}
	if n := count[PayloadVendorID]; n > 0 {
		vs = make([]VendorID, 0, n)
	}
	sas, ids := 0, 0
	for i := range c {
		r := &c[i]
		var p Payload
		var e *ParseError
		switch r.Type {
		case PayloadSA:
			sa := &d.sa
			if sas++; sas > 1 {
				sa = new(SA)
			}
			p, e = sa, sa.parse(r.Body)
		case PayloadKE:
			p, e = &d.ke, d.ke.parse(r.Body)
		case PayloadID:
			id := &d.ids[ids]
			ids++
			p, e = id, id.parse(r.Body)
		case PayloadCERT:
			x := new(CERT)
			p, e = x, x.parse(r.Body)
		case PayloadCR:
			x := new(CR)
			p, e = x, x.parse(r.Body)
		case PayloadHASH:
			p, e = &d.hash, d.hash.parse(r.Body)
		case PayloadSIG:
			p, e = &d.sig, d.sig.parse(r.Body)
		case PayloadNonce:
			p, e = &d.nonce, d.nonce.parse(r.Body)
		case PayloadNotify:
			ns = append(ns, Notify{})
			n := &ns[len(ns)-1]
			p, e = n, n.parse(r.Body)
		case PayloadDelete:
			x := new(Delete)
			p, e = x, x.parse(r.Body)
		case PayloadVendorID:
			vs = append(vs, VendorID{ID: r.Body})
			p = &vs[len(vs)-1]
		case PayloadAttributes:
			x := new(Attributes)
			p, e = x, x.parse(r.Body)
		case PayloadNATD, PayloadNATDDraft:
			p = &NATD{Type: r.Type, Hash: r.Body}
		case PayloadNATOA, PayloadNATOADraft:
			x := &NATOA{Type: r.Type}
			p, e = x, x.parse(r.Body)
		case PayloadFragment:
			x := new(Fragment)
			p, e = x, x.parse(r.Body)
		default:
			p = &Unknown{Type: r.Type, Body: r.Body}
		}
		if e != nil {
			return e.at(r.Offset + genericLen)
		}
		d.Payloads = append(d.Payloads, p)
	}
	return nil
}

// first returns the first payload of type t as a P, or the zero P.
func first[P Payload](ps Payloads) (p P) {
	for _, x := range ps {
		if p, ok := x.(P); ok {
			return p
		}
	}
	return p
}

// SA returns the first SA payload, or nil.
func (ps Payloads) SA() *SA { return first[*SA](ps) }

// KE returns the Key Exchange payload, or nil.
func (ps Payloads) KE() *KE { return first[*KE](ps) }

// Nonce returns the Nonce payload, or nil.
func (ps Payloads) Nonce() *Nonce { return first[*Nonce](ps) }

// HASH returns the Hash payload, or nil.
func (ps Payloads) HASH() *HASH { return first[*HASH](ps) }

// SIG returns the Signature payload, or nil.
func (ps Payloads) SIG() *SIG { return first[*SIG](ps) }

// ID returns the first Identification payload, or nil: the only one in phase
// 1.
func (ps Payloads) ID() *ID { return first[*ID](ps) }

// ClientIDs returns the two Identification payloads of Quick Mode, IDci and
// IDcr. Both are nil if there are not exactly two.
func (ps Payloads) ClientIDs() (ci, cr *ID) {
	for _, p := range ps {
		if id, ok := p.(*ID); ok {
			if ci == nil {
				ci = id
			} else {
				cr = id
			}
		}
	}
	if cr == nil {
		return nil, nil
	}
	return ci, cr
}

// Attributes returns the first Attributes payload, or nil.
func (ps Payloads) Attributes() *Attributes { return first[*Attributes](ps) }

// Fragment returns the Fragment payload, or nil.
func (ps Payloads) Fragment() *Fragment { return first[*Fragment](ps) }

// Notify returns the first Notification payload of type t, or nil.
func (ps Payloads) Notify(t NotifyType) *Notify {
	for _, p := range ps {
		if n, ok := p.(*Notify); ok && n.Type == t {
			return n
		}
	}
	return nil
}

// HasNotify reports whether there is a Notification payload of type t.
func (ps Payloads) HasNotify(t NotifyType) bool { return ps.Notify(t) != nil }

// ErrorNotify returns the first Notification payload with an error type (1 to
// 16383, RFC 2408 3.14.1), or nil.
func (ps Payloads) ErrorNotify() *Notify {
	for _, p := range ps {
		if n, ok := p.(*Notify); ok && n.Type.IsError() {
			return n
		}
	}
	return nil
}

// SAs iterates over the SA payloads.
func (ps Payloads) SAs() iter.Seq[*SA] { return all[*SA](ps) }

// Notifies iterates over the Notification payloads.
func (ps Payloads) Notifies() iter.Seq[*Notify] { return all[*Notify](ps) }

// CERTs iterates over the Certificate payloads.
func (ps Payloads) CERTs() iter.Seq[*CERT] { return all[*CERT](ps) }

// CRs iterates over the Certificate Request payloads.
func (ps Payloads) CRs() iter.Seq[*CR] { return all[*CR](ps) }

// Deletes iterates over the Delete payloads.
func (ps Payloads) Deletes() iter.Seq[*Delete] { return all[*Delete](ps) }

// VendorIDs iterates over the Vendor ID payloads.
func (ps Payloads) VendorIDs() iter.Seq[*VendorID] { return all[*VendorID](ps) }

func all[P Payload](ps Payloads) iter.Seq[P] {
	return func(yield func(P) bool) {
		for _, x := range ps {
			if p, ok := x.(P); ok && !yield(p) {
				return
			}
		}
	}
}

// NATDs iterates over the hashes of the NAT-D payloads under number t:
// PayloadNATD, PayloadNATDDraft or PayloadNATDDraft04.
func (ps Payloads) NATDs(t PayloadType) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, x := range ps {
			if x.PayloadType() != t {
				continue
			}
			var hash []byte
			switch p := x.(type) {
			case *NATD:
				hash = p.Hash
			case *Unknown:
				hash = p.Body
			default:
				continue
			}
			if !yield(hash) {
				return
			}
		}
	}
}

// NATOAs returns the addresses of the first two NAT-OA payloads under number
// t: PayloadNATOA, PayloadNATOADraft or PayloadNATOADraft04. RFC 3947 5.2
// sends NAT-OAi first, drafts before 03 only the sender's own. It is an error
// if one is malformed.
func (ps Payloads) NATOAs(t PayloadType) (oas [2]NATOA, n int, err error) {
	for _, x := range ps {
		if x.PayloadType() != t || n == len(oas) {
			continue
		}
		switch p := x.(type) {
		case *NATOA:
			oas[n] = *p
		case *Unknown:
			oas[n].Type = t
			if e := oas[n].parse(p.Body); e != nil {
				return oas, n, e
			}
		default:
			continue
		}
		n++
	}
	return oas, n, nil
}

// Count returns how many payloads have type t.
func (ps Payloads) Count(t PayloadType) int {
	n := 0
	for _, p := range ps {
		if p.PayloadType() == t {
			n++
		}
	}
	return n
}

// Require returns nil if each of the payload types is present, else a
// [*ParseError] of kind [ErrMissingPayload] that names the first one missing.
func (ps Payloads) Require(types ...PayloadType) error {
	for _, t := range types {
		if ps.Count(t) == 0 {
			return &ParseError{Payload: t, Err: ErrMissingPayload}
		}
	}
	return nil
}

// Only returns nil if every payload has one of the types, else a [*ParseError]
// of kind [ErrUnexpectedPayload] that names the first other one. Vendor IDs
// are always allowed; private types (RFC 2408 3.1: 128 and above) are too,
// since they are understood only by those who agreed on them.
func (ps Payloads) Only(types ...PayloadType) error {
next:
	for _, p := range ps {
		got := p.PayloadType()
		if got == PayloadVendorID || got >= 128 {
			continue
		}
		for _, t := range types {
			if t == got {
				continue next
			}
		}
		return &ParseError{Payload: got, Err: ErrUnexpectedPayload}
	}
	return nil
}

// String returns the payloads as one line of a trace.
func (ps Payloads) String() string { return string(ps.appendText(nil)) }

// GoString is String: %#v shows no more than %v.
func (ps Payloads) GoString() string { return ps.String() }

// LogValue implements [slog.LogValuer] with String.
func (ps Payloads) LogValue() slog.Value { return slog.StringValue(ps.String()) }

func (ps Payloads) appendText(b []byte) []byte {
	for i, p := range ps {
		if i > 0 {
			b = append(b, ' ')
		}
		if len(b) > maxTrace {
			return append(b, "..."...)
		}
		b = p.appendText(b)
	}
	return b
}
