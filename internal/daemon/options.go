package daemon

import (
	"flag"
	"fmt"
	"io"
	"path/filepath"

	"github.com/racoon3/racoon/internal/conf"
)

const (
	defaultConfig = "/etc/racoon/racoon.toml"
	defaultState  = "/var/run/racoon"
)

// options are the command line. What is empty is as the configuration says.
type options struct {
	config   string
	check    bool
	version  bool
	debug    bool
	logLevel string
	form     string
	pidFile  string
	control  string
	capture  string
	state    string
	spmd     bool
}

func (p Program) parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.config, "c", defaultConfig, "configuration `file`")
	f.StringVar(&o.config, "f", defaultConfig, "the same, as of racoon and racoon2")
	f.BoolVar(&o.check, "check", false, "check the configuration, print what is in effect, and end")
	f.Bool("F", true, "run in the foreground, as always")
	f.BoolVar(&o.debug, "d", false, "log everything")
	f.StringVar(&o.logLevel, "log-level", "", "`level` of the log: debug, info, warn or error")
	f.StringVar(&o.form, "log-format", "", "`form` of the log: text or json")
	f.StringVar(&o.pidFile, "p", "", "`file` for the process ID")
	f.StringVar(&o.control, "s", "", "`path` of the control socket; none: no socket")
	f.StringVar(&o.capture, "P", "", "`file` for the decrypted messages (pcapng)")
	f.StringVar(&o.state, "state", defaultState, "`directory` that remembers what is in the kernel; empty for none")
	f.BoolVar(&o.spmd, "spmd", false, "leave [policy.NAME] to spmd")
	f.BoolVar(&o.version, "V", false, "print the version")
	if err := f.Parse(args); err != nil {
		return o, err // printed
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("%q is not an option", f.Arg(0))
	case o.logLevel != "" && !oneOf(o.logLevel, "debug", "info", "warn", "error"):
		err = fmt.Errorf("-log-level %q is none of debug, info, warn and error", o.logLevel)
	case o.form != "" && !oneOf(o.form, "text", "json"):
		err = fmt.Errorf("-log-format %q is neither text nor json", o.form)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
	}
	return o, err
}

func oneOf(s string, all ...string) bool {
	for _, a := range all {
		if s == a {
			return true
		}
	}
	return false
}

// override puts the options in the place of what a configuration says.
func (o *options) override(cfg *conf.Config) {
	set := func(to *string, s string) {
		if s != "" {
			*to = s
		}
	}
	set(&cfg.Daemon.LogLevel, o.logLevel)
	if o.debug {
		cfg.Daemon.LogLevel = "debug"
	}
	set(&cfg.Daemon.LogFormat, o.form)
	set(&cfg.Daemon.PIDFile, absolute(o.pidFile))
	set(&cfg.Capture.File, absolute(o.capture))
	if o.control == "none" {
		cfg.Control.Socket = ""
	} else {
		set(&cfg.Control.Socket, absolute(o.control))
	}
}

// absolute makes a name hold wherever the process goes.
func absolute(path string) string {
	if path == "" {
		return ""
	}
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
