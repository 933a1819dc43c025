package isakmp

import "github.com/racoon3/racoon/internal/trace"

// CERT is the Certificate payload (RFC 2408 3.9).
type CERT struct {
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

// CR is the Certificate Request payload (RFC 2408 3.10).
type CR struct {
	Encoding  CertEncoding
	Authority []byte // for X.509: DER of the CA's Distinguished Name; empty for any
}

// PayloadType returns PayloadCR.
func (CR) PayloadType() PayloadType { return PayloadCR }

func (p *CR) parse(b []byte) *ParseError {
	if len(b) < 1 {
		return syntaxError(PayloadCR, 0, "no certificate encoding")
	}
	p.Encoding, p.Authority = CertEncoding(b[0]), b[1:]
	return nil
}

// AppendBody appends the payload without its generic header.
func (p CR) AppendBody(dst []byte) []byte {
	return append(append(dst, byte(p.Encoding)), p.Authority...)
}

func (*CR) fault() string { return "" }

// String returns the payload as a trace shows it.
func (p CR) String() string { return string(p.appendText(nil)) }

func (p CR) appendText(b []byte) []byte {
	b = append(b, "CR("...)
	b = append(append(b, p.Encoding.String()...), ' ')
	return append(appendDN(b, p.Authority), ')')
}
