package ike

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// IDType is the type of an identification payload (RFC 2407 4.6.2.1, RFC 7296
// 3.5). IKEv1 and IKEv2 share the numbers; the subnet and range types exist in
// IKEv1 only.
type IDType uint8

// Identity types.
const (
	IDIPv4Addr    IDType = 1  // 4 octets
	IDFQDN        IDType = 2  // a host name, without a trailing NUL
	IDRFC822Addr  IDType = 3  // a mail address ("user FQDN" in IKEv1)
	IDIPv4Subnet  IDType = 4  // address and mask, 8 octets (IKEv1)
	IDIPv6Addr    IDType = 5  // 16 octets
	IDIPv6Subnet  IDType = 6  // address and mask, 32 octets (IKEv1)
	IDIPv4Range   IDType = 7  // first and last address, 8 octets (IKEv1)
	IDIPv6Range   IDType = 8  // first and last address, 32 octets (IKEv1)
	IDDERASN1DN   IDType = 9  // an X.501 distinguished name, DER
	IDDERASN1GN   IDType = 10 // an X.509 GeneralName, DER
	IDKeyID       IDType = 11 // opaque octets
	IDFCName      IDType = 12 // a Fibre Channel name, 8 octets (RFC 4595, IKEv2)
	IDNull        IDType = 13 // no identity (RFC 7619, IKEv2)
	idTypesBeyond IDType = 14

	// IDPrincipal is a Kerberos principal with its realm, by which peers of KINK
	// go. It has no place in an IKE message, so [Identity.Validate] refuses it; the
	// number is one for private use.
	IDPrincipal IDType = 201
)

var idTypeNames = [idTypesBeyond]string{"", "IPV4_ADDR", "FQDN", "RFC822_ADDR", "IPV4_SUBNET", "IPV6_ADDR",
	"IPV6_SUBNET", "IPV4_RANGE", "IPV6_RANGE", "DER_ASN1_DN", "DER_ASN1_GN", "KEY_ID", "FC_NAME", "NULL"}

// String returns the IANA name without its ID_ prefix, or the number.
func (t IDType) String() string {
	if t > 0 && t < idTypesBeyond {
		return idTypeNames[t]
	}
	if t == IDPrincipal {
		return "KERBEROS_PRINCIPAL"
	}
	return "ID_" + strconv.Itoa(int(t))
}

// MaxIdentitySize is the largest identity, in octets, that [Identity.Validate]
// accepts. RFC 7296 leaves room for 64 KiB; no real identity comes close, and
// an unauthenticated peer must not make us keep that much.
const MaxIdentitySize = 4096

// ErrIdentity is matched by every error about a malformed identity or
// identity pattern.
var ErrIdentity = errors.New("malformed identity")

// IdentityError says what is wrong with an identity.
type IdentityError struct {
	Input  string // what was parsed, or the identity in its printed form
	Reason string
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("malformed identity %s: %s", strconv.QuoteToASCII(shorten(e.Input)), e.Reason)
}

// Is makes errors.Is(err, ErrIdentity) true.
func (e *IdentityError) Is(target error) bool { return target == ErrIdentity }

