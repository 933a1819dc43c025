package names

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Bounds of what is looked at in a message.
const (
	headerLen  = 12
	maxRecords = 256
	maxAliases = 16 // CNAMEs in a row
	minUDP     = 512
)

// A question is a query as far as the forwarder looks at it.
type question struct {
	dnsmessage.Question
	id  uint16
	udp int // octets that the asker takes over UDP (RFC 6891 6.2.3)
}

// parseQuery reads a query. If it is none to forward, ok is false and code is
// the answer; with a code of success there is none.
func parseQuery(b []byte) (q question, code dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response {
		return q, dnsmessage.RCodeSuccess, false // never answer an answer
	}
	q.id, q.udp = h.ID, minUDP
	if h.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, false
	}
	counts := func(i int) uint16 { return binary.BigEndian.Uint16(b[4+2*i:]) }
	if counts(0) != 1 || counts(1) != 0 || counts(2) != 0 || counts(3) > 4 {
		return q, dnsmessage.RCodeFormatError, false
	}
	if q.Question, err = p.Question(); err != nil {
		return q, dnsmessage.RCodeFormatError, false
	}
	const axfr, ixfr = 252, 251
	if q.Type == axfr || q.Type == ixfr {
		return q, dnsmessage.RCodeRefused, false
	}
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, dnsmessage.RCodeFormatError, false
	}
	for {
		r, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			return q, 0, true
		}
		if err != nil {
			return q, dnsmessage.RCodeFormatError, false
		}
		if r.Type == dnsmessage.TypeOPT {
			q.udp = max(q.udp, int(r.Class))
		}
		if p.SkipAdditional() != nil {
			return q, dnsmessage.RCodeFormatError, false
		}
	}
}

// answers reports whether b is an answer to the question, asked with an ID
// (RFC 5452 9.1).
func (q *question) answers(b []byte, id uint16) bool {
	if len(b) < headerLen || binary.BigEndian.Uint16(b) != id {
		return false
	}
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.OpCode != 0 || binary.BigEndian.Uint16(b[4:]) != 1 {
		return false
	}
	o, err := p.Question()
	return err == nil && o.Type == q.Type && o.Class == q.Class && strings.EqualFold(o.Name.String(), q.Name.String())
}

// truncated reports whether an answer says that it is not whole.
func truncated(b []byte) bool { return len(b) >= headerLen && b[2]&2 != 0 }

// appendError appends an answer without records.
func (q *question) appendError(dst []byte, code dnsmessage.RCode, truncated bool) []byte {
	b := dnsmessage.NewBuilder(dst, dnsmessage.Header{ID: q.id, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: code, Truncated: truncated})
	if q.Name.Length > 0 && b.StartQuestions() == nil {
		_ = b.Question(q.Question)
	}
	r, err := b.Finish()
	if err != nil {
		return dst
	}
	return r
}

// addresses reads the addresses that an answer has for the name of its
// question, by way of its aliases. What it says of other names is passed over:
// nobody has asked for that (RFC 5452 6). ok is false if the answer says nothing.
func addresses(b []byte) (name string, answers []Answer, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.Truncated || h.RCode != dnsmessage.RCodeSuccess {
		return "", nil, false
	}
	q, err := p.Question()
	if err != nil || q.Class != dnsmessage.ClassINET || q.Type != dnsmessage.TypeA && q.Type != dnsmessage.TypeAAAA || p.SkipAllQuestions() != nil {
		return "", nil, false
	}
	type alias struct {
		to  string
		ttl uint32
	}
	type address struct {
		of string
		Answer
	}
	aliases := map[string]alias{}
	var found []address
	for range maxRecords {
		r, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil {
			return "", nil, false
		}
		owner := strings.ToLower(r.Name.String())
		ttl := r.TTL
		if ttl > 1<<31-1 {
			ttl = 0 // RFC 2181 8
		}
		switch {
		case r.Class != dnsmessage.ClassINET:
			err = p.SkipAnswer()
		case r.Type == dnsmessage.TypeCNAME:
			var c dnsmessage.CNAMEResource
			if c, err = p.CNAMEResource(); err == nil {
				aliases[owner] = alias{strings.ToLower(c.CNAME.String()), ttl}
			}
		case r.Type == dnsmessage.TypeA && q.Type == r.Type:
			var a dnsmessage.AResource
			if a, err = p.AResource(); err == nil {
				found = append(found, address{owner, Answer{netip.AddrFrom4(a.A), time.Duration(ttl) * time.Second}})
			}
		case r.Type == dnsmessage.TypeAAAA && q.Type == r.Type:
			var a dnsmessage.AAAAResource
			if a, err = p.AAAAResource(); err == nil {
				found = append(found, address{owner, Answer{netip.AddrFrom16(a.AAAA), time.Duration(ttl) * time.Second}})
			}
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return "", nil, false
		}
	}
	name = Canonical(q.Name.String())
	at, ttl := strings.ToLower(q.Name.String()), time.Duration(1<<62)
	for range maxAliases {
		a, is := aliases[at]
		if !is {
			break
		}
		at, ttl = a.to, min(ttl, time.Duration(a.ttl)*time.Second)
	}
	for _, f := range found {
		if f.of == at {
			answers = append(answers, Answer{f.Addr, min(f.TTL, ttl)})
		}
	}
	return name, answers, name != ""
}

// pointers reads the names that an answer to a PTR question has.
func pointers(b []byte) (r []string) {
	var p dnsmessage.Parser
	if h, err := p.Start(b); err != nil || h.RCode != dnsmessage.RCodeSuccess || p.SkipAllQuestions() != nil {
		return nil
	}
	for range maxRecords {
		h, err := p.AnswerHeader()
		if err != nil {
			return r
		}
		if h.Type == dnsmessage.TypePTR && h.Class == dnsmessage.ClassINET {
			ptr, err := p.PTRResource()
			if err != nil {
				return r
			}
			r = append(r, ptr.PTR.String())
		} else if p.SkipAnswer() != nil {
			return r
		}
	}
	return r
}
