package ikev2

import (
	"context"
	"crypto/hmac"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/trust"
)

// Bounds of what an unauthenticated peer can make us verify (A27).
const (
	maxCerts    = 16
	maxCertSize = 16 << 10
)

// An AuthError says why a peer's or the own authentication failed.
type AuthError struct {
	ID  ike.Identity // of the peer
	Err error
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("authentication of %v failed: %v", e.ID, e.Err)
}

func (e *AuthError) Unwrap() error { return e.Err }

// proof is the own side's authentication.
type proof struct {
	id      ike.Identity
	payload *message.ID
	certs   message.Payloads
	auth    *message.AUTH
}

// idPayload gives an identity its wire form.
func idPayload(id ike.Identity, responder bool) *message.ID {
	return &message.ID{Responder: responder, Type: message.IDType(id.Type), Data: []byte(id.Data)}
}

// prove makes the own AUTH payload, with the certificates that go along.
func (sa *ikeSA) prove(peer *Peer, remote ike.Identity, done func(now time.Time, p *proof, err error)) {
	hs, s := sa.hs, sa.s
	prf := &sa.alg.prf
	// RFC 7296 2.15: each side signs its own first message, the other's nonce
	// and its own identity.
	msg, nonce, skP := hs.messageI, hs.nr, sa.keys.skP(true)
	if !sa.initiator {
		msg, nonce, skP = hs.messageR, hs.ni, sa.keys.skP(false)
	}
	skP = skP.Clone()
	local, hashes := &peer.Local, hs.signatureHashes
	requested, cas := hs.certRequested, hs.certRequests
	addr := s.LocalAddr()
	responder, rand := !sa.initiator, s.ep.cfg.Rand
	s.Job(ike.JobSign, 0, func(ctx context.Context) (any, error) {
		defer skP.Wipe()
		cred, err := local.Credential(ctx, local.ID, remote)
		if err != nil {
			return nil, fmt.Errorf("own credential: %w", err)
		}
		p := &proof{id: local.ID}
		if p.id.IsZero() {
			p.id = ike.AddrIdentity(addr)
			if ids := cred.Identities(); local.Method == AuthSignature && len(ids) > 0 {
				p.id = ids[0]
			}
		}
		p.payload = idPayload(p.id, responder)
		octets := newSignedOctets(prf, skP, msg, nonce, p.payload)
		if local.Method == AuthPSK {
			if len(cred.PSK) == 0 {
				return nil, errors.New("own credential has no pre-shared key")
			}
			p.auth = &message.AUTH{Method: message.AuthSharedKey, Data: pskAUTH(prf, cred.PSK, octets)}
			return p, nil
		}
		if cred.Signer == nil {
			return nil, errors.New("own credential has no private key to sign with")
		}
		method, data, err := signAuth(cred.Signer, rand, hashes, local.Signature, octets.join())
		if err != nil {
			return nil, fmt.Errorf("signing: %w", err)
		}
		p.auth = &message.AUTH{Method: message.AuthMethod(method), Data: data}
		if requested || local.AlwaysSendCert {
			p.certs = certPayloads(cred, cas)
		}
		return p, nil
	}, func(now time.Time, v any, err error) {
		p, _ := v.(*proof)
		done(now, p, err)
	}, nil)
}

// certPayloads are the own certificates, the leaf first (RFC 7296 3.6), or the
// raw public key (RFC 7670). Roots that the peer asked for it has.
func certPayloads(c *ike.Credential, cas [][20]byte) message.Payloads {
	var out message.Payloads
	for i, cert := range c.Certificates {
		if i > 0 && slices.Contains(cas, trust.KeyHash(cert)) && cert.CheckSignatureFrom(cert) == nil {
			continue
		}
		out = append(out, &message.CERT{Encoding: message.CertX509Signature, Data: cert.Raw})
	}
	if len(out) == 0 {
		if der, err := x509.MarshalPKIXPublicKey(c.Signer.Public()); err == nil {
			out = append(out, &message.CERT{Encoding: message.CertRawPublicKey, Data: der})
		}
	}
	return out
}

// certRequest asks for certificates under the CAs of the peers that sign.
func (sa *ikeSA) certRequest(peers []*Peer) message.Payloads {
	var authority []byte
	var seen [][20]byte
	wanted := false
	for _, p := range peers {
		if !slices.Contains(p.Remote.Methods, AuthSignature) {
			continue
		}
		wanted = true
		for _, h := range trust.CAHashes(p.Remote.Trust) {
			if !slices.Contains(seen, h) && len(seen) < 64 {
				seen = append(seen, h)
				authority = append(authority, h[:]...)
			}
		}
	}
	if !wanted {
		return nil
	}
	return message.Payloads{&message.CERTREQ{Encoding: message.CertX509Signature, Authority: authority}}
}