// shorten keeps what an attacker may have chosen from filling a log.
func shorten(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// Identity is what a side claims to be: the type and the octets of an
// identification payload (RFC 7296 3.5). It is a comparable value, fit for a
// map key; use [Identity.Equal] to compare as the types' rules say (host names
// and distinguished names regardless of case).
//
// The zero Identity stands for "none": its type is reserved.
type Identity struct {
	Type IDType
	Data string // the payload's raw octets, after its fixed header
}

// IsZero reports whether id is the zero Identity, which stands for "none".
func (id Identity) IsZero() bool { return id == Identity{} }

// AddrIdentity returns the identity of an IP address; the zone is dropped.
func AddrIdentity(a netip.Addr) Identity {
	a = a.Unmap()
	if a.Is4() {
		return Identity{IDIPv4Addr, string(a.AsSlice())}
	}
	return Identity{IDIPv6Addr, string(a.AsSlice())}
}

// DNIdentity returns the identity of a DER encoded distinguished name, such as
// the RawSubject of a certificate.
func DNIdentity(rawName []byte) Identity { return Identity{IDDERASN1DN, string(rawName)} }

// Addr returns the address of an IPV4_ADDR or IPV6_ADDR identity.
func (id Identity) Addr() (netip.Addr, bool) {
	if id.Type == IDIPv4Addr && len(id.Data) == 4 || id.Type == IDIPv6Addr && len(id.Data) == 16 {
		return netip.AddrFromSlice([]byte(id.Data))
	}
	return netip.Addr{}, false
}

// prefix returns the prefix of a subnet identity whose mask is contiguous.
func (id Identity) prefix() (netip.Prefix, bool) {
	n := 4
	switch id.Type {
	case IDIPv4Subnet:
	case IDIPv6Subnet:
		n = 16
	default:
		return netip.Prefix{}, false
	}
	if len(id.Data) != 2*n {
		return netip.Prefix{}, false
	}
	a, _ := netip.AddrFromSlice([]byte(id.Data[:n]))
	bits, ended := 0, false
	for _, b := range []byte(id.Data[n:]) {
		for m := byte(0x80); m != 0; m >>= 1 {
			switch {
			case b&m == 0:
				ended = true
			case ended:
				return netip.Prefix{}, false
			default:
				bits++
			}
		}
	}
	return netip.PrefixFrom(a, bits), true
}

// addrRange returns the ends of a range identity.
func (id Identity) addrRange() (lo, hi netip.Addr, ok bool) {
	n := 4
	switch id.Type {
	case IDIPv4Range:
	case IDIPv6Range:
		n = 16
	default:
		return lo, hi, false
	}
	if len(id.Data) != 2*n {
		return lo, hi, false
	}
	lo, _ = netip.AddrFromSlice([]byte(id.Data[:n]))
	hi, _ = netip.AddrFromSlice([]byte(id.Data[n:]))
	return lo, hi, true
}

// Validate reports why the identity cannot be one that a peer means: an
// unknown type, a wrong length, a name with control characters, a truncated
// distinguished name. The error is an [*IdentityError]. Its cost is bounded by
// [MaxIdentitySize].
func (id Identity) Validate() error {
	if reason := id.invalid(); reason != "" {
		return &IdentityError{Input: id.String(), Reason: reason}
	}
	return nil
}

func (id Identity) invalid() string {
	if id.Type == 0 || id.Type >= idTypesBeyond {
		return fmt.Sprintf("unknown type %d", uint8(id.Type))
	}
	if len(id.Data) > MaxIdentitySize {
		return fmt.Sprintf("%d octets, at most %d are accepted", len(id.Data), MaxIdentitySize)
	}
	if n := fixedIDLength(id.Type); n >= 0 {
		if len(id.Data) != n {
			return fmt.Sprintf("%s has %d octets, want %d", id.Type, len(id.Data), n)
		}
		if _, ok := id.prefix(); !ok && (id.Type == IDIPv4Subnet || id.Type == IDIPv6Subnet) {
			return "the subnet's mask is not contiguous"
		}
		if lo, hi, ok := id.addrRange(); ok && hi.Less(lo) {
			return "the range ends before it begins"
		}
		return ""
	}
	if id.Data == "" {
		return fmt.Sprintf("empty %s", id.Type)
	}
	switch id.Type {
	case IDFQDN, IDRFC822Addr:
		// RFC 7296 3.5: no terminators (NUL, CR). No other control character
		// has business there either; real peers do send blanks, capitals and
		// UTF-8, so nothing more is refused.
		if !utf8.ValidString(id.Data) {
			return fmt.Sprintf("%s is not text", id.Type)
		}
		if i := strings.IndexFunc(id.Data, isControl); i >= 0 {
			return fmt.Sprintf("%s has a control character at octet %d", id.Type, i)
		}
	case IDDERASN1DN:
		if _, err := parseDN(id.Data); err != nil {
			return err.Error()
		}
	case IDDERASN1GN:
		if err := checkGeneralName(id.Data); err != nil {
			return err.Error()
		}
	}
	return ""
}

// fixedIDLength returns the length of the types that have one, else -1.
func fixedIDLength(t IDType) int {
	switch t {
	case IDIPv4Addr:
		return 4
	case IDIPv6Addr:
		return 16
	case IDIPv4Subnet, IDIPv4Range, IDFCName:
		return 8
	case IDIPv6Subnet, IDIPv6Range:
		return 32
	case IDNull:
		return 0 // RFC 7619 2.2: MUST be empty
	}
	return -1
}

// Equal reports whether two identities name the same: octet by octet, except
// that host names and the host part of mail addresses ignore ASCII case, subnets
// ignore the bits beyond their mask, and distinguished names compare as RFC 5280 7.1 says: attribute by attribute in
// order, whatever the string types, regardless of case and of blanks. A
// malformed distinguished name equals only its own octets.
func (id Identity) Equal(o Identity) bool {
	if id.Type != o.Type {
		return false
	}
	if id.Data == o.Data {
		return true
	}
	switch id.Type {
	case IDFQDN:
		return equalFoldASCII(id.Data, o.Data)
	case IDRFC822Addr:
		return equalMail(id.Data, o.Data)
	case IDIPv4Subnet, IDIPv6Subnet:
		p, ok1 := id.prefix()
		q, ok2 := o.prefix()
		return ok1 && ok2 && p.Masked() == q.Masked()
	case IDDERASN1DN:
		a, errA := parseDN(id.Data)
		b, errB := parseDN(o.Data)
		return errA == nil && errB == nil && a.equal(b)
	}
	return false
}

// equalMail compares mail addresses: the local part as it is, the host
// regardless of case (RFC 5280 7.5).
func equalMail(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i == j && i >= 0 && a[:i] == b[:j] && equalFoldASCII(a[i:], b[j:])
}

// equalFoldASCII ignores the case of ASCII letters only: Unicode's folding
// would let U+212A pass for a k.
func equalFoldASCII(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// ParseIdentity parses the written form of an identity. What a string without
// a prefix means is seen from its shape:
//
//	10.0.0.1, 2001:db8::1        IPV4_ADDR, IPV6_ADDR
//	10.0.0.0/24                  IPV4_SUBNET, IPV6_SUBNET (IKEv1)
//	10.0.0.1-10.0.0.9            IPV4_RANGE, IPV6_RANGE (IKEv1)
//	user@example.org             RFC822_ADDR
//	C=CH, O=lab, CN=gw           DER_ASN1_DN; also /C=CH/O=lab/CN=gw
//	%null                        NULL
//	gw.example.org, @gw          FQDN: everything else; a leading @ is dropped
//
// A prefix names the type where the shape would mislead: fqdn:, email: (or
// userfqdn:), dn: (or asn1dn:), gn:, keyid:, ipv4:, ipv6:, fc:, and rfc4514:.
// After fqdn:, email:, dn:, gn:, keyid: and fc: the value may be written 0x and
// hexadecimal digits.
//
// A distinguished name is written in the order of its encoding, the country
// usually first, as certificates show it and as racoon and strongSwan take it.
// RFC 4514 (LDAP) writes the reverse: rfc4514:CN=gw,O=lab,C=CH. Values are
// escaped as RFC 4514 2.4 says, and encoded as PrintableString where they fit,
// else as UTF8String (RFC 5280 4.1.2.4), mail addresses and DC as IA5String;
// comparisons ignore the string type.
//
// Errors are [*IdentityError].
func ParseIdentity(s string) (Identity, error) {
	id, reason := parseIdentity(s)
	if reason == "" && id.Type != IDPrincipal {
		reason = id.invalid()
	}
	if reason != "" {
		return Identity{}, &IdentityError{Input: s, Reason: reason}
	}
	return id, nil
}

// idPrefixes are the explicit prefixes, without their colon.
var idPrefixes = map[string]IDType{
	"fqdn": IDFQDN, "email": IDRFC822Addr, "userfqdn": IDRFC822Addr, "user_fqdn": IDRFC822Addr, "rfc822": IDRFC822Addr,
	"dn": IDDERASN1DN, "asn1dn": IDDERASN1DN, "rfc4514": IDDERASN1DN, "gn": IDDERASN1GN, "keyid": IDKeyID,
	"ipv4": IDIPv4Addr, "ipv6": IDIPv6Addr, "fc": IDFCName, "krb5": IDPrincipal,
}

// cutIDPrefix splits an explicit prefix off; an address such as fc::1 has none.
func cutIDPrefix(s string) (name string, t IDType, rest string, ok bool) {
	name, rest, found := strings.Cut(s, ":")
	if !found {
		return "", 0, s, false
	}
	name = strings.ToLower(name)
	t, ok = idPrefixes[name]
	if !ok || t == IDFCName && !strings.HasPrefix(rest, "0x") {
		return "", 0, s, false
	}
	return name, t, rest, true
}

func parseIdentity(s string) (Identity, string) {
	if len(s) > 4*MaxIdentitySize {
		return Identity{}, "too long"
	}
	if name, t, rest, ok := cutIDPrefix(s); ok {
		return parsePrefixed(name, t, rest)
	}
	switch {
	case s == "":
		return Identity{}, "empty"
	case s == "%null":
		return Identity{Type: IDNull}, ""
	case s[0] == '@':
		return Identity{IDFQDN, s[1:]}, ""
	}
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return Identity{}, "an address identity has no zone"
		}
		return AddrIdentity(a), ""
	}
	if id, ok := parseAddrSet(s); ok {
		return id, ""
	}
	switch {
	case looksLikeDN(s):
		der, err := encodeDN(s, false)
		if err != nil {
			return Identity{}, err.Error()
		}
		return Identity{IDDERASN1DN, der}, ""
	case strings.Contains(s, "@"):
		return Identity{IDRFC822Addr, s}, ""
	case strings.ContainsAny(s, "*%"):
		return Identity{}, "a pattern, where one identity is wanted (write fqdn: before a name that is meant so)"
	case strings.ContainsAny(s, "/:= "):
		return Identity{}, "neither an address, a host name, a mail address nor a distinguished name (a prefix such as fqdn: or keyid: says what is meant)"
	}
	return Identity{IDFQDN, s}, ""
}

