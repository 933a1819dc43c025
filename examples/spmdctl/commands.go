package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/spd/spmif"
)

// nameServer adds a name server, or uses it if it is there, or deletes one.
func nameServer(sub string, args []string) (action, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%w: ns %s wants an address", errUsage, sub)
	}
	a, err := addrs(args[0])
	if err != nil {
		return nil, err
	}
	return quitting(func(ctx context.Context, c *spmif.Client, _ io.Writer) error {
		if sub == "delete" {
			return c.DeleteNameServer(ctx, a[0])
		}
		list, err := c.NameServers(ctx)
		if err != nil {
			return err
		}
		if slices.Contains(list, a[0]) {
			return c.UseNameServer(ctx, a[0])
		}
		return c.AddNameServer(ctx, a[0])
	}), nil
}

var listNameServers = quitting(func(ctx context.Context, c *spmif.Client, out io.Writer) error {
	list, err := c.NameServers(ctx)
	for _, a := range list {
		fmt.Fprintln(out, a)
	}
	return err
})

// A policyWords is what names a policy beside its selector.
type policyWords struct {
	src, dst netip.Prefix
	tunnel   spmif.AddrPair
}

func parsePolicy(words []string) (p policyWords, err error) {
	if len(words) < 3 {
		return p, fmt.Errorf("%w: a mode and two addresses are wanted", errUsage)
	}
	if p.src, err = prefix(words[1]); err != nil {
		return p, err
	}
	if p.dst, err = prefix(words[2]); err != nil {
		return p, err
	}
	switch mode := strings.ToLower(words[0]); {
	case mode == "transport" && len(words) == 3:
	case mode == "tunnel" && len(words) == 5:
		a, err := addrs(words[3:]...)
		if err != nil {
			return p, err
		}
		p.tunnel = spmif.AddrPair{Src: a[0], Dst: a[1]}
	default:
		return p, fmt.Errorf("%w: transport wants two addresses, tunnel four", errUsage)
	}
	return p, nil
}

func addPolicy(args []string) (action, error) {
	if len(args) < 2 {
		return nil, fmt.Errorf("%w: policy add wants a selector and a lifetime", errUsage)
	}
	seconds, err := strconv.ParseUint(args[1], 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is not a lifetime in seconds", errUsage, args[1])
	}
	p, err := parsePolicy(args[2:])
	if err != nil {
		return nil, err
	}
	return quitting(func(ctx context.Context, c *spmif.Client, _ io.Writer) error {
		return c.AddPolicy(ctx, args[0], time.Duration(seconds)*time.Second, p.src, p.dst, p.tunnel)
	}), nil
}

func deletePolicy(args []string) (action, error) {
	switch len(args) {
	case 0:
		return nil, fmt.Errorf("%w: policy delete wants a selector", errUsage)
	case 1:
		return quitting(func(ctx context.Context, c *spmif.Client, _ io.Writer) error { return c.DeletePolicies(ctx, args[0]) }), nil
	}
	p, err := parsePolicy(args[1:])
	if err != nil {
		return nil, err
	}
	return quitting(func(ctx context.Context, c *spmif.Client, _ io.Writer) error {
		return c.DeletePolicy(ctx, args[0], p.src, p.dst, p.tunnel)
	}), nil
}

var showPolicies = quitting(func(ctx context.Context, c *spmif.Client, out io.Writer) error {
	list, err := c.Policies(ctx)
	for _, p := range list {
		fmt.Fprintf(out, "selector=%s spid=%d\n", p.Name, p.ID)
	}
	return err
})

func migrate(args []string) (action, error) {
	if len(args) != 5 {
		return nil, fmt.Errorf("%w: migrate wants a selector and four addresses", errUsage)
	}
	a, err := addrs(args[1:]...)
	if err != nil {
		return nil, err
	}
	return quitting(func(ctx context.Context, c *spmif.Client, _ io.Writer) error {
		return c.Migrate(ctx, args[0], spmif.AddrPair{Src: a[0], Dst: a[1]}, spmif.AddrPair{Src: a[2], Dst: a[3]})
	}), nil
}

func domainName(sub string, args []string) (action, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%w: fqdn %s wants a name", errUsage, sub)
	}
	return quitting(func(ctx context.Context, c *spmif.Client, _ io.Writer) error {
		if sub == "delete" {
			return c.DeregisterName(ctx, args[0])
		}
		return c.RegisterName(ctx, args[0])
	}), nil
}

var listNames = quitting(func(ctx context.Context, c *spmif.Client, out io.Writer) error {
	list, err := c.RegisteredNames(ctx)
	for _, n := range list {
		fmt.Fprintln(out, n)
	}
	return err
})

func queryName(args []string) (action, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%w: fqdn query wants an address", errUsage)
	}
	a, err := addrs(args[0])
	if err != nil {
		return nil, err
	}
	return quitting(func(ctx context.Context, c *spmif.Client, out io.Writer) error {
		list, err := c.NamesOf(ctx, a[0])
		for _, n := range list {
			fmt.Fprintln(out, n)
		}
		return err
	}), nil
}

var status = quitting(func(ctx context.Context, c *spmif.Client, out io.Writer) error {
	reply, err := c.Do(ctx, "STAT")
	for _, l := range reply.Lines {
		fmt.Fprintln(out, l)
	}
	return err
})

// interactive passes lines on, and prints the replies as they come.
func interactive(ctx context.Context, c *spmif.Client, stdin io.Reader, out io.Writer) error {
	s := bufio.NewScanner(stdin)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			continue
		}
		reply, err := c.Do(ctx, line)
		if err != nil {
			return err
		}
		_, _ = out.Write(reply.Append(nil))
		if w := strings.ToUpper(line); w == "QUIT" || w == "EXIT" {
			return nil
		}
	}
	return s.Err()
}
