// Quickstart is a whole VPN in one process: a gateway and a client, each with
// its own Manager, sockets, data plane and TCP/IP stack, that talk IKEv2 and
// ESP over UDP on the loopback interface. It needs no privilege, no kernel
// support and no configuration:
//
//	go run ./examples/quickstart
//
// The client authenticates with a certificate, gets an address from the
// gateway's pool, fetches a page from a web server behind the gateway, and
// downloads from it while all keys are replaced.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	verbose := flag.Bool("v", false, "show every message with all its payloads")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "quickstart shows a gateway, a client and a tunnel between them in one process.\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "quickstart: it takes no arguments, but got %q\n", flag.Args())
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "\nquickstart failed:", err)
		os.Exit(1)
	}
}
