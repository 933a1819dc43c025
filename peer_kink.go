package racoon

import (
	"errors"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
)

// KINKConfig is what a Manager needs for peers that speak KINK. [Manager.Reload]
// takes another one, for the same principal.
type KINKConfig struct {
	// Kerberos gets tickets for the peers and reads theirs. It is needed if a
	// peer speaks KINK; package kink/krb/kdc has one.
	Kerberos krb.Kerberos
	// ETypes are the encryption types that tickets may have; nil means
	// krb.DefaultETypes.
	ETypes []krb.EType
	// Skew is by how much clocks may differ; 0 means 5 min.
	Skew time.Duration
}

func (k *KINKConfig) skew() time.Duration { return max(k.Skew, krb.DefaultSkew) }

// sameRealm reports whether a running Manager can have another KINKConfig: it is
// known to its peers, and its sockets are there, from the beginning.
func sameRealm(old, next *KINKConfig) bool {
	if old.Kerberos == nil || next.Kerberos == nil {
		return old.Kerberos == nil && next.Kerberos == nil
	}
	return old.Kerberos.Principal() == next.Kerberos.Principal()
}

// KINKOptions is what only KINK knows. A peer that speaks it (Versions is KINK
// alone) is authenticated by Kerberos: neither keys nor identities are configured
// but its Principal. Its port is 910 if Remote says none.
type KINKOptions struct {
	// Principal is who the peer is, "kink/host.example.org@REALM". Empty: it is
	// made of Remote, which then is a host name, and the own realm (RFC 4430
	// 4.2.1). For a peer that only calls, one * stands for a part of the name.
	Principal string
	// Check says what to make of lifetimes that are not ours.
	Check ike.ProposalCheck
	// ContributeNonce, UserToUser, Tickets and Racoon2 are explained at
	// kink.Peer.
	ContributeNonce bool
	// NamedAddress admits the peer only from an address that the host in its
	// principal's name has: Config.Resolver says. Without it a peer without
	// RemoteAddrs may come from any address, which is then its own for Child SAs
	// whose Remote is empty.
	NamedAddress bool
	UserToUser   kink.UserToUser
	Tickets      kink.TicketPolicy
	Racoon2      bool
}

// kinkOnly are the fields of a peer that mean nothing with KINK.
func kinkOnly(cfg *Peer) string {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"PSK", cfg.PSK != nil}, {"Credential", cfg.Credential != nil}, {"Trust", cfg.Trust != nil}, {"Credentials", cfg.Credentials != nil},
		{"LocalAuth", cfg.LocalAuth != 0}, {"RemoteAuth", len(cfg.RemoteAuth) > 0}, {"LocalID", cfg.LocalID != ""}, {"RemoteID", cfg.RemoteID != ""},
		{"Proposals", len(cfg.Proposals) > 0}, {"Users", cfg.Users != nil}, {"UserPrompt", cfg.UserPrompt != nil},
		{"RequestAddress", cfg.RequestAddress || cfg.Request != nil}, {"Assign", cfg.Assign != nil}, {"ForceEncap", cfg.ForceEncap},
		{"RemoteNATT", cfg.RemoteNATT != 0}, {"Childless", cfg.Childless}, {"MakeBeforeBreak", cfg.MakeBeforeBreak},
	} {
		if f.set {
			return f.name
		}
	}
	return ""
}

// kink makes the peer's configuration for KINK.
func (c *compiler) kink(cfg *Peer, p *peer) error {
	if !p.speaks(KINK) {
		if cfg.KINK != (KINKOptions{}) {
			return configError("KINK", "has no effect without KINK; set Versions to racoon.KINK")
		}
		return nil
	}
	switch field := kinkOnly(cfg); {
	case field != "":
		return configError(field, "means nothing with KINK, which knows the peer by its Kerberos principal; leave it out")
	case !c.caps.RawESP:
		return configError("Versions", "KINK has no NAT traversal: its ESP is IP protocol 50, and data plane %q has ESP in UDP only (with package esp, set esp.Config.RawESP)", c.caps.Name)
	case c.kerberos == nil:
		return configError("Versions", "KINK needs Config.KINK.Kerberos; see package kink/krb/kdc")
	}
	o := &cfg.KINK
	principal := o.Principal
	if principal == "" {
		if p.host == "" || p.addr.IsValid() {
			return configError("KINK.Principal", "is empty, and Remote is no host name to make it of; write kink/host.example.org@%s", c.kerberos.Principal().Realm)
		}
		principal = krb.ServicePrincipal("kink", p.host, c.kerberos.Principal().Realm).String()
	}
	k := &kink.Peer{
		Name: cfg.Name, Principal: principal, RemoteAddrs: p.v2.RemoteAddrs, LocalAddrs: p.v2.LocalAddrs, Port: p.port, Children: p.v2.Children,
		Timing: cfg.Timing, Check: o.Check, ContributeNonce: o.ContributeNonce, UserToUser: o.UserToUser, Tickets: o.Tickets, Racoon2: o.Racoon2,
	}
	if _, err := kink.NewPeerSet([]*kink.Peer{k}); err != nil {
		return configError("KINK", "%w", errors.Unwrap(err)) // without the name, which is said already
	}
	p.kink = k
	return nil
}

// kinkPort is the peer's port where Remote says none.
func kinkPort(cfg *Peer, p *peer) {
	if p.speaks(KINK) {
		p.port = message.Port
	}
}
