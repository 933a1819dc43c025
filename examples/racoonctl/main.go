// Racoonctl asks a running iked or kinkd, and tells it what to do, through its
// control socket. It has the commands and options of ipsec-tools' racoonctl and
// more; racoonctl help lists them.
//
//	racoonctl vpn-connect -u alice vpn.example.org
//	racoonctl show-sa isakmp
//	racoonctl sessions --json
//	racoonctl events -f
//	racoonctl delete-sa isakmp inet 192.0.2.1 198.51.100.2
//
// Its exit status is 0 if all went well, 1 if the daemon says no, 2 for wrong
// use, and 3 if no daemon answers.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Exit statuses.
const (
	exitOK       = 0
	exitRefused  = 1 // the daemon says no
	exitUsage    = 2
	exitNoDaemon = 3
)

// run runs one command and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{ctx: ctx, stdin: stdin, out: stdout, err: stderr}
	err := p.main(args)
	return p.exit(err)
}
