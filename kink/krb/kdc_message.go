package krb

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Types of pre-authentication data (RFC 4120 7.5.2).
const (
	paTGSReq       = 1
	paEncTimestamp = 2
	paETypeInfo2   = 19
)

type paData struct {
	kind  int64
	value []byte
}

// A kdcRequest is an AS-REQ or TGS-REQ (RFC 4120 5.4.1).
type kdcRequest struct {
	kind       uint8 // msgASReq or msgTGSReq
	options    Flags
	client     Principal // AS-REQ only
	server     Principal
	till       time.Time
	nonce      uint32
	etypes     []EType
	additional []byte // DER of a ticket, for user-to-user
}

// body returns the KDC-REQ-BODY.
func (q *kdcRequest) body() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addFlags(b, 0, q.options)
		if q.kind == msgASReq {
			addName(b, 1, q.client)
		}
		addString(b, 2, q.server.Realm)
		if q.options&optionCanonical != 0 { // KDCs refer hosts only
			addTypedName(b, 3, ntSrvHst, q.server.Components())
		} else {
			addName(b, 3, q.server)
		}
		addTime(b, 5, q.till)
		addInt(b, 7, int64(q.nonce))
		addSequence(b, 8, func(b *cryptobyte.Builder) {
			for _, e := range q.etypes {
				b.AddASN1Int64(int64(e))
			}
		})
		if q.additional != nil {
			addSequence(b, 11, func(b *cryptobyte.Builder) { b.AddBytes(q.additional) })
		}
	})
	return b.Bytes()
}

// message returns the whole request.
func (q *kdcRequest) message(body []byte, pa ...paData) ([]byte, error) {
	var b cryptobyte.Builder
	addApplication(&b, q.kind, func(b *cryptobyte.Builder) {
		addInt(b, 1, pvno)
		addInt(b, 2, int64(q.kind))
		if len(pa) > 0 {
			addSequence(b, 3, func(b *cryptobyte.Builder) {
				for _, p := range pa {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						addInt(b, 1, p.kind)
						addOctets(b, 2, p.value)
					})
				}
			})
		}
		addField(b, 4, func(b *cryptobyte.Builder) { b.AddBytes(body) })
	})
	return b.Bytes()
}

// encTimestamp is PA-ENC-TIMESTAMP's content before encryption (RFC 4120
// 5.2.7.2).
func encTimestamp(now time.Time) ([]byte, error) {
	s := StampOf(now)
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addTime(b, 0, s.seconds())
		addInt(b, 1, s.micro())
	})
	return b.Bytes()
}

// encryptedDataDER is an EncryptedData by itself.
func encryptedDataDER(e encryptedData) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addInt(b, 0, int64(e.etype))
		if e.kvno != 0 {
			addInt(b, 1, int64(e.kvno))
		}
		addOctets(b, 2, e.cipher)
	})
	return b.Bytes()
}

// maxPAData bounds the pre-authentication data and the hints in it.
const maxPAData = 64

// parsePAData reads a SEQUENCE OF PA-DATA: METHOD-DATA, too.
func parsePAData(s cryptobyte.String) (out []paData, ok bool) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, asn1.SEQUENCE) || !s.Empty() {
		return nil, false
	}
	for !list.Empty() {
		var one cryptobyte.String
		if len(out) == maxPAData || !list.ReadASN1Element(&one, asn1.SEQUENCE) {
			return nil, false
		}
		r := plain(one)
		p := paData{kind: r.int(1), value: r.octets(2)}
		if r.bad {
			return nil, false
		}
		out = append(out, p)
	}
	return out, true
}

// An etypeInfo is a hint how a password becomes a key: ETYPE-INFO2-ENTRY.
type etypeInfo struct {
	etype      EType
	salt       []byte
	hasSalt    bool
	iterations uint32 // 0: default
}