// verified is the outcome of checking the peer's AUTH payload.
type verified struct {
	method string
	chain  [][]byte
	why    string // its certificate or key is trusted; "" for a pre-shared key
}

// verify checks the peer's AUTH payload against what its configuration
// demands.
func (sa *ikeSA) verify(now time.Time, peer *Peer, id *message.ID, m *message.Message, done func(now time.Time, v verified, err error)) {
	hs, s := sa.hs, sa.s
	prf := &sa.alg.prf
	msg, nonce, skP := hs.messageR, hs.ni, sa.keys.skP(false)
	if !sa.initiator {
		msg, nonce, skP = hs.messageI, hs.nr, sa.keys.skP(true)
	}
	octets := newSignedOctets(prf, skP, msg, nonce, id)
	identity := ike.Identity{Type: ike.IDType(id.Type), Data: string(id.Data)}
	auth := m.AUTH()
	var certs [][]byte
	var raw []byte
	var refused error
	for c := range m.CERTs() {
		switch {
		case len(certs) == maxCerts || len(c.Data) > maxCertSize:
			refused = fmt.Errorf("more than %d certificates, or one larger than %d octets", maxCerts, maxCertSize)
		case c.Encoding == message.CertX509Signature:
			certs = append(certs, c.Data)
		case c.Encoding == message.CertRawPublicKey && raw == nil:
			raw = c.Data
		}
	}
	remote, local := &peer.Remote, s.LocalID
	if local.IsZero() {
		local = peer.Local.ID
	}
	if peer.Quirks.DNAsFQDN {
		identity = ike.RepairDN(identity)
	}
	s.Job(ike.JobVerify, 0, func(ctx context.Context) (any, error) {
		switch {
		case refused != nil:
			return nil, refused
		case auth.Method == message.AuthSharedKey:
			if !slices.Contains(remote.Methods, AuthPSK) {
				return nil, methodError(auth.Method, remote.Methods)
			}
			cred, err := remote.Credential(ctx, local, identity)
			if err != nil {
				return nil, fmt.Errorf("pre-shared key: %w", err)
			}
			if len(cred.PSK) == 0 {
				return nil, errors.New("pre-shared key is empty")
			}
			if !hmac.Equal(pskAUTH(prf, cred.PSK, octets), auth.Data) {
				return nil, errors.New("the pre-shared keys differ")
			}
			return verified{method: AuthPSK.String()}, nil
		case !slices.Contains(remote.Methods, AuthSignature):
			return nil, methodError(auth.Method, remote.Methods)
		}
		v, err := trust.Verify(now, remote.Trust, identity, certs, raw)
		if err != nil {
			return nil, err
		}
		signed := octets.join()
		for _, key := range v.PublicKeys {
			if err = verifyAuth(key, uint8(auth.Method), auth.Data, announcedHashes, remote.Signature, signed); err == nil {
				break
			}
		}
		if err != nil {
			return nil, err
		}
		out := verified{method: auth.Method.String(), why: v.Why()}
		for _, c := range v.Chain {
			out.chain = append(out.chain, c.Raw)
		}
		return out, nil
	}, func(now time.Time, v any, err error) {
		if err != nil {
			err = &AuthError{ID: identity, Err: err}
		}
		r, _ := v.(verified)
		done(now, r, err)
	}, nil)
}

func methodError(got message.AuthMethod, allowed []AuthMethod) error {
	return fmt.Errorf("peer authenticated with %v, allowed is %v", got, allowed)
}

// why tells why the peer's configuration is that of the session.
func (s *session) why(v verified) string {
	why := "called by this side"
	if !s.Initiator {
		why = s.ep.peers.index.Why(s.peer, s.Path)
	}
	switch {
	case v.why == "":
		return why
	case why == "": // meanwhile the configuration has changed
		return v.why
	}
	return why + ", " + v.why
}

// authorize asks the program about the peer.
func (sa *ikeSA) authorize(now time.Time, v verified, done func(now time.Time, err error)) {
	s := sa.s
	ask := s.ep.cfg.Authorize
	if ask == nil {
		done(now, nil)
		return
	}
	r := ike.AuthorizeRequest{Session: s.ID, Peer: s.peer.Name, Initiator: s.Initiator, Path: s.Path, LocalID: s.LocalID, RemoteID: s.RemoteID,
		Method: v.method, Certificates: v.chain, InitialContact: sa.hs.initialContact, Replaces: s.Replaces, Proposal: sa.alg.proposal, Why: s.why(v)}
	s.Job(ike.JobAuthorize, 0, func(ctx context.Context) (any, error) {
		return nil, ask(ctx, r)
	}, func(now time.Time, _ any, err error) {
		if err != nil {
			err = &AuthError{ID: s.RemoteID, Err: fmt.Errorf("not authorized: %w", err)}
		}
		done(now, err)
	}, nil)
}
