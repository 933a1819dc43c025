package conf

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
	"github.com/racoon3/racoon/ikev2"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// builder makes what a Manager takes of what a person has written.
type builder struct {
	*Config
	*report
	secrets secrets
}

// secrets is where a builder gets secrets and what is made of files: the file
// system, or for a check without files something that looks like it.
type secrets interface {
	key(file, format string) (ike.Secret, error)
	keys(file string) (ike.CredentialSource, error)
	keyOf(dir, name, format string) (ike.Secret, error)
	password(file string) (ike.Secret, error)
	passwordOf(file, login string) (ike.Secret, error)
	credential(certificate, key string) (*ike.Credential, error)
	trust(p *Peer) (*ike.Trust, error)
	privateGroup(id dh.ID, file string) (*dh.PrivateGroup, error)
	users(u *Users) (ike.UserAuthenticator, error)
	pool(p *Pool) (ike.AddressAssigner, error)
	request(r ike.ConfigRequest) *ike.ConfigRequest
	kerberos(c *Config) (k krb.Kerberos, key string, err error)
}

// Words of the language and what they mean. The first is also what an unset
// key means.
var (
	versions     = map[string]racoon.Version{"ikev2": racoon.IKEv2, "ikev1": racoon.IKEv1}
	startModes   = map[string]racoon.StartMode{"none": racoon.StartNone, "trap": racoon.StartTrap, "always": racoon.StartAlways}
	actions      = map[string]racoon.Action{"default": racoon.ActionDefault, "clear": racoon.ActionClear, "trap": racoon.ActionTrap, "restart": racoon.ActionRestart}
	authMethods  = map[string]ikev2.AuthMethod{"psk": ikev2.AuthPSK, "signature": ikev2.AuthSignature}
	uniques      = map[string]ike.UniquePolicy{"replace": ike.UniqueReplace, "keep": ike.UniqueKeep, "no": ike.UniqueNo, "never": ike.UniqueNever}
	userKinds    = map[string]ike.UserAuthKind{"generic": ike.UserGeneric, "chap": ike.UserCHAP, "otp": ike.UserOTP, "skey": ike.UserSKey}
	modes        = map[string]ikev1.Mode{"main": ikev1.MainMode, "aggressive": ikev1.AggressiveMode, "base": ikev1.BaseMode}
	nattVersions = map[string]natt.Variant{
		"rfc3947": natt.RFC3947, "draft-08": natt.Draft08, "draft-07": natt.Draft07, "draft-06": natt.Draft06, "draft-05": natt.Draft05, "draft-04": natt.Draft04,
		"draft-03": natt.Draft03, "draft-02-newline": natt.Draft02Newline, "draft-02": natt.Draft02, "draft-01": natt.Draft01, "draft-00": natt.Draft00,
	}
	checks    = map[string]ike.ProposalCheck{"claim": ike.CheckClaim, "obey": ike.CheckObey, "strict": ike.CheckStrict, "exact": ike.CheckExact}
	generates = map[string]ikev1.GeneratePolicy{"off": ikev1.GenerateOff, "on": ikev1.GenerateOn, "require": ikev1.GenerateRequire, "unique": ikev1.GenerateUnique}
	fragments = map[string]ikev1.FragmentPolicy{"on": ikev1.FragmentOn, "off": ikev1.FragmentOff, "force": ikev1.FragmentForce}
	paddings  = map[string]ikev2.RSAPadding{"pss": ikev2.RSAPSS, "pkcs1": ikev2.RSAPKCS1}
	hashes    = map[string]message.HashAlgorithm{"sha1": message.HashSHA1, "sha256": message.HashSHA256, "sha384": message.HashSHA384, "sha512": message.HashSHA512, "identity": message.HashIdentity}
	dfModes   = map[string]spd.DFMode{"copy": spd.DFCopy, "set": spd.DFSet, "clear": spd.DFClear}
	spdModes  = map[string]spd.Mode{"tunnel": spd.ModeTunnel, "transport": spd.ModeTransport}
	protocols = map[string]spd.Protocol{"esp": spd.ProtoESP, "ah": spd.ProtoAH}

	methods = map[string]ikev1.AuthMethod{
		"psk": ikev1.AuthPSK, "dss": ikev1.AuthDSS, "rsa": ikev1.AuthRSA,
		"ecdsa256": ikev1.AuthECDSA256, "ecdsa384": ikev1.AuthECDSA384, "ecdsa521": ikev1.AuthECDSA521,
		"hybrid-rsa": ikev1.AuthHybridInitRSA, "hybrid-rsa-responder": ikev1.AuthHybridRespRSA,
		"hybrid-dss": ikev1.AuthHybridInitDSS, "hybrid-dss-responder": ikev1.AuthHybridRespDSS,
		"xauth-psk": ikev1.AuthXAuthInitPSK, "xauth-psk-responder": ikev1.AuthXAuthRespPSK,
		"xauth-dss": ikev1.AuthXAuthInitDSS, "xauth-dss-responder": ikev1.AuthXAuthRespDSS,
		"xauth-rsa": ikev1.AuthXAuthInitRSA, "xauth-rsa-responder": ikev1.AuthXAuthRespRSA,
	}
)

