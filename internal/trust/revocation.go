package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
)

// checkRevocation looks each certificate below the root up in the lists that
// its issuer in this path has signed (RFC 5280 6.3).
func checkRevocation(now time.Time, t *ike.Trust, chain []*x509.Certificate) (warnings []error, err error) {
	if t.Revocation == ike.RevocationOff {
		return nil, nil
	}
	for i, c := range chain[:len(chain)-1] {
		issuer := chain[i+1]
		current := false
		var stale *x509.RevocationList
		for _, l := range t.CRLs {
			if !bytes.Equal(l.RawIssuer, c.RawIssuer) || l.CheckSignatureFrom(issuer) != nil {
				continue
			}
			if now.Before(l.ThisUpdate) || partial(l) {
				continue
			}
			for _, e := range l.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(c.SerialNumber) == 0 && !e.RevocationTime.After(now) {
					return nil, fail(ErrRevoked, i, c, nil, "since %s, reason %s", date(e.RevocationTime), reasonName(e.ReasonCode))
				}
			}
			// Without nextUpdate nobody could say when it is outdated.
			if l.NextUpdate.IsZero() || now.After(l.NextUpdate) {
				stale = l
			} else {
				current = true
			}
		}
		if current {
			continue
		}
		var problem error
		switch {
		case stale != nil:
			problem = fail(ErrRevocation, i, c, nil, "the revocation list of %s is outdated since %s", subject(issuer), date(stale.NextUpdate))
		case t.Revocation == ike.RevocationStrict:
			problem = fail(ErrRevocation, i, c, nil, "there is no revocation list of %s", subject(issuer))
		}
		if t.Revocation == ike.RevocationStrict {
			return nil, problem
		}
		if problem != nil {
			warnings = append(warnings, problem)
		}
	}
	return warnings, nil
}

// partial reports lists that ike.Trust.Validate refuses: their meaning hangs
// on a critical extension that is not implemented.
func partial(l *x509.RevocationList) bool {
	for _, e := range l.Extensions {
		if e.Critical {
			return true
		}
	}
	return false
}

var reasonNames = [...]string{"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
	"cessationOfOperation", "certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise"}

// reasonName is the CRLReason of RFC 5280 5.3.1.
func reasonName(code int) string {
	if code >= 0 && code < len(reasonNames) && reasonNames[code] != "" {
		return reasonNames[code]
	}
	return fmt.Sprint(code)
}
