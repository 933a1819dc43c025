package main

import (
	"errors"
	"fmt"
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

// parseOptions reads options as getopt(3) does: letters may be joined, as in
// -DP.
func parseOptions(args []string) (o options, err error) {
	var rest []string
	set := func(m mode) error {
		if o.mode != modeNone && o.mode != m {
			return errors.New("only one of -c, -f, -D, -F and -x")
		}
		o.mode = m
		return nil
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			rest = append(rest, args[i+1:]...)
			i = len(args)
			continue
		case arg == "--xfrm":
			o.overXFRM = true
			continue
		case arg == "--help":
			o.mode = modeHelp
			return o, nil
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, args[i:]...)
			i = len(args)
			continue
		}
		for j := 1; j < len(arg); j++ {
			switch arg[j] {
			case 'a':
				o.all = true
			case 'c':
				err = set(modeStdin)
			case 'D':
				err = set(modeDump)
			case 'F':
				err = set(modeFlush)
			case 'f':
				err = set(modeScript)
				if o.file = arg[j+1:]; o.file == "" && i+1 < len(args) {
					i++
					o.file = args[i]
				}
				if o.file == "" {
					return o, errors.New("-f without a file")
				}
				j = len(arg)
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
				o.mode = modeVersion
				return o, nil
			case 'v':
				o.verbose = true
			case 'X':
				o.overXFRM = true
			case 'x':
				o.rawTime = o.mode == modeMonitor
				err = set(modeMonitor)
			case '?':
				o.mode = modeHelp
				return o, nil
			default:
				return o, fmt.Errorf("no option -%c", arg[j])
			}
			if err != nil {
				return o, err
			}
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
