package vpn

import (
	"flag"
	"fmt"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// Credentials are the flags that say who is who.
type Credentials struct {
	id, remoteID, pskFile, cert, key, ca string
}

func (c *Credentials) define(fs *flag.FlagSet, remoteID, remoteUsage string) {
	fs.StringVar(&c.id, "id", "", "what this side calls itself, such as alice@example.org (default: the certificate's first name)")
	fs.StringVar(&c.remoteID, "remote-id", remoteID, remoteUsage)
	fs.StringVar(&c.pskFile, "psk-file", "", "`file` with the pre-shared key; or -cert, -key and -ca")
	fs.StringVar(&c.cert, "cert", "", "`file` with the own certificate and its chain (PEM or DER)")
	fs.StringVar(&c.key, "key", "", "`file` with the private key")
	fs.StringVar(&c.ca, "ca", "", "`file` or folder with the authorities that the other side's certificate must come from")
}

// Apply fills in a peer. Errors name the flag.
func (c *Credentials) Apply(p *racoon.Peer) error {
	if c.id != "" {
		if _, err := ike.ParseIdentity(c.id); err != nil {
			return fmt.Errorf("-id: %w", err)
		}
	}
	if c.remoteID != "" {
		if _, err := ike.ParseIdentityPattern(c.remoteID); err != nil {
			return fmt.Errorf("-remote-id: %w", err)
		}
	}
	p.LocalID, p.RemoteID = c.id, c.remoteID
	if c.pskFile != "" {
		for _, f := range []struct{ name, value string }{{"-cert", c.cert}, {"-key", c.key}, {"-ca", c.ca}} {
			if f.value != "" {
				return fmt.Errorf("%s: cannot be combined with -psk-file; give either -psk-file or -cert, -key and -ca", f.name)
			}
		}
		if p.IKEv1.Hybrid {
			return fmt.Errorf("-hybrid: cannot be combined with -psk-file; the gateway has -cert and -key, and clients have -ca")
		}
		return c.applyPSK(p)
	}
	if p.IKEv1.Hybrid {
		return c.applyHybrid(p)
	}
	for _, f := range []struct{ name, value string }{{"-cert", c.cert}, {"-key", c.key}, {"-ca", c.ca}} {
		if f.value == "" {
			return fmt.Errorf("%s: is missing; give -psk-file, or all of -cert, -key and -ca", f.name)
		}
	}
	var err error
	if p.Credential, err = ike.LoadCredential(c.cert, c.key); err != nil {
		return fmt.Errorf("-cert, -key: %w", err)
	}
	if err := p.Credential.Validate(); err != nil {
		return fmt.Errorf("-cert, -key: %w", err)
	}
	if p.Trust, err = ike.LoadTrust(c.ca); err != nil {
		return fmt.Errorf("-ca: %w", err)
	}
	if p.LocalID == "" && len(p.Credential.Identities()) == 0 {
		return fmt.Errorf("-id: is missing, and the certificate in -cert %s has no name to use instead", c.cert)
	}
	return nil
}

func (c *Credentials) applyPSK(p *racoon.Peer) error {
	var err error
	if p.PSK, err = readSecret("-psk-file", c.pskFile); err != nil {
		return err
	}
	if c.id == "" {
		return fmt.Errorf("-id: is missing; with a pre-shared key each side needs a name, such as -id alice@example.org")
	}
	return nil
}

// applyHybrid: the gateway has a certificate, the client knows its authority.
func (c *Credentials) applyHybrid(p *racoon.Peer) (err error) {
	switch {
	case c.cert != "" && c.key != "" && c.ca == "":
		if p.Credential, err = ike.LoadCredential(c.cert, c.key); err != nil {
			return fmt.Errorf("-cert, -key: %w", err)
		}
	case c.cert == "" && c.key == "" && c.ca != "":
		if p.Trust, err = ike.LoadTrust(c.ca); err != nil {
			return fmt.Errorf("-ca: %w", err)
		}
		if c.id == "" {
			return fmt.Errorf("-id: is missing; the client has no certificate to take its name from")
		}
	default:
		return fmt.Errorf("-hybrid: a gateway needs -cert and -key, a client -ca; nothing else")
	}
	return nil
}
