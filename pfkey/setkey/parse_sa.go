package setkey

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// saStatement reads what follows add, update, get, getspi, delete and deleteall.
func (p *parser) saStatement(verb Verb) (Statement, error) {
	s := &SAStatement{Position: p.begin, Verb: verb, Lookup: p.lookup()}
	if err := p.ends(s); err != nil {
		return nil, err
	}
	if err := p.protocol(s); err != nil {
		return nil, err
	}
	if verb == VerbDeleteAll {
		return s, p.end("")
	}
	spi := p.tok
	if err := p.spi(s); err != nil {
		return nil, err
	}
	for {
		known, err := p.extension(s)
		if err != nil {
			return nil, err
		}
		if !known {
			break
		}
	}
	if verb != VerbAdd && verb != VerbUpdate {
		return s, p.end("an extension (-m, -u, -r, -f, -lh, -ls, -bh, -bs, -ctx)")
	}
	if s.SPI < 256 && s.Proto != ProtoIPComp {
		return nil, p.fail(spi, "the SPIs 0 to 255 are reserved")
	}
	if s.Proto == ProtoIPComp && s.SPI > math.MaxUint16 {
		return nil, p.fail(spi, "the SPI of ipcomp, a CPI, has 16 bits")
	}
	return s, p.algorithms(s)
}

