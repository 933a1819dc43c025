package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/racoon3/racoon/ike"
)

// Sentinels that the errors of this package match with errors.Is.
var (
	ErrLimit       = errors.New("too many or too large certificates")
	ErrMalformed   = errors.New("malformed certificate")
	ErrNoPath      = errors.New("no path to a trusted root")
	ErrUsage       = errors.New("certificate is not for this use")
	ErrRevoked     = errors.New("certificate is revoked")
	ErrRevocation  = errors.New("revocation status is unknown")
	ErrIdentity    = errors.New("identity is not in the certificate")
	ErrKey         = errors.New("public key is not acceptable")
	ErrUnknownKey  = errors.New("public key is not configured")
	ErrNotInterval = errors.New("certificate is not valid at this time")
)

// A CertificateError says which certificate failed, and why. It matches one
// of the sentinels and unwraps to the cause.
type CertificateError struct {
	Kind error // one of the sentinels
	// Index is the position of the certificate among those received (0 is the
	// peer's own), or in the path if Path is set; -1 if it is about none.
	Index   int
	Subject string // of the certificate, printable; empty if it could not be read
	Detail  string
	Err     error // the cause, may be nil
}

func (e *CertificateError) Error() string {
	s := e.Kind.Error()
	if e.Index >= 0 {
		s += ": certificate " + strconv.Itoa(e.Index)
	}
	if e.Subject != "" {
		s += " (" + e.Subject + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + quoteUnprintable(e.Err.Error())
	}
	return s
}

// Unwrap returns the sentinel and the cause.
func (e *CertificateError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// quoteUnprintable keeps what came from a certificate from ending a log line.
func quoteUnprintable(s string) string {
	const most = 512
	if len(s) > most {
		s = s[:most] + "..."
	}
	q := strconv.QuoteToGraphic(s)
	if q == `"`+s+`"` {
		return s
	}
	return q
}

func subject(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	id := ike.DNIdentity(c.RawSubject)
	if id.Validate() == nil {
		return id.String()
	}
	serial := c.SerialNumber
	if serial == nil || serial.BitLen() > 256 {
		serial = new(big.Int)
	}
	return fmt.Sprintf("serial number %x", serial)
}

func fail(kind error, index int, c *x509.Certificate, cause error, format string, args ...any) error {
	return &CertificateError{Kind: kind, Index: index, Subject: subject(c), Detail: fmt.Sprintf(format, args...), Err: cause}
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
