package main

import (
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/internal/control"
)

func (p *program) status(words []string) error {
	if err := none(words); err != nil {
		return err
	}
	s, err := p.client.Status(p.ctx)
	if err != nil {
		return err
	}
	if p.json {
		p.print(s)
		return nil
	}
	p.say("%s %s, process %d, up since %s (%s)", s.Daemon, s.Version, s.PID, when(&s.Started), time.Since(s.Started).Round(time.Second))
	if s.Serving {
		p.say("listening on %s", strings.Join(s.Addresses, ", "))
	} else {
		p.say("not listening")
	}
	p.say("%s, %s, %d half-open, %d being called", plural(s.Peers, "peer", "peers"), plural(s.Sessions, "session", "sessions"), s.HalfOpen, s.Calls)
	if s.LogLevel != "" {
		p.say("logging %s", s.LogLevel)
	}
	return nil
}

func (p *program) schedule(words []string) error {
	if err := none(words); err != nil {
		return err
	}
	list, err := p.client.Schedule(p.ctx)
	if err != nil {
		return err
	}
	if p.json {
		p.print(map[string]any{"schedule": list})
		return nil
	}
	t := table{head: []string{"In", "At", "What", "Peer", "Session", "Child"}}
	now := time.Now()
	for _, d := range list {
		t.add(in(&d.At, now), when(&d.At), d.What, d.Peer, d.Session, d.Name)
	}
	t.print(p.out)
	return nil
}

func (p *program) showSA(words []string) error {
	kind := "isakmp"
	if len(words) > 0 {
		kind = words[0]
		words = words[1:]
	}
	if err := none(words); err != nil {
		return err
	}
	var q control.Select
	switch kind {
	case "isakmp":
		list, err := p.client.Sessions(p.ctx, q, p.long)
		if err != nil {
			return err
		}
		if p.json {
			p.print(map[string]any{"sessions": list})
			return nil
		}
		p.isakmpTable(list)
		return nil
	case "esp", "ah":
		q.Protocol = kind
	case "ipsec":
	default:
		return usage("%q is no kind of SA; isakmp, esp, ah and ipsec are", kind)
	}
	list, err := p.client.SAs(p.ctx, q, true)
	if err != nil {
		return err
	}
	if p.json {
		p.print(map[string]any{"sas": list})
		return nil
	}
	p.ipsecTable(list)
	return nil
}

// isakmpTable is what show-sa isakmp has always shown, with -l more.
func (p *program) isakmpTable(list []control.Session) {
	t := table{head: []string{"Destination", "Cookies", "Created"}}
	if p.long {
		t.head = []string{"Source", "Destination", "Cookies", "State", "Side", "Version", "Identity", "User", "Created", "Rekey", "Expire", "Phase2"}
	}
	for _, s := range list {
		cookies, side := s.LocalSPI+":"+s.RemoteSPI, "I"
		if !s.Initiator {
			cookies, side = s.RemoteSPI+":"+s.LocalSPI, "R"
		}
		if p.long {
			t.add(s.Local, s.Remote, cookies, s.State, side, s.Version, s.RemoteID, s.User, when(s.Established), when(s.Rekey), when(s.Expire), len(s.Children))
			continue
		}
		t.add(s.Remote, cookies, when(s.Established))
	}
	t.print(p.out)
}

// ipsecTable has a line for each direction of a Child SA.
func (p *program) ipsecTable(list []control.ChildSA) {
	t := table{head: []string{"Source", "Destination", "Proto", "Mode", "SPI", "Traffic", "State", "Bytes", "Packets"}}
	if p.long {
		t.head = append(t.head, "Reqid", "Algorithms", "Created", "Rekey", "Expire", "Peer", "Child", "ID")
	}
	for _, c := range list {
		proto := c.Protocol
		if c.UDPEncap {
			proto += "-udp"
		}
		row := func(src, dst, spi string, from, to []string, n *control.Counters) {
			cells := []any{src, dst, proto, c.Mode, spi, strings.Join(from, ",") + " > " + strings.Join(to, ","), c.State, "", ""}
			if n != nil {
				cells[7], cells[8] = n.Bytes, n.Packets
			}
			if p.long {
				cells = append(cells, c.ReqID, c.Proposal, when(c.Installed), when(c.Rekey), when(c.Expire), c.Peer, c.Name, c.ID)
			}
			t.add(cells...)
		}
		row(c.Local, c.Remote, c.SPIOut, c.LocalTS, c.RemoteTS, c.Out)
		row(c.Remote, c.Local, c.SPIIn, c.RemoteTS, c.LocalTS, c.In)
	}
	t.print(p.out)
}

