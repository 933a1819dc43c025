package message

import (
	"iter"

	"github.com/racoon3/racoon/internal/trace"
)

// CERT is the Certificate payload (RFC 7296 3.6).
type CERT struct {
	Critical bool
	Encoding CertEncoding
	Data     []byte
}

// PayloadType returns PayloadCERT.
func (CERT) PayloadType() PayloadType { return PayloadCERT }

func (p *CERT) parse(b []byte) *ParseError {
	if len(b) < 1 {
		return syntaxError(PayloadCERT, 0, "no certificate encoding")
	}
	p.Encoding, p.Data = CertEncoding(b[0]), b[1:]
	return nil
}

// AppendBody appends the payload without its generic header.
func (p CERT) AppendBody(dst []byte) []byte {
	return append(append(dst, byte(p.Encoding)), p.Data...)
}

func (*CERT) fault() string { return "" }

// String returns the payload as a trace shows it.
func (p CERT) String() string { return string(p.appendText(nil)) }

func (p CERT) appendText(b []byte) []byte {
	b = append(b, "CERT("...)
	b = append(append(b, p.Encoding.String()...), ' ')
	return append(trace.AppendOctets(b, len(p.Data)), ')')
}

// CERTREQ is the Certificate Request payload (RFC 7296 3.7).
type CERTREQ struct {
	Critical  bool
	Encoding  CertEncoding
	Authority []byte // for X.509: SHA-1 hashes of the SubjectPublicKeyInfo of trusted CAs, 20 octets each
}

// PayloadType returns PayloadCERTREQ.
func (CERTREQ) PayloadType() PayloadType { return PayloadCERTREQ }

func (p *CERTREQ) parse(b []byte) *ParseError {
	if len(b) < 1 {
		return syntaxError(PayloadCERTREQ, 0, "no certificate encoding")
	}
	p.Encoding, p.Authority = CertEncoding(b[0]), b[1:]
	return nil
}

// Hashes iterates over the 20-octet hashes in Authority. Octets after the last
// whole hash are left out.
func (p *CERTREQ) Hashes() iter.Seq[[20]byte] {
	return func(yield func([20]byte) bool) {
		for b := p.Authority; len(b) >= 20; b = b[20:] {
			if !yield([20]byte(b)) {
				return
			}
		}
	}
}

// AppendBody appends the payload without its generic header.
func (p CERTREQ) AppendBody(dst []byte) []byte {
	return append(append(dst, byte(p.Encoding)), p.Authority...)
}

func (*CERTREQ) fault() string { return "" }

// String returns the payload as a trace shows it.
func (p CERTREQ) String() string { return string(p.appendText(nil)) }

func (p CERTREQ) appendText(b []byte) []byte {
	b = append(b, "CERTREQ("...)
	b = append(append(b, p.Encoding.String()...), ' ')
	if n := len(p.Authority); n > 0 && n%20 == 0 {
		b = trace.AppendCount(b, n/20, "hash", "hashes")
	} else {
		b = trace.AppendOctets(b, n)
	}
	return append(b, ')')
}
