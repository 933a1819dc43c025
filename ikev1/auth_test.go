package ikev1

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// allMethods are the supported methods and the kind of key that each signs
// with.
var allMethods = map[AuthMethod]testpki.KeyType{
	AuthPSK: "", AuthXAuthInitPSK: "", AuthXAuthRespPSK: "",
	AuthRSA: testpki.RSA2048, AuthXAuthInitRSA: testpki.RSA2048, AuthXAuthRespRSA: testpki.RSA2048,
	AuthHybridInitRSA: testpki.RSA2048, AuthHybridRespRSA: testpki.RSA2048,
	AuthDSS: testpki.DSA, AuthXAuthInitDSS: testpki.DSA, AuthXAuthRespDSS: testpki.DSA,
	AuthHybridInitDSS: testpki.DSA, AuthHybridRespDSS: testpki.DSA,
	AuthECDSA256: testpki.P256, AuthECDSA384: testpki.P384, AuthECDSA521: testpki.P521,
}

func methodPeers(t testing.TB, mode Mode, method AuthMethod) (a, b *Peer) {
	a, b = pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	a.Modes, b.Modes = []Mode{mode}, []Mode{mode}
	a.Methods, b.Methods = []AuthMethod{method}, []AuthMethod{method}
	if kt := allMethods[method]; kt != "" {
		a.Remote.Credential, b.Remote.Credential = nil, nil
		issuer := testpki.NewIssuer(t, testpki.P256, 1)
		signing(a, b, issuer.Host(t, kt, "a.example"), issuer.Host(t, kt, "b.example"))
		if method.Hybrid() { // the client has nothing to prove itself with
			client, server := a, b
			if method.Client(false) {
				client, server = b, a
			}
			client.Local.Credential, server.Remote.Trust = nil, nil
		}
	}
	if method.XAuth() {
		client, server := a, b
		if method.Client(false) {
			client, server = b, a
		}
		users, err := ike.NewMemoryUsers(map[string]ike.User{"alice": {Password: ike.Secret("alice's password")}})
		require.NoError(t, err)
		server.Users = users
		client.Prompt = func(context.Context, ike.PromptRequest) (ike.UserAnswers, error) {
			return ike.UserAnswers{User: "alice", Password: ike.Secret("alice's password")}, nil
		}
	}
	return a, b
}

// signing gives peers certificates, and the trust in each other's root.
func signing(a, b *Peer, ca, cb *testpki.Cert) {
	a.Local.Credential = (&ike.Credential{Certificates: ca.Chain(), Signer: ca.Key}).Source()
	b.Local.Credential = (&ike.Credential{Certificates: cb.Chain(), Signer: cb.Key}).Source()
	a.Remote.Trust, b.Remote.Trust = &ike.Trust{Roots: []*x509.Certificate{cb.Root()}}, &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
}

func newPairNow(t *testing.T, a, b *Peer) *pair {
	p := newPair(t, a, b, nil)
	p.now = testpki.Now
	return p
}

// TestMethods has every method in every mode.
func TestMethods(t *testing.T) {
	require.Len(t, allMethods, len(authMethods))
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		for method := range allMethods {
			t.Run(fmt.Sprintf("%v/%v", mode, method), func(t *testing.T) {
				a, b := methodPeers(t, mode, method)
				p := newPairNow(t, a, b)
				sa, sb := p.requireUp(p.initiate())
				require.Equal(t, mustID("a.example"), sa.Info.LocalID)
				require.Equal(t, mustID("b.example"), sa.Info.RemoteID)
				if method.XAuth() {
					server := sb
					if method.Client(false) {
						server = sa
					}
					require.Equal(t, "alice", server.Info.User)
				}
			})
		}
	}
}

// TestWrongKeyRefused has every method in every mode with a side that cannot
// prove itself. The other one must not come up; whether the refused one does for
// a moment depends on who has the last word.
func TestWrongKeyRefused(t *testing.T) {
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		for method, kt := range allMethods {
			for _, initiator := range []bool{true, false} {
				if method.Hybrid() && method.Client(initiator) {
					continue // proves nothing in phase 1
				}
				t.Run(fmt.Sprintf("%v/%v/%v", mode, method, initiator), func(t *testing.T) {
					a, b := methodPeers(t, mode, method)
					bad := b
					if initiator {
						bad = a
					}
					if kt == "" {
						bad.Remote.Credential = (&ike.Credential{PSK: ike.Secret("another secret")}).Source()
					} else {
						// The right certificate, and another key.
						good, err := bad.Local.Credential(t.Context(), ike.Identity{}, ike.Identity{})
						require.NoError(t, err)
						bad.Local.Credential = (&ike.Credential{Certificates: good.Certificates, Signer: testpki.Key(t, kt, 77)}).Source()
					}
					p := newPairNow(t, a, b)
					p.initiate()
					p.advance(10 * time.Minute)
					good, wrong := p.evA, p.evB
					if initiator {
						good, wrong = p.evB, p.evA
					}
					require.Empty(t, find[ike.SessionUp](good))
					require.NotEmpty(t, find[ike.SessionFailed](good))
					require.Len(t, find[ike.SessionDown](wrong), len(find[ike.SessionUp](wrong)))
					p.requireNothingLeft()
				})
			}
		}
	}
}

