package spmdaemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/pidfile"
	"github.com/racoon3/racoon/spd"
)

// Exit statuses.
const (
	failed = 1
	misuse = 2
)

const defaultConfig = "/etc/racoon/racoon.toml"

// Main runs spmd as the process that it is, and returns the exit status.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, reloadSignals...)
	return runProgram(ctx, os.Args[1:], reload, os.Stdout, os.Stderr, openDataPlane)
}

// arguments are the command line.
type arguments struct {
	config  string
	check   bool
	debug   bool
	state   string
	pidFile string
	keep    bool
	kill    bool
	version bool
	grace   time.Duration
}

func parse(args []string, stderr io.Writer) (o arguments, err error) {
	f := flag.NewFlagSet("spmd", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.config, "c", defaultConfig, "configuration `file`")
	f.StringVar(&o.config, "f", defaultConfig, "the same, as of racoon2")
	f.BoolVar(&o.check, "check", false, "check the configuration, print what is in effect, and end")
	f.BoolVar(&o.debug, "d", false, "log everything")
	f.Bool("F", true, "run in the foreground, as always")
	f.StringVar(&o.state, "state", "/var/run/racoon/spmd.state", "`file` that remembers what is installed; empty for none")
	f.StringVar(&o.pidFile, "p", "", "`file` for the process ID")
	f.BoolVar(&o.keep, "keep", false, "leave the policies installed at the end")
	f.DurationVar(&o.grace, "lost-grace", 30*time.Second, "with lost-client = \"remove\": how long a lost client has to come back")
	f.BoolVar(&o.kill, "k", false, "end the daemon that runs, by the file of -p")
	f.BoolVar(&o.version, "V", false, "print the version")
	if err = f.Parse(args); err == nil && f.NArg() > 0 {
		err = fmt.Errorf("%q is not an option", f.Arg(0))
		fmt.Fprintln(stderr, "spmd:", err)
	}
	return o, err
}

type openPlane func(ctx context.Context, cfg *conf.Config, o arguments, log *slog.Logger) (spd.DataPlane, error)

func runProgram(ctx context.Context, args []string, reload <-chan os.Signal, stdout, stderr io.Writer, open openPlane) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return misuse
	}
	switch {
	case o.version:
		version := "unknown"
		if b, ok := debug.ReadBuildInfo(); ok {
			version = b.Main.Version
		}
		fmt.Fprintln(stdout, "spmd", version)
		return 0
	case o.kill:
		err = kill(o.pidFile)
	default:
		err = serve(ctx, o, reload, stdout, stderr, open)
	}
	if err != nil {
		fmt.Fprintln(stderr, "spmd:", err)
		return failed
	}
	return 0
}

func serve(ctx context.Context, o arguments, reload <-chan os.Signal, stdout, stderr io.Writer, open openPlane) (err error) {
	cfg, err := conf.Load(o.config)
	if err != nil {
		return err
	}
	if o.check {
		return cfg.WriteEffective(stdout)
	}
	log, closeLog, err := newLogger(&cfg.Daemon, o.debug, stderr)
	if err != nil {
		return err
	}
	defer closeLog()
	for _, w := range cfg.Warnings {
		log.Warn(w.Error())
	}
	// The second of two would take for a dead one's what the first has installed.
	lock := o.state
	if lock != "" {
		lock += ".lock"
	}
	for _, file := range []string{o.pidFile, lock} {
		if file == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		f, err := pidfile.Make(file)
		if err != nil {
			return err
		}
		defer f.Remove()
	}
	plane, err := open(ctx, cfg, o, log)
	if err != nil {
		return fmt.Errorf("the data plane: %w", err)
	}
	defer func() { err = errors.Join(err, plane.Close()) }()
	opt, release, err := daemonOptions(cfg, o, log)
	if err != nil {
		return err
	}
	defer release()
	opt.DataPlane = plane
	opt.Ready = func() { log.Info("spmd is ready", "config", cfg.File, "policies", len(cfg.Policies)) }
	d := New(opt)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				err = nil
			}
			return err
		case <-reload:
			next, err := conf.Load(o.config)
			if err == nil {
				err = d.Reload(ctx, policiesOf(next))
			}
			if err != nil {
				log.Error("the configuration is not used; what was before goes on", "err", err)
			} else {
				log.Info("policies were loaded anew; the rest of a change needs a restart", "policies", len(next.Policies))
			}
		}
	}
}

func newLogger(cfg *conf.Daemon, debug bool, stderr io.Writer) (*slog.Logger, func(), error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, nil, err
	}
	if debug {
		level = slog.LevelDebug
	}
	out, closer := stderr, func() {}
	if cfg.LogFile != "" {
		f, err := os.OpenFile(cfg.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return nil, nil, err
		}
		out, closer = f, func() { _ = f.Close() }
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, opts)), closer, nil
	}
	return slog.New(slog.NewTextHandler(out, opts)), closer, nil
}

// kill ends the daemon that has written its process ID into a file.
func kill(pidFile string) error {
	if pidFile == "" {
		return errors.New("-k needs -p, the file of the process ID")
	}
	b, err := os.ReadFile(filepath.Clean(pidFile))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s holds no process ID", pidFile)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(syscall.SIGTERM)
}
