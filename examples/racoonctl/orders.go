package main

import (
	"errors"
	"flag"
	"net/netip"
	"strings"

	"github.com/racoon3/racoon/internal/control"
)

func (p *program) reload(words []string) error {
	if err := none(words); err != nil {
		return err
	}
	r, err := p.client.Reload(p.ctx)
	if err != nil {
		return err
	}
	if p.json {
		p.print(r)
		return nil
	}
	if len(r.Changes) == 0 {
		p.say("nothing has changed")
	}
	for _, c := range r.Changes {
		what := strings.Join(strings.Fields(c.Peer+" "+c.Child+" "+c.Field), " ")
		p.say("%s: %s (%s)", cmpOr(what, "configuration"), c.Effect, plural(c.Sessions, "session", "sessions"))
	}
	return nil
}

// done tells what came of an order. Errors make it fail.
func (p *program) done(did string, d control.Done, err error) error {
	if err != nil {
		return err
	}
	if p.json {
		p.print(d)
	} else {
		p.say("%s %s, %s", did, plural(d.Sessions, "session", "sessions"), plural(d.Children, "Child SA", "Child SAs"))
		if d.Calls > 0 {
			p.say("gave up %s", plural(d.Calls, "call", "calls"))
		}
		if d.Pending > 0 {
			p.say("of them %d still wait for their peers", d.Pending)
		}
	}
	if len(d.Errors) > 0 {
		return &control.Error{Code: control.CodeFailed, Message: strings.Join(d.Errors, "; ")}
	}
	return nil
}

func (p *program) flush(words []string) error {
	what := "isakmp"
	if len(words) > 0 {
		what, words = words[0], words[1:]
	}
	if err := none(words); err != nil {
		return err
	}
	switch what {
	case "isakmp", "esp", "ah", "ipsec":
	default:
		return usage("%q cannot be flushed; isakmp, esp, ah and ipsec can", what)
	}
	d, err := p.client.Flush(p.ctx, what)
	return p.done("deleted", d, err)
}

func (p *program) deleteSA(words []string) error {
	q, err := p.parseSelect(words)
	if err != nil {
		return err
	}
	if q == (control.Select{}) {
		return usage("any to any is all of them; flush-sa deletes all")
	}
	d, err := p.client.Delete(p.ctx, q)
	return p.done("deleted", d, err)
}

func rekey(p *program, fs *flag.FlagSet) func([]string) error {
	reauth := fs.Bool("reauth", false, "authenticate the sessions anew instead")
	return func(words []string) error {
		q, err := p.parseSelect(words)
		if err != nil {
			return err
		}
		d, err := p.client.Rekey(p.ctx, control.RekeyRequest{Select: q, Reauthenticate: *reauth})
		did := "rekeyed"
		if *reauth {
			did = "begun to reauthenticate"
		}
		return p.done(did, d, err)
	}
}

func (p *program) logout(words []string) error {
	if len(words) != 1 {
		return usage("the login of one user is to be said")
	}
	d, err := p.client.Logout(p.ctx, words[0])
	return p.done("deleted", d, err)
}

func (p *program) logLevel(words []string) error {
	var l control.LogLevel
	var err error
	switch len(words) {
	case 0:
		l, err = p.client.LogLevel(p.ctx)
	case 1:
		l, err = p.client.SetLogLevel(p.ctx, words[0])
	default:
		return none(words[1:])
	}
	if err != nil {
		return err
	}
	if p.json {
		p.print(l)
		return nil
	}
	p.say("%s", l.Level)
	return nil
}

func (p *program) capture(words []string) error {
	var c control.Capture
	var err error
	did := "decrypted messages are written to"
	switch {
	case len(words) == 0:
		c, err = p.client.Capture(p.ctx)
	case words[0] == "stop":
		if err := none(words[1:]); err != nil {
			return err
		}
		did = "ended:"
		c, err = p.client.StopCapture(p.ctx)
	case words[0] == "start":
		if len(words) < 2 {
			return usage("it is not said what the file is to be called")
		}
		q := control.CaptureRequest{Name: words[1]}
		for rest := words[2:]; len(rest) > 0; rest = rest[2:] {
			if rest[0] != "peer" || len(rest) == 1 {
				return usage("%q is not peer and the name of one", strings.Join(rest, " "))
			}
			q.Peers = append(q.Peers, rest[1])
		}
		c, err = p.client.StartCapture(p.ctx, q)
	default:
		return usage("%q is neither start nor stop", words[0])
	}
	switch {
	case err != nil:
		return err
	case p.json:
		p.print(c)
	case c.File == "":
		p.say("decrypted messages are written nowhere")
	default:
		p.say("%s %s (%s%s)", did, c.File, plural(int(c.Octets), "octet", "octets"), peersOf(c.Peers))
		if c.Lost > 0 {
			p.say("%d messages are missing", c.Lost)
		}
		if c.Error != "" {
			p.say("it has ended: %s", c.Error)
		}
	}
	return nil
}