func each[T any](words []string, meaning map[string]T) []T {
	var out []T
	for _, w := range words {
		out = append(out, meaning[w])
	}
	return out
}

// fault reports an error about a key of the struct that at points to.
func (b *builder) fault(at any, key, suggestion string, err error) {
	p, path := b.sources.find(at, key)
	b.report.add(&Error{File: p.file, Line: p.line, Column: p.column, Key: path, Message: err.Error(), Suggestion: suggestion, Err: err})
}

// find returns where a key of the struct that v points to is written, or the
// section where it should be.
func (s sources) find(v any, key string) (place, string) {
	src := s[v]
	path := joinKey(append(slices.Clip(src.path), key)...)
	if val := src.table.get(key); val != nil {
		return val.place, path
	}
	if src.table == nil {
		return place{}, path
	}
	return src.table.place, path
}

// peer makes the root package's peer. What cannot be read is reported.
func (b *builder) peer(p *Peer) racoon.Peer {
	if p.Protocol == "kink" {
		return b.kinkPeer(p)
	}
	out := racoon.Peer{
		Name: p.Name, Remote: p.Remote, RemoteNATT: uint16(p.RemoteNATTPort), RemoteAddrs: p.RemoteAddresses, LocalAddr: p.LocalAddress,
		LocalID: p.LocalID, RemoteID: p.RemoteID, LocalAuth: authMethods[p.LocalAuth], RemoteAuth: each(p.RemoteAuth, authMethods),
		Proposals: p.Proposals, Start: startModes[p.Start], DeadAction: actions[p.DeadAction], CloseAction: actions[p.CloseAction],
		Backoff: p.Backoff.D(), BackoffMax: p.BackoffMax.D(), Versions: each(p.Versions, versions),
		UserKind: userKinds[p.UserKind], RequireAddress: p.RequireAddress, RequestAddress: p.RequestAddress,
		Timing: p.Timing.ike(), Unique: uniques[p.Unique], ForceEncap: p.NATTraversal == "force", NoNATT: p.NATTraversal == "off",
		FragmentSize: p.FragmentSize, Childless: p.Childless, MakeBeforeBreak: p.MakeBeforeBreak, AlwaysSendCert: p.AlwaysSendCert,
	}
	if slices.Equal(p.Proposals, proposalTexts(spd.DefaultIKEProposals())) {
		out.Proposals = nil
	}
	if p.Fragmentation == "off" {
		out.FragmentSize = -1
	}
	s := &p.Signature
	out.LocalSignature = ikev2.SignatureOptions{Hashes: each(s.LocalHashes, hashes), RSAPadding: paddings[s.RSAPadding], NoLegacyMethods: s.NoLegacyMethods}
	out.RemoteSignature = ikev2.SignatureOptions{Hashes: each(s.RemoteHashes, hashes), MinRSABits: s.MinRSABits, NoLegacyMethods: s.NoLegacyMethods, BareDigitalSignature: s.BareDigitalSignature}
	o := &p.IKEv1
	out.IKEv1 = racoon.IKEv1Options{
		Modes: each(o.Modes, modes), Methods: each(o.Methods, methods), Hybrid: o.Hybrid, Check: checks[o.ProposalCheck], Volume: uint64(o.Volume),
		GeneratePolicy: generates[o.GeneratePolicy], Fragmentation: fragments[p.Fragmentation], PushConfig: o.PushConfig,
		NoInitialContact: o.NoInitialContact, NoCertRequest: o.NoCertRequest, NATT: each(o.NATTVersions, nattVersions), Signature: ikev1.SignatureOptions{MinRSABits: o.MinRSABits},
	}
	for i, file := range o.PrivateGroups {
		g, err := b.secrets.privateGroup(dh.FirstPrivate+dh.ID(i), file)
		if err != nil {
			b.fault(o, "private-groups", "make one by openssl dhparam -out FILE 3072", err)
			continue
		}
		out.IKEv1.PrivateGroups = append(out.IKEv1.PrivateGroups, g)
	}
	q := &p.Quirks
	out.Quirks = ikev2.Quirks{
		NoIDr: q.NoIDr, DNAsFQDN: q.DNAsFQDN, OnePairPerChild: q.OnePairPerChild, NoChildRekeyInitiation: q.NoChildRekeyInitiation, RekeyGroupFirst: groupNumber(q.RekeyGroupFirst),
	}
	if p.RequestAddress {
		out.Request = b.request(p)
	}
	for _, c := range p.Children {
		out.Children = append(out.Children, b.Child(c))
	}
	b.authentication(p, &out)
	b.clients(p, &out)
	return out
}

