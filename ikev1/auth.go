package ikev1

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/internal/trust"
)

// Bounds of what an unauthenticated peer can make us work on (A27).
const (
	maxCerts    = 16
	maxCertSize = 16 << 10
	maxKeyed    = 8 // pre-shared keys tried for one Main Mode initiator
)

func equalHash(a, b []byte) bool { return hmac.Equal(a, b) }

// deriveKeys makes SKEYID and what hangs on it, from p1.shared. A pre-shared
// key is looked up first.
func (sa *isakmpSA) deriveKeys(now time.Time, done func(now time.Time, err error)) {
	p, h := sa.p1, sa.negotiated.hash
	if sa.negotiated.method.Base() != AuthPSK {
		keys, err := sa.keysFor(h.skeyidSignature(p.ni, p.nr, p.shared))
		if err == nil {
			sa.keyed(keys)
		}
		done(now, err)
		return
	}
	sa.sharedKeys(func(now time.Time, found []sharedKey, err error) {
		if err != nil {
			done(now, err)
			return
		}
		for _, k := range found {
			keys, kerr := sa.keysFor(h.skeyidPSK(k.psk, p.ni, p.nr))
			if kerr != nil {
				done(now, kerr)
				return
			}
			p.keyed = append(p.keyed, keyedPeer{k.peers, keys})
		}
		sa.keyed(p.keyed[0].keys)
		done(now, nil)
	})
}

func (sa *isakmpSA) keysFor(skeyid secret.Bytes) (*phase1Keys, error) {
	return derivePhase1Keys(sa.negotiated.hash, sa.negotiated.encr, skeyid, sa.p1.shared, sa.cookies())
}

// keyed: the SA can encrypt from here on.
func (sa *isakmpSA) keyed(keys *phase1Keys) {
	p := sa.p1
	sa.keys = keys
	p.iv = sa.negotiated.hash.phase1IV(sa.blockSize(), p.hashed.gxi, p.hashed.gxr)
	p.hashed.cookies = sa.cookies()
	p.shared.Wipe()
	p.shared = nil
}

// sharedKey is a pre-shared key and the peers that have it.
type sharedKey struct {
	peers []*Peer
	psk   ike.Secret
}

// sharedKeys looks up the pre-shared keys that the peer may have: one if it is
// known, else those of all that it may be by its address, since Main Mode
// encrypts the identity with the key.
func (sa *isakmpSA) sharedKeys(done func(now time.Time, found []sharedKey, err error)) {
	s, p := sa.s, sa.p1
	addr, id := ike.AddrIdentity(s.RemoteAddr()), s.RemoteID
	peers := p.possible
	if s.peer != nil {
		peers = []*Peer{s.peer}
	}
	method := sa.negotiated.method
	s.Job(ike.JobCredential, 0, func(ctx context.Context) (any, error) {
		var found []sharedKey
		var first error
		for _, q := range peers {
			if !slices.Contains(q.Methods, method) || q.Remote.Credential == nil {
				continue
			}
			remote := id
			if exact, ok := q.Remote.ID.IsExact(); remote.IsZero() && ok {
				remote = exact
			}
			if remote.IsZero() {
				remote = addr
			}
			cred, err := q.Remote.Credential(ctx, q.Local.ID, remote)
			if errors.Is(err, ike.ErrNoCredential) && remote != addr {
				cred, err = q.Remote.Credential(ctx, q.Local.ID, addr)
			}
			if err == nil && len(cred.PSK) == 0 {
				err = errors.New("it is empty")
			}
			if err != nil {
				if first == nil {
					first = fmt.Errorf("pre-shared key for %v: %w", remote, err)
				}
				continue
			}
			same := slices.IndexFunc(found, func(k sharedKey) bool { return equalHash(k.psk, cred.PSK) })
			if same >= 0 {
				found[same].peers = append(found[same].peers, q)
			} else if len(found) < maxKeyed {
				found = append(found, sharedKey{[]*Peer{q}, cred.PSK})
			}
		}
		if len(found) == 0 {
			if first == nil {
				first = errors.New("no peer at this address has a pre-shared key")
			}
			return nil, first
		}
		return found, nil
	}, func(now time.Time, v any, err error) {
		found, _ := v.([]sharedKey)
		done(now, found, err)
	}, nil)
}

// identityOf is the identity in an ID payload of phase 1.
func identityOf(id *isakmp.ID) ike.Identity {
	return ike.Identity{Type: ike.IDType(id.Type), Data: string(id.Data)}
}