// parseETypeInfo returns the hints of the pre-authentication data.
func parseETypeInfo(pa []paData) (out []etypeInfo) {
	for _, p := range pa {
		if p.kind != paETypeInfo2 {
			continue
		}
		s := cryptobyte.String(p.value)
		var list cryptobyte.String
		if !s.ReadASN1(&list, asn1.SEQUENCE) {
			return nil
		}
		for !list.Empty() && len(out) < maxPAData {
			var one cryptobyte.String
			if !list.ReadASN1Element(&one, asn1.SEQUENCE) {
				return nil
			}
			r := plain(one)
			i := etypeInfo{etype: EType(r.int(0))}
			if r.has(1) {
				f := r.field(1)
				var salt cryptobyte.String
				r.check(f.ReadASN1(&salt, generalString))
				i.salt, i.hasSalt = salt, true
			}
			if r.has(2) {
				if p := r.octets(2); len(p) == 4 {
					i.iterations = uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
				}
			}
			if r.bad {
				return nil
			}
			out = append(out, i)
		}
	}
	return out
}

// A kdcReply is an AS-REP or TGS-REP (RFC 4120 5.4.2), not decrypted yet.
type kdcReply struct {
	pa     []paData
	client Principal
	ticket []byte
	server Principal // of the ticket
	enc    encryptedData
}

// parseKDCReply decodes the answer to a request of the given kind. A KRB-ERROR
// is returned as the error.
func parseKDCReply(b []byte, request uint8) (*kdcReply, error) {
	if len(b) > 0 && b[0] == byte(application(msgError)) {
		e, err := ParseKRBError(b)
		if err != nil {
			return nil, err
		}
		return nil, e
	}
	want := request + 1
	r := sequence(b, want)
	if version, kind := r.int(0), r.int(1); !r.bad && (version != pvno || kind != int64(want)) {
		return nil, syntax("KDC-REP of another kind")
	}
	p := &kdcReply{}
	if f, ok := r.optional(2); ok {
		p.pa, ok = parsePAData(f)
		r.check(ok)
	}
	realm := r.string(3)
	name := r.name(4)
	p.ticket = r.field(5)
	p.enc = r.encrypted(6)
	if r.bad || realm == "" {
		return nil, syntax("KDC-REP")
	}
	p.client = NewPrincipal(realm, name...)
	t, err := ParseTicket(p.ticket)
	if err != nil {
		return nil, err
	}
	p.server = t.Server
	return p, nil
}

// open decrypts the reply and returns the ticket, after a check that it
// answers the request.
func (p *kdcReply) open(k *Key, usage uint32, q *kdcRequest) (*Ticket, error) {
	text, err := p.enc.open(k, usage)
	if err != nil {
		return nil, fmt.Errorf("reply of the KDC: %w", err)
	}
	defer clear(text)
	// Some KDCs give an AS-REP the tag of a TGS-REP (RFC 4120 5.4.2).
	r := sequence(text, msgEncTGSRepPart)
	if r.bad {
		r = sequence(text, msgEncASRepPart)
	}
	t := &Ticket{Client: p.client, Raw: append([]byte(nil), p.ticket...), Key: r.key(0), UserToUser: q.additional != nil}
	r.field(1)
	nonce := r.int(2)
	r.optionalTime(3)
	t.Flags = r.flags(4)
	t.AuthTime = r.time(5)
	t.StartTime = r.optionalTime(6)
	t.EndTime = r.time(7)
	t.RenewTill = r.optionalTime(8)
	realm := r.string(9)
	name := r.name(10)
	if r.bad || realm == "" {
		return nil, syntax("EncKDCRepPart")
	}
	if t.StartTime.IsZero() {
		t.StartTime = t.AuthTime
	}
	t.Server = NewPrincipal(realm, name...)
	switch {
	case uint32(nonce) != q.nonce:
		return nil, syntax("reply of the KDC to another request")
	case t.Key == nil:
		return nil, fmt.Errorf("session key of the ticket for %v: %w", t.Server, ErrEType)
	case t.Server != p.server:
		return nil, syntax("ticket for another server than the reply says")
	}
	return t, nil
}