func sessions(p *program, fs *flag.FlagSet) func([]string) error {
	stats := fs.Bool("stats", false, "ask the data plane for counters")
	return func(words []string) error {
		var q control.Select
		var err error
		if len(words) > 0 {
			if q, err = p.parseSelect(words); err != nil {
				return err
			}
		}
		list, err := p.client.Sessions(p.ctx, q, *stats || p.long)
		if err != nil {
			return err
		}
		switch {
		case p.json:
			p.print(map[string]any{"sessions": list})
		case p.long:
			for _, s := range list {
				p.session(&s)
			}
		default:
			t := table{head: []string{"Session", "Peer", "Version", "State", "Remote", "Identity", "User", "Address", "Children", "Created"}}
			if *stats {
				t.head = append(t.head, "Received", "Sent")
			}
			for _, s := range list {
				var address string
				if s.Network != nil {
					address = strings.Join(s.Network.Addresses, ",")
				}
				row := []any{s.ID, s.Peer, s.Version, s.State, s.Remote, s.RemoteID, s.User, address, len(s.Children), when(s.Established)}
				if *stats {
					row = append(row, s.Stats.In.Bytes, s.Stats.Out.Bytes)
				}
				t.add(row...)
			}
			t.print(p.out)
		}
		return nil
	}
}

// session prints all of one session.
func (p *program) session(s *control.Session) {
	now := time.Now()
	p.say("session %s with %s: %s, %s", s.ID, s.Peer, s.Version, s.State)
	role := "responder"
	if s.Initiator {
		role = "initiator"
	}
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); strings.TrimSpace(text) != "" {
			p.say("  %-12s %s", name, text)
		}
	}
	nat := func(behind bool) string {
		if behind {
			return " behind a NAT"
		}
		return ""
	}
	line("local", "%s %s%s", s.Local, s.LocalID, nat(s.LocalNAT))
	line("remote", "%s %s%s", s.Remote, s.RemoteID, nat(s.RemoteNAT))
	line("SPIs", "%s %s, this side is the %s", s.LocalSPI, s.RemoteSPI, role)
	line("algorithms", "%s", s.Proposal)
	line("user", "%s", strings.TrimSpace(s.User+" "+strings.Join(s.Groups, " ")))
	line("vendors", "%s", strings.Join(s.Vendors, ", "))
	if n := s.Network; n != nil {
		line("addresses", "%s", strings.Join(n.Addresses, " "))
		line("DNS", "%s", strings.Join(slices.Concat(n.DNS, n.Domains), " "))
		line("networks", "%s", strings.Join(n.Subnets, " "))
		line("banner", "%s", n.Banner)
	}
	line("up since", "%s", when(s.Established))
	line("last alive", "%s", when(s.LastAlive))
	line("rekey in", "%s", in(s.Rekey, now))
	line("expires in", "%s", in(s.Expire, now))
	line("reauth in", "%s", in(s.Reauth, now))
	if s.Stats != nil {
		line("traffic", "%d octets in, %d out, %d rekeys, %d exchanges", s.Stats.In.Bytes, s.Stats.Out.Bytes, s.Stats.Rekeys, s.Stats.Exchanges)
	}
	for _, c := range s.Children {
		p.say("  child %s (%s): %s %s, %s", c.Name, c.ID, c.Protocol, c.Mode, c.State)
		p.say("    %s === %s", strings.Join(c.LocalTS, " "), strings.Join(c.RemoteTS, " "))
		p.say("    SPIs in %s out %s, reqid %d, %s, rekey in %s, expires in %s", c.SPIIn, c.SPIOut, c.ReqID, c.Proposal, cmpOr(in(c.Rekey, now), "-"), cmpOr(in(c.Expire, now), "-"))
		if c.In != nil {
			p.say("    in %d octets %d packets, out %d octets %d packets", c.In.Bytes, c.In.Packets, c.Out.Bytes, c.Out.Packets)
		}
	}
}