func idPayload(id ike.Identity) *isakmp.ID {
	return &isakmp.ID{Type: isakmp.IDType(id.Type), Data: []byte(id.Data)}
}

// ownIdentity finds the own identity: the configured one, else what the
// certificate says, else the address.
func ownIdentity(ctx context.Context, local LocalAuth, signs bool, addr, remote ike.Identity) (ike.Identity, *ike.Credential, error) {
	id := local.ID
	if !signs {
		if id.IsZero() {
			id = addr
		}
		return id, nil, nil
	}
	cred, err := local.Credential(ctx, local.ID, remote)
	switch {
	case err != nil:
		return id, nil, fmt.Errorf("own credential: %w", err)
	case cred.Signer == nil:
		return id, nil, errors.New("own credential has no private key to sign with")
	}
	if id.IsZero() {
		id = addr
		if ids := cred.Identities(); len(ids) > 0 {
			id = ids[0]
		}
	}
	return id, cred, nil
}

// own finds the own identity before it is proved, for the modes that send it
// first.
func (sa *isakmpSA) own(peer *Peer, done func(now time.Time, err error)) {
	s, initiator := sa.s, sa.initiator
	local, remote := peer.Local, sa.expected(peer)
	addr := ike.AddrIdentity(s.LocalAddr())
	signs := peer.Local.Credential != nil && !(slices.ContainsFunc(peer.Methods, func(m AuthMethod) bool { return !m.Signs(initiator) }))
	s.Job(ike.JobCredential, 0, func(ctx context.Context) (any, error) {
		id, _, err := ownIdentity(ctx, local, signs, addr, remote)
		return id, err
	}, func(now time.Time, v any, err error) {
		if err == nil {
			s.LocalID = v.(ike.Identity)
			sa.setOwnID(idPayload(s.LocalID).AppendBody(nil))
		}
		done(now, err)
	}, nil)
}

func (sa *isakmpSA) setOwnID(body []byte) {
	if sa.initiator {
		sa.p1.hashed.idi = body
	} else {
		sa.p1.hashed.idr = body
	}
}

// expected is the peer's identity as far as it is known.
func (sa *isakmpSA) expected(peer *Peer) ike.Identity {
	if !sa.s.RemoteID.IsZero() {
		return sa.s.RemoteID
	}
	id, _ := peer.Remote.ID.IsExact()
	return id
}

// proof is the own side's authentication.
type proof struct {
	id       ike.Identity
	idBody   []byte
	payloads []isakmp.Payload
}

// prove makes the payloads that prove the own identity: ID, certificates, SIG
// or HASH. An identity that was sent before is not sent again.
func (sa *isakmpSA) prove(peer *Peer, done func(now time.Time, payloads []isakmp.Payload, err error)) {
	s, p := sa.s, sa.p1
	initiator, method, negotiated, mode := sa.initiator, sa.negotiated.method, sa.negotiated.hash, sa.mode
	in, ni, nr, skeyid := p.hashed, p.ni, p.nr, sa.keys.skeyid.Clone()
	local, remote := peer.Local, sa.expected(peer)
	sent := s.LocalID // in the modes that send it first
	idSent := initiator && in.idi != nil || !initiator && in.idr != nil
	addr := ike.AddrIdentity(s.LocalAddr())
	sendCert, cas := p.certRequested || local.AlwaysSendCert || method.Hybrid(), p.authorities
	rand := s.ep.Rand()
	s.Job(ike.JobSign, 0, func(ctx context.Context) (any, error) {
		defer skeyid.Wipe()
		id, cred, err := ownIdentity(ctx, local, method.Signs(initiator), addr, remote)
		if err != nil {
			return nil, err
		}
		out := proof{id: id}
		if idSent {
			out.id = sent
		} else {
			pl := idPayload(id)
			out.idBody = pl.AppendBody(nil)
			out.payloads = append(out.payloads, pl)
			if initiator {
				in.idi = out.idBody
			} else {
				in.idr = out.idBody
			}
		}
		hash := in.proofHash(mode, method, negotiated, skeyid, ni, nr, initiator)
		if !method.Signs(initiator) {
			out.payloads = append(out.payloads, &isakmp.HASH{Data: hash})
			return out, nil
		}
		sig, err := signHash(cred.Signer, rand, method, hash)
		if err != nil {
			return nil, err
		}
		if sendCert {
			out.payloads = append(out.payloads, certPayloads(cred, cas)...)
		}
		out.payloads = append(out.payloads, &isakmp.SIG{Data: sig})
		return out, nil
	}, func(now time.Time, v any, err error) {
		r, _ := v.(proof)
		if err == nil {
			s.LocalID = r.id
			if r.idBody != nil {
				sa.setOwnID(r.idBody)
			}
		}
		done(now, r.payloads, err)
	}, nil)
}

