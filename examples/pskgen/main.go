// Pskgen makes files of pre-shared keys, as racoon2's did: of random octets from
// the system's generator, from a line of text, or from hexadecimal numbers; and
// prints one as hexadecimal numbers. docs/man/pskgen.8 describes it.
//
//	pskgen -r -s 32 -o /etc/racoon/psk/office.psk
package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/examples/internal/getopt"
	"github.com/racoon3/racoon/examples/internal/keyfile"
)

const usage = `usage: pskgen -r [-s length] [-o file] [-d]   random octets, 16 of them unless told
       pskgen -i file [-h] [-o file] [-d]     the first line of file, - for standard input;
                                              -h: numbers such as 0x72 0x61 0x63
       pskgen -e file [-o file] [-d]          the octets of file as numbers
  -d  write no file
`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	failed = 1
	misuse = 2
)

// defaultLength is racoon2's: 128 bits.
const defaultLength = 16

// maxKey is more than any key has.
const maxKey = 64 << 10

type options struct {
	mode   byte // 'r', 'i' or 'e'
	in     string
	hex    bool
	length int
	out    string
	dry    bool
}

func parse(args []string) (o options, err error) {
	given, rest, err := getopt.Parse(args, "rs:o:di:he:")
	if err != nil {
		return o, err
	}
	o.length = defaultLength
	sized := false
	for _, x := range given {
		switch x.Letter {
		case 'r', 'i', 'e':
			if o.mode != 0 {
				return o, errors.New("only one of -r, -i and -e")
			}
			o.mode, o.in = x.Letter, x.Arg
		case 's':
			sized = true
			if o.length, err = strconv.Atoi(x.Arg); err != nil || o.length < 1 || o.length > maxKey {
				return o, fmt.Errorf("-s %s: no length from 1 to %d", x.Arg, maxKey)
			}
		case 'o':
			o.out = x.Arg
		case 'd':
			o.dry = true
		case 'h':
			o.hex = true
		}
	}
	switch {
	case len(rest) > 0:
		return o, fmt.Errorf("%q is no option", rest[0])
	case o.mode == 0:
		return o, errors.New("nothing to do")
	case sized && o.mode != 'r':
		return o, errors.New("-s is for -r")
	case o.hex && o.mode != 'i':
		return o, errors.New("-h is for -i")
	}
	return o, nil
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "pskgen: %v\n%s", err, usage)
		return misuse
	}
	if err := o.run(stdin, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "pskgen: %v\n", err)
		return failed
	}
	return 0
}

func (o *options) run(stdin io.Reader, stdout, stderr io.Writer) error {
	out, err := o.make(stdin)
	defer clear(out)
	if err != nil {
		return err
	}
	switch {
	case o.dry && o.out != "" && o.out != "-":
		_, err = fmt.Fprintf(stderr, "pskgen: %d octets for %s, which is not written\n", len(out), o.out)
		return err
	case o.out == "" || o.out == "-":
		_, err = stdout.Write(out)
		return err
	}
	return keyfile.Replace(o.out, out)
}

// make returns what is to be written.
func (o *options) make(stdin io.Reader) ([]byte, error) {
	if o.mode == 'r' {
		key := make([]byte, o.length)
		_, err := rand.Read(key)
		return key, err
	}
	in, name := stdin, "standard input"
	if o.in != "-" {
		f, err := os.Open(o.in)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in, name = f, o.in
	}
	// Numbers have five octets for one.
	text, err := io.ReadAll(io.LimitReader(in, 8*maxKey+1))
	defer clear(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(text) > 8*maxKey:
		return nil, fmt.Errorf("%s: longer than %d octets", name, 8*maxKey)
	}
	var key []byte
	switch {
	case o.mode == 'e':
		return export(text), nil
	case o.hex:
		key, err = numbers(string(text))
	default:
		key = firstLine(text)
	}
	if err == nil && (len(key) == 0 || len(key) > maxKey) {
		err = fmt.Errorf("a key of %d octets; it has 1 to %d", len(key), maxKey)
	}
	if err != nil {
		clear(key)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// firstLine returns a copy of the first line without its end.
func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.Clone(bytes.TrimSuffix(line, []byte("\r")))
}

// numbers reads hexadecimal numbers of one octet each. An error does not show
// the number that is wrong.
func numbers(text string) ([]byte, error) {
	var key []byte
	for i, line := range strings.Split(text, "\n") {
		for j, word := range strings.Fields(line) {
			digits, ok := strings.CutPrefix(strings.ToLower(word), "0x")
			n, err := strconv.ParseUint(digits, 16, 8)
			if !ok || err != nil || len(digits) > 2 {
				return key, fmt.Errorf("line %d, word %d: no number from 0x0 to 0xff", i+1, j+1)
			}
			key = append(key, byte(n))
		}
	}
	return key, nil
}

// export prints octets as numbers reads them: 16 in a line, in two halves.
func export(key []byte) []byte {
	var b []byte
	for i, c := range key {
		b = fmt.Appendf(b, "0x%02x", c)
		switch {
		case i%16 == 15 || i == len(key)-1:
			b = append(b, '\n')
		case i%8 == 7:
			b = append(b, "  "...)
		default:
			b = append(b, ' ')
		}
	}
	return b
}