// requireRefused checks that the initiator knows that it was refused. In
// Aggressive Mode the responder says so after it thought that it was through.
func (p *pair) requireRefused() {
	p.t.Helper()
	if len(find[ike.SessionUp](p.evA)) == 0 {
		require.NotEmpty(p.t, find[ike.SessionFailed](p.evA))
		return
	}
	require.Equal(p.t, []Mode{AggressiveMode}, p.a.peers.index.All()[0].Modes)
	down := find[ike.SessionDown](p.evA)
	require.Len(p.t, down, 1)
	var refusal *NotifyError
	require.ErrorAs(p.t, down[0].Err, &refusal)
	require.Equal(p.t, isakmp.NotifyAuthenticationFailed, refusal.Type)
}

// requireNothingLeft checks that neither side holds anything.
func (p *pair) requireNothingLeft() {
	p.t.Helper()
	for _, e := range []*Endpoint{p.a, p.b} {
		require.Empty(p.t, e.sessions)
		require.Empty(p.t, e.sas)
		require.Empty(p.t, e.initial)
		require.Zero(p.t, e.HalfOpen())
		require.Zero(p.t, e.Held().Jobs)
		require.Zero(p.t, e.Held().Timers)
	}
}

// TestRawAndPinnedKeys: keys and certificates that the peers know beforehand,
// and do not send.
func TestRawAndPinnedKeys(t *testing.T) {
	ca := testpki.NewIssuer(t, testpki.P256, 0)
	a, b := ca.Host(t, testpki.RSA2048, "a.example"), ca.Host(t, testpki.RSA2048, "b.example")
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		for name, trust := range map[string]func(c *testpki.Cert, name string) (*ike.Credential, *ike.Trust){
			"raw": func(c *testpki.Cert, name string) (*ike.Credential, *ike.Trust) {
				return &ike.Credential{Signer: c.Key}, &ike.Trust{RawKeys: []ike.RawKey{{ID: ike.ExactIdentity(mustID(name)), Key: c.Key.Public()}}}
			},
			"pinned, sent": func(c *testpki.Cert, _ string) (*ike.Credential, *ike.Trust) {
				return &ike.Credential{Certificates: c.Chain(), Signer: c.Key}, &ike.Trust{Pinned: []*x509.Certificate{c.Certificate}}
			},
			"pinned, not sent": func(c *testpki.Cert, _ string) (*ike.Credential, *ike.Trust) {
				return &ike.Credential{Signer: c.Key}, &ike.Trust{Pinned: []*x509.Certificate{c.Certificate}}
			},
		} {
			t.Run(fmt.Sprintf("%v/%v", mode, name), func(t *testing.T) {
				pa, pb := methodPeers(t, mode, AuthRSA)
				credA, trustB := trust(a, "a.example")
				credB, trustA := trust(b, "b.example")
				pa.Local.Credential, pa.Remote.Trust, pb.Local.Credential, pb.Remote.Trust = credA.Source(), trustA, credB.Source(), trustB
				p := newPairNow(t, pa, pb)
				p.requireUp(p.initiate())
			})
		}
	}
	t.Run("a key of another", func(t *testing.T) {
		pa, pb := methodPeers(t, MainMode, AuthRSA)
		pa.Local.Credential = (&ike.Credential{Signer: testpki.Key(t, testpki.RSA2048, 7)}).Source()
		pb.Remote.Trust = &ike.Trust{RawKeys: []ike.RawKey{{Key: a.Key.Public()}}}
		p := newPairNow(t, pa, pb)
		p.initiate()
		require.Empty(t, find[ike.SessionUp](p.evB))
		require.ErrorContains(t, find[ike.SessionFailed](p.evB)[0].Err, "does not verify")
		// The peer has been told.
		var refusal *NotifyError
		p.advance(time.Minute)
		require.ErrorAs(t, find[ike.SessionFailed](p.evA)[0].Err, &refusal)
		require.Equal(t, isakmp.NotifyAuthenticationFailed, refusal.Type)
	})
}