// proofHash is the hash that a side proves itself with.
func (in *phase1Hash) proofHash(mode Mode, method AuthMethod, negotiated hashAlgorithm, skeyid secret.Bytes, ni, nr []byte, initiator bool) secret.Bytes {
	h := method.hash(negotiated, initiator)
	signature := method.Base() != AuthPSK
	switch {
	case mode == BaseMode && signature && initiator:
		return in.baseHashISignature(h, ni, nr)
	case mode == BaseMode && signature:
		return in.baseHashRSignature(h, ni, nr)
	case mode == BaseMode && initiator:
		return in.baseHashI(h, skeyid)
	case initiator:
		return in.hashI(h, skeyid)
	}
	return in.hashR(h, skeyid)
}

// certPayloads are the own certificates, the leaf first. Roots that the peer
// asked for it has. A raw key has none: the peer knows it.
func certPayloads(c *ike.Credential, authorities [][]byte) (out []isakmp.Payload) {
	for i, cert := range c.Certificates {
		known := slices.ContainsFunc(authorities, func(dn []byte) bool { return string(dn) == string(cert.RawSubject) })
		if i > 0 && known && string(cert.RawSubject) == string(cert.RawIssuer) {
			continue
		}
		out = append(out, &isakmp.CERT{Encoding: isakmp.CertX509Signature, Data: cert.Raw})
	}
	return out
}

// certRequests ask for certificates under the CAs of the peers that sign.
func (sa *isakmpSA) certRequests(peers []*Peer) (out []isakmp.Payload) {
	const most = 16
	if !sa.negotiated.method.Signs(!sa.initiator) {
		return nil
	}
	var seen []string
	for _, p := range peers {
		if p.Remote.Trust == nil || p.Local.NoCertRequest {
			continue
		}
		for _, root := range p.Remote.Trust.Roots {
			if dn := string(root.RawSubject); !slices.Contains(seen, dn) && len(out) < most {
				seen = append(seen, dn)
				out = append(out, &isakmp.CR{Encoding: isakmp.CertX509Signature, Authority: root.RawSubject})
			}
		}
		if len(p.Remote.Trust.Roots) == 0 && len(out) == 0 {
			out = append(out, &isakmp.CR{Encoding: isakmp.CertX509Signature})
		}
	}
	return out
}

// noteCertRequests keeps the names of the CAs that the peer trusts, a bounded
// number.
func (sa *isakmpSA) noteCertRequests(m isakmp.Payloads) {
	const most = 64
	p := sa.p1
	for c := range m.CRs() {
		switch c.Encoding {
		case isakmp.CertX509Signature, isakmp.CertNone, isakmp.CertPKCS7:
			p.certRequested = true
			if len(c.Authority) > 0 && len(p.authorities) < most {
				p.authorities = append(p.authorities, slices.Clone(c.Authority))
			}
		}
	}
}

// identify takes the peer's identity, and of a responder the decision which
// configured peer this is.
func (sa *isakmpSA) identify(id ike.Identity) error {
	s, p := sa.s, sa.p1
	if err := id.Validate(); err != nil {
		return err
	}
	if sa.initiator {
		if !s.peer.Remote.ID.Match(id) {
			return fmt.Errorf("the peer is %v, expected %v", id, s.peer.Remote.ID)
		}
		s.RemoteID = id
		return nil
	}
	s.RemoteID = id
	peer, err := s.ep.peers.index.Choose(s.Path, id, nil)
	if err != nil {
		return err
	}
	if !slices.Contains(p.possible, peer) {
		return fmt.Errorf("peer %q does not accept %v", peer.Name, sa.mode)
	}
	policy := peer.policy(false)
	policy.gssapi = p.policy.gssapi
	if err := policy.allows(&sa.negotiated); err != nil {
		return fmt.Errorf("the identity %v belongs to peer %q, which does not allow what was negotiated before it was known: %w", id, peer.Name, err)
	}
	if len(p.keyed) > 0 && !slices.Contains(p.keyed[0].peers, peer) {
		return fmt.Errorf("the identity %v belongs to peer %q, and the pre-shared key to %q", id, peer.Name, p.keyed[0].peers[0].Name)
	}
	s.setPeer(peer)
	return nil
}

