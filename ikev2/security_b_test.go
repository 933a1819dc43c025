package ikev2

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// Tests of authentication and keys: rows B of the security list. Signatures
// have tests of their own (auth_signature_test.go).

// certificates makes both sides authenticate with certificates of one CA.
func certificates(t testing.TB, keyA, keyB testpki.KeyType) sceneOption {
	ca := testpki.NewCA(t, "test CA")
	leaf := func(name string, k testpki.KeyType, n int) ike.CredentialSource {
		c := ca.Issue(t, testpki.Spec{Subject: name, DNS: []string{name}, Key: k, KeyNumber: n})
		return (&ike.Credential{Certificates: c.Chain(), Signer: c.Key}).Source()
	}
	return func(a, b *Peer, _, _ *Config) {
		for p, source := range map[*Peer]ike.CredentialSource{a: leaf("a.example", keyA, 1), b: leaf("b.example", keyB, 2)} {
			p.Local.Method, p.Local.Credential = AuthSignature, source
			p.Remote.Methods, p.Remote.Credential = []AuthMethod{AuthSignature}, nil
			p.Remote.Trust = &ike.Trust{Roots: caRoots(ca)}
		}
	}
}

// atPKITime sets the clock to when the test certificates are valid.
func (s *scene) atPKITime() *scene {
	s.now = testpki.Now
	return s
}

func TestCertificateAuthentication(t *testing.T) {
	for _, k := range []struct{ a, b testpki.KeyType }{
		{testpki.RSA2048, testpki.P256}, {testpki.P384, testpki.RSA2048}, {testpki.P521, testpki.Ed25519}, {testpki.Ed25519, testpki.P256},
	} {
		s := newScene(t, certificates(t, k.a, k.b)).atPKITime()
		s.initiate().flush()
		s.converged(1)
		up := find[ike.SessionUp](s.B.happened)[0].Info
		require.Equal(t, "a.example", up.RemoteID.Data)
		s.A.rekeyIKE()
		s.pass(time.Minute)
		s.converged(1)
	}
}

// The peer does not have a certificate for the identity it claims (B07), or
// one of another CA.
func TestB07_Identities(t *testing.T) {
	other := testpki.NewCA(t, "another CA")
	for name, c := range map[string]struct {
		change sceneOption
		fails  string // "A" finds out, or "B"
	}{
		"ID not in certificate": {func(a, _ *Peer, _, _ *Config) { a.Local.ID = mustID("c.example") }, "B"},
		"responder's ID not in certificate": {func(a, b *Peer, _, _ *Config) {
			b.Local.ID, a.Remote.ID = mustID("c.example"), ike.ExactIdentity(mustID("c.example"))
		}, "A"},
		"not who was asked for": {func(a, _ *Peer, _, _ *Config) { a.Remote.ID = ike.ExactIdentity(mustID("c.example")) }, "B"},
		"prefix of the name":    {func(a, _ *Peer, _, _ *Config) { a.Local.ID = mustID("a.exampl") }, "B"},
		"another CA": {func(_, b *Peer, _, _ *Config) {
			b.Remote.Trust = &ike.Trust{Roots: caRoots(other)}
		}, "B"},
		"nobody trusted": {func(_, b *Peer, _, _ *Config) {
			b.Remote.Trust = &ike.Trust{Pinned: caRoots(other)}
		}, "B"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, certificates(t, testpki.P256, testpki.P256), c.change).atPKITime()
			if name == "ID not in certificate" || name == "prefix of the name" {
				s.B.peer.Remote.ID, _ = ike.ParseIdentityPattern("*")
				ps, err := NewPeerSet([]*Peer{s.B.peer})
				require.NoError(t, err)
				s.B.SetPeers(ps)
			}
			s.initiate().flush()
			require.Empty(t, find[ike.SessionUp](s.A.happened))
			if c.fails == "B" {
				require.Empty(t, find[ike.SessionUp](s.B.happened))
			}
			s.pass(3 * time.Minute)
			s.gone()
		})
	}
	// IDi and IDr swapped: the responder's proof is not good for the other.
	s := newScene(t).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	payloads := slices.Clone(s.A.anySA().req.payloads)
	payloads[0] = &message.ID{Type: message.IDFQDN, Data: []byte("b.example")}
	require.Equal(t, message.NotifyAuthenticationFailed, onlyNotify(s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...))))
}

func mustID(s string) ike.Identity {
	id, err := ike.ParseIdentity(s)
	if err != nil {
		panic(err)
	}
	return id
}

