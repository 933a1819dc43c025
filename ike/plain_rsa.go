package ike

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"net/netip"
	"strings"
)

// A PlainRSAKey is an RSA key without a certificate, in the form of ipsec-tools
// (plainrsa-gen), that racoon's certificate_type plain_rsa names:
//
//	# of anybody
//	: PUB 0sAQPAmBdT...
//	# of whoever is 192.0.2.7, when this host is in 10.0.0.0/8
//	10.0.0.0/8 192.0.2.7 : PUB 0sAQPAmBdT...
//	: RSA {
//		Modulus: 0x...
//		PublicExponent: 0x...
//		PrivateExponent: 0x...
//		Prime1: 0x...
//	}
//
// A public key is the key of RFC 3110 (and RFC 2537) in base64 behind 0s, or in
// hexadecimal behind 0x. Of a private key, the modulus and both exponents have to
// be there; Prime1, Prime2, Exponent1, Exponent2 and Coefficient may be. The word
// any stands for any address.
type PlainRSAKey struct {
	Local, Remote netip.Prefix // whom it is for; invalid for anybody
	Public        *rsa.PublicKey
	Private       *rsa.PrivateKey // nil of a public key
}

// maxRSABits bounds the work that a key can make.
const maxRSABits = 16384

// LoadPlainRSA reads a file of RSA keys. With a private key in it, it must belong
// to the user of the process or to root, and nobody else may read it. Errors are
// of type [*FileError].
func LoadPlainRSA(path string, opts ...FileOption) ([]PlainRSAKey, error) {
	data, info, err := readSecretFile(path, unchecked, maxKeyFile)
	if err != nil {
		return nil, err
	}
	defer data.Wipe()
	keys, err := ParsePlainRSA(data)
	if err != nil {
		if e, ok := errors.AsType[*FileError](err); ok {
			e.File = path
		}
		return nil, err
	}
	forbidden := forbids(anyOthers, opts)
	for _, k := range keys {
		if k.Private == nil || forbidden == unchecked {
			continue
		}
		if err := checkOwner(info, forbidden); err != nil {
			return nil, &FileError{File: path, Err: err}
		}
	}
	return keys, nil
}

// isPlainRSA reports whether a file looks like one of RSA keys.
func isPlainRSA(data []byte) bool {
	p := plainParser{rest: data, line: 1}
	for range 3 {
		switch w, _ := p.word(); {
		case w == ":":
			w, _ = p.word()
			return w == "RSA" || w == "PUB"
		case !isPlainAddress(w):
			return false
		}
	}
	return false
}

// onePlainRSA returns the one key of a file, a private or a public one.
func onePlainRSA(data []byte, private bool) (key any, err error) {
	keys, err := ParsePlainRSA(data)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		switch {
		case private && k.Private == nil:
		case key != nil:
			return nil, errors.New("more than one RSA key in the file; LoadPlainRSA reads them all")
		case private:
			key = k.Private
		default:
			key = k.Public
		}
	}
	if key == nil {
		return nil, errors.New("public keys only")
	}
	return key, nil
}

