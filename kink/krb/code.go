package krb

import "strconv"

// Code is a Kerberos error code (RFC 4120 7.5.9), and an error: errors.Is(err,
// krb.APErrSkew).
type Code int32

// Error codes that KINK meets.
const (
	KDCErrCPrincipalUnknown   Code = 6
	KDCErrSPrincipalUnknown   Code = 7
	KDCErrNullKey             Code = 9
	KDCErrNeverValid          Code = 11
	KDCErrPolicy              Code = 12
	KDCErrETypeNoSupp         Code = 14
	KDCErrClientRevoked       Code = 18
	KDCErrServiceRevoked      Code = 19
	KDCErrPreauthFailed       Code = 24
	KDCErrPreauthRequired     Code = 25
	KDCErrMustUseUser2User    Code = 27
	KDCErrServiceUnavailable  Code = 29
	APErrBadIntegrity         Code = 31 // the ticket or authenticator was made with another key
	APErrTktExpired           Code = 32
	APErrTktNYV               Code = 33 // not yet valid
	APErrRepeat               Code = 34 // replay
	APErrNotUs                Code = 35 // the ticket is for somebody else
	APErrBadMatch             Code = 36 // ticket and authenticator do not match
	APErrSkew                 Code = 37
	APErrBadAddr              Code = 38
	APErrBadVersion           Code = 39
	APErrMsgType              Code = 40
	APErrModified             Code = 41
	APErrBadKeyVer            Code = 44
	APErrNoKey                Code = 45
	APErrMutFail              Code = 46
	APErrMethod               Code = 48
	APErrInappCksum           Code = 50
	APErrPathNotAccepted      Code = 51
	ErrResponseTooBig         Code = 52
	ErrGeneric                Code = 60
	APErrUserToUserRequired   Code = 69
	KDCErrWrongRealm          Code = 68
	APErrNoTGT                Code = 67
	KDCErrPreauthExpired      Code = 90
	KDCErrMorePreauthRequired Code = 91
)

var codeNames = map[Code]string{
	KDCErrCPrincipalUnknown: "KDC_ERR_C_PRINCIPAL_UNKNOWN", KDCErrSPrincipalUnknown: "KDC_ERR_S_PRINCIPAL_UNKNOWN", KDCErrNullKey: "KDC_ERR_NULL_KEY",
	KDCErrNeverValid: "KDC_ERR_NEVER_VALID", KDCErrPolicy: "KDC_ERR_POLICY", KDCErrETypeNoSupp: "KDC_ERR_ETYPE_NOSUPP", KDCErrClientRevoked: "KDC_ERR_CLIENT_REVOKED",
	KDCErrServiceRevoked: "KDC_ERR_SERVICE_REVOKED", KDCErrPreauthFailed: "KDC_ERR_PREAUTH_FAILED", KDCErrPreauthRequired: "KDC_ERR_PREAUTH_REQUIRED",
	KDCErrMustUseUser2User: "KDC_ERR_MUST_USE_USER2USER", KDCErrServiceUnavailable: "KDC_ERR_SVC_UNAVAILABLE", APErrBadIntegrity: "KRB_AP_ERR_BAD_INTEGRITY",
	APErrTktExpired: "KRB_AP_ERR_TKT_EXPIRED", APErrTktNYV: "KRB_AP_ERR_TKT_NYV", APErrRepeat: "KRB_AP_ERR_REPEAT", APErrNotUs: "KRB_AP_ERR_NOT_US",
	APErrBadMatch: "KRB_AP_ERR_BADMATCH", APErrSkew: "KRB_AP_ERR_SKEW", APErrBadAddr: "KRB_AP_ERR_BADADDR", APErrBadVersion: "KRB_AP_ERR_BADVERSION",
	APErrMsgType: "KRB_AP_ERR_MSG_TYPE", APErrModified: "KRB_AP_ERR_MODIFIED", APErrBadKeyVer: "KRB_AP_ERR_BADKEYVER", APErrNoKey: "KRB_AP_ERR_NOKEY",
	APErrMutFail: "KRB_AP_ERR_MUT_FAIL", APErrMethod: "KRB_AP_ERR_METHOD", APErrInappCksum: "KRB_AP_ERR_INAPP_CKSUM", APErrPathNotAccepted: "KRB_AP_PATH_NOT_ACCEPTED",
	ErrResponseTooBig: "KRB_ERR_RESPONSE_TOO_BIG", ErrGeneric: "KRB_ERR_GENERIC", APErrUserToUserRequired: "KRB_AP_ERR_USER_TO_USER_REQUIRED",
	KDCErrWrongRealm: "KDC_ERR_WRONG_REALM", APErrNoTGT: "KRB_AP_ERR_NO_TGT", KDCErrPreauthExpired: "KDC_ERR_PREAUTH_EXPIRED",
	KDCErrMorePreauthRequired: "KDC_ERR_MORE_PREAUTH_DATA_REQUIRED",
}

// String returns the name in RFC 4120 7.5.9, such as "KRB_AP_ERR_SKEW".
func (c Code) String() string {
	if s := codeNames[c]; s != "" {
		return s
	}
	return "Kerberos error " + strconv.Itoa(int(c))
}

// Error implements error.
func (c Code) Error() string { return c.String() }

// An Error is what [Acceptor.Accept] says of an AP-REQ: the code with which it
// is answered, and why in words for the log of this side.
type Error struct {
	Code   Code
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Reason == "" {
		return "krb: " + e.Code.String()
	}
	return "krb: " + e.Code.String() + ": " + e.Reason
}

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }
