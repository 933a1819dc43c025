package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/racoon3/racoon/internal/control"
)

// program is one run of racoonctl.
type program struct {
	ctx      context.Context
	stdin    io.Reader
	out, err io.Writer

	socket string
	long   bool
	debug  bool
	json   bool

	flags  *flag.FlagSet // of the command
	client *control.Client

	password []byte // once it was asked for
}

// usageError is wrong use.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// main parses the options and runs the command.
func (p *program) main(args []string) error {
	rest, err := p.parse(flag.NewFlagSet("racoonctl", flag.ContinueOnError), args, false)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		p.help(p.err)
		return usage("a command is missing")
	}
	c := find(rest[0])
	if c == nil {
		return usage("%q is no command; racoonctl help lists them", rest[0])
	}
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	p.flags = fs
	do := c.prepare(p, fs)
	words, err := p.parse(fs, rest[1:], true)
	if errors.Is(err, flag.ErrHelp) {
		p.helpOf(c)
		return nil
	}
	if err != nil {
		return err
	}
	p.client = control.NewClient(p.socket)
	defer p.client.Close()
	if p.debug {
		fmt.Fprintf(p.err, "racoonctl: %s through %s\n", c.name, p.socket)
	}
	return do(words)
}

// parse parses options, with those that all commands have. If mixed is set they
// may stand behind words, up to "--". It returns the words.
func (p *program) parse(fs *flag.FlagSet, args []string, mixed bool) (words []string, err error) {
	fs.SetOutput(io.Discard)
	fs.StringVar(&p.socket, "s", cmpOr(p.socket, control.DefaultPath), "`path` of the control socket")
	fs.BoolVar(&p.json, "json", p.json, "print JSON")
	if fs.Lookup("l") == nil {
		fs.BoolVar(&p.long, "l", p.long, "say more")
	}
	if fs.Lookup("d") == nil {
		fs.BoolVar(&p.debug, "d", p.debug, "say what is done")
	}
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) && !mixed {
				p.help(p.out)
			}
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usage("%v", err)
		}
		rest := fs.Args()
		ended := len(args) > len(rest) && args[len(args)-len(rest)-1] == "--"
		if !mixed || ended || len(rest) == 0 {
			return append(words, rest...), nil
		}
		words, args = append(words, rest[0]), rest[1:]
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// exit prints an error and returns the exit status.
func (p *program) exit(err error) int {
	var refused *control.Error
	var wrong *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(p.err, "racoonctl: %s\n", clean(wrong.text))
		if p.flags != nil {
			fmt.Fprintf(p.err, "usage: racoonctl %s\n", find(p.flags.Name()).usage)
		}
		return exitUsage
	case errors.As(err, &refused):
		if p.json {
			p.print(refused)
		}
		fmt.Fprintf(p.err, "racoonctl: %s\n", clean(refused.Message))
		return exitRefused
	case errors.Is(err, control.ErrNoDaemon):
		fmt.Fprintf(p.err, "racoonctl: %s (socket %s)\n", clean(err.Error()), p.socket)
		return exitNoDaemon
	}
	fmt.Fprintf(p.err, "racoonctl: %s\n", clean(err.Error()))
	return exitRefused
}

// print prints a value as JSON.
func (p *program) print(v any) {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	e.Encode(v)
}

// say prints a line, in which what others have chosen cannot hide anything.
func (p *program) say(format string, args ...any) {
	fmt.Fprintln(p.out, clean(fmt.Sprintf(format, args...)))
}

// command is one of racoonctl's.
type command struct {
	name, short string
	usage       string
	text        string
	// prepare defines the options and returns what runs the command.
	prepare func(p *program, fs *flag.FlagSet) func(words []string) error
}

// find returns the command of a name, or nil.
func find(name string) *command {
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name || c.short == name && name != "" })
	if i < 0 {
		return nil
	}
	return &commands()[i]
}

func (p *program) help(to io.Writer) {
	fmt.Fprintf(to, "usage: racoonctl [-s socket] [-l] [-d] [--json] command [options] [words]\n\n")
	for _, c := range commands() {
		name := c.name
		if c.short != "" {
			name += ", " + c.short
		}
		fmt.Fprintf(to, "  %-20s %s\n", name, c.text)
	}
	fmt.Fprintf(to, "\nExit status: 0 well, 1 the daemon says no, 2 wrong use, 3 no daemon answers.\n")
}

func (p *program) helpOf(c *command) {
	fmt.Fprintf(p.out, "usage: racoonctl %s\n\n%s\n\n", c.usage, c.text)
	p.flags.SetOutput(p.out)
	p.flags.PrintDefaults()
}

// none wants no words.
func none(words []string) error {
	if len(words) > 0 {
		return usage("unexpected %s", strings.Join(words, " "))
	}
	return nil
}
