package ikev2

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

// Built-in clients of operating systems and gateways of clouds, played by A
// with scripted messages where it would not behave so by itself.

// Windows names no responder, proposes MODP-1024 unless told otherwise, tells
// of Win32 errors with a private notify, and is behind a NAT.
func TestQuirkWindows(t *testing.T) {
	windows := func(a, b *Peer, _, _ *Config) {
		a.Quirks.NoIDr = true
		a.Proposals = []spd.Proposal{ikeProposal("aes256-sha1-modp1024"), ikeProposal("3des-sha1-modp1024")}
		a.Children[0].Proposals = []spd.Proposal{espProposal("aes256-sha1-noesn"), espProposal("aes128-sha1-noesn")}
		b.Children[0].Proposals = []spd.Proposal{espProposal("aes256-sha1-noesn")}
	}
	t.Run("group refused", func(t *testing.T) {
		s := natScene(t, windows).initiateBehindNAT()
		s.pass(time.Minute)
		require.Empty(t, find[ike.SessionUp](s.B.happened))
		require.ErrorContains(t, find[ike.SessionFailed](s.B.happened)[0].Err, "modp1024")
	})
	t.Run("group allowed", func(t *testing.T) {
		s := natScene(t, windows, func(_, b *Peer, _, _ *Config) {
			b.Proposals = append(b.Proposals, ikeProposal("aes256-sha1-modp1024"))
			b.Quirks.NoChildRekeyInitiation = true
			b.Children[0].Rekey, b.Children[0].Lifetime = 10*time.Minute, 12*time.Hour
		}).initiateBehindNAT()
		require.Len(t, find[ike.SessionUp](s.B.happened), 1)
		s.forgetEvents()
		// The gateway begins no rekey of a Child SA: the client would refuse it.
		s.pass(30 * time.Minute)
		require.Empty(t, find[ike.ChildRekeyed](s.B.happened))
		require.Zero(t, s.count("B --rekey-child--> A", 0))
		// The client does, without a key exchange.
		s.A.rekeyChild()
		s.pass(10 * time.Second)
		require.Len(t, find[ike.ChildRekeyed](s.B.happened), 1)
		require.Zero(t, s.B.child().Proposal.KeyExchange())
		// Its error code is passed on, and ends nothing.
		require.Empty(t, s.A.asks(message.ExchangeInformational, &message.Notify{Type: 12345, Data: []byte{0, 0, 0x36, 0xb1}}).Payloads)
		n := find[ike.PeerNotify](s.B.happened)
		require.Len(t, n, 1)
		require.EqualValues(t, 12345, n[0].Type)
		require.Equal(t, []byte{0, 0, 0x36, 0xb1}, n[0].Data)
		require.Equal(t, "N(MS_NOTIFY_STATUS 000036b1)", n[0].Text)
		require.Len(t, s.B.sessions, 1)
	})
	// It rekeys with MODP-2048 first when the gateway begins with the IKE SA.
	t.Run("IKE rekey", func(t *testing.T) {
		s := newScene(t, func(a, b *Peer, _, _ *Config) {
			both := []spd.Proposal{ikeProposal("aes256-sha256-ecp256-modp2048")}
			a.Proposals, b.Proposals = both, both
			b.Quirks.RekeyGroupFirst = spd.KEMODP2048
		}).establish()
		require.EqualValues(t, spd.KEECP256, s.B.anySA().alg.group)
		s.B.rekeyIKE()
		offer := s.B.anySA().req.payloads
		require.EqualValues(t, spd.KEMODP2048, offer.KE().Group)
		require.EqualValues(t, spd.KEMODP2048, offer.SA().Proposals[0].Transforms[slices.IndexFunc(offer.SA().Proposals[0].Transforms,
			func(x message.Transform) bool { return x.Type == spd.TransformKE })].ID, "first in the list")
		s.pass(4 * time.Minute)
		s.converged(1)
		require.EqualValues(t, spd.KEMODP2048, s.B.anySA().alg.group)
	})
}

