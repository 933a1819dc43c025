package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
)

var (
	userToUsers = map[string]kink.UserToUser{"never": kink.UserToUserNever, "accept": kink.UserToUserAccept, "request": kink.UserToUserRequest}
	tickets     = map[string]kink.TicketPolicy{"bounds": kink.TicketBounds, "ignored": kink.TicketIgnored}
	encTypes    = map[string]krb.EType{
		"aes256-sha384": krb.AES256SHA384, "aes128-sha256": krb.AES128SHA256, "aes256-sha1": krb.AES256SHA1, "aes128-sha1": krb.AES128SHA1, "des3-sha1": krb.DES3SHA1,
	}
)

// kinkPeer makes the root package's peer of one with protocol = "kink".
func (b *builder) kinkPeer(p *Peer) racoon.Peer {
	o := &p.Kink
	out := racoon.Peer{
		Name: p.Name, Remote: p.Remote, RemoteAddrs: p.RemoteAddresses, LocalAddr: p.LocalAddress, Start: startModes[p.Start],
		DeadAction: actions[p.DeadAction], CloseAction: actions[p.CloseAction], Backoff: p.Backoff.D(), BackoffMax: p.BackoffMax.D(),
		Versions: []racoon.Version{racoon.KINK}, Timing: p.Timing.ike(),
		KINK: racoon.KINKOptions{
			Principal: b.principal(o.Principal), Check: checks[o.ProposalCheck], ContributeNonce: o.ContributeNonce,
			NamedAddress: o.NamedAddress, UserToUser: userToUsers[o.UserToUser], Tickets: tickets[o.Tickets], Racoon2: o.Racoon2,
		},
	}
	for _, c := range p.Children {
		out.Children = append(out.Children, b.Child(c))
	}
	return out
}

// principal adds the own realm to a principal without one, if it is configured.
func (c *Config) principal(s string) string {
	if s == "" || c.Kink.Realm == "" || strings.Contains(s, "@") {
		return s
	}
	return s + "@" + c.Kink.Realm
}

// kink makes what a Manager needs for KINK.
func (b *builder) kink() racoon.KINKConfig {
	out := racoon.KINKConfig{ETypes: each(b.Kink.EncTypes, encTypes), Skew: b.Kink.ClockSkew.D()}
	k, key, err := b.secrets.kerberos(b.Config)
	if err != nil {
		b.fault(&b.Kink, key, "", err)
	} else {
		out.Kerberos = k
	}
	return out
}

// kerberos also returns the key that an error is about.
func (f *files) kerberos(c *Config) (k krb.Kerberos, key string, err error) {
	o := &c.Kink
	for key, name := range map[string]string{"keytab": o.Keytab, "ccache": o.CCache} {
		if name == "" {
			continue
		}
		// They may come later, and are read again then.
		secret, err := ike.LoadKeyFile(name, f.options()...)
		switch {
		case err == nil:
			secret.PSK.Wipe()
		case !errors.Is(err, fs.ErrNotExist):
			return nil, key, f.explain(err)
		}
	}
	sum := ""
	if _, err := os.Stat(o.Krb5Conf); err == nil {
		if sum, err = digest(o.Krb5Conf); err != nil {
			return nil, "krb5-conf", err
		}
	} else if o.Krb5Conf != "" && c.sources.isSet(o, "krb5-conf") {
		return nil, "krb5-conf", err
	}
	k, err = keep(f, fmt.Sprintf("kerberos %s %+v", sum, *o), func() (krb.Kerberos, error) {
		cfg := kdc.Config{
			Principal: c.principal(o.Principal), Keytab: o.Keytab, CCache: o.CCache, KDCs: o.KDCs, DNS: o.DNS,
			ETypes: each(o.EncTypes, encTypes), Lifetime: o.Lifetime.D(), Timeout: o.Timeout.D(),
		}
		if sum != "" {
			var err error
			if cfg.Krb5Conf, err = kdc.ReadKrb5Conf(o.Krb5Conf); err != nil {
				return nil, err
			}
		}
		return kdc.New(cfg)
	})
	return k, "principal", err
}

func (s *standIns) kerberos(c *Config) (krb.Kerberos, string, error) {
	p, err := krb.ParsePrincipal(c.principal(c.Kink.Principal), "EXAMPLE.ORG")
	if err != nil {
		return nil, "principal", err
	}
	k, err := kdc.New(kdc.Config{Principal: p.String(), Password: "stand-in"})
	return k, "principal", err
}
