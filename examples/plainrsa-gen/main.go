// Plainrsa-gen makes RSA keys for authentication without certificates, in the
// form of ipsec-tools' racoon, converts others to it, and prints the public half.
// docs/man/plainrsa-gen.8 describes it.
//
//	plainrsa-gen -f boston.key
//	plainrsa-gen -p -i boston.key -f boston.pub
package main

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/racoon3/racoon/examples/internal/getopt"
	"github.com/racoon3/racoon/examples/internal/keyfile"
	"github.com/racoon3/racoon/ike"
)

const usage = `usage: plainrsa-gen [-b bits] [-e exponent] [-p] [-f file]   make a key
       plainrsa-gen -i file [-p] [-f file]                   convert a key, PEM or plain
  -b bits      of the modulus, 3072 unless told
  -e exponent  65537 unless told; decimal, or hexadecimal with 0x
  -f file      to write, which must not exist; standard output unless told
  -p           the public key alone
  -h           this
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit statuses.
const (
	failed = 1
	misuse = 2
)

type options struct {
	bits, exponent int
	in, out        string
	public, help   bool
}

func parse(args []string) (o options, err error) {
	given, rest, err := getopt.Parse(args, "b:e:f:i:ph")
	if err != nil {
		return o, err
	}
	o.bits, o.exponent = defaultBits, defaultExponent
	making := false
	for _, x := range given {
		switch x.Letter {
		case 'b':
			making = true
			if o.bits, err = strconv.Atoi(x.Arg); err != nil || o.bits < minBits || o.bits > maxBits || o.bits%8 != 0 {
				return o, fmt.Errorf("-b %s: a modulus has %d to %d bits, a multiple of 8", x.Arg, minBits, maxBits)
			}
		case 'e':
			making = true
			e, err := strconv.ParseUint(x.Arg, 0, 31)
			if err != nil || e < 3 || e%2 == 0 {
				return o, fmt.Errorf("-e %s: an exponent is an odd number from 3 to 2147483647", x.Arg)
			}
			o.exponent = int(e)
		case 'f':
			o.out = x.Arg
		case 'i':
			o.in = x.Arg
		case 'p':
			o.public = true
		case 'h':
			o.help = true
		}
	}
	switch {
	case len(rest) > 0:
		return o, fmt.Errorf("%q is no option", rest[0])
	case making && o.in != "":
		return o, errors.New("-b and -e are for a new key, and -i is for one that there is")
	}
	return o, nil
}

func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "plainrsa-gen: %v\n%s", err, usage)
		return misuse
	case o.help:
		fmt.Fprint(stdout, usage)
		return 0
	}
	if err := o.run(stdout); err != nil {
		fmt.Fprintf(stderr, "plainrsa-gen: %v\n", err)
		return failed
	}
	return 0
}

func (o *options) run(stdout io.Writer) error {
	key, err := o.key()
	if err != nil {
		return err
	}
	if o.public {
		key.Private = nil
	}
	text, err := key.Append(nil)
	defer clear(text)
	switch {
	case err != nil:
		return err
	case o.out == "" || o.out == "-":
		_, err = stdout.Write(text)
		return err
	}
	// Not over a key that somebody may still need.
	return keyfile.Create(o.out, text)
}

// key makes a key or reads one.
func (o *options) key() (*ike.PlainRSAKey, error) {
	if o.in == "" {
		k, err := generate(o.bits, o.exponent)
		if err != nil {
			return nil, err
		}
		return &ike.PlainRSAKey{Public: &k.PublicKey, Private: k}, nil
	}
	c, err := ike.LoadCredential("", o.in)
	if err == nil {
		k, ok := c.Signer.(*rsa.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s: a key of type %T, not RSA", o.in, c.Signer)
		}
		return &ike.PlainRSAKey{Public: &k.PublicKey, Private: k}, nil
	}
	if public, perr := ike.LoadPublicKey(o.in); perr == nil {
		k, ok := public.(*rsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("%s: a key of type %T, not RSA", o.in, public)
		}
		return &ike.PlainRSAKey{Public: k}, nil
	}
	return nil, err
}