func peersOf(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " of " + strings.Join(names, ", ")
}

func establishSA(p *program, fs *flag.FlagSet) func([]string) error {
	wait := fs.Bool("w", false, "wait until it is up")
	peer := fs.String("n", "", "the configured `peer` to use")
	user := fs.String("u", "", "`login` of the user, whose password is asked for")
	file := fs.String("password-file", "", "`file` that holds the password; - is the standard input")
	return func(words []string) error {
		q := control.EstablishRequest{Peer: *peer, Wait: *wait, User: *user}
		if len(words) > 0 {
			sel, err := p.parseSelect(words)
			if err != nil {
				return err
			}
			if sel.Session != "" || sel.SPI != "" || sel.User != "" {
				return usage("%s cannot be established; %s", words[0], saoptsFormat)
			}
			q.Peer, q.Remote, q.Local = cmpOr(q.Peer, sel.Peer), sel.Remote, sel.Local
			q.Child, q.Protocol, q.Source, q.Destination = sel.Child, sel.Protocol, sel.Source, sel.Destination
		} else if *peer == "" {
			return usage("it is not said what to establish")
		}
		return p.establish(q, *file)
	}
}

func vpnConnect(p *program, fs *flag.FlagSet) func([]string) error {
	user := fs.String("u", "", "`login` of the user, whose password is asked for")
	file := fs.String("password-file", "", "`file` that holds the password; - is the standard input")
	return func(words []string) error {
		if len(words) != 1 {
			return usage("one gateway is to be said")
		}
		return p.gateway(words[0], func(peer, remote string) error {
			return p.establish(control.EstablishRequest{Peer: peer, Remote: remote, User: *user, Wait: true}, *file)
		})
	}
}

// gateway calls f with the name of a peer and, if there is none of that name,
// with the addresses of the host, until one is found.
func (p *program) gateway(name string, f func(peer, remote string) error) error {
	err := f(name, "")
	if !isNotFound(err) {
		return err
	}
	var addrs []netip.Addr
	if addrs, _ = p.lookUp("ip", name); len(addrs) == 0 {
		return err // the daemon's word on the peer
	}
	for _, a := range addrs {
		if err = f("", a.String()); !isNotFound(err) {
			break
		}
	}
	return err
}

func isNotFound(err error) bool {
	var e *control.Error
	return errors.As(err, &e) && e.Code == control.CodeNotFound
}

// establish gives the order, with the user's password.
func (p *program) establish(q control.EstablishRequest, passwordFile string) error {
	if q.User != "" {
		if p.password == nil {
			pw, err := p.readPassword(q.User, passwordFile)
			if err != nil {
				return err
			}
			p.password = pw
		}
		q.Password = p.password
	} else if passwordFile != "" {
		return usage("-password-file goes with -u")
	}
	e, err := p.client.Establish(p.ctx, q)
	if err != nil {
		return err
	}
	if p.json {
		p.print(e)
	} else {
		p.established(&e)
	}
	return nil
}

func (p *program) established(e *control.Established) {
	if e.Warning != "" {
		p.say("warning: %s", e.Warning)
	}
	s := e.Session
	if s == nil {
		return
	}
	p.say("connected to %s (%s, %s)", s.Peer, s.Remote, s.RemoteID)
	if n := s.Network; n != nil {
		if len(n.Addresses) > 0 {
			p.say("address %s", strings.Join(n.Addresses, " "))
		}
		if n.Banner != "" {
			for line := range strings.Lines(n.Banner) {
				p.say("| %s", strings.TrimRight(line, "\r\n"))
			}
		}
	}
	for _, c := range s.Children {
		p.say("%s: %s === %s", c.Name, strings.Join(c.LocalTS, " "), strings.Join(c.RemoteTS, " "))
	}
}

func (p *program) vpnDisconnect(words []string) error {
	if len(words) != 1 {
		return usage("one gateway is to be said")
	}
	return p.gateway(words[0], func(peer, remote string) error {
		d, err := p.client.Delete(p.ctx, control.Select{Peer: peer, Remote: remote})
		return p.done("deleted", d, err)
	})
}
