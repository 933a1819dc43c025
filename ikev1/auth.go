package ikev1

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/internal/trust"
)

func equalHash(a, b []byte) bool { return hmac.Equal(a, b) }

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
	in, ni, nr, skeyid := p.hashed, p.ni, p.nr, sa.skeyid().Clone()
	in.cookies = sa.cookies()
	local, remote := peer.Local, sa.expected(peer)
	sent := s.LocalID // in the modes that send it first
	idSent := initiator && in.idi != nil || !initiator && in.idr != nil
	addr := ike.AddrIdentity(s.LocalAddr())
	sendCert, cas := p.certRequested || local.AlwaysSendCert || method.Hybrid() || mode == BaseMode, p.authorities
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
		if err != nil {
			done(now, nil, fmt.Errorf("own proof: %w", err))
			return
		}
		s.LocalID = r.id
		if r.idBody != nil {
			sa.setOwnID(r.idBody)
		}
		done(now, r.payloads, nil)
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

// verifyPeer checks the proof in m of an identity that [isakmpSA.identify] has
// taken, and asks the program about the peer. done is called if everything is
// well.
func (sa *isakmpSA) verifyPeer(now time.Time, m *inbound, done func(now time.Time)) {
	s, p := sa.s, sa.p1
	id := s.RemoteID
	fail := func(now time.Time, err error) { sa.unproved(now, m, &AuthError{ID: id, Err: err}) }
	method, theirs := sa.negotiated.method, !sa.initiator
	in := p.hashed
	in.cookies = sa.cookies()
	want := in.proofHash(sa.mode, method, sa.negotiated.hash, sa.skeyid(), p.ni, p.nr, theirs)
	if !method.Signs(theirs) {
		if m.HASH() == nil || !equalHash(m.HASH().Data, want) {
			err := errHash
			if method.Base() == AuthPSK {
				err = errKeysDiffer
			}
			sa.doubt(now, &AuthError{ID: id, Err: err})
			return
		}
		sa.authorize(now, m, nil, done)
		return
	}
	if m.SIG() == nil {
		fail(now, fmt.Errorf("no SIG payload with %v", method))
		return
	}
	certs, err := m.certificates()
	if err != nil {
		fail(now, err)
		return
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
		return v, err
	}, func(now time.Time, v any, err error) {
		if err != nil {
			fail(now, err)
			return
		}
		sa.trusted(now, m, v.(trust.Verified), done)
	}, nil)
}

// trusted: the peer's signature is good.
func (sa *isakmpSA) trusted(now time.Time, m *inbound, v trust.Verified, done func(now time.Time)) {
	for _, w := range v.Warnings {
		sa.s.Warn(now, w)
	}
	if !sa.s.Up {
		sa.s.why = also(sa.s.why, v.Why())
	}
	var chain [][]byte
	for _, c := range v.Chain {
		chain = append(chain, c.Raw)
	}
	sa.authorize(now, m, chain, done)
}

// authorize asks the program about a peer that has proved itself.
func (sa *isakmpSA) authorize(now time.Time, m *inbound, chain [][]byte, done func(now time.Time)) {
	s := sa.s
	s.remoteMethod = sa.negotiated.method.String()
	sa.takeNotifies(m)
	ask := s.ep.cfg.Authorize
	if ask == nil {
		done(now)
		return
	}
	local := s.LocalID
	if local.IsZero() {
		local = s.peer.Local.ID // a responder of Main Mode proves its own later
	}
	r := ike.AuthorizeRequest{Session: s.ID, Peer: s.peer.Name, Initiator: sa.initiator, Path: s.Path, LocalID: local, RemoteID: s.RemoteID,
		Method: s.remoteMethod, Certificates: chain, InitialContact: sa.firstContact, Proposal: sa.negotiated.proposal(), Why: s.why}
	s.Job(ike.JobAuthorize, 0, func(ctx context.Context) (any, error) { return nil, ask(ctx, r) },
		func(now time.Time, _ any, err error) {
			if err != nil {
				sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, &AuthError{ID: s.RemoteID, Err: fmt.Errorf("not authorized: %w", err)})
				return
			}
			done(now)
		}, nil)
}

