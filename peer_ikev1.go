package racoon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/natt"
)

// versions: which ones the peer may speak.
func (c *compiler) versions(cfg *Peer, p *peer) error {
	if len(cfg.Versions) == 0 {
		p.cfg.Versions = []Version{IKEv2}
	}
	for i, v := range p.cfg.Versions {
		if v == KINK && len(p.cfg.Versions) > 1 {
			return configError(fmt.Sprintf("Versions[%d]", i), "KINK stands alone: it knows the peer in another way than IKE")
		}
		if v != IKEv1 && v != IKEv2 && v != KINK || slices.Contains(p.cfg.Versions[:i], v) {
			return configError(fmt.Sprintf("Versions[%d]", i), "%v is unknown or named twice; use racoon.IKEv2 and racoon.IKEv1", v)
		}
	}
	switch old := p.speaks(IKEv1); {
	case cfg.IKEv1.Hybrid && !old:
		return configError("IKEv1.Hybrid", "has no effect without IKEv1; set Versions")
	case len(cfg.IKEv1.PrivateGroups) > 0 && (!old || p.speaks(IKEv2)):
		return configError("IKEv1.PrivateGroups", "are known to IKEv1 only; set Versions to racoon.IKEv1 alone")
	case cfg.UserPrompt != nil && !old:
		return configError("UserPrompt", "has no effect without IKEv1, since IKEv2 cannot ask for a user yet; set Versions")
	case len(cfg.IKEv1.NATT) > 0 && !old:
		return configError("IKEv1.NATT", "has no effect without IKEv1; set Versions")
	case len(cfg.IKEv1.NATT) > 0 && cfg.NoNATT:
		return configError("IKEv1.NATT", "has no effect with NoNATT")
	case !c.caps.NonIKE && slices.ContainsFunc(cfg.IKEv1.NATT, nonIKE):
		return configError("IKEv1.NATT", "data plane %q cannot have ESP in UDP on the port of IKE, behind the non-IKE marker, as drafts 00 and 01 want it; leave them out", c.caps.Name)
	case cfg.IKEv1.PushConfig && cfg.Assign == nil && p.v2.Request == nil && cfg.Request == nil && !cfg.RequestAddress:
		return configError("IKEv1.PushConfig", "has nothing to send or wait for: Assign and Request are nil")
	}
	if cfg.Users != nil && p.speaks(IKEv2) {
		return configError("Users", "IKEv2 cannot ask for a user yet, so clients would come in without; set Versions to racoon.IKEv1 alone, or use another peer for IKEv2")
	}
	return nil
}

// nonIKE reports whether a kind of NAT traversal has ESP behind the non-IKE
// marker.
func nonIKE(v natt.Variant) bool { return v.Valid() && !v.Floats() }

// ikev1 makes the peer's configuration for IKEv1 of what IKEv2 has, and what is
// its own.
func (c *compiler) ikev1(cfg *Peer, p *peer) error {
	if !p.speaks(IKEv1) {
		return nil
	}
	o := &cfg.IKEv1
	v1 := &ikev1.Peer{
		Name: cfg.Name, Modes: o.Modes, RemoteAddrs: p.v2.RemoteAddrs, LocalAddrs: p.v2.LocalAddrs,
		Proposals: p.v2.Proposals, Children: p.v2.Children, Timing: cfg.Timing, Volume: o.Volume, Check: o.Check,
		Users: cfg.Users, UserKind: cfg.UserKind, Prompt: cfg.UserPrompt,
		Request: p.v2.Request, Assign: cfg.Assign, PushConfig: o.PushConfig, GeneratePolicy: o.GeneratePolicy,
		Unique: cfg.Unique, NoInitialContact: o.NoInitialContact, ForceEncap: p.v2.ForceEncap, NoNATT: cfg.NoNATT, NATT: o.NATT,
		Fragmentation: o.Fragmentation, FragmentSize: max(cfg.FragmentSize, 0), PrivateGroups: o.PrivateGroups,
	}
	if cfg.FragmentSize < 0 {
		v1.Fragmentation = ikev1.FragmentOff
	}
	if len(v1.Modes) == 0 {
		v1.Modes = []ikev1.Mode{ikev1.MainMode}
	}
	v1.Local = ikev1.LocalAuth{ID: p.v2.Local.ID, AlwaysSendCert: cfg.AlwaysSendCert, NoCertRequest: o.NoCertRequest}
	v1.Remote = ikev1.RemoteAuth{ID: p.v2.Remote.ID, Trust: cfg.Trust, Signature: o.Signature}
	if cfg.Credential != nil && cfg.Credential.Signer != nil {
		v1.Local.Credential = cfg.Credential.Source()
	} else if cfg.PSK == nil {
		v1.Local.Credential = cfg.Credentials
	}
	switch {
	case cfg.PSK != nil:
		v1.Remote.Credential = (&ike.Credential{PSK: cfg.PSK}).Source()
	default:
		v1.Remote.Credential = cfg.Credentials
	}
	v1.Methods = o.Methods
	if len(v1.Methods) == 0 {
		m, err := methodOf(cfg, p)
		if err != nil {
			return err
		}
		v1.Methods = m
	}
	if _, err := ikev1.NewPeerSet([]*ikev1.Peer{v1}); err != nil {
		return configError("IKEv1", "%w", errors.Unwrap(err)) // without the name, which is said already
	}
	p.v1 = v1
	for _, w := range v1.Warnings() {
		p.notes = append(p.notes, w.Error())
	}
	return nil
}

// methodOf is the authentication method that follows from the credentials.
func methodOf(cfg *Peer, p *peer) ([]ikev1.AuthMethod, error) {
	signs := cfg.Credential != nil && cfg.Credential.Signer != nil || p.v2.Local.Method == ikev2.AuthSignature
	var base ikev1.AuthMethod
	switch {
	case cfg.IKEv1.Hybrid && cfg.UserPrompt == nil && cfg.Users == nil:
		return nil, configError("IKEv1.Hybrid", "needs Users (gateway) or UserPrompt (client)")
	case cfg.IKEv1.Hybrid && !signs:
		base = ikev1.AuthRSA // the gateway's
	case signs && cfg.Credential != nil:
		if _, weak := cfg.Credential.Signer.(*ike.DSASigner); weak {
			return nil, configError("IKEv1.Methods", "is empty; DSS is used only where it is named, since it is weak")
		}
		base = ikev1.MethodOfKey(cfg.Credential.Signer.Public())
		if base == 0 {
			return nil, configError("Credential", "IKEv1 has no signatures with %T; use RSA, or ECDSA on P-256, P-384 or P-521", cfg.Credential.Signer.Public())
		}
	case signs:
		return nil, configError("IKEv1.Methods", "is empty; say which kind of key Credentials has, such as ikev1.AuthRSA")
	default:
		base = ikev1.AuthPSK
	}
	if cfg.Users == nil && cfg.UserPrompt == nil {
		return []ikev1.AuthMethod{base}, nil
	}
	m, ok := base.WithXAuth(cfg.IKEv1.Hybrid, true)
	if !ok {
		return nil, configError("IKEv1", "no authentication of users (XAuth) goes with %v", base)
	}
	return []ikev1.AuthMethod{m}, nil
}
