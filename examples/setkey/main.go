// Setkey edits and shows the kernel's SAs and policies by hand, in the language
// and with the options of setkey(8) of ipsec-tools: over PF_KEY, or with -X over
// Linux's XFRM, which has AEADs too. docs/man/setkey.8 describes it.
//
//	setkey -f /etc/ipsec.conf
//	setkey -DP
//	echo 'add 192.0.2.1 192.0.2.2 esp 0x1000 -E aes-gcm-16 0x... ;' | setkey -X -c
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/setkey"
	"github.com/racoon3/racoon/xfrm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return system.run(ctx, args, stdin, stdout, stderr)
}

// host is what a run needs of the system.
type host struct {
	pfkey    func() (pfkey.Conn, error)
	dialect  *pfkey.Dialect
	xfrm     func() (dial xfrm.Dialer, done func(), err error)
	resolver setkey.Resolver // nil for the system's
	location *time.Location  // nil for the system's
	now      func() time.Time
	after    func(time.Duration) <-chan time.Time
}

var system = host{pfkey: pfkey.OpenSocket, dialect: pfkey.Default(), xfrm: xfrm.SystemDialer, now: time.Now, after: time.After}

// Exit statuses.
const (
	failed = 1
	misuse = 2
)

func (h host) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parseOptions(args)
	if err != nil {
		fmt.Fprintf(stderr, "setkey: %v\n%s", err, usage)
		return misuse
	}
	p := &program{host: h, options: o, in: stdin, out: &output{w: stdout}}
	switch o.mode {
	case modeHelp:
		fmt.Fprint(stdout, usage)
		return 0
	case modeVersion:
		fmt.Fprintln(stdout, "setkey of github.com/racoon3/racoon,", runtime.Version())
		return 0
	}
	switch err := p.run(ctx); {
	case err == nil || errors.Is(err, setkey.ErrExit):
		return 0
	case ctx.Err() != nil && (o.mode == modeMonitor || o.loop):
		return 0 // it was told to end what has no other end
	default:
		fmt.Fprintf(stderr, "setkey: %v\n", err)
		return failed
	}
}

// program is one run.
type program struct {
	host
	options
	in  io.Reader
	out io.Writer
}

func (p *program) run(ctx context.Context) error {
	switch p.mode {
	case modeMonitor:
		return p.monitor(ctx)
	case modeMessages:
		for _, file := range p.files {
			if err := p.messages(file); err != nil {
				return err
			}
		}
		return nil
	case modeScript:
		return p.script(ctx)
	}
	x, done, err := p.executor()
	if err != nil {
		return err
	}
	defer done()
	switch p.mode {
	case modeFlush:
		verb := setkey.VerbFlush
		if p.policies {
			verb = setkey.VerbSPDFlush
		}
		return cause(x.Execute(ctx, &setkey.Command{Verb: verb}))
	case modeStdin:
		return p.stdin(ctx, x)
	}
	for {
		if p.policies {
			err = x.DumpPolicies(ctx)
		} else {
			err = x.DumpSAs(ctx, setkey.ProtoAny)
		}
		if err != nil || !p.loop {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.after(time.Second):
		}
	}
}

// cause is an error of a statement that no file has.
func cause(err error) error {
	if s := (*setkey.StatementError)(nil); errors.As(err, &s) {
		return s.Err
	}
	return err
}

// executor opens the kernel, and returns how to close it.
func (p *program) executor() (x *setkey.Executor, done func(), err error) {
	x = &setkey.Executor{Resolver: p.resolver, Out: p.out, KernelSemantics: p.kernelSemantics, Now: p.now,
		Print: setkey.PrintOptions{Ports: p.ports, Dead: p.all, Short: p.loop, NoSockets: p.noSockets, Location: p.location}}
	switch {
	case p.noAction:
		x.Kernel = nothing{}
		return x, func() {}, nil
	case p.overXFRM:
		dial, done, err := p.xfrm()
		if err != nil {
			return nil, nil, err
		}
		c, err := xfrm.NewClient(dial)
		if err != nil {
			done()
			return nil, nil, err
		}
		x.Kernel = &xfrmKernel{c: c}
		return x, func() { _ = c.Close(); done() }, nil
	}
	conn, err := p.open()
	if err != nil {
		return nil, nil, err
	}
	c, err := pfkey.NewClient(conn, pfkey.ClientConfig{Dialect: p.dialect})
	if err != nil {
		return nil, nil, err
	}
	x.Kernel = setkey.NewPFKey(c)
	return x, func() { _ = c.Close() }, nil
}

// open opens PF_KEY, with -v so that every message is printed.
func (p *program) open() (pfkey.Conn, error) {
	conn, err := p.pfkey()
	if err != nil || !p.verbose && !p.hex {
		return conn, err
	}
	return &tracer{Conn: conn, p: p}, nil
}

// output takes what the main goroutine and a tracer print.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(b)
}

// script carries out a file, all of it or nothing if it cannot be read.
func (p *program) script(ctx context.Context) error {
	name, in := p.file, p.in
	if name == "-" {
		name = "<stdin>"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	src, err := readAll(in)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer clear(src)
	all, err := setkey.Parse(name, src)
	if err != nil {
		return err
	}
	x, done, err := p.executor()
	if err != nil {
		return err
	}
	defer done()
	var errs []error
	for _, s := range all {
		if err := p.execute(ctx, x, s); errors.Is(err, setkey.ErrExit) {
			break
		} else if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// stdin carries out statements as they come. A mistake ends none but its own.
func (p *program) stdin(ctx context.Context, x *setkey.Executor) error {
	parser := setkey.NewParser("<stdin>", p.in)
	wrong := 0
	for {
		s, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.execute(ctx, x, s)
		} else if !errors.Is(err, setkey.ErrSyntax) {
			return err
		}
		switch {
		case errors.Is(err, setkey.ErrExit):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			wrong++
			fmt.Fprintln(p.out, err)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d statements failed", wrong)
	}
	return nil
}

func (p *program) execute(ctx context.Context, x *setkey.Executor, s setkey.Statement) error {
	if sa, ok := s.(*setkey.SAStatement); ok {
		defer sa.Wipe()
	}
	if p.noAction {
		if p.verbose {
			fmt.Fprintln(p.out, setkey.Format(s))
		}
		// What is there cannot be shown, and need not be.
		if v := s.What(); v == setkey.VerbDump || v == setkey.VerbSPDDump || v == setkey.VerbGet {
			return nil
		}
	}
	return x.Execute(ctx, s)
}

// maxFile bounds what is read of a file.
const maxFile = 64 << 20

func readAll(in io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("longer than 64 MiB")
	}
	return b, err
}