// takeNotifies keeps what the notifications beside a proof say. HASH does not
// cover them, so those of a message in clear say nothing.
func (sa *isakmpSA) takeNotifies(m *inbound) {
	if !m.header.Encrypted() {
		return
	}
	for n := range m.Notifies() {
		if n.Type == isakmp.NotifyInitialContact {
			sa.firstContact = true
		} else if len(sa.p1.notifies) < maxNotifies {
			sa.p1.notifies = append(sa.p1.notifies, n)
		}
	}
}

// maxNotifies bounds the notifications of a message of phase 1 that are looked
// at.
const maxNotifies = 8

// unproved: the peer's proof in m is not good. Encrypted, it came from whoever
// the keys were agreed with (who could change it on the way could have spoilt
// the key exchange), and that ends phase 1.
func (sa *isakmpSA) unproved(now time.Time, m *inbound, err error) {
	if m.header.Encrypted() {
		sa.refusePhase1(now, isakmp.NotifyAuthenticationFailed, err)
		return
	}
	sa.doubt(now, err)
}

// maxDoubts bounds the work on messages that turn out not to be genuine.
const maxDoubts = 8

// doubt: a message was not genuine. Anybody may have sent it, so phase 1 goes
// back to where it was before, and waits for a better one; that there was a bad
// one is told if none comes.
func (sa *isakmpSA) doubt(now time.Time, err error) {
	p, e := sa.p1, sa.ep
	e.Count.BadIntegrity++
	p.busy, p.refused, p.iv = false, err, p.ivBefore
	p.doubts++
	if !sa.initiator {
		p.seen = p.before
		if sa.mode == MainMode {
			sa.s.forgetPeer()
		}
		return
	}
	if sa.mode != MainMode {
		sa.forgetKeys()
	}
	if p.step == 2 {
		sa.remote, sa.negotiated = 0, selectedPhase1{}
		if !sa.s.Up {
			sa.s.RemoteID = ike.Identity{}
		}
	}
	e.SetTimer(&sa.retransmit, now.Add(e.RetransmitAfter(sa.s.Timing, p.tries)))
}

// refusePhase1 ends phase 1 and tells the peer why, as far as it may know.
func (sa *isakmpSA) refusePhase1(now time.Time, t isakmp.NotifyType, err error) {
	if sa.p1 != nil {
		sa.tellRefusal(now, t)
	}
	sa.failed(now, ike.DownFailed, err)
}

// tellRefusal sends a notification before phase 1 is through: encrypted if it
// has come to that.
func (sa *isakmpSA) tellRefusal(now time.Time, t isakmp.NotifyType) {
	e, n := sa.ep, sa.notify(t, nil)
	var b [4]byte
	if e.Random(b[:]) != nil {
		return
	}
	id := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) | 1
	h := sa.header(isakmp.ExchangeInformational, id)
	if sa.keys == nil {
		out := isakmp.NewBuilder(make([]byte, 0, 64), h)
		out.Add(n)
		if m, err := out.Finish(); err == nil {
			e.Transmit(sa.s.Path, m)
		}
		return
	}
	iv := sa.keys.hash.phase2IV(sa.blockSize(), sa.p1.iv, id)
	packets, _, err := sa.seal(now, h, iv, func(covered []byte) secret.Bytes { return sa.keys.messageHash(id, covered) }, []isakmp.Payload{n})
	if err == nil {
		e.Transmit(sa.s.Path, packets...)
	}
}

// silence explains why the other side of phase 1 says nothing, as far as that
// shows.
func (sa *isakmpSA) silence() error {
	p := sa.p1
	switch {
	case p == nil:
		return nil
	case p.refused != nil:
		return p.refused
	case sa.mode == MainMode && sa.negotiated.method.Base() == AuthPSK && (p.undecrypted > 0 || p.step >= 6):
		return errKeysProbablyDiffer
	}
	return nil
}

var (
	errKeysDiffer         = errors.New("the pre-shared keys differ")
	errKeysProbablyDiffer = errors.New("the pre-shared keys probably differ")
)
