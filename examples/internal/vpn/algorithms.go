package vpn

import (
	"flag"
	"fmt"
	"strings"

	"github.com/racoon3/racoon/spd"
)

// proposals is a flag of algorithms, in order of preference.
type proposals struct {
	protocol spd.Protocol
	list     []string
}

func (p *proposals) define(fs *flag.FlagSet, name, usage string) { fs.Var(p, name, usage) }

func (p *proposals) String() string { return strings.Join(p.list, ",") }

// Set implements flag.Value.
func (p *proposals) Set(s string) error {
	p.list = nil
	for one := range strings.SplitSeq(s, ",") {
		if _, err := spd.ParseProposal(p.protocol, one); err != nil {
			return fmt.Errorf("%w; write it like aes256-sha1-modp1024", err)
		}
		p.list = append(p.list, one)
	}
	return nil
}

// ESP are the proposals of -esp.
func (f *Flags) ESP() []string { return f.esp.list }