// ends reads source and destination.
func (p *parser) ends(s *SAStatement) (err error) {
	for _, e := range [...]struct {
		host *Host
		what string
	}{{&s.Src, "the source"}, {&s.Dst, "the destination"}} {
		if e.host.Name, err = p.host(e.what, s.Lookup); err != nil {
			return err
		}
		if e.host.Port, err = p.port(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) protocol(s *SAStatement) error {
	what := protocols
	if p.tok.kind == tokenEnd && s.Verb == VerbDeleteAll {
		return nil
	}
	t, err := p.word(what)
	if err != nil {
		return err
	}
	if s.Proto = Protocol(t.text); !isProtocol(s.Proto) {
		return p.fail(t, "expected %s", what)
	}
	if s.Proto != ProtoESPUDP || p.tok.kind != tokenWord {
		return nil
	}
	// An address may follow, and the SPI does: 10.0.0.1 against 10.
	if _, numeric := isNumeric(p.tok.text); numeric || s.Verb != VerbDeleteAll && !isHex(p.tok.text) && strings.Trim(p.tok.text, "0123456789") != "" {
		s.Original, err = p.host("the original address", s.Lookup)
	}
	return err
}

func (p *parser) spi(s *SAStatement) error {
	const what = "the SPI, decimal or hexadecimal with 0x"
	t, err := p.word(what)
	if err != nil {
		return err
	}
	digits, base := t.text, 10
	if isHex(digits) {
		digits, base = digits[2:], 16
	} else if !isDigit(digits[0]) || strings.Trim(digits, "0123456789") != "" {
		return p.fail(t, "expected %s", what)
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return p.fail(t, "an SPI has 32 bits")
	}
	s.SPI = uint32(n)
	return nil
}

// extension reads one, and reports whether there was one.
func (p *parser) extension(s *SAStatement) (known bool, err error) {
	if p.tok.kind != tokenWord {
		return false, nil
	}
	option := p.tok
	switch option.text {
	case "-m", "-u", "-r", "-f", "-lh", "-ls", "-bh", "-bs", "-ctx":
		p.step()
	default:
		return false, nil
	}
	var n uint64
	switch option.text {
	case "-m":
		err = p.mode(s)
	case "-u":
		n, err = p.number("the request ID", math.MaxUint32)
		s.ReqID = uint32(n)
	case "-r":
		if s.Proto == ProtoESPOld || s.Proto == ProtoAHOld {
			return true, p.fail(option, "%s has no sequence numbers, and so no replay window", s.Proto)
		}
		n, err = p.number("the size of the replay window", math.MaxUint32)
		s.Replay = uint32(n)
	case "-f":
		err = p.flag(s)
	case "-lh":
		s.Hard.Seconds, err = p.number("the hard lifetime in seconds", math.MaxUint64)
	case "-ls":
		s.Soft.Seconds, err = p.number("the soft lifetime in seconds", math.MaxUint64)
	case "-bh":
		s.Hard.Bytes, err = p.number("the hard lifetime in octets", math.MaxUint64)
	case "-bs":
		s.Soft.Bytes, err = p.number("the soft lifetime in octets", math.MaxUint64)
	case "-ctx":
		s.Context, err = p.context()
	}
	return true, err
}

func (p *parser) mode(s *SAStatement) error {
	const what = "transport, tunnel or any"
	t, err := p.word(what)
	if err != nil {
		return err
	}
	switch t.text {
	case "transport":
		s.Mode = pfkey.ModeTransport
	case "tunnel":
		s.Mode = pfkey.ModeTunnel
	case "any":
		s.Mode = pfkey.ModeAny
	default:
		return p.fail(t, "expected %s", what)
	}
	return nil
}

func (p *parser) flag(s *SAStatement) error {
	const what = "zero-pad, random-pad, seq-pad or nocyclic-seq"
	t, err := p.word(what)
	if err != nil {
		return err
	}
	switch f := Padding(t.text); f {
	case PadZero, PadRandom, PadSeq:
		s.Padding = f
	case "nocyclic-seq":
		s.NoCyclic = true
	default:
		return p.fail(t, "expected %s", what)
	}
	return nil
}

// algorithms reads what the protocol needs of -E, -A and -C.
func (p *parser) algorithms(s *SAStatement) (err error) {
	const extensions = "-m, -u, -r, -f, -lh, -ls, -bh, -bs, -ctx"
	switch s.Proto {
	case ProtoAH, ProtoAHOld, ProtoTCP:
		if !p.is("-A") {
			return p.expected(extensions + " or -A and an algorithm: " + string(s.Proto) + " has integrity alone")
		}
		if err = p.auth(s); err != nil {
			return err
		}
		return p.end("")
	case ProtoIPComp:
		if !p.is("-C") {
			return p.expected(extensions + " or -C and an algorithm: ipcomp compresses")
		}
		p.step()
		t, err := p.word(namesOf(pfkey.AlgCompress))
		if err != nil {
			return err
		}
		if algorithmNamed(pfkey.AlgCompress, t.text) == nil {
			return p.fail(t, "expected %s", namesOf(pfkey.AlgCompress))
		}
		s.Compress = t.text
		if p.is("-R") {
			s.RawCPI = true
			p.step()
			return p.end("")
		}
		return p.end("-R")
	}
	if !p.is("-E") {
		return p.expected(extensions + " or -E and an algorithm: " + string(s.Proto) + " encrypts, if only with null")
	}
	aead, err := p.encrypt(s)
	if err != nil {
		return err
	}
	switch {
	case p.is("-A") && aead:
		return p.expected("; since " + s.Encrypt.Name + " has integrity of its own")
	case p.is("-A"):
		if err = p.auth(s); err != nil {
			return err
		}
		return p.end("")
	case aead:
		return p.end("")
	}
	return p.end("-A")
}

func (p *parser) encrypt(s *SAStatement) (aead bool, err error) {
	p.step()
	t, err := p.word(namesOf(pfkey.AlgEncrypt))
	if err != nil {
		return false, err
	}
	a := algorithmNamed(pfkey.AlgEncrypt, t.text)
	switch {
	case a == nil:
		return false, p.fail(t, "expected %s", namesOf(pfkey.AlgEncrypt))
	case a.old == newOnly && s.Proto == ProtoESPOld:
		return false, p.fail(t, "the algorithm is not for esp-old")
	case a.old == oldOnly && s.Proto != ProtoESPOld:
		return false, p.fail(t, "the algorithm is for esp-old only")
	}
	s.Encrypt.Name = a.names[0]
	s.Encrypt.Key, err = p.key(a)
	return a.aead, err
}

func (p *parser) auth(s *SAStatement) error {
	p.step()
	t, err := p.word(namesOf(pfkey.AlgAuth))
	if err != nil {
		return err
	}
	a := algorithmNamed(pfkey.AlgAuth, t.text)
	switch {
	case a == nil:
		return p.fail(t, "expected %s", namesOf(pfkey.AlgAuth))
	case (s.Proto == ProtoTCP) != (t.text == "tcp-md5"):
		return p.fail(t, "tcp and tcp-md5 are for each other alone")
	}
	s.Auth.Name = a.names[0]
	s.Auth.Key, err = p.key(a)
	return err
}

// key reads the key of an algorithm and checks its length: a string, or
// hexadecimal digits, the first of which is an octet of its own if their number
// is odd.
func (p *parser) key(a *algorithm) (spd.Key, error) {
	name := a.names[0]
	if a.keys.none() {
		if p.tok.kind == tokenString || p.tok.kind == tokenWord && isHex(p.tok.text) {
			return nil, p.fail(p.tok, "%s takes no key", name)
		}
		return nil, nil
	}
	var key spd.Key
	switch {
	case p.tok.kind == tokenString:
		key = spd.Key(p.tok.text)
	case p.tok.kind == tokenWord && isHex(p.tok.text):
		digits := p.tok.text[2:]
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		key, _ = hex.DecodeString(digits)
	default:
		// Not the word itself: it may be a key without its quotes.
		return nil, &SyntaxError{Position: p.tok.at, Reason: "expected the key of " + name + " in quotes, or hexadecimal with 0x"}
	}
	if !a.keys.fits(len(key)) {
		n := len(key)
		key.Wipe()
		return nil, &SyntaxError{Position: p.tok.at, Token: "a key of " + strconv.Itoa(n) + " octets", Reason: name + " takes " + a.keys.String() + " octets"}
	}
	p.step()
	return key, nil
}
