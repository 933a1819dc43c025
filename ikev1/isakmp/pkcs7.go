package isakmp

import (
	"encoding/asn1"
	"strconv"
)

// MaxCertificates is how many certificates, and how many revocation lists, one
// CERT payload may hold.
const MaxCertificates = 32

// oidSignedData is PKCS #7's signedData content type in DER (RFC 2315 14).
const oidSignedData = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"

// Certificates returns the X.509 certificates of the payload in DER, in the
// order of the wire: the certificate itself, or those of a PKCS #7 SignedData.
// Other encodings hold none. Nothing says what the certificates are worth, and
// a PKCS #7 envelope least: its signatures are not looked at, since what is in
// it was sent by the peer all the same.
//
// The error is a [*ParseError] of kind [ErrSyntax]: PKCS #7 that is cut short,
// of another content type (enveloped or encrypted data), of indefinite length,
// or with more than [MaxCertificates] certificates.
func (p *CERT) Certificates() ([][]byte, error) {
	switch p.Encoding {
	case CertX509Signature, CertX509KeyExchange:
		return [][]byte{p.Data}, nil
	case CertPKCS7:
		return p.signedData(0)
	}
	return nil, nil
}

// RevocationLists returns the certificate revocation lists of the payload in
// DER: a CRL or ARL itself, or those of a PKCS #7 SignedData. Errors are those
// of [CERT.Certificates].
func (p *CERT) RevocationLists() ([][]byte, error) {
	switch p.Encoding {
	case CertCRL, CertARL:
		return [][]byte{p.Data}, nil
	case CertPKCS7:
		return p.signedData(1)
	}
	return nil, nil
}

// signedData returns the elements of the field [tag] of a SignedData (RFC 2315
// 9.1): certificates [0] or crls [1], both an implicitly tagged SET.
//
//	ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT SignedData }
//	SignedData ::= SEQUENCE { version, digestAlgorithms SET, contentInfo SEQUENCE,
//	        certificates [0] IMPLICIT SET OPTIONAL, crls [1] IMPLICIT SET OPTIONAL, signerInfos SET }
func (p *CERT) signedData(tag int) ([][]byte, error) {
	d := derReader{rest: p.Data}
	info := derReader{rest: d.take(asn1.ClassUniversal, asn1.TagSequence)}
	oid := info.take(asn1.ClassUniversal, asn1.TagOID)
	switch {
	case d.bad || info.bad:
		return nil, pkcs7Error("not DER, or cut short")
	case len(d.rest) > 0:
		return nil, pkcs7Error("octets after the end")
	case string(oid) != oidSignedData:
		return nil, pkcs7Error("not signed data")
	}
	content := derReader{rest: info.take(asn1.ClassContextSpecific, 0)}
	signed := derReader{rest: content.take(asn1.ClassUniversal, asn1.TagSequence)}
	signed.take(asn1.ClassUniversal, asn1.TagInteger)
	signed.take(asn1.ClassUniversal, asn1.TagSet)
	signed.take(asn1.ClassUniversal, asn1.TagSequence)
	var out [][]byte
	for t := range 2 {
		if !signed.next(asn1.ClassContextSpecific, t) {
			continue
		}
		set := derReader{rest: signed.take(asn1.ClassContextSpecific, t)}
		for len(set.rest) > 0 && !set.bad {
			v := set.any()
			if t != tag || set.bad || v.Class != asn1.ClassUniversal || v.Tag != asn1.TagSequence {
				continue // extended and attribute certificates have context tags
			}
			if len(out) == MaxCertificates {
				return nil, pkcs7Error("more than " + strconv.Itoa(MaxCertificates))
			}
			out = append(out, v.FullBytes)
		}
		if set.bad {
			return nil, pkcs7Error("not DER, or cut short")
		}
	}
	signed.take(asn1.ClassUniversal, asn1.TagSet)
	if signed.bad || len(signed.rest) > 0 {
		return nil, pkcs7Error("not DER, or cut short")
	}
	return out, nil
}

func pkcs7Error(reason string) error {
	return syntaxError(PayloadCERT, 1, "PKCS #7: "+reason)
}

// derReader takes DER values off the front of a slice. Once one is not there
// it is bad and gives empty values.
type derReader struct {
	rest []byte
	bad  bool
}

func (d *derReader) any() (v asn1.RawValue) {
	rest, err := asn1.Unmarshal(d.rest, &v)
	if err != nil {
		d.bad, d.rest = true, nil
		return asn1.RawValue{}
	}
	d.rest = rest
	return v
}

// take returns the content of the next value, which must have the tag.
func (d *derReader) take(class, tag int) []byte {
	if v := d.any(); v.Class == class && v.Tag == tag && !d.bad {
		return v.Bytes
	}
	d.bad = true
	return nil
}

// next reports whether the next value has the tag.
func (d *derReader) next(class, tag int) bool {
	peek := *d
	v := peek.any()
	return !peek.bad && v.Class == class && v.Tag == tag
}