// parseAddrSet parses a subnet or a range.
func parseAddrSet(s string) (Identity, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		n, t := 4, IDIPv4Subnet
		if p.Addr().Is6() {
			n, t = 16, IDIPv6Subnet
		}
		data := p.Masked().Addr().AsSlice()
		mask := make([]byte, n)
		for i := range p.Bits() {
			mask[i/8] |= 0x80 >> (i % 8)
		}
		return Identity{t, string(append(data, mask...))}, true
	}
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return Identity{}, false
	}
	lo, err1 := netip.ParseAddr(from)
	hi, err2 := netip.ParseAddr(to)
	if err1 != nil || err2 != nil || lo.Is4() != hi.Is4() || lo.Zone() != "" || hi.Zone() != "" {
		return Identity{}, false
	}
	t := IDIPv4Range
	if lo.Is6() {
		t = IDIPv6Range
	}
	return Identity{t, string(append(lo.AsSlice(), hi.AsSlice()...))}, true
}

func parsePrefixed(name string, t IDType, s string) (Identity, string) {
	if t == IDIPv4Addr || t == IDIPv6Addr {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4() != (t == IDIPv4Addr) {
			return Identity{}, "not an address of that family"
		}
		return Identity{t, string(a.AsSlice())}, ""
	}
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil {
			return Identity{}, "what follows 0x is not hexadecimal"
		}
		return Identity{t, string(b)}, ""
	}
	switch t {
	case IDDERASN1DN:
		der, err := encodeDN(s, name == "rfc4514")
		if err != nil {
			return Identity{}, err.Error()
		}
		return Identity{t, der}, ""
	case IDDERASN1GN:
		return Identity{}, "a GeneralName is written 0x and hexadecimal digits"
	case IDPrincipal:
		if name, realm, ok := strings.Cut(s, "@"); !ok || name == "" || realm == "" || len(s) > MaxIdentitySize {
			return Identity{}, "a Kerberos principal is written name@REALM"
		}
	}
	return Identity{t, s}, ""
}

// RepairDN returns the distinguished name that an FQDN identity holds in
// written form, as Apple's clients send it, and any other identity unchanged.
func RepairDN(id Identity) Identity {
	if id.Type != IDFQDN || len(id.Data) > MaxIdentitySize || !looksLikeDN(id.Data) {
		return id
	}
	if der, err := encodeDN(id.Data, false); err == nil {
		return Identity{IDDERASN1DN, der}
	}
	return id
}
