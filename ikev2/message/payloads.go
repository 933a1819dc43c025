package message

import (
	"iter"
	"log/slog"
)

// Payloads are the decoded payloads of a message, or of the inside of an SK
// payload, in the order of the wire.
type Payloads []Payload

// decoded is what one decoding allocates at once: the message and the payloads
// that a message has at most one of.
type decoded struct {
	Message
	sa       SA
	ke       KE
	nonce    Nonce
	idi, idr ID
	auth     AUTH
	tsi, tsr TS
	sk       SK
	skf      SKF
}

// ParsePayloads decodes the chain in body, the first payload of which has type
// first: the content of an SK payload after decryption, without padding.
// Errors are those of [Parse]; offsets count from the start of body.
func ParsePayloads(first PayloadType, body []byte) (Payloads, error) {
	m, err := ParseContent(Header{}, first, body)
	return m.Payloads, err
}

// ParseContent is [ParsePayloads] for the message with header h, whose SK
// payload the chain was in. The message is never nil; on an error it has the
// payloads that ParsePayloads returns.
func ParseContent(h Header, first PayloadType, body []byte) (*Message, error) {
	d := &decoded{Message: Message{Header: h}}
	if e := d.decode(first, body, 0); e != nil {
		if e.Err != ErrUnsupportedCritical {
			d.Payloads = nil
		}
		return &d.Message, e
	}
	return &d.Message, nil
}

// decode fills d.Payloads. base is the offset of body in what the caller was
// given. ErrUnsupportedCritical is returned only if all else is well.
func (d *decoded) decode(first PayloadType, body []byte, base int) *ParseError {
	// First pass: the chain is sound, nothing is there twice, how many.
	var seen uint64
	var notifies, vendors int
	w := walker{body: body, next: first}
	for w.more() {
		p, e := w.step()
		if e != nil {
			return e.at(base)
		}
		switch p.Type {
		case PayloadSA, PayloadKE, PayloadIDi, PayloadIDr, PayloadAUTH, PayloadNonce, PayloadTSi, PayloadTSr, PayloadEAP:
			if seen&(1<<p.Type) != 0 {
				return &ParseError{Payload: p.Type, Offset: base + p.Offset, Err: ErrDuplicatePayload}
			}
			seen |= 1 << p.Type
		case PayloadNotify:
			notifies++
		case PayloadVendorID:
			vendors++
		}
	}
	if e := w.end(); e != nil {
		return e.at(base)
	}
	if w.n == 0 {
		return nil
	}

	// Second pass: decode, with one slice for each kind that repeats.
	d.Payloads = make(Payloads, 0, w.n)
	var ns []Notify
	var vs []VendorID
	if notifies > 0 {
		ns = make([]Notify, 0, notifies)
	}
	if vendors > 0 {
		vs = make([]VendorID, 0, vendors)
	}
	var unsupported *ParseError
	w = walker{body: body, next: first}
	for w.more() {
		r, e := w.step()
		if e != nil { // not reached: the first pass saw the same
			return e.at(base)
		}
		var p Payload
		switch r.Type {
		case PayloadSA:
			d.sa.Critical = r.Critical
			p, e = &d.sa, d.sa.parse(r.Body)
		case PayloadKE:
			d.ke.Critical = r.Critical
			p, e = &d.ke, d.ke.parse(r.Body)
		case PayloadIDi:
			d.idi.Critical = r.Critical
			p, e = &d.idi, d.idi.parse(r.Body)
		case PayloadIDr:
			d.idr.Critical, d.idr.Responder = r.Critical, true
			p, e = &d.idr, d.idr.parse(r.Body)
		case PayloadCERT:
			c := &CERT{Critical: r.Critical}
			p, e = c, c.parse(r.Body)
		case PayloadCERTREQ:
			c := &CERTREQ{Critical: r.Critical}
			p, e = c, c.parse(r.Body)
		case PayloadAUTH:
			d.auth.Critical = r.Critical
			p, e = &d.auth, d.auth.parse(r.Body)
		case PayloadNonce:
			d.nonce.Critical = r.Critical
			p, e = &d.nonce, d.nonce.parse(r.Body)
		case PayloadNotify:
			ns = append(ns, Notify{Critical: r.Critical})
			n := &ns[len(ns)-1]
			p, e = n, n.parse(r.Body)
		case PayloadDelete:
			x := &Delete{Critical: r.Critical}
			p, e = x, x.parse(r.Body)
		case PayloadVendorID:
			vs = append(vs, VendorID{Critical: r.Critical, ID: r.Body})
			p = &vs[len(vs)-1]
		case PayloadTSi:
			d.tsi.Critical = r.Critical
			p, e = &d.tsi, d.tsi.parse(r.Body)
		case PayloadTSr:
			d.tsr.Critical, d.tsr.Responder = r.Critical, true
			p, e = &d.tsr, d.tsr.parse(r.Body)
		case PayloadSK:
			d.sk = SK{Critical: r.Critical, First: r.Next, Body: r.Body}
			p = &d.sk
		case PayloadSKF:
			d.skf.Critical, d.skf.First = r.Critical, r.Next
			p, e = &d.skf, d.skf.parse(r.Body)
		case PayloadCP:
			c := &CP{Critical: r.Critical}
			p, e = c, c.parse(r.Body)
		case PayloadEAP:
			c := &EAP{Critical: r.Critical}
			p, e = c, c.parse(r.Body)
		default:
			p = &Unknown{Type: r.Type, Critical: r.Critical, Body: r.Body}
			if r.Critical && unsupported == nil {
				unsupported = &ParseError{Payload: r.Type, Offset: base + r.Offset, Err: ErrUnsupportedCritical}
			}
		}
		if e != nil {
			return e.at(base + r.Offset + genericLen)
		}
		d.Payloads = append(d.Payloads, p)
	}
	return unsupported
}