// Apple asks for no certificate and yet wants one, numbers its proposals from
// 3 when it rekeys the IKE SA, and sends distinguished names with the type of
// a domain name.
func TestQuirkApple(t *testing.T) {
	t.Run("no CERTREQ", func(t *testing.T) {
		for _, always := range []bool{true, false} {
			s := newScene(t, certificates(t, testpki.P256, testpki.RSA2048), func(a, b *Peer, _, _ *Config) {
				b.Local.AlwaysSendCert = always
				a.Local.AlwaysSendCert = true
			}).atPKITime()
			var sent bool
			s.B.cfg.Trace = func(tr ike.TraceRecord) {
				s.B.name1(tr)
				m, err := message.Parse(tr.Message)
				if err == nil && tr.Outbound && m.Header.Exchange == message.ExchangeIKEAuth {
					for range m.CERTs() {
						sent = true
					}
				}
			}
			s.initiate()
			s.A.sends("init")
			s.B.sends("init:ok")
			payloads := without(s.A.anySA().req.payloads, message.PayloadCERTREQ)
			s.A.out = nil
			require.NotNil(t, s.A.injects(s.A.protect(message.ExchangeIKEAuth, 1, false, payloads...)))
			require.Len(t, find[ike.SessionUp](s.B.happened), 1)
			require.Equal(t, always, sent)
		}
	})
	t.Run("proposals numbered from 3", func(t *testing.T) {
		s := newScene(t).establish()
		s.A.rekeyIKE()
		payloads := s.A.anySA().req.payloads
		s.A.out = nil
		c := &message.SA{Proposals: slices.Clone(payloads.SA().Proposals)}
		for i := range c.Proposals {
			c.Proposals[i].Num = uint8(i + 3)
		}
		payloads[0] = c
		a := s.A.injects(s.A.protect(message.ExchangeCreateChildSA, s.A.nextID(), false, payloads...))
		require.NotNil(t, a.SA())
		require.EqualValues(t, 3, a.SA().Proposals[0].Num, "the answer has the number of the offer")
	})
	t.Run("DN as FQDN", func(t *testing.T) {
		ca := testpki.NewCA(t, "test CA")
		leaf := ca.Issue(t, testpki.Spec{Subject: "phone", KeyNumber: 7})
		dn := ike.DNIdentity(leaf.RawSubject)
		for _, tolerant := range []bool{true, false} {
			s := newScene(t, certificates(t, testpki.P256, testpki.P256), func(a, b *Peer, _, _ *Config) {
				a.Local.ID = ike.Identity{Type: ike.IDFQDN, Data: dn.String()}
				a.Local.AlwaysSendCert = true
				a.Local.Credential = (&ike.Credential{Certificates: leaf.Chain(), Signer: leaf.Key}).Source()
				b.Remote.ID = ike.ExactIdentity(dn)
				b.Remote.Trust = &ike.Trust{Roots: caRoots(ca)}
				b.Quirks.DNAsFQDN = tolerant
			}).atPKITime()
			s.initiate().flush()
			require.Equal(t, tolerant, len(find[ike.SessionUp](s.B.happened)) == 1, "%v", s.B.happened)
		}
	})
}

// Android sends two lists, one without combined modes and one with, and a KE
// for MODP-4096, the first of many.
func TestQuirkAndroid(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		a.Proposals = []spd.Proposal{
			ikeProposal("aes256ctr-aes256-aes192-aes128-sha512-sha384-sha256-aesxcbc-aescmac-prfsha512-prfsha384-prfsha256-prfaesxcbc-modp4096-x25519-modp3072-modp2048"),
			ikeProposal("chacha20poly1305-aes256gcm16-aes256gcm12-aes128gcm16-prfsha512-prfsha384-prfsha256-modp4096-x25519-modp3072-modp2048"),
		}
		b.Proposals = []spd.Proposal{ikeProposal("aes256gcm16-prfsha384-x25519-ecp384")}
		a.Request = &ike.ConfigRequest{IPv4: true, IPv6: true, DNS: true}
	}).initiate()
	require.EqualValues(t, spd.KEMODP4096, inClear(t, s.A.out[0]).KE().Group)
	s.A.sends("init")
	require.Equal(t, message.NotifyInvalidKEPayload, onlyNotify(inClear(t, s.B.out[0])))
	s.flush()
	s.converged(1)
	require.Equal(t, "aes256gcm16-prfsha384-x25519", s.B.anySA().alg.proposal.String())
	require.EqualValues(t, spd.KECurve25519, s.A.anySA().alg.group)
}

// AWS and Azure's route-based gateways: everything to everything, and their
// lifetimes; the tunnel's own policies are somebody else's business.
func TestQuirkCloudRouteBased(t *testing.T) {
	for name, c := range map[string]struct{ ikeLife, childLife time.Duration }{
		"AWS":   {8 * time.Hour, time.Hour},
		"Azure": {8 * time.Hour, 27000 * time.Second},
		"GCP":   {36000 * time.Second, 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(a, b *Peer, _, _ *Config) {
				a.Timing.Rekey, a.Children[0].Rekey = c.ikeLife, c.childLife
				b.Timing.Rekey, b.Children[0].Rekey = -1, -1
				for _, p := range []*Peer{a, b} {
					p.Children[0].Local, p.Children[0].Remote = selectorSet("0.0.0.0/0"), selectorSet("0.0.0.0/0")
					p.Children[0].NoPolicies = true
					p.Children[0].ReqID = 77
				}
			}).establish()
			s.pass(24 * time.Hour)
			require.GreaterOrEqual(t, len(find[ike.SessionRekeyed](s.B.happened)), 2)
			require.GreaterOrEqual(t, len(find[ike.ChildRekeyed](s.B.happened)), 3)
			require.Empty(t, find[ike.ChildDown](s.B.happened))
			require.Empty(t, find[ike.SessionDown](s.B.happened))
			require.Empty(t, s.A.plane.Policies())
			require.EqualValues(t, 77, s.A.child().ReqID)
			require.Len(t, s.A.plane.SAs(), 2)
			require.Empty(t, spd.CompareMemory(s.A.plane, s.B.plane))
		})
	}
}

// GCP carries all networks in one Child SA.
func TestQuirkGCPManySelectors(t *testing.T) {
	nets := []string{"10.1.0.0/16", "10.8.0.0/16", "10.10.0.0/16", "172.16.0.0/24", "192.168.5.0/24"}
	s := newScene(t, selectorsOf(nets, []string{"10.2.0.0/16", "10.4.0.0/16"}, []string{"10.2.0.0/16", "10.4.0.0/16"}, nets))
	s.initiate().flush()
	s.converged(1)
	require.Equal(t, selectorSet(nets...), s.A.child().LocalTS)
	require.Len(t, s.A.plane.Policies(), 2*5*2)
}