func (p *program) peers(words []string) error {
	if err := none(words); err != nil {
		return err
	}
	list, err := p.client.Peers(p.ctx)
	if err != nil {
		return err
	}
	if p.json {
		p.print(map[string]any{"peers": list})
		return nil
	}
	t := table{head: []string{"Peer", "Remote", "Versions", "Wanted", "Calling", "Failures", "Next", "Child", "Start", "Traffic"}}
	for _, q := range list {
		for i, c := range q.Children {
			traffic := strings.Join(c.Local, ",") + " === " + strings.Join(c.Remote, ",")
			if i > 0 {
				t.add("", "", "", "", "", "", "", c.Name, c.Start, traffic)
				continue
			}
			t.add(q.Name, q.Remote, strings.Join(q.Versions, ","), yes(q.Wanted), yes(q.Calling), q.Failures, when(q.Next), c.Name, c.Start, traffic)
		}
	}
	t.print(p.out)
	return nil
}

func (p *program) policies(words []string) error {
	if err := none(words); err != nil {
		return err
	}
	list, err := p.client.Policies(p.ctx)
	if err != nil {
		return err
	}
	if p.json {
		p.print(map[string]any{"policies": list})
		return nil
	}
	t := table{head: []string{"Direction", "Local", "Remote", "Action", "Proto", "Mode", "Tunnel", "Priority", "Reqid"}}
	for _, q := range list {
		tunnel := ""
		if q.LocalGW != "" || q.RemoteGW != "" {
			tunnel = q.LocalGW + "-" + q.RemoteGW
		}
		t.add(q.Direction, q.Local, q.Remote, q.Action, q.Protocol, q.Mode, tunnel, q.Priority, q.ReqID)
	}
	t.print(p.out)
	return nil
}

func (p *program) stats(words []string) error {
	if err := none(words); err != nil {
		return err
	}
	s, err := p.client.Stats(p.ctx)
	if err != nil {
		return err
	}
	if p.json {
		p.print(s)
		return nil
	}
	p.counters("", reflect.ValueOf(s))
	return nil
}

// counters prints the fields of a struct under their JSON names.
func (p *program) counters(prefix string, v reflect.Value) {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Tag.Get("json")
		if f := v.Field(i); f.Kind() == reflect.Struct {
			p.counters(name+".", f)
		} else {
			p.say("%-20s %v", name, f)
		}
	}
}

func getCert(p *program, fs *flag.FlagSet) func([]string) error {
	der := fs.Bool("der", false, "print the certificate alone, in DER")
	return func(words []string) error {
		var q control.Select
		var err error
		switch {
		case len(words) > 0 && (words[0] == "inet" || words[0] == "inet6"):
			q.Local, q.Remote, err = p.parseHosts(words)
		case len(words) == 2 && find(words[0]) == nil && !slices.Contains([]string{"peer", "session", "child", "spi", "user"}, words[0]):
			// As before families were said.
			network := "ip4"
			if strings.Contains(words[1], ":") {
				network = "ip6"
			}
			if q.Local, err = p.host(network, words[0]); err == nil {
				q.Remote, err = p.host(network, words[1])
			}
		default:
			q, err = p.parseSelect(words)
		}
		if err != nil {
			return err
		}
		c, err := p.client.Certificate(p.ctx, q)
		if err != nil {
			return err
		}
		switch {
		case p.json:
			p.print(c)
		case *der:
			p.out.Write(c.Chain[0])
		default:
			for _, d := range c.Chain {
				if cert, err := x509.ParseCertificate(d); err == nil {
					p.say("# subject %s", cert.Subject)
					p.say("# issuer %s, valid until %s", cert.Issuer, cert.NotAfter.Format(time.RFC3339))
				}
				pem.Encode(p.out, &pem.Block{Type: "CERTIFICATE", Bytes: d})
			}
		}
		return nil
	}
}