// Whatever a man in the middle changes in IKE_SA_INIT, in either direction,
// the SA does not come up.
func TestB06_AlteredInit(t *testing.T) {
	offers := func(a, b *Peer, _, _ *Config) {
		for _, p := range []*Peer{a, b} {
			p.Proposals = []spd.Proposal{ikeProposal("aes256gcm16-prfsha384-x25519"), ikeProposal("aes128gcm16-prfsha256-x25519")}
		}
	}
	drop := func(n message.NotifyType) func(m *message.Message) {
		return func(m *message.Message) {
			m.Payloads = slices.DeleteFunc(m.Payloads, func(p message.Payload) bool {
				x, ok := p.(*message.Notify)
				return ok && x.Type == n
			})
		}
	}
	for name, change := range map[string]func(m *message.Message){
		"stronger proposal dropped": func(m *message.Message) {
			if len(m.SA().Proposals) > 1 {
				m.SA().Proposals = m.SA().Proposals[1:]
			} else {
				drop(message.NotifyIKEv2FragmentationSupported)(m)
			}
		},
		"fragmentation":    drop(message.NotifyIKEv2FragmentationSupported),
		"signature hashes": drop(message.NotifySignatureHashAlgorithms),
		"NAT detection":    drop(message.NotifyNATDetectionSourceIP),
		"a vendor ID":      func(m *message.Message) { m.Payloads = append(m.Payloads, &message.VendorID{ID: []byte("x")}) },
		"another nonce":    func(m *message.Message) { m.Nonce().Data = bytes.Repeat([]byte{7}, 32) },
		"minor version":    func(m *message.Message) { m.Header.Version |= 1 },
		"reserved flag":    func(m *message.Message) { m.Header.Flags |= 1 },
	} {
		for _, who := range []string{"request", "response"} {
			t.Run(name+" in the "+who, func(t *testing.T) {
				s := newScene(t, offers).initiate()
				alter := func(a *actor, kind string) {
					tx := a.take(kind)
					m := inClear(t, tx)
					change(m)
					tx.Packet = encode(t, m)
					a.hand(tx, kind)
				}
				if who == "request" {
					alter(s.A, "init")
					s.B.sends("init:ok")
				} else {
					s.A.sends("init")
					alter(s.B, "init:ok")
				}
				s.pass(5 * time.Minute)
				require.Empty(t, find[ike.SessionUp](s.A.happened))
				if who == "request" {
					require.Empty(t, find[ike.SessionUp](s.B.happened))
				}
				require.Empty(t, s.A.sessions)
				require.Empty(t, s.B.sessions)
			})
		}
	}
}

// The responder's answer to IKE_AUTH must prove it; nothing else makes the
// initiator's SA established.
func TestB08_OnlyAuthEstablishes(t *testing.T) {
	for name, answer := range map[string]func(full message.Payloads) message.Payloads{
		"empty":   func(message.Payloads) message.Payloads { return nil },
		"no AUTH": func(full message.Payloads) message.Payloads { return without(full, message.PayloadAUTH) },
		"no IDr":  func(full message.Payloads) message.Payloads { return without(full, message.PayloadIDr) },
		"EAP success": func(full message.Payloads) message.Payloads {
			return append(without(full, message.PayloadAUTH), raw(message.PayloadEAP, 3, 1, 0, 4))
		},
		"AUTH of zeros": func(full message.Payloads) message.Payloads {
			return append(without(full, message.PayloadAUTH), &message.AUTH{Method: message.AuthSharedKey, Data: make([]byte, 32)})
		},
		"empty AUTH": func(full message.Payloads) message.Payloads {
			return append(without(full, message.PayloadAUTH), &message.AUTH{Method: message.AuthSharedKey})
		},
		"AUTH of method 0": func(full message.Payloads) message.Payloads {
			return append(without(full, message.PayloadAUTH), &message.AUTH{Data: make([]byte, 32)})
		},
		"NULL authentication": func(full message.Payloads) message.Payloads {
			return append(without(full, message.PayloadAUTH), &message.AUTH{Method: 13, Data: make([]byte, 32)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			var full message.Payloads
			s.B.cfg.Trace = func(tr ike.TraceRecord) {
				s.B.name1(tr)
				if m, err := message.Parse(tr.Message); err == nil && tr.Outbound && m.Header.Exchange == message.ExchangeIKEAuth {
					full = m.Payloads
				}
			}
			s.initiate()
			s.A.sends("init")
			s.B.sends("init:ok")
			s.A.sends("auth")
			s.B.loses("auth:ok")
			require.NotEmpty(t, full)
			tx := s.B.protect(message.ExchangeIKEAuth, 1, true, answer(full)...)
			s.B.injects(tx)
			require.Empty(t, find[ike.SessionUp](s.A.happened))
			s.pass(5 * time.Minute)
			require.Empty(t, find[ike.SessionUp](s.A.happened))
			require.Len(t, find[ike.SessionFailed](s.A.happened), 1)
			require.Empty(t, s.A.plane.Leaks())
		})
	}
}

func without(ps message.Payloads, t message.PayloadType) message.Payloads {
	return slices.DeleteFunc(slices.Clone(ps), func(p message.Payload) bool { return p.PayloadType() == t })
}

// A peer whose key we do not have fails cleanly, also when it repeats itself.
func TestB17_MissingPSK(t *testing.T) {
	s := newScene(t, func(_, b *Peer, _, _ *Config) {
		b.Remote.Credential = ike.SharedKeys() // none
	}).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	request := s.A.take("auth")
	for range 3 {
		s.A.hand(request, "auth")
	}
	require.Equal(t, []string{"auth:AUTHENTICATION_FAILED", "auth:AUTHENTICATION_FAILED", "auth:AUTHENTICATION_FAILED"}, s.B.waiting())
	require.Len(t, find[ike.SessionFailed](s.B.happened), 1)
	require.ErrorIs(t, find[ike.SessionFailed](s.B.happened)[0].Err, ike.ErrNoCredential)
	s.pass(3 * time.Minute)
	s.gone()

	s = newScene(t, func(a, _ *Peer, _, _ *Config) { a.Local.Credential = ike.SharedKeys() }).initiate()
	s.flush()
	require.ErrorIs(t, find[ike.SessionFailed](s.A.happened)[0].Err, ike.ErrNoCredential)
}

// An empty key is no key.
func TestB17_EmptyPSK(t *testing.T) {
	empty := (&ike.Credential{}).Source()
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		a.Local.Credential, b.Remote.Credential = empty, empty
	}).initiate()
	s.flush()
	require.Empty(t, find[ike.SessionUp](s.A.happened))
	require.Empty(t, find[ike.SessionUp](s.B.happened))
}

