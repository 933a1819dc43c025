package ikev1

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
)

// maxKeyed bounds the pre-shared keys that are tried for one Main Mode
// initiator.
const maxKeyed = 8

// deriveKeys makes SKEYID and what hangs on it, from p1.shared. A pre-shared
// key is looked up first, unless that has been done.
func (sa *isakmpSA) deriveKeys(now time.Time, done func(now time.Time, err error)) {
	p, h := sa.p1, sa.negotiated.hash
	if p.skeyid != nil || sa.negotiated.method.Base() != AuthPSK {
		skeyid := p.skeyid
		p.skeyid = nil
		if skeyid == nil {
			skeyid = h.skeyidSignature(p.ni, p.nr, p.shared)
		}
		keys, err := sa.keysFor(skeyid)
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
	p.shared.Wipe()
	p.shared = nil
}

// forgetKeys undoes deriveKeys: they came of a message that was not genuine.
func (sa *isakmpSA) forgetKeys() {
	p := sa.p1
	sa.keys.wipe()
	sa.keys = nil
	for _, k := range p.keyed {
		k.keys.wipe()
	}
	p.keyed = nil
	p.shared.Wipe()
	p.shared = nil
}

// skeyid is SKEYID, which Base Mode has before the other keys.
func (sa *isakmpSA) skeyid() secret.Bytes {
	if sa.keys != nil {
		return sa.keys.skeyid
	}
	return sa.p1.skeyid
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
	s := sa.s
	addr, said := ike.AddrIdentity(s.RemoteAddr()), s.RemoteID
	if sa.mode == MainMode && !s.Up {
		said = ike.Identity{}
	}
	peers := sa.candidates()
	method := sa.negotiated.method
	s.Job(ike.JobCredential, 0, func(ctx context.Context) (any, error) {
		var found []sharedKey
		var first error
		for _, q := range peers {
			if !slices.Contains(q.Methods, method) || q.Remote.Credential == nil {
				continue
			}
			psk, err := q.sharedKey(ctx, said, addr)
			if err != nil {
				if first == nil {
					first = err
				}
				continue
			}
			same := slices.IndexFunc(found, func(k sharedKey) bool { return equalHash(k.psk, psk) })
			if same >= 0 {
				found[same].peers = append(found[same].peers, q)
			} else if len(found) < maxKeyed {
				found = append(found, sharedKey{[]*Peer{q}, psk})
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

// sharedKey looks up the key for a peer: that of the identity that it says, or
// that is configured as the only one it may have, then that of its address. A
// key for anybody (the * of psk.txt) counts last, so that an address with a key
// of its own has it whatever the identity will be (Main Mode, RFC 2409 5.4).
func (p *Peer) sharedKey(ctx context.Context, said, addr ike.Identity) (ike.Secret, error) {
	if exact, ok := p.Remote.ID.IsExact(); said.IsZero() && ok {
		said = exact
	}
	if said.IsZero() {
		said = addr
	}
	ids := []ike.Identity{said, addr}
	if said == addr {
		ids = ids[:1]
	}
	var anybody ike.Secret
	for _, id := range ids {
		cred, err := p.Remote.Credential(ctx, p.Local.ID, id)
		switch {
		case errors.Is(err, ike.ErrNoCredential):
		case err != nil:
			return nil, fmt.Errorf("pre-shared key for %v: %w", id, err)
		case len(cred.PSK) == 0:
			return nil, fmt.Errorf("pre-shared key for %v: it is empty", id)
		case !cred.Fallback:
			return cred.PSK, nil
		case anybody == nil:
			anybody = cred.PSK
		}
	}
	if anybody == nil {
		return nil, fmt.Errorf("pre-shared key for %v: %w", said, &ike.NoCredentialError{Local: p.Local.ID, Remote: said})
	}
	return anybody, nil
}

// openWithAny decrypts the fifth message of Main Mode, which shows by which of
// several pre-shared keys the SA is keyed: its HASH_I fits.
func (sa *isakmpSA) openWithAny(now time.Time, h isakmp.Header, b []byte) (*inbound, initVector, error) {
	p := sa.p1
	for i, k := range p.keyed {
		sa.keys = k.keys
		m, next, err := sa.open(now, h, b, p.iv, nil)
		if err != nil || m.HASH() == nil || m.chain.Body(isakmp.PayloadID) == nil {
			continue
		}
		in := p.hashed
		in.idi, in.cookies = m.chain.Body(isakmp.PayloadID), sa.cookies()
		if equalHash(m.HASH().Data, in.hashI(k.keys.hash, k.keys.skeyid)) {
			p.keyed[0], p.keyed[i] = p.keyed[i], p.keyed[0]
			return m, next, nil
		}
	}
	sa.keys = p.keyed[0].keys
	return nil, p.iv, errHash
}