// verified is the outcome of checking the peer's proof.
type verified struct {
	chain [][]byte
}

// verifyPeer checks the peer's proof and asks the program about it. done is
// called if everything is well; otherwise the SA ends.
func (sa *isakmpSA) verifyPeer(now time.Time, m *inbound, done func(now time.Time)) {
	s, p := sa.s, sa.p1
	refuse := func(now time.Time, err error) {
		sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, &AuthError{ID: s.RemoteID, Err: err})
	}
	id := s.RemoteID
	if pl := m.ID(); pl != nil {
		id = identityOf(pl)
	}
	if s.peer == nil || sa.initiator || m.ID() != nil {
		if err := sa.identify(id); err != nil {
			s.RemoteID = id
			refuse(now, err)
			return
		}
	}
	sa.firstContact = m.HasNotify(isakmp.NotifyInitialContact)
	method, theirs := sa.negotiated.method, !sa.initiator
	want := p.hashed.proofHash(sa.mode, method, sa.negotiated.hash, sa.keys.skeyid, p.ni, p.nr, theirs)
	if !method.Signs(theirs) {
		if m.HASH() == nil || !equalHash(m.HASH().Data, want) {
			err := errors.New("HASH payload is wrong")
			if method.Base() == AuthPSK {
				err = errors.New("the pre-shared keys differ")
			}
			refuse(now, err)
			return
		}
		sa.authorize(now, verified{}, done, refuse)
		return
	}
	if m.SIG() == nil {
		refuse(now, fmt.Errorf("no SIG payload with %v", method))
		return
	}
	var certs [][]byte
	for c := range m.CERTs() {
		got, err := c.Certificates()
		if err != nil {
			refuse(now, err)
			return
		}
		for _, der := range got {
			if len(certs) == maxCerts || len(der) > maxCertSize {
				refuse(now, fmt.Errorf("more than %d certificates, or one larger than %d octets", maxCerts, maxCertSize))
				return
			}
			certs = append(certs, der)
		}
	}
	sig, trusted, opt := m.SIG().Data, s.peer.Remote.Trust, s.peer.Remote.Signature
	s.Job(ike.JobVerify, 0, func(context.Context) (any, error) {
		v, err := trust.Verify(now, trusted, id, certs, nil)
		if err != nil {
			return nil, err
		}
		for _, key := range v.PublicKeys {
			if err = verifyHash(key, method, want, sig, opt); err == nil {
				break
			}
		}
		if err != nil {
			return nil, err
		}
		var out verified
		for _, c := range v.Chain {
			out.chain = append(out.chain, c.Raw)
		}
		return out, nil
	}, func(now time.Time, v any, err error) {
		if err != nil {
			refuse(now, err)
			return
		}
		sa.authorize(now, v.(verified), done, refuse)
	}, nil)
}

// authorize asks the program about the peer.
func (sa *isakmpSA) authorize(now time.Time, v verified, done func(now time.Time), refuse func(now time.Time, err error)) {
	s := sa.s
	s.remoteMethod = sa.negotiated.method.String()
	ask := s.ep.cfg.Authorize
	if ask == nil {
		done(now)
		return
	}
	r := ike.AuthorizeRequest{Session: s.ID, Peer: s.peer.Name, Initiator: sa.initiator, Path: s.Path, LocalID: s.LocalID, RemoteID: s.RemoteID,
		Method: s.remoteMethod, Certificates: v.chain, InitialContact: sa.firstContact, Proposal: sa.negotiated.proposal()}
	s.Job(ike.JobAuthorize, 0, func(ctx context.Context) (any, error) { return nil, ask(ctx, r) },
		func(now time.Time, _ any, err error) {
			if err != nil {
				refuse(now, fmt.Errorf("not authorized: %w", err))
				return
			}
			done(now)
		}, nil)
}

// refusePhase1 ends phase 1 and tells the peer why, as far as it may know.
func (sa *isakmpSA) refusePhase1(now time.Time, t isakmp.NotifyType, err error) {
	sa.sendNotify(now, t, nil)
	sa.failed(now, ike.DownFailed, err)
}