// at moves the error's offset to where the parsed slice lies in a larger one.
func (e *ParseError) at(base int) *ParseError {
	e.Offset += base
	return e
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

// SA returns the SA payload, or nil.
func (ps Payloads) SA() *SA { return first[*SA](ps) }

// KE returns the Key Exchange payload, or nil.
func (ps Payloads) KE() *KE { return first[*KE](ps) }

// Nonce returns the Nonce payload, or nil.
func (ps Payloads) Nonce() *Nonce { return first[*Nonce](ps) }

// AUTH returns the Authentication payload, or nil.
func (ps Payloads) AUTH() *AUTH { return first[*AUTH](ps) }

// CP returns the first Configuration payload, or nil.
func (ps Payloads) CP() *CP { return first[*CP](ps) }

// EAP returns the EAP payload, or nil.
func (ps Payloads) EAP() *EAP { return first[*EAP](ps) }

// SK returns the Encrypted payload, or nil.
func (ps Payloads) SK() *SK { return first[*SK](ps) }

// SKF returns the Encrypted Fragment payload, or nil.
func (ps Payloads) SKF() *SKF { return first[*SKF](ps) }

// IDi returns the identity of the initiator, or nil.
func (ps Payloads) IDi() *ID { return ps.id(false) }

// IDr returns the identity of the responder, or nil.
func (ps Payloads) IDr() *ID { return ps.id(true) }

func (ps Payloads) id(responder bool) *ID {
	for _, p := range ps {
		if x, ok := p.(*ID); ok && x.Responder == responder {
			return x
		}
	}
	return nil
}

// TSi returns the traffic selectors of the initiator, or nil.
func (ps Payloads) TSi() *TS { return ps.ts(false) }

// TSr returns the traffic selectors of the responder, or nil.
func (ps Payloads) TSr() *TS { return ps.ts(true) }

func (ps Payloads) ts(responder bool) *TS {
	for _, p := range ps {
		if x, ok := p.(*TS); ok && x.Responder == responder {
			return x
		}
	}
	return nil
}

// Notify returns the first Notify payload of type t, or nil.
func (ps Payloads) Notify(t NotifyType) *Notify {
	for _, p := range ps {
		if n, ok := p.(*Notify); ok && n.Type == t {
			return n
		}
	}
	return nil
}

// HasNotify reports whether there is a Notify payload of type t.
func (ps Payloads) HasNotify(t NotifyType) bool { return ps.Notify(t) != nil }

// ErrorNotify returns the first Notify payload with an error type (below
// 16384, RFC 7296 3.10.1), or nil.
func (ps Payloads) ErrorNotify() *Notify {
	for _, p := range ps {
		if n, ok := p.(*Notify); ok && n.Type.IsError() {
			return n
		}
	}
	return nil
}

// Notifies iterates over the Notify payloads.
func (ps Payloads) Notifies() iter.Seq[*Notify] { return all[*Notify](ps) }

// CERTs iterates over the Certificate payloads.
func (ps Payloads) CERTs() iter.Seq[*CERT] { return all[*CERT](ps) }

// CERTREQs iterates over the Certificate Request payloads.
func (ps Payloads) CERTREQs() iter.Seq[*CERTREQ] { return all[*CERTREQ](ps) }

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

// Require returns nil if each of the payload types is present, else a
// [*ParseError] of kind [ErrMissingPayload] that names the first one missing.
func (ps Payloads) Require(types ...PayloadType) error {
next:
	for _, t := range types {
		for _, p := range ps {
			if p.PayloadType() == t {
				continue next
			}
		}
		return &ParseError{Payload: t, Err: ErrMissingPayload}
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
