package setkey

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Parser reads statements as they come, from a terminal for instance.
type Parser struct{ r reader }

// NewParser returns a parser of in. The name of the file is for errors.
func NewParser(file string, in io.Reader) *Parser {
	return &Parser{reader{in: bufio.NewReader(in), file: file, line: 1, column: 1}}
}

// Next returns the next statement. At the end the error is io.EOF. After a
// [*SyntaxError] it goes on behind the ';' of the statement that was wrong, after
// any other error it does not.
func (p *Parser) Next() (Statement, error) {
	for {
		text, at, err := p.r.next()
		if err != nil {
			return nil, err
		}
		s, err := parseStatement(text, at)
		if s == nil && err == nil {
			continue // a lone ';'
		}
		return s, err
	}
}

// maxErrors is how many errors of one file [Parse] tells.
const maxErrors = 20

// Parse reads a file whole, or up to its exit: what follows that may be anything.
// It goes on after a statement that is wrong: the error joins up to 20 of type
// [*SyntaxError].
func Parse(file string, src []byte) ([]Statement, error) {
	p := NewParser(file, bytes.NewReader(src))
	var all []Statement
	var errs []error
	for len(errs) < maxErrors {
		s, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return all, errors.Join(errs...)
		case err != nil:
			errs = append(errs, err)
		default:
			all = append(all, s)
			if s.What() == VerbExit {
				return all, errors.Join(errs...)
			}
		}
	}
	return all, errors.Join(errs...)
}

// parser reads one statement.
type parser struct {
	lexer
	tok   token
	begin Position
}

func parseStatement(text []byte, at Position) (Statement, error) {
	p := &parser{lexer: lexer{src: text, at: at}}
	p.step()
	if p.tok.kind == tokenEnd {
		return nil, nil
	}
	p.begin = p.tok.at
	verb := Verb(p.tok.text)
	if p.tok.kind != tokenWord {
		verb = ""
	}
	switch verb {
	case VerbAdd, VerbUpdate, VerbGet, VerbGetSPI, VerbDelete, VerbDeleteAll:
		p.step()
		return p.saStatement(verb)
	case VerbSPDAdd, VerbSPDUpdate, VerbSPDDelete:
		p.step()
		return p.policyStatement(verb)
	case VerbFlush, VerbDump, VerbSPDFlush, VerbSPDDump, VerbExit, "quit", "bye":
		p.step()
		return p.command(verb)
	}
	return nil, p.expected("add, update, get, getspi, delete, deleteall, flush, dump, spdadd, spdupdate, spddelete, spdflush, spddump or exit")
}

func (p *parser) step() { p.tok = p.next() }

