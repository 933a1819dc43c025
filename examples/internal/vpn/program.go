package vpn

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/spd"
)

// errUsage is what errors about flags wrap.
var errUsage = errors.New("wrong use (-h lists the flags)")

// Main runs a program until it is over or is told to end, prints its error and
// returns the exit status: 1, or 2 for wrong flags.
func Main(name string, run func(ctx context.Context, args []string, logTo io.Writer) error) int {
	// The end of the terminal or of whoever reads the log is no reason to leave
	// routes behind either.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	if errors.Is(err, errUsage) {
		return 2
	}
	if errors.Is(err, os.ErrPermission) {
		fmt.Fprintf(os.Stderr, "%s: it changes this host's network: run it as root\n", name)
	}
	return 1
}

// Flags are those that every program has, and the set to which others are
// added.
type Flags struct {
	*flag.FlagSet
	Credentials
	IKEv1
	Device string
	MTU    int

	ike, esp proposals
	verbose  bool
}

// NewFlags defines the flags; remoteID is the default of -remote-id.
func NewFlags(name, remoteID, remoteUsage string) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.SetOutput(io.Discard) // errors are Main's to print
	f.Credentials.define(f.FlagSet, remoteID, remoteUsage)
	f.IKEv1.define(f.FlagSet)
	f.ike.protocol, f.esp.protocol = spd.ProtoIKE, spd.ProtoESP
	f.ike.define(f.FlagSet, "proposals", "`algorithms` of IKE, the preferred ones first, such as aes256-sha1-modp1024 for old peers, with commas between (default: good ones)")
	f.esp.define(f.FlagSet, "esp", "`algorithms` of ESP likewise, such as aes256-sha1 (default: good ones)")
	f.StringVar(&f.Device, "tun", "racoon%d", "`name` of the TUN device; the system fills in %d")
	f.IntVar(&f.MTU, "mtu", 0, "largest packet in the tunnel, in `octets` (default: what fits in the outer link)")
	f.BoolVar(&f.verbose, "v", false, "log more")
	return f
}

// Parse parses the arguments and calls check. Errors name the flag and the
// fix; help goes to out.
func (f *Flags) Parse(args []string, out io.Writer, check func() error) error {
	err := f.FlagSet.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "Usage of %s:\n", f.Name())
		f.SetOutput(out)
		f.PrintDefaults()
		return err
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected %q; everything is said with flags", strings.Join(f.Args(), " "))
	default:
		if err = checkDevice(f.Device, f.MTU); err == nil {
			err = check()
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}

// Logger returns a log as the flags want it.
func (f *Flags) Logger(to io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: level}))
}

// Apply fills in what the flags say of a peer. Errors name the flag.
func (f *Flags) Apply(p *racoon.Peer) error {
	if err := f.IKEv1.Apply(p); err != nil {
		return err
	}
	p.Proposals = f.ike.list
	return f.Credentials.Apply(p)
}