// request is what a client asks for; nil is what a Manager asks for by itself.
func (b *builder) request(p *Peer) *ike.ConfigRequest {
	o := &p.Request
	r := ike.ConfigRequest{IPv4: o.IPv4, IPv6: o.IPv6, Want: addresses(o.Want), DNS: o.DNS, Domains: o.Domains, Version: o.Version}
	ipv4, ipv6 := families(p)
	if r.IPv4 == ipv4 && r.IPv6 == ipv6 && r.DNS && r.Domains && len(r.Want) == 0 && r.Version == "" {
		return nil
	}
	return b.secrets.request(r)
}

// groupNumber is the number of a key exchange word, 0 for none.
func groupNumber(word string) uint16 {
	p, err := spd.ParseProposal(spd.ProtoESP, "aes256gcm16-"+word)
	if err != nil {
		return 0
	}
	for _, t := range p.All(spd.TransformKE) {
		return t.ID
	}
	return 0
}

// authentication: keys, certificates, and whom to believe.
func (b *builder) authentication(p *Peer, out *racoon.Peer) {
	s := &b.Secrets
	var err error
	switch {
	case p.PSKFile != "" && p.PSKFormat == "table":
		out.Credentials, err = b.secrets.keys(p.PSKFile)
	case p.PSKFile != "":
		out.PSK, err = b.secrets.key(p.PSKFile, p.PSKFormat)
	}
	if err != nil {
		b.fault(p, "psk-file", "", err)
	}
	if p.wantsSharedKey() && p.PSKFile == "" {
		if s.KeyDirectory != "" {
			if out.PSK, err = b.secrets.keyOf(s.KeyDirectory, p.Name, s.KeyFormat); err != nil && s.PSKFile == "" {
				b.fault(s, "key-directory", "put the key of peer "+p.Name+" there, or give it a psk-file", err)
			}
		}
		if out.PSK == nil && s.PSKFile != "" {
			if out.Credentials, err = b.secrets.keys(s.PSKFile); err != nil {
				b.fault(s, "psk-file", "", err)
			}
		}
	}
	if p.Key != "" {
		if out.Credential, err = b.secrets.credential(p.Certificate, p.Key); err != nil {
			b.fault(p, "key", "", err)
		}
	}
	if p.trusts() {
		if out.Trust, err = b.secrets.trust(p); err != nil {
			b.fault(p, "ca", "", err)
		}
	}
	if out.Credentials != nil && out.PSK == nil {
		if out.LocalAuth == 0 && !p.signs() {
			out.LocalAuth = ikev2.AuthPSK
		}
		if len(out.RemoteAuth) == 0 && !p.trusts() {
			out.RemoteAuth = []ikev2.AuthMethod{ikev2.AuthPSK}
		}
	}
}

// trusts reports whether the peer's signature is believed.
func (p *Peer) trusts() bool {
	return len(p.CA)+len(p.Trust.Pinned)+len(p.Trust.RawKeys) > 0
}

// signs reports whether this side has a key to sign with.
func (p *Peer) signs() bool { return p.Key != "" }

// wantsSharedKey reports whether a pre-shared key is needed.
func (p *Peer) wantsSharedKey() bool {
	if p.IKEv1.Hybrid {
		return false
	}
	return p.LocalAuth == "psk" || slices.Contains(p.RemoteAuth, "psk") || p.LocalAuth == "" && !p.signs() || len(p.RemoteAuth) == 0 && !p.trusts()
}

