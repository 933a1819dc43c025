package main

import (
	"fmt"
	"strings"
)

// words are what may follow a command: fixed ones, and "peers" for the names of
// the configured peers.
var words = map[string]struct {
	fixed string
	peers bool
}{
	"show-sa":        {fixed: "isakmp esp ah ipsec"},
	"flush-sa":       {fixed: "isakmp esp ah ipsec"},
	"delete-sa":      {fixed: "isakmp esp ah inet inet6 icmp tcp udp gre any peer session child spi user", peers: true},
	"establish-sa":   {fixed: "-w -n -u -password-file isakmp esp ah inet inet6 icmp tcp udp gre any peer", peers: true},
	"get-sa-cert":    {fixed: "-der inet inet6 peer session", peers: true},
	"get-cert":       {fixed: "-der inet inet6 peer session", peers: true},
	"vpn-connect":    {fixed: "-u -password-file", peers: true},
	"vpn-disconnect": {peers: true},
	"sessions":       {fixed: "-stats isakmp esp ah peer session child spi user", peers: true},
	"rekey":          {fixed: "-reauth isakmp esp ah peer session child spi user", peers: true},
	"events":         {fixed: "-f -n"},
	"log-level":      {fixed: "error warn info debug"},
	"capture":        {fixed: "start stop peer", peers: true},
	"completion":     {fixed: "bash zsh fish"},
}

const globalOptions = "-s -l -d -json"

func (p *program) completion(args []string) error {
	if len(args) != 1 {
		return usage("bash, zsh or fish is to be said")
	}
	switch args[0] {
	case "bash":
		fmt.Fprint(p.out, bashCompletion())
	case "zsh":
		fmt.Fprint(p.out, "#compdef racoonctl\nautoload -U +X bashcompinit && bashcompinit\n"+bashCompletion())
	case "fish":
		fmt.Fprint(p.out, fishCompletion())
	default:
		return usage("%q is not one of bash, zsh and fish", args[0])
	}
	return nil
}

// peersCommand prints the names of the peers, one a line, for shells. Names that
// would need quoting are left out.
const peersCommand = `racoonctl -json peers 2>/dev/null | sed -n 's/^      "name": "\([A-Za-z0-9._@:-]*\)",$/\1/p'`

func names() string {
	var l []string
	for _, c := range commands() {
		l = append(l, c.name)
		if c.short != "" {
			l = append(l, c.short)
		}
	}
	return strings.Join(l, " ")
}

func bashCompletion() string {
	var b strings.Builder
	b.WriteString("_racoonctl() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} i cmd words\n\tCOMPREPLY=()\n")
	b.WriteString("\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tcase ${COMP_WORDS[i]} in\n\t\t-s) ((i++)) ;;\n\t\t-*) ;;\n\t\t*) cmd=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n")
	fmt.Fprintf(&b, "\tif [[ -z $cmd ]]; then\n\t\tCOMPREPLY=($(compgen -W '%s %s' -- \"$cur\"))\n\t\treturn\n\tfi\n", globalOptions, names())
	b.WriteString("\tcase $cmd in\n")
	for _, c := range commands() {
		w, ok := words[c.name]
		if !ok {
			continue
		}
		pattern := c.name
		if c.short != "" {
			pattern += "|" + c.short
		}
		fmt.Fprintf(&b, "\t%s) words='%s'", pattern, w.fixed)
		if w.peers {
			fmt.Fprintf(&b, "; words+=\" $(%s)\"", peersCommand)
		}
		b.WriteString(" ;;\n")
	}
	fmt.Fprintf(&b, "\thelp) words='%s' ;;\n\tesac\n\tCOMPREPLY=($(compgen -W \"$words %s\" -- \"$cur\"))\n}\ncomplete -F _racoonctl racoonctl\n", names(), globalOptions)
	return b.String()
}

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("complete -c racoonctl -f\ncomplete -c racoonctl -o s -r -F -d 'control socket'\ncomplete -c racoonctl -o l -d 'say more'\ncomplete -c racoonctl -o d -d 'say what is done'\ncomplete -c racoonctl -l json -d 'print JSON'\n")
	for _, c := range commands() {
		text, _, _ := strings.Cut(c.text, ";")
		fmt.Fprintf(&b, "complete -c racoonctl -n __fish_use_subcommand -a %s -d '%s'\n", c.name, strings.ReplaceAll(text, "'", `\'`))
		w, ok := words[c.name]
		if !ok {
			continue
		}
		seen := c.name
		if c.short != "" {
			seen += " " + c.short
		}
		list := w.fixed
		if w.peers {
			list += " (" + peersCommand + ")"
		}
		fmt.Fprintf(&b, "complete -c racoonctl -n '__fish_seen_subcommand_from %s' -a \"%s\"\n", seen, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(list))
	}
	return b.String()
}
