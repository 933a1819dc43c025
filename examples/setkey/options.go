package main

import (
	"errors"
	"fmt"

	"github.com/racoon3/racoon/examples/internal/getopt"
)

const usage = `usage: setkey [-XvhrkN] file ...       print the PF_KEY messages in files
       setkey [-Xnvhrk] -c              carry out statements from standard input
       setkey [-Xnvhrk] -f file         carry out a file, - for standard input
       setkey [-XalpvhPN] -D            print SAs, or with -P policies
       setkey [-XvhP] -F                delete all SAs, or with -P all policies
       setkey [-h] -x                   print every message of PF_KEY; -xx: raw times
       setkey -V | -?
  -X (--xfrm)  over Linux's XFRM in place of PF_KEY
  -a           SAs that are dead too
  -h, -H       messages in hexadecimal too
  -k           an inbound policy is for what is forwarded only if it says so (Linux)
  -l           every second, an SA in a line
  -N           without the policies of sockets
  -n           check, and do nothing
  -p           addresses with ports
  -r           an inbound policy is for forwarded packets too (Linux); the default
  -v           print messages to and from the kernel; with -n, statements
`

type mode uint8

const (
	modeNone mode = iota
	modeStdin
	modeScript
	modeDump
	modeFlush
	modeMonitor
	modeMessages
	modeHelp
	modeVersion
)

type options struct {
	mode  mode
	file  string
	files []string

	policies, all, loop, noAction, ports, noSockets, verbose, hex bool
	kernelSemantics, rawTime, overXFRM                            bool
}

// parseOptions reads the command line.
func parseOptions(args []string) (o options, err error) {
	var words []string
	for i, arg := range args {
		switch arg {
		case "--xfrm":
			o.overXFRM = true
		case "--help":
			return options{mode: modeHelp}, nil
		default:
			words = append(words, args[i])
		}
	}
	given, rest, err := getopt.Parse(words, "acDFf:HhklNnPprVvXx?")
	if err != nil {
		return o, err
	}
	for _, x := range given {
		m := modeNone
		switch x.Letter {
		case 'a':
			o.all = true
		case 'c':
			m = modeStdin
		case 'D':
			m = modeDump
		case 'F':
			m = modeFlush
		case 'f':
			m, o.file = modeScript, x.Arg
		case 'H', 'h':
			o.hex = true
		case 'k':
			o.kernelSemantics = true
		case 'l':
			o.loop = true
		case 'N':
			o.noSockets = true
		case 'n':
			o.noAction = true
		case 'P':
			o.policies = true
		case 'p':
			o.ports = true
		case 'r':
			o.kernelSemantics = false
		case 'V':
			return options{mode: modeVersion}, nil
		case 'v':
			o.verbose = true
		case 'X':
			o.overXFRM = true
		case 'x':
			m, o.rawTime = modeMonitor, o.mode == modeMonitor
		case '?':
			return options{mode: modeHelp}, nil
		}
		switch {
		case m == modeNone:
		case o.mode != modeNone && o.mode != m:
			return o, errors.New("only one of -c, -f, -D, -F and -x")
		default:
			o.mode = m
		}
	}
	return o, o.check(rest)
}

func (o *options) check(rest []string) error {
	switch {
	case o.mode == modeNone && len(rest) == 0:
		return errors.New("nothing to do")
	case o.mode == modeNone:
		o.mode, o.files = modeMessages, rest
	case len(rest) > 0:
		return fmt.Errorf("%q is of no use with -c, -f, -D, -F or -x", rest[0])
	case o.mode == modeMonitor && o.overXFRM:
		return errors.New("-x is PF_KEY's; `ip xfrm monitor` is XFRM's")
	case o.noAction && o.mode != modeStdin && o.mode != modeScript:
		return errors.New("-n is for -c and -f")
	case o.loop && o.policies:
		return errors.New("-l is for SAs")
	case o.overXFRM && (o.verbose && !o.noAction || o.hex):
		return errors.New("-v and -h print messages of PF_KEY, and -X has none")
	}
	return nil
}