// TestIdentities: who a side says it is, and whether the credential bears it
// out.
func TestIdentities(t *testing.T) {
	ca := testpki.NewIssuer(t, testpki.P256, 1)
	var cert crypto.Signer = testpki.Key(t, testpki.RSA2048, 1)
	leaf := ca.Issue(t, testpki.Spec{Subject: "gw", DNS: []string{"a.example"}, Emails: []string{"gw@example.org"}, IPs: []string{"192.0.2.1", "2001:db8::1"}, Signer: cert})
	dn := ike.DNIdentity(leaf.RawSubject)
	for name, c := range map[string]struct {
		local  ike.Identity
		remote string
		ok     bool
	}{
		"fqdn":             {mustID("a.example"), "a.example", true},
		"user":             {mustID("gw@example.org"), "*@example.org", true},
		"address":          {mustID("192.0.2.1"), "192.0.2.1", true},
		"IPv6 address":     {mustID("2001:db8::1"), "2001:db8::/32", true},
		"subject":          {dn, "C=CH, O=lab, CN=*", true},
		"default":          {ike.Identity{}, "a.example", true},
		"another's":        {mustID("c.example"), "c.example", false},
		"not expected":     {mustID("a.example"), "c.example", false},
		"another address":  {mustID("192.0.2.3"), "*", false},
		"subject of other": {mustID("CN=gw"), "*", false},
	} {
		for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
			t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) {
				a, b := methodPeers(t, mode, AuthRSA)
				signing(a, b, leaf, ca.Host(t, testpki.RSA2048, "b.example"))
				a.Local.ID = c.local
				pattern, err := ike.ParseIdentityPattern(c.remote)
				require.NoError(t, err)
				b.Remote.ID = pattern
				p := newPairNow(t, a, b)
				id := p.initiate()
				if c.ok {
					p.requireUp(id)
					return
				}
				p.advance(5 * time.Minute)
				require.Empty(t, find[ike.SessionUp](p.evB))
				require.NotEmpty(t, find[ike.SessionFailed](p.evB))
				p.requireRefused()
			})
		}
	}
}

// TestOwnIdentityBeforeMethod: in the modes that say the identity first, it
// does not depend on the method that will be chosen.
func TestOwnIdentityBeforeMethod(t *testing.T) {
	for _, mode := range []Mode{AggressiveMode, BaseMode} {
		for _, method := range []AuthMethod{AuthPSK, AuthRSA} {
			a, b := methodPeers(t, mode, AuthRSA)
			a.Remote.Credential = (&ike.Credential{PSK: ike.Secret("a shared secret")}).Source()
			b.Remote.Credential = a.Remote.Credential
			a.Methods, b.Methods = []AuthMethod{AuthRSA, AuthPSK}, []AuthMethod{method}
			a.Local.ID = ike.Identity{}
			issuer := testpki.NewIssuer(t, testpki.P256, 0)
			signing(a, b, issuer.Host(t, testpki.RSA2048, "192.0.2.1"), issuer.Host(t, testpki.RSA2048, "b.example"))
			b.Remote.ID = ike.ExactIdentity(mustID("192.0.2.1"))
			p := newPairNow(t, a, b)
			_, sb := p.requireUp(p.initiate())
			require.Equal(t, mustID("192.0.2.1"), sb.Info.RemoteID, "%v %v", mode, method)
		}
	}
}

// TestPeerChosenByIdentity: several peers may come from one address.
func TestPeerChosenByIdentity(t *testing.T) {
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		t.Run(mode.String(), func(t *testing.T) {
			a, b := methodPeers(t, mode, AuthPSK)
			others := []*Peer{pskPeer("x", "b.example", "x.example"), pskPeer("y", "b.example", "y.example"), pskPeer("anybody", "b.example", "z.example")}
			others[2].Remote.ID = ike.IdentityPattern{}
			for i, o := range others {
				o.Modes = []Mode{mode}
				o.Remote.Credential = (&ike.Credential{PSK: ike.Secret(fmt.Sprintf("secret %d", i))}).Source()
			}
			// One that has the identity and does not allow what is offered.
			picky := pskPeer("picky", "b.example", "a.example")
			picky.Modes = []Mode{mode}
			picky.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes256-sha512-prfsha512-ecp521")}
			p := newPairNow(t, a, b)
			ps, err := NewPeerSet(append(others, picky, b))
			require.NoError(t, err)
			p.b.SetPeers(ps)
			_, sb := p.requireUp(p.initiate())
			require.Equal(t, "a", sb.Peer)
		})
	}
}