func (p *parser) fail(t token, format string, args ...any) error {
	return &SyntaxError{Position: t.at, Token: t.show(), Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) expected(what string) error { return p.fail(p.tok, "expected %s", what) }

// word returns a word that is not an option; what it should be is for the error.
func (p *parser) word(what string) (token, error) {
	if p.tok.kind != tokenWord || strings.HasPrefix(p.tok.text, "-") {
		return token{}, p.expected(what)
	}
	t := p.tok
	p.step()
	return t, nil
}

func (p *parser) is(text string) bool { return p.tok.kind == tokenWord && p.tok.text == text }

func (p *parser) mark(text string) bool {
	if p.tok.kind != tokenMark || p.tok.text != text {
		return false
	}
	p.step()
	return true
}

// number reads a decimal number.
func (p *parser) number(what string, most uint64) (uint64, error) {
	t, err := p.word(what)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(t.text, 10, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange) || !isDigit(t.text[0]):
		return 0, p.fail(t, "expected %s, a decimal number", what)
	case err != nil || n > most:
		return 0, p.fail(t, "%s is %d at most", what, most)
	}
	return n, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isHex reports whether a word is 0x and hexadecimal digits.
func isHex(s string) bool {
	if len(s) < 3 || s[0] != '0' || s[1] != 'x' && s[1] != 'X' {
		return false
	}
	for _, c := range []byte(s[2:]) {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// end takes the end of the statement.
func (p *parser) end(otherwise string) error {
	if p.tok.kind == tokenEnd {
		return nil
	}
	if otherwise != "" {
		otherwise += " or "
	}
	return p.expected(otherwise + ";")
}

// lookup reads any number of -4, -6 and -n, also as in -4n.
func (p *parser) lookup() (l Lookup) {
	for p.tok.kind == tokenWord && len(p.tok.text) > 1 && p.tok.text[0] == '-' && strings.Trim(p.tok.text[1:], "46n") == "" {
		for _, c := range p.tok.text[1:] {
			switch c {
			case '4':
				l.IPv4, l.IPv6 = true, false
			case '6':
				l.IPv4, l.IPv6 = false, true
			case 'n':
				l.Numeric = true
			}
		}
		p.step()
	}
	return l
}

// maxName is how long the name of a host can be, with a zone.
const maxName = 300

// host reads a name or an address.
func (p *parser) host(what string, l Lookup) (string, error) {
	t, err := p.word(what + ", an address or a host's name")
	if err != nil {
		return "", err
	}
	a, numeric := isNumeric(t.text)
	switch {
	case numeric && (a.Is4() && l.IPv6 || a.Is6() && l.IPv4):
		return "", p.fail(t, "%s is an address of the family that the statement excludes", what)
	case numeric:
		return t.text, nil
	case l.Numeric || strings.ContainsAny(t.text, ":_,+") || isHex(t.text) || strings.Trim(t.text, "0123456789.") == "":
		return "", p.fail(t, "expected %s, an IPv4 or IPv6 address", what)
	case len(t.text) > maxName || strings.ContainsRune(t.text, '%'):
		return "", p.fail(t, "%s is no host's name", what)
	}
	return t.text, nil
}

// port reads [80], [http], [any] or nothing.
func (p *parser) port() (string, error) {
	if !p.mark("[") {
		return "", nil
	}
	t, err := p.word("a port, a service's name or any")
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseUint(t.text, 10, 64)
	port := t.text
	switch {
	case t.text == "any" || err == nil && n == 0:
		port = ""
	case err == nil && n <= 65535:
		port = strconv.FormatUint(n, 10)
	case err == nil || strings.Trim(t.text, "0123456789") == "":
		return "", p.fail(t, "a port is 65535 at most")
	case strings.ContainsAny(t.text, ":,%") || len(t.text) > maxName:
		return "", p.fail(t, "expected a port, a service's name or any")
	}
	if !p.mark("]") {
		return "", p.expected("]")
	}
	return port, nil
}

// context reads what follows -ctx.
func (p *parser) context() (*Context, error) {
	doi, err := p.number("the security context's domain of interpretation", 255)
	if err != nil {
		return nil, err
	}
	alg, err := p.number("the security context's algorithm", 255)
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenString || p.tok.text == "" || strings.IndexByte(p.tok.text, 0) >= 0 || len(p.tok.text) > 4095 {
		return nil, p.expected("the security context in quotes")
	}
	c := &Context{DOI: uint8(doi), Alg: uint8(alg), Label: p.tok.text}
	p.step()
	return c, nil
}

func (p *parser) command(verb Verb) (Statement, error) {
	c := &Command{Position: p.begin, Verb: verb}
	switch verb {
	case "quit", "bye":
		c.Verb = VerbExit
	case VerbFlush, VerbDump:
		if p.tok.kind == tokenEnd {
			return c, nil
		}
		t, err := p.word(protocols + " or ;")
		if err != nil {
			return nil, err
		}
		if c.Proto = Protocol(t.text); !isProtocol(c.Proto) {
			return nil, p.fail(t, "expected %s or ;", protocols)
		}
	}
	return c, p.end("")
}

const protocols = "esp, ah, esp-old, ah-old, esp-udp, ipcomp, tcp"

func isProtocol(p Protocol) bool {
	switch p {
	case ProtoESP, ProtoAH, ProtoESPOld, ProtoAHOld, ProtoESPUDP, ProtoIPComp, ProtoTCP:
		return true
	}
	return false
}