// clients: who gets addresses, who logs in.
func (b *builder) clients(p *Peer, out *racoon.Peer) {
	if pool := b.Pool(p.Pool); pool != nil {
		a, err := b.secrets.pool(pool)
		if err != nil {
			b.fault(pool, "addresses", "", err)
		} else {
			out.Assign = a
		}
	}
	if u := b.UsersOf(p.Users); u != nil {
		a, err := b.secrets.users(u)
		if err != nil {
			b.fault(u, "file", "", err)
		} else {
			out.Users = a
		}
	}
	if p.UserName == "" {
		if p.asksWhoCalls() && (p.IKEv1.Hybrid || slices.ContainsFunc(p.IKEv1.Methods, logsIn)) {
			out.UserPrompt = noUser
		}
		return
	}
	password, err, key, at := ike.Secret(nil), error(nil), "user-password-file", any(p)
	if p.UserPasswordFile != "" {
		password, err = b.secrets.password(p.UserPasswordFile)
	} else {
		password, err = b.secrets.passwordOf(b.Secrets.PSKFile, p.UserName)
		key, at = "psk-file", &b.Secrets
	}
	if err != nil {
		b.fault(at, key, "", err)
	}
	out.UserPrompt = ike.StaticUser(p.UserName, password)
}

// noUser answers a gateway where only the caller could.
func noUser(_ context.Context, r ike.PromptRequest) (ike.UserAnswers, error) {
	return ike.UserAnswers{}, fmt.Errorf("%w: no user is configured for peer %q; give one with racoonctl vpn-connect -u", ike.ErrPrompt, r.Peer)
}

// logsIn reports whether clients log in with a method of IKEv1.
func logsIn(method string) bool {
	return strings.HasPrefix(method, "xauth-") || strings.HasPrefix(method, "hybrid-")
}

func (t *Timing) ike() ike.Timing {
	return ike.Timing{
		RetransmitBase: t.RetransmitBase.D(), RetransmitFactor: t.RetransmitFactor, RetransmitMax: t.RetransmitMax.D(),
		RetransmitTries: t.RetransmitTries, RetransmitJitter: t.RetransmitJitter, Liveness: t.Liveness.D(), OnDemand: t.OnDemand,
		HalfOpen: t.HalfOpen.D(), Rekey: t.Rekey.D(), Reauth: max(t.Reauth.D(), 0), Lifetime: t.Lifetime.D(), Jitter: t.Jitter,
		Keepalive: t.Keepalive.D(), DeleteWait: t.DeleteWait.D(),
	}
}

// Child returns a Child SA's configuration, for peers of any protocol.
func (c *Config) Child(ch *Child) racoon.Child {
	out := racoon.Child{
		Name: ch.Name, Local: ch.Local, Remote: ch.Remote, Protocol: protocols[ch.Protocol], Proposals: ch.Proposals, Mode: spdModes[ch.Mode],
		IPComp: ch.IPComp, OuterAH: ch.OuterAH, Start: startModes[ch.Start], Rekey: ch.Rekey.D(), Lifetime: ch.Lifetime.D(),
		Volume: spd.Lifetime{
			SoftBytes: uint64(ch.RekeyBytes), HardBytes: uint64(ch.LifetimeBytes), SoftPackets: ch.RekeyPackets, HardPackets: ch.LifetimePackets,
		},
		ReplayWindow: ch.ReplayWindow, ReqID: uint32(ch.ReqID), Priority: ch.Priority, NoPolicies: ch.NoPolicies,
		Options: spd.Options{
			MTU: ch.MTU, Fragment: ch.Fragment, DF: dfModes[ch.DF], NoECN: ch.NoECN, NoDSCP: ch.NoDSCP, TFCPadding: ch.TFCPadding,
			MarkIn: spd.Mark(ch.MarkIn), MarkOut: spd.Mark(ch.MarkOut), OutputMark: spd.Mark(ch.OutputMark),
			InterfaceID: ch.InterfaceID, Offload: ch.Offload, SecurityCtx: ch.SecurityContext,
		},
	}
	if slices.Equal(ch.Proposals, defaultChildProposals(ch.Protocol)) {
		out.Proposals = nil // as far as the data plane has them
	}
	if out.Rekey < 0 {
		out.Lifetime = max(out.Lifetime, time.Duration(0))
	}
	if i := c.Interface(ch.Interface); i != nil {
		switch i.Kind {
		case "xfrm":
			out.Options.InterfaceID = i.InterfaceID
		default:
			out.Options.MarkIn, out.Options.MarkOut = keyMark(i.InKey), keyMark(i.OutKey)
		}
	}
	return out
}

func keyMark(key uint32) spd.Mark {
	if key == 0 {
		return spd.Mark{}
	}
	return spd.Mark{Value: key, Mask: ^uint32(0)}
}
