package main

import "flag"

// plain is a command without options of its own.
func plain(f func(p *program, words []string) error) func(*program, *flag.FlagSet) func([]string) error {
	return func(p *program, _ *flag.FlagSet) func([]string) error {
		return func(words []string) error { return f(p, words) }
	}
}

const (
	saoptsUsage  = "saopts"
	selectUsage  = "{saopts | peer NAME | session ID | child NAME | spi HEX | user LOGIN}"
	saoptsFormat = "saopts are: isakmp {inet|inet6} src dst, or {esp|ah} {inet|inet6} src/prefixlen/port dst/prefixlen/port {icmp|tcp|udp|gre|any}"
)

// commands are all, those of ipsec-tools' racoonctl first.
func commands() []command {
	return []command{
		{"reload-config", "rc", "reload-config", "the daemon reads its configuration again", plain((*program).reload)},
		{"show-schedule", "sc", "show-schedule", "what the daemon will do, and when", plain((*program).schedule)},
		{"show-sa", "ss", "show-sa [isakmp|esp|ah|ipsec]", "the SAs", plain((*program).showSA)},
		{"get-sa-cert", "gc", "get-sa-cert [-der] " + selectUsage + " or [inet|inet6] src dst", "the certificate of a peer", getCert},
		{"get-cert", "", "get-cert [-der] " + selectUsage + " or [inet|inet6] src dst", "as get-sa-cert", getCert},
		{"flush-sa", "fs", "flush-sa [isakmp|esp|ah|ipsec]", "delete all SAs of a kind (isakmp)", plain((*program).flush)},
		{"delete-sa", "ds", "delete-sa " + selectUsage, "delete SAs; " + saoptsFormat, plain((*program).deleteSA)},
		{"establish-sa", "es", "establish-sa [-w] [-n peer] [-u login] [-password-file file] [saopts]", "bring up an SA", establishSA},
		{"vpn-connect", "vc", "vpn-connect [-u login] [-password-file file] gateway", "connect to a gateway, and show how it goes", vpnConnect},
		{"vpn-disconnect", "vd", "vpn-disconnect gateway", "end the sessions with a gateway", plain((*program).vpnDisconnect)},
		{"show-event", "se", "show-event", "the last events, and those that come", showEvent},
		{"logout-user", "lu", "logout-user login", "end the sessions of a user", plain((*program).logout)},

		{"status", "st", "status", "the daemon as a whole", plain((*program).status)},
		{"sessions", "", "sessions [-stats] [" + selectUsage + "]", "the sessions with peers", sessions},
		{"peers", "", "peers", "the configured peers", plain((*program).peers)},
		{"policies", "", "policies", "the security policies", plain((*program).policies)},
		{"stats", "", "stats", "the daemon's counters", plain((*program).stats)},
		{"events", "", "events [-f] [-n number]", "the last events, with -f those that come too", events},
		{"rekey", "", "rekey [-reauth] " + selectUsage, "new keys for the IKE SA of sessions, or for Child SAs", rekey},
		{"log-level", "", "log-level [error|warn|info|debug]", "what is logged, or from now on", plain((*program).logLevel)},
		{"capture", "", "capture [start file [peer NAME]... | stop]", "what decrypted messages are written to; begin or end that", plain((*program).capture)},
		{"completion", "", "completion bash|zsh|fish", "a script with which a shell completes commands", plain((*program).completion)},
		{"help", "", "help [command]", "this", plain((*program).showHelp)},
	}
}

func (p *program) showHelp(words []string) error {
	if len(words) == 0 {
		p.help(p.out)
		return nil
	}
	c := find(words[0])
	if c == nil {
		return usage("%q is no command", words[0])
	}
	p.flags = flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.prepare(p, p.flags)
	p.helpOf(c)
	return nil
}
