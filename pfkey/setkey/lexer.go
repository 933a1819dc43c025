package setkey

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// maxStatement is how long a statement can be, with its comments: what can be
// said has some KiB at most.
const maxStatement = 64 << 10

// reader cuts its input into statements, which end with ';' outside of strings
// and comments.
type reader struct {
	in           *bufio.Reader
	file         string
	line, column int
	buf          []byte
	ended        bool
}

// next returns the next statement without its ';', and where it begins. At the
// end the error is io.EOF.
func (r *reader) next() (text []byte, at Position, err error) {
	if r.ended {
		return nil, Position{}, io.EOF
	}
	clear(r.buf)
	r.buf = r.buf[:0]
	at = r.position()
	var quote Position // of the string that is open
	comment, blank, long := false, true, false
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			r.ended = true
			switch {
			case !errors.Is(err, io.EOF):
				return nil, at, err
			case quote.Line != 0:
				return nil, at, &SyntaxError{Position: quote, Reason: "a string without its closing quote"}
			case blank:
				return nil, at, io.EOF
			}
			return nil, at, &SyntaxError{Position: r.position(), Reason: "the file ends within a statement; expected ;"}
		}
		here := r.position()
		r.column++
		if c == '\n' {
			r.line++
			r.column = 1
		}
		switch {
		case comment:
			comment = c != '\n'
		case quote.Line != 0:
			if c == '"' {
				quote = Position{}
			}
		case c == '#':
			comment = true
		case c == '"':
			quote, blank = here, false
		case c == ';' && long:
			return nil, at, &SyntaxError{Position: at, Reason: "a statement of more than 64 KiB"}
		case c == ';':
			return r.buf, at, nil
		case !isSpace(c):
			blank = false
		}
		if len(r.buf) < maxStatement {
			r.buf = append(r.buf, c)
		} else {
			long = true
		}
	}
}

func (r *reader) position() Position { return Position{r.file, r.line, r.column} }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString // without its quotes
	tokenMark   // [ ] /
	tokenWrong  // an octet that no word has
)

type token struct {
	kind tokenKind
	text string
	off  int // in the statement
	at   Position
}

// lexer cuts a statement into words.
type lexer struct {
	src []byte
	off int
	at  Position
}

func (l *lexer) advance() {
	l.at.Column++
	if l.src[l.off] == '\n' {
		l.at.Line++
		l.at.Column = 1
	}
	l.off++
}

func (l *lexer) skip() {
	for l.off < len(l.src) {
		switch c := l.src[l.off]; {
		case isSpace(c):
			l.advance()
		case c == '#':
			for l.off < len(l.src) && l.src[l.off] != '\n' {
				l.advance()
			}
		default:
			return
		}
	}
}

func (l *lexer) next() token {
	l.skip()
	t := token{off: l.off, at: l.at}
	if l.off == len(l.src) {
		return t
	}
	switch c := l.src[l.off]; {
	case c == '"':
		l.advance()
		start := l.off
		for l.off < len(l.src) && l.src[l.off] != '"' {
			l.advance()
		}
		t.kind, t.text = tokenString, string(l.src[start:l.off])
		if l.off < len(l.src) {
			l.advance()
		}
		return t
	case strings.IndexByte("[]/", c) >= 0:
		t.kind = tokenMark
		l.advance()
	case isWord(c):
		t.kind = tokenWord
		for l.off < len(l.src) && isWord(l.src[l.off]) {
			l.advance()
		}
	default:
		t.kind = tokenWrong
		l.advance()
	}
	t.text = string(l.src[t.off:l.off])
	return t
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(":.%-,_+", c) >= 0
}

// rest returns what is left of the statement with spaces for comments, so that
// offsets stay what they are.
func (l *lexer) rest() string {
	b := append([]byte(nil), l.src[l.off:]...)
	comment := false
	for i, c := range b {
		if c == '#' {
			comment = true
		} else if c == '\n' {
			comment = false
		}
		if comment {
			b[i] = ' '
		}
	}
	return string(b)
}

// locate returns the position of an offset at or behind the lexer's own.
func (l *lexer) locate(off int) Position {
	p := l.at
	for _, c := range l.src[l.off:min(off, len(l.src))] {
		p.Column++
		if c == '\n' {
			p.Line++
			p.Column = 1
		}
	}
	return p
}