// B22: a random source that fails ends what needed it, and weak randomness is
// never used instead.
func TestB22_RandomSourceFails(t *testing.T) {
	broken := errors.New("no entropy")
	for after := range 12 {
		limit := after * 32
		r := io.MultiReader(io.LimitReader(rand.Reader, int64(limit)), failing{broken})
		var up bool
		func() {
			s := newScene(t)
			s.A.nonce.source = r
			if _, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB()}); err != nil {
				require.ErrorIs(t, err, broken)
				return
			}
			s.flush()
			s.pass(3 * time.Minute)
			up = len(find[ike.SessionUp](s.A.happened)) > 0
			for _, f := range find[ike.SessionFailed](s.A.happened) {
				require.ErrorIs(t, f.Err, broken)
			}
		}()
		if after == 0 {
			require.False(t, up)
		}
	}
	s := newScene(t)
	s.B.nonce.source = failing{broken}
	s.initiate().flush()
	require.Empty(t, s.B.sessions)
	require.Empty(t, find[ike.SessionUp](s.B.happened))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// B22: keys are wiped when an SA ends, and do not show in any text.
func TestB22_Secrets(t *testing.T) {
	s := newScene(t).initiate()
	s.A.sends("init")
	s.B.sends("init:ok")
	k := s.A.anySA().keys
	skP := k.early.skPi
	require.NotZero(t, bytes.Compare(skP, make([]byte, len(skP))))
	s.flush()
	require.Equal(t, make([]byte, len(skP)), []byte(skP), "not needed after the authentication")
	require.Nil(t, k.early)
	skD, encr := k.skD(), k.skE(true)
	require.NotZero(t, bytes.Compare(skD, make([]byte, len(skD))))
	for _, text := range []string{
		sprint(k), sprint(s.A.anySA()), sprint(s.A.session()), sprint(s.A.peer.Local), sprint(s.A.happened),
	} {
		require.NotContains(t, text, strings.Trim(sprintBytes(skD[:8]), "[]"))
		require.NotContains(t, text, "a shared secret")
	}
	s.A.deleteIKE()
	s.pass(2 * time.Minute)
	s.gone()
	require.Equal(t, make([]byte, len(skD)), []byte(skD))
	require.Equal(t, make([]byte, len(encr)), []byte(encr))
}

// Authorize is asked after the proof and before the session is up, and its
// refusal is an AUTHENTICATION_FAILED.
func TestAuthorize(t *testing.T) {
	refused := errors.New("not at this hour")
	var asked ike.AuthorizeRequest
	s := newScene(t, func(_, _ *Peer, _, cb *Config) {
		cb.Authorize = func(_ context.Context, r ike.AuthorizeRequest) error { asked = r; return refused }
	}).initiate()
	s.flush()
	require.Equal(t, "a.example", asked.RemoteID.Data)
	require.Equal(t, "PSK", asked.Method)
	require.True(t, asked.InitialContact)
	require.ErrorIs(t, find[ike.SessionFailed](s.B.happened)[0].Err, refused)
	require.ErrorContains(t, find[ike.SessionFailed](s.A.happened)[0].Err, "AUTHENTICATION_FAILED")
	require.NotContains(t, find[ike.SessionFailed](s.A.happened)[0].Err.Error(), "hour", "the peer is not told why")
	s.pass(3 * time.Minute)
	s.gone()
}

// B05: a peer that has to know the pre-shared key does not get in with a
// certificate, even one that would be trusted.
func TestB05_SignatureForPSK(t *testing.T) {
	s := newScene(t, certificates(t, testpki.P256, testpki.P256), func(_, b *Peer, _, _ *Config) {
		b.Remote.Methods, b.Remote.Credential = []AuthMethod{AuthPSK}, ike.SharedKeys(ike.SharedKey{Key: []byte("a shared secret")})
	}).atPKITime().initiate()
	s.flush()
	require.ErrorContains(t, find[ike.SessionFailed](s.B.happened)[0].Err, "allowed is [PSK]")
	require.Empty(t, find[ike.SessionUp](s.A.happened))
}