// ParsePlainRSA reads RSA keys. There is at least one. The error is a [*FileError]
// without a file; it shows no part of a key.
func ParsePlainRSA(text []byte) ([]PlainRSAKey, error) {
	p := plainParser{rest: text, line: 1}
	var keys []PlainRSAKey
	for {
		w, ok := p.word()
		if !ok {
			break
		}
		k, err := p.key(w)
		if err != nil {
			return nil, &FileError{Line: p.at, Err: err}
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, &FileError{Err: errors.New("no RSA key in the file")}
	}
	return keys, nil
}

// plainParser goes over the words of a file of RSA keys.
type plainParser struct {
	rest []byte
	line int // of rest
	at   int // of the last word
}

// word returns the next word; braces, and colons that are no part of an address,
// are words of their own.
func (p *plainParser) word() (string, bool) {
	for len(p.rest) > 0 {
		c := p.rest[0]
		switch {
		case c == '\n':
			p.line++
		case c == '#':
			i := bytes.IndexByte(p.rest, '\n')
			if i < 0 {
				i = len(p.rest)
			}
			p.rest = p.rest[i:]
			continue
		case c != ' ' && c != '\t' && c != '\r':
			return p.cut(), true
		}
		p.rest = p.rest[1:]
	}
	p.at = p.line
	return "", false
}

func (p *plainParser) cut() string {
	p.at = p.line
	n := bytes.IndexAny(p.rest, " \t\r\n{}#")
	switch {
	case n == 0:
		n = 1 // a brace
	case n < 0:
		n = len(p.rest)
	}
	w := p.rest[:n]
	if i := bytes.IndexByte(w, ':'); i >= 0 && !isPlainAddress(string(w)) {
		switch {
		case w[n-1] == ':' && isPlainAddress(string(w[:n-1])):
			n--
		case i == 0:
			n = 1
		default:
			n = i
		}
	}
	word := string(p.rest[:n])
	p.rest = p.rest[n:]
	return word
}

func isPlainAddress(w string) bool {
	_, err := plainAddress(w)
	return err == nil
}

// plainAddress reads an address, a network or any.
func plainAddress(w string) (netip.Prefix, error) {
	if w == "any" {
		return netip.Prefix{}, nil
	}
	if a, err := netip.ParseAddr(w); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(w)
	return n.Masked(), err
}

// key reads one key, the first word of which is w.
func (p *plainParser) key(w string) (k PlainRSAKey, err error) {
	var addrs []netip.Prefix
	for w != ":" {
		a, err := plainAddress(w)
		if err != nil || len(addrs) == 2 {
			return k, errors.New("expected two addresses at most, and a colon")
		}
		addrs = append(addrs, a)
		w, _ = p.word()
	}
	switch len(addrs) {
	case 2:
		k.Local, k.Remote = addrs[0], addrs[1]
	case 1:
		k.Remote = addrs[0]
	}
	switch w, _ = p.word(); w {
	case "PUB":
		w, _ = p.word()
		k.Public, err = plainPublic(w)
		return k, err
	case "RSA":
		if k.Private, err = p.private(); err == nil {
			k.Public = &k.Private.PublicKey
		}
		return k, err
	}
	return k, errors.New("expected RSA or PUB")
}

// plainPublic decodes a public key: the length of the exponent in one octet, or
// in the two behind a zero, exponent and modulus (RFC 3110 2).
func plainPublic(w string) (*rsa.PublicKey, error) {
	var b []byte
	var err error
	switch {
	case strings.HasPrefix(w, "0s"):
		if b, err = base64.StdEncoding.DecodeString(w[2:]); err != nil {
			b, err = base64.RawStdEncoding.DecodeString(w[2:])
		}
	case strings.HasPrefix(w, "0x"):
		b, err = hex.DecodeString(strings.Repeat("0", len(w)%2) + w[2:])
	default:
		return nil, errors.New("expected a public key, 0s and base64 or 0x and hexadecimal digits")
	}
	if err != nil || len(b) == 0 {
		return nil, errors.New("the public key is damaged")
	}
	n, b := int(b[0]), b[1:]
	if n == 0 && len(b) >= 2 {
		n, b = int(b[0])<<8|int(b[1]), b[2:]
	}
	if n == 0 || n >= len(b) {
		return nil, errors.New("the public key is cut short")
	}
	return plainKey(new(big.Int).SetBytes(b[n:]), new(big.Int).SetBytes(b[:n]))
}

func plainKey(n, e *big.Int) (*rsa.PublicKey, error) {
	switch {
	case n.BitLen() < 512 || n.BitLen() > maxRSABits || n.Bit(0) == 0:
		return nil, fmt.Errorf("the modulus is no odd number of 512 to %d bits", maxRSABits)
	case e.Cmp(big.NewInt(3)) < 0 || e.Cmp(big.NewInt(math.MaxInt32)) > 0 || e.Bit(0) == 0:
		return nil, errors.New("the public exponent is no odd number from 3 to 2147483647")
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

// private reads the fields of a private key.
func (p *plainParser) private() (*rsa.PrivateKey, error) {
	if w, _ := p.word(); w != "{" {
		return nil, errors.New("expected {")
	}
	var n, e, d, p1, p2, e1, e2, c *big.Int
	fields := map[string]**big.Int{"Modulus": &n, "PublicExponent": &e, "PrivateExponent": &d, "Prime1": &p1, "Prime2": &p2, "Exponent1": &e1, "Exponent2": &e2, "Coefficient": &c}
	for {
		w, ok := p.word()
		if w == "}" {
			break
		}
		field := fields[w]
		switch {
		case !ok:
			return nil, errors.New("a private key without its closing brace")
		case field == nil:
			return nil, errors.New("expected Modulus, PublicExponent, PrivateExponent, Prime1, Prime2, Exponent1, Exponent2, Coefficient or }")
		case *field != nil:
			return nil, fmt.Errorf("%s twice", w)
		}
		if colon, _ := p.word(); colon != ":" {
			return nil, fmt.Errorf("%s without a colon", w)
		}
		digits, _ := p.word()
		x, ok := new(big.Int).SetString(strings.TrimPrefix(digits, "0x"), 16)
		if !strings.HasPrefix(digits, "0x") || !ok || x.Sign() <= 0 || x.BitLen() > maxRSABits {
			return nil, fmt.Errorf("%s is no hexadecimal number with 0x", w)
		}
		*field = x
	}
	if n == nil || e == nil || d == nil {
		return nil, errors.New("a private key without Modulus, PublicExponent or PrivateExponent")
	}
	public, err := plainKey(n, e)
	if err != nil {
		return nil, err
	}
	// Exponents and coefficient follow from the rest, and so do the primes.
	if p1 == nil || p2 == nil {
		if p1, p2 = factor(n, e, d); p1 == nil {
			return nil, errors.New("the exponents do not belong to the modulus")
		}
	}
	k := &rsa.PrivateKey{PublicKey: *public, D: d, Primes: []*big.Int{p1, p2}}
	if err := k.Validate(); err != nil {
		return nil, errors.New("the numbers are not those of one key")
	}
	k.Precompute()
	return k, nil
}

// factor finds the primes of a modulus by its exponents, nil if they are not its
// own (Miller 1976: a square root of 1 that is neither 1 nor -1 tells them).
func factor(n, e, d *big.Int) (p, q *big.Int) {
	one := big.NewInt(1)
	k := new(big.Int).Mul(e, d)
	k.Sub(k, one)
	if k.Sign() <= 0 {
		return nil, nil
	}
	twos := k.TrailingZeroBits()
	odd := new(big.Int).Rsh(k, twos)
	last := new(big.Int).Sub(n, one)
	for base := int64(2); base < 100; base++ {
		x := new(big.Int).Exp(big.NewInt(base), odd, n)
		for range twos {
			y := new(big.Int).Mul(x, x)
			y.Mod(y, n)
			if y.Cmp(one) == 0 && x.Cmp(one) != 0 && x.Cmp(last) != 0 {
				p = new(big.Int).GCD(nil, nil, new(big.Int).Sub(x, one), n)
				return p, new(big.Int).Quo(n, p)
			}
			x = y
		}
		if x.Cmp(one) != 0 {
			return nil, nil // not even Fermat's theorem holds
		}
	}
	return nil, nil
}

// String tells what the key is and whom it is for, and nothing of a private one.
func (k PlainRSAKey) String() string {
	kind, bits := "public", 0
	if k.Private != nil {
		kind = "private"
	}
	if k.Public != nil && k.Public.N != nil {
		bits = k.Public.N.BitLen()
	}
	return fmt.Sprintf("%s: %s RSA key of %d bits", k.addresses(), kind, bits)
}

// GoString is String.
func (k PlainRSAKey) GoString() string { return k.String() }

// LogValue implements [slog.LogValuer] with String.
func (k PlainRSAKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Append appends the key as [ParsePlainRSA] reads it, and a private one with all
// its numbers behind a comment with the public one.
func (k *PlainRSAKey) Append(b []byte) ([]byte, error) {
	if k.Public == nil && k.Private != nil {
		k = &PlainRSAKey{Local: k.Local, Remote: k.Remote, Public: &k.Private.PublicKey, Private: k.Private}
	}
	if k.Public == nil || k.Public.N == nil {
		return b, errors.New("no RSA key")
	}
	if _, err := plainKey(k.Public.N, big.NewInt(int64(k.Public.E))); err != nil {
		return b, err
	}
	head := k.addresses() + ":"
	public := plainPublicText(k.Public)
	if k.Private == nil {
		return fmt.Appendf(b, "%s PUB %s\n", head, public), nil
	}
	if len(k.Private.Primes) != 2 {
		return b, errors.New("an RSA key that has not two primes")
	}
	p, q := k.Private.Primes[0], k.Private.Primes[1]
	one := big.NewInt(1)
	mod := func(m *big.Int) *big.Int { return new(big.Int).Mod(k.Private.D, new(big.Int).Sub(m, one)) }
	b = fmt.Appendf(b, "# %s PUB %s\n%s RSA\t{\n\t# RSA %d bits\n\t# pubkey=%s\n", head, public, head, k.Public.N.BitLen(), public)
	for _, f := range []struct {
		name string
		n    *big.Int
	}{{"Modulus", k.Public.N}, {"PublicExponent", big.NewInt(int64(k.Public.E))}, {"PrivateExponent", k.Private.D}, {"Prime1", p}, {"Prime2", q},
		{"Exponent1", mod(p)}, {"Exponent2", mod(q)}, {"Coefficient", new(big.Int).ModInverse(q, p)}} {
		digits := f.n.Text(16)
		b = fmt.Appendf(b, "\t%s: 0x%s%s\n", f.name, strings.Repeat("0", len(digits)%2), digits)
	}
	return append(b, "  }\n"...), nil
}

func (k *PlainRSAKey) addresses() string {
	text := func(n netip.Prefix) string {
		switch {
		case !n.IsValid():
			return "any "
		case n.IsSingleIP():
			return n.Addr().String() + " "
		}
		return n.String() + " "
	}
	switch {
	case k.Local.IsValid():
		return text(k.Local) + text(k.Remote)
	case k.Remote.IsValid():
		return text(k.Remote)
	}
	return ""
}

func plainPublicText(k *rsa.PublicKey) string {
	e := big.NewInt(int64(k.E)).Bytes() // four octets at most
	return "0s" + base64.StdEncoding.EncodeToString(append(append([]byte{byte(len(e))}, e...), k.N.Bytes()...))
}
