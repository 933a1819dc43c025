// Spmdctl talks to a policy daemon over its socket, with the commands of
// racoon2's spmdctl and a few more. docs/man/spmdctl.8 describes it.
//
//	spmdctl policy show
//	spmdctl ns add 192.0.2.53
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/racoon3/racoon/examples/internal/getopt"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/spd/spmif"
)

const usage = `usage: spmdctl [-d] [-f config-file | -s socket [-p password-file]] command
  ns add|delete address         add or delete a name server
  ns list                       the name servers, the one in use first
  policy add selector lifetime transport|tunnel sp-src sp-dst [sa-src sa-dst]
  policy delete selector [transport|tunnel sp-src sp-dst [sa-src sa-dst]]
  policy show                   the policies and their numbers in the kernel
  migrate selector src0 dst0 src dst
  fqdn add|delete name          follow the addresses of a name, or no longer
  fqdn list                     the names that are followed
  fqdn query address            the names of an address
  slid number                   the selector of the kernel's number of a policy
  status                        counters
  interactive                   commands of the protocol from standard input
  -d  show what is said
`

// Exit statuses.
const (
	failed = 1
	misuse = 2
)

const defaultConfig = "/etc/racoon/racoon.toml"

// timeout is for all of a command but interactive.
const timeout = time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

var errUsage = errors.New("not a command")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	given, words, err := getopt.Parse(args, "df:s:p:h")
	if err != nil {
		fmt.Fprintf(stderr, "spmdctl: %v\n%s", err, usage)
		return misuse
	}
	show, config, socket, passwordFile := false, defaultConfig, "", ""
	for _, o := range given {
		switch o.Letter {
		case 'd':
			show = true
		case 'f':
			config = o.Arg
		case 's':
			socket = o.Arg
		case 'p':
			passwordFile = o.Arg
		case 'h':
			fmt.Fprint(stdout, usage)
			return 0
		}
	}
	do, err := command(words)
	if err != nil {
		fmt.Fprintf(stderr, "spmdctl: %v\n%s", err, usage)
		return misuse
	}
	if err := talk(ctx, do, show, config, socket, passwordFile, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "spmdctl:", err)
		return failed
	}
	return 0
}

func talk(ctx context.Context, do action, show bool, config, socket, passwordFile string, stdin io.Reader, stdout io.Writer) error {
	if socket == "" {
		cfg, err := conf.Load(config)
		if err != nil {
			return err
		}
		socket = cfg.Spmd.Socket
		if passwordFile == "" {
			passwordFile = cfg.Spmd.PasswordFile
		}
	}
	var password spmif.Password
	if passwordFile != "" {
		c, err := ike.LoadKeyFile(passwordFile)
		if err != nil {
			return err
		}
		defer c.PSK.Wipe()
		password = c.PSK
	}
	connecting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(connecting, "unix", socket)
	if err != nil {
		return err
	}
	if show {
		conn = shown{conn, stdout}
	}
	c, err := spmif.NewClient(connecting, conn, password)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(ctx, c, stdin, stdout)
}

// shown prints what goes over a connection, but for the response to the
// challenge.
type shown struct {
	net.Conn
	to io.Writer
}

func (s shown) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.print("< ", b[:n])
	return n, err
}

func (s shown) Write(b []byte) (int, error) {
	if strings.HasPrefix(string(b), "LOGIN ") {
		s.print("> ", []byte("LOGIN (response)"))
	} else {
		s.print("> ", b)
	}
	return s.Conn.Write(b)
}

func (s shown) print(mark string, b []byte) {
	for line := range strings.Lines(string(b)) {
		fmt.Fprintf(s.to, "%s%s\n", mark, strings.TrimRight(line, "\r\n"))
	}
}

// An action is what a command does.
type action func(ctx context.Context, c *spmif.Client, stdin io.Reader, stdout io.Writer) error

// command reads the words of a command. Words may be in any case.
func command(words []string) (action, error) {
	for len(words) < 2 {
		words = append(words, "")
	}
	name, sub, args := strings.ToLower(words[0]), strings.ToLower(words[1]), words[2:]
	switch name + " " + sub {
	case "ns add", "ns delete":
		return nameServer(sub, args)
	case "ns list":
		return none(args, listNameServers)
	case "policy add":
		return addPolicy(args)
	case "policy delete":
		return deletePolicy(args)
	case "policy show":
		return none(args, showPolicies)
	case "fqdn add", "fqdn delete":
		return domainName(sub, args)
	case "fqdn list":
		return none(args, listNames)
	case "fqdn query":
		return queryName(args)
	case "status ":
		return status, nil
	case "interactive ":
		return interactive, nil
	}
	switch name {
	case "migrate":
		return migrate(words[1:])
	case "slid":
		id, err := strconv.ParseUint(words[1], 10, 32)
		if err != nil || len(args) > 0 {
			return nil, fmt.Errorf("%w: slid wants a number", errUsage)
		}
		return quitting(func(ctx context.Context, c *spmif.Client, out io.Writer) error {
			selector, err := c.Selector(ctx, uint32(id))
			if err == nil {
				fmt.Fprintln(out, selector)
			}
			return err
		}), nil
	}
	return nil, fmt.Errorf("%w: %s", errUsage, strings.TrimSpace(strings.Join(words, " ")))
}

// quitting makes an action that takes leave at its end.
func quitting(f func(ctx context.Context, c *spmif.Client, out io.Writer) error) action {
	return func(ctx context.Context, c *spmif.Client, _ io.Reader, out io.Writer) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return errors.Join(f(ctx, c, out), c.Quit(ctx))
	}
}

func none(args []string, a action) (action, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("%w: %q is too much", errUsage, args[0])
	}
	return a, nil
}

func addrs(words ...string) ([]netip.Addr, error) {
	r := make([]netip.Addr, len(words))
	for i, w := range words {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is not an IP address", errUsage, w)
		}
		r[i] = a.Unmap()
	}
	return r, nil
}

// prefix reads an address or a prefix.
func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a = a.Unmap(); a.IsUnspecified() {
			return netip.PrefixFrom(a, 0), nil
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%w: %q is neither an IP address nor a prefix", errUsage, s)
	}
	return p, nil
}
