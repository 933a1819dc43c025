package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"

	"github.com/racoon3/racoon/internal/conf"
)

// Exit statuses.
const (
	exitFailed = 1
	exitMisuse = 2
)

// A Program is a key management daemon.
type Program struct {
	Name string // "iked", "kinkd"
	// Protocols are those that it serves of "ike" and "kink"; empty means those
	// that the configuration has peers for.
	Protocols []string
}

// Env is what a process gets from the system beside its arguments.
type Env struct {
	// Getenv returns an environment variable, "" if there is none.
	Getenv func(name string) string
	// Reload makes the daemon read its configuration again, as SIGHUP does.
	Reload <-chan os.Signal
	// Status makes the daemon ask every peer for a sign of life, as SIGUSR1 does:
	// with KINK by STATUS.
	Status <-chan os.Signal
	// Terminate ends the daemon: in order the first time, at once the second.
	Terminate <-chan os.Signal
}

// Main runs a program as the process that it is, and returns the exit status.
func Main(p Program) int {
	reload, status, terminate := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(reload, reloadSignals...)
	signal.Notify(status, statusSignals...)
	signal.Notify(terminate, endSignals...)
	// Who reads the log may end before the daemon.
	signal.Ignore(brokenPipe...)
	return p.Run(context.Background(), os.Args[1:], Env{Getenv: os.Getenv, Reload: reload, Status: status, Terminate: terminate}, os.Stdout, os.Stderr)
}

// Run runs the program until ctx ends, it is told to end, or it fails, and
// returns the exit status: 0; 1 after a failure, which it prints; 2 after an
// error in the arguments.
func (p Program) Run(ctx context.Context, args []string, env Env, stdout, stderr io.Writer) int {
	if env.Getenv == nil {
		env.Getenv = func(string) string { return "" }
	}
	o, err := p.parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitMisuse
	case o.version:
		fmt.Fprintln(stdout, p.Name, version())
		return 0
	}
	cfg, err := conf.Load(o.config)
	if err != nil {
		return p.fail(stderr, err)
	}
	o.override(cfg)
	if o.check {
		for _, w := range cfg.Warnings {
			fmt.Fprintln(stderr, "warning:", w)
		}
		if err := cfg.WriteEffective(stdout); err != nil {
			return p.fail(stderr, err)
		}
		return 0
	}
	if err := p.serve(ctx, o, env, cfg, stderr); err != nil {
		return p.fail(stderr, err)
	}
	return 0
}

// fail prints an error; those of a configuration file one a line, as they are,
// so that editors find the places.
func (p Program) fail(stderr io.Writer, err error) int {
	if es, ok := errors.AsType[conf.Errors](err); ok {
		fmt.Fprintln(stderr, es)
		return exitFailed
	}
	fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
	return exitFailed
}

// protocols are what is served with a configuration.
func (p Program) protocols(cfg *conf.Config) []string {
	if len(p.Protocols) > 0 {
		return p.Protocols
	}
	var all []string
	for _, peer := range cfg.Peers {
		if !slices.Contains(all, peer.Protocol) {
			all = append(all, peer.Protocol)
		}
	}
	if all == nil {
		return []string{"ike"}
	}
	return all
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}