// TestCertificateForms: what a certificate may come as, and when it comes.
func TestCertificateForms(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a, b *Peer)
		spoil  func(chain isakmp.Chain) isakmp.Chain // of messages in clear
		method AuthMethod
		ok     bool
	}{
		"asked for":                 {nil, nil, AuthRSA, true},
		"neither asked nor sent":    {func(a, b *Peer) { a.Local.NoCertRequest = true }, nil, AuthRSA, false},
		"sent unasked":              {func(a, b *Peer) { a.Local.NoCertRequest, b.Local.AlwaysSendCert = true, true }, nil, AuthRSA, true},
		"of a hybrid, sent unasked": {func(a, b *Peer) { a.Local.NoCertRequest = true }, nil, AuthHybridInitRSA, true},
		"asked for by nothing": {nil, func(chain isakmp.Chain) isakmp.Chain {
			for i := range chain {
				if chain[i].Type == isakmp.PayloadCR {
					chain[i].Body = []byte{byte(isakmp.CertX509Signature)}
				}
			}
			return chain
		}, AuthRSA, true},
		"for PKCS #7, of an unknown CA": {nil, func(chain isakmp.Chain) isakmp.Chain {
			for i := range chain {
				if chain[i].Type == isakmp.PayloadCR {
					chain[i].Body = append([]byte{byte(isakmp.CertPKCS7)}, "0\x0b1\x090\x07\x06\x03U\x04\x03\x0c\x00"...)
				}
			}
			return chain
		}, AuthRSA, true},
		"as PKCS #7": {nil, func(chain isakmp.Chain) (out isakmp.Chain) {
			var certs []byte
			for _, r := range chain {
				if r.Type == isakmp.PayloadCERT {
					certs = append(certs, r.Body[1:]...)
				}
			}
			done := false
			for _, r := range chain {
				if r.Type == isakmp.PayloadCERT {
					if done {
						continue
					}
					done = true
					r.Body = append([]byte{byte(isakmp.CertPKCS7)}, pkcs7(certs)...)
				}
				out = append(out, r)
			}
			return out
		}, AuthRSA, true},
		"the CA beside it":  {nil, func(chain isakmp.Chain) isakmp.Chain { return withCERT(chain, isakmp.CertCRL, []byte{0x30, 0}) }, AuthRSA, true},
		"in an odd company": {nil, func(chain isakmp.Chain) isakmp.Chain { return withCERT(chain, 99, []byte("?")) }, AuthRSA, true},
	} {
		for _, mode := range []Mode{AggressiveMode, BaseMode} {
			t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) {
				a, b := methodPeers(t, mode, c.method)
				a.Fragmentation, b.Fragmentation = FragmentOff, FragmentOff
				if c.change != nil {
					c.change(a, b)
				}
				p := newPairNow(t, a, b)
				if c.spoil != nil {
					p.filter = func(from *Endpoint, tx ike.Transmit) bool {
						h, err := isakmp.ParseHeader(tx.Packet)
						require.NoError(t, err)
						if h.Encrypted() {
							return true
						}
						chain, err := isakmp.ParseChain(h.NextPayload, tx.Packet[isakmp.HeaderLen:])
						require.NoError(t, err)
						to := p.b
						if from == p.b {
							to = p.a
						}
						to.HandleDatagram(p.now, reverse(tx.Path), rebuild(h, c.spoil(chain)))
						return false
					}
				}
				id := p.initiate()
				if c.ok || mode == BaseMode && c.change != nil { // Base Mode has no requests, so all is sent
					p.requireUp(id)
					return
				}
				p.advance(5 * time.Minute)
				require.Empty(t, find[ike.SessionUp](p.evA))
				require.NotEmpty(t, find[ike.SessionFailed](p.evA))
			})
		}
	}
}

// withCERT puts a CERT payload behind the others.
func withCERT(chain isakmp.Chain, kind isakmp.CertEncoding, data []byte) isakmp.Chain {
	for _, r := range chain {
		if r.Type == isakmp.PayloadCERT {
			return append(chain[:len(chain):len(chain)], isakmp.RawPayload{Type: isakmp.PayloadCERT, Body: append([]byte{byte(kind)}, data...)})
		}
	}
	return chain
}

// pkcs7 is a SignedData that holds nothing but certificates (RFC 2315 9.1).
func pkcs7(certs []byte) []byte {
	der := func(tag byte, content ...[]byte) []byte {
		body := bytes.Join(content, nil)
		switch n := len(body); {
		case n < 128:
			return append([]byte{tag, byte(n)}, body...)
		case n < 256:
			return append([]byte{tag, 0x81, byte(n)}, body...)
		default:
			return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
		}
	}
	data := []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")
	signedData := []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
	return der(0x30, signedData, der(0xa0, der(0x30, []byte{2, 1, 1}, der(0x31), der(0x30, data), der(0xa0, certs), der(0x31))))
}
