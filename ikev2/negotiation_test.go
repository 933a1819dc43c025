package ikev2

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/spd"
)

func selectorSet(s ...string) (set []spd.TrafficSelector) {
	for _, x := range s {
		set = append(set, spd.MustParseTrafficSelector(x))
	}
	return set
}

// selectorsOf sets the first Child's selectors as each side sees them.
func selectorsOf(aLocal, aRemote, bLocal, bRemote []string) sceneOption {
	return func(a, b *Peer, _, _ *Config) {
		a.Children[0].Local, a.Children[0].Remote = selectorSet(aLocal...), selectorSet(aRemote...)
		b.Children[0].Local, b.Children[0].Remote = selectorSet(bLocal...), selectorSet(bRemote...)
	}
}

func TestNarrowing(t *testing.T) {
	for name, c := range map[string]struct{ aLocal, aRemote, bLocal, bRemote, local, remote []string }{
		"equal":              {[]string{"10.1.0.0/16"}, []string{"10.2.0.0/16"}, []string{"10.2.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.2.0.0/16"}},
		"responder narrows":  {[]string{"0.0.0.0/0"}, []string{"0.0.0.0/0"}, []string{"10.2.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.2.0.0/16"}},
		"initiator narrower": {[]string{"10.1.7.0/24"}, []string{"10.2.0.1/32"}, []string{"10.2.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.7.0/24"}, []string{"10.2.0.1/32"}},
		"crosswise":          {[]string{"10.0.0.0/8"}, []string{"10.2.0.0/24"}, []string{"10.2.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.2.0.0/24"}},
		"several": {[]string{"10.1.0.0/24", "10.1.9.0/24", "192.168.0.0/16"}, []string{"10.2.0.0/24", "10.3.0.0/24"},
			[]string{"10.2.0.0/16", "10.3.0.0/16"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/24", "10.1.9.0/24"}, []string{"10.2.0.0/24", "10.3.0.0/24"}},
		"both families": {[]string{"10.1.0.0/16", "2001:db8:1::/48"}, []string{"10.2.0.0/16", "2001:db8:2::/48"},
			[]string{"10.2.0.0/16", "2001:db8:2::/48"}, []string{"10.1.0.0/16", "2001:db8:1::/48"}, []string{"10.1.0.0/16", "2001:db8:1::/48"}, []string{"10.2.0.0/16", "2001:db8:2::/48"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, selectorsOf(c.aLocal, c.aRemote, c.bLocal, c.bRemote))
			s.initiate().flush()
			a, b := s.A.child(), s.B.child()
			require.Equal(t, selectorSet(c.local...), a.LocalTS)
			require.Equal(t, selectorSet(c.remote...), a.RemoteTS)
			require.Equal(t, a.LocalTS, b.RemoteTS)
			require.Equal(t, a.RemoteTS, b.LocalTS)
			require.Empty(t, spd.CompareMemory(s.A.plane, s.B.plane))
			// The rekey keeps what was agreed, even if it was narrowed.
			s.A.rekeyChild()
			s.pass(10 * time.Second)
			require.Equal(t, selectorSet(c.local...), s.A.child().LocalTS)
			s.B.rekeyChild()
			s.pass(10 * time.Second)
			require.Equal(t, selectorSet(c.local...), s.A.child().LocalTS)
			require.Equal(t, selectorSet(c.remote...), s.A.child().RemoteTS)
		})
	}
}

// TS_UNACCEPTABLE: the IKE SA comes up without the Child SA (RFC 7296 1.2), and
// both sides say what was offered and wanted.
func TestTSUnacceptable(t *testing.T) {
	s := newScene(t, selectorsOf([]string{"10.1.0.0/16"}, []string{"10.2.0.0/16"}, []string{"10.9.0.0/16"}, []string{"10.1.0.0/16"}))
	s.initiate().flush()
	s.converged(0)
	for _, a := range []*actor{s.A, s.B} {
		failed := find[ike.ChildFailed](a.happened)
		require.Len(t, failed, 1, a.name)
		require.ErrorContains(t, failed[0].Err, "TS_UNACCEPTABLE")
		require.ErrorContains(t, failed[0].Err, "10.1.0.0/16")
		require.ErrorContains(t, failed[0].Err, "10.2.0.0/16")
		require.Len(t, find[ike.SessionUp](a.happened), 1)
	}
	require.ErrorContains(t, find[ike.ChildFailed](s.B.happened)[0].Err, "10.9.0.0/16")
}

// A Child SA's algorithms do not fit.
func TestChildNoProposalChosen(t *testing.T) {
	s := newScene(t, func(_, b *Peer, _, _ *Config) {
		b.Children[0].Proposals = []spd.Proposal{espProposal("aes256-sha256-noesn")}
	})
	s.initiate().flush()
	s.converged(0)
	a, b := find[ike.ChildFailed](s.A.happened)[0].Err, find[ike.ChildFailed](s.B.happened)[0].Err
	require.ErrorContains(t, a, "NO_PROPOSAL_CHOSEN")
	require.ErrorContains(t, a, "aes128gcm16")
	require.ErrorIs(t, b, spd.ErrNoProposalChosen)
	require.ErrorContains(t, b, "aes256")
}

// Several Children: the first with IKE_AUTH, the others by CREATE_CHILD_SA.
func TestSeveralChildren(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		for _, p := range []*Peer{a, b} {
			for i, n := range []string{"20", "30"} {
				c := *p.Children[0]
				c.Name = []string{"second", "third"}[i]
				c.Local, c.Remote = selectorSet("10."+n+".1.0/24"), selectorSet("10."+n+".2.0/24")
				if p == b {
					c.Local, c.Remote = c.Remote, c.Local
				}
				p.Children = append(p.Children, &c)
			}
		}
	})
	s.initiate().flush()
	s.converged(3)
	up := find[ike.ChildUp](s.B.happened)
	require.Len(t, up, 3)
	for i, name := range []string{"net", "second", "third"} {
		require.Equal(t, name, up[i].Child.Name)
	}
	// Each has its own life.
	st, _ := s.A.Session(s.A.session().ID)
	require.NoError(t, s.A.DeleteChild(s.now, st.ID, st.Children[1].ID))
	s.pass(10 * time.Second)
	s.converged(2)
	require.NoError(t, s.A.CreateChild(s.now, st.ID, "second", 0, nil))
	s.flush()
	s.converged(3)
	require.ErrorContains(t, s.A.CreateChild(s.now, st.ID, "fourth", 0, nil), `no Child "fourth"`)
}

// One Child SA per pair of selectors, for peers that take only one: because it
// is configured, or because the peer says so.
func TestOnePairPerChild(t *testing.T) {
	set := selectorsOf([]string{"10.1.0.0/24", "10.1.1.0/24"}, []string{"10.2.0.0/24", "10.2.1.0/24"}, []string{"10.2.0.0/24", "10.2.1.0/24"}, []string{"10.1.0.0/24", "10.1.1.0/24"})
	s := newScene(t, set, func(a, b *Peer, _, _ *Config) { a.Quirks.OnePairPerChild, b.Quirks.OnePairPerChild = true, true })
	s.initiate().flush()
	s.converged(4)
	pairs := map[string]bool{}
	st, _ := s.A.Session(s.A.session().ID)
	for _, c := range st.Children {
		require.Len(t, c.LocalTS, 1)
		require.Len(t, c.RemoteTS, 1)
		pairs[c.LocalTS[0].String()+" "+c.RemoteTS[0].String()] = true
	}
	require.Len(t, pairs, 4)
	for _, c := range st.Children {
		require.NoError(t, s.A.RekeyChild(s.now, st.ID, c.ID))
	}
	s.pass(10 * time.Second)
	s.converged(4)
}

// Perfect forward secrecy: with the configured group, or with one that the
// peer wants.
func TestPFS(t *testing.T) {
	for name, c := range map[string]struct {
		a, b  string
		group uint16
	}{
		"none":        {"aes128gcm16-noesn", "aes128gcm16-noesn", 0},
		"both":        {"aes128gcm16-x25519-noesn", "aes128gcm16-x25519-noesn", spd.KECurve25519},
		"invalid KE":  {"aes128gcm16-x25519-ecp256-noesn", "aes128gcm16-ecp256-noesn", spd.KEECP256},
		"peer's wish": {"aes128gcm16-ecp384-noesn", "aes128gcm16-noesn", spd.KEECP384},
		"optional":    {"aes128gcm16-x25519-none-noesn", "aes128gcm16-noesn", spd.KECurve25519},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(a, b *Peer, _, _ *Config) {
				a.Children[0].Proposals = []spd.Proposal{espProposal(c.a)}
				b.Children[0].Proposals = []spd.Proposal{espProposal(c.b)}
			}).establish()
			require.Zero(t, s.A.child().Proposal.KeyExchange(), "IKE_AUTH has no key exchange of its own")
			s.A.rekeyChild()
			s.pass(10 * time.Second)
			s.converged(1)
			require.Equal(t, c.group, s.A.child().Proposal.KeyExchange())
			require.Equal(t, c.group, s.B.child().Proposal.KeyExchange())
		})
	}
}

// A configuration that asks for perfect forward secrecy gets it or fails.
func TestPFSIsNotGivenUp(t *testing.T) {
	s := newScene(t, func(a, b *Peer, _, _ *Config) {
		a.Children[0].Proposals = []spd.Proposal{espProposal("aes128gcm16-noesn")}
		b.Children[0].Proposals = []spd.Proposal{espProposal("aes128gcm16-x25519-noesn")}
	}).establish()
	old := s.A.child()
	s.A.rekeyChild()
	s.flush()
	require.Equal(t, old.ChildSPIs, s.A.child().ChildSPIs, "the old one lives on")
	require.NotEmpty(t, find[ike.RekeyFailed](s.A.happened))
	s.flow()
}

// AH, and ESP with extended sequence numbers.
func TestProtocols(t *testing.T) {
	for _, p := range []spd.Proposal{
		spd.MustParseProposal(spd.ProtoAH, "sha256-esn"),
		espProposal("aes256-sha512-esn"),
		espProposal("null-sha256-noesn"),
		espProposal("chacha20poly1305-esn"),
	} {
		s := newScene(t, func(a, b *Peer, _, _ *Config) {
			a.Children[0].Proposals, b.Children[0].Proposals = []spd.Proposal{p}, []spd.Proposal{p}
		})
		s.initiate().flush()
		s.converged(1)
		require.Equal(t, p.Protocol, s.A.child().Protocol)
		require.Equal(t, p.ESN(), s.B.child().Proposal.ESN())
		s.traffic = true
		s.B.rekeyChild()
		s.pass(10 * time.Second)
		s.converged(1)
		s.A.deleteChildQuietly()
		s.pass(10 * time.Second)
		s.converged(0)
	}
}

// deleteChildQuietly deletes without minding traffic.
func (a *actor) deleteChildQuietly() {
	a.s.traffic = false
	a.deleteChild()
}

// Every IKE algorithm carries a handshake, a rekey and a Child SA.
func TestIKEAlgorithms(t *testing.T) {
	for _, text := range []string{
		"aes128-sha256-ecp256", "aes256-sha512-ecp521", "aes192-sha384-ecp384", "aes128-sha1-modp2048", "aes128-md5-ecp256", "3des-sha1-ecp256",
		"aes128ctr-sha256-x25519", "aes128-aesxcbc-prfaesxcbc-x25519", "aes128-aescmac-prfaescmac-x25519",
		"aes128gcm8-prfsha256-x25519", "aes256gcm12-prfsha384-x25519", "aes256gcm16-prfsha512-x25519", "aes128ccm8-prfsha256-x25519",
		"aes256ccm16-prfsha256-x25519", "chacha20poly1305-prfsha256-x25519", "aes128gcm16-prfmd5-x25519", "aes128gcm16-prfsha1-x25519",
	} {
		t.Run(text, func(t *testing.T) {
			s := newScene(t, func(a, b *Peer, _, _ *Config) {
				a.Proposals, b.Proposals = []spd.Proposal{ikeProposal(text)}, []spd.Proposal{ikeProposal(text)}
			})
			s.initiate().flush()
			s.converged(1)
			s.A.rekeyIKE()
			s.pass(time.Minute)
			s.converged(1)
			s.B.rekeyIKE()
			s.pass(time.Minute)
			s.converged(1)
			require.Equal(t, ikeProposal(text).String(), s.B.session().current.alg.proposal.String())
		})
	}
}

// Without a Child SA (RFC 6023), if both want it so.
func TestChildless(t *testing.T) {
	childless := func(a, b bool) sceneOption {
		return func(pa, pb *Peer, _, _ *Config) { pa.Childless, pb.Childless = a, b }
	}
	s := newScene(t, childless(true, true))
	_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Children: []string{}})
	require.NoError(t, err)
	s.flush()
	s.converged(0)
	require.NoError(t, s.A.CreateChild(s.now, s.A.session().ID, "net", 0, nil))
	s.flush()
	s.converged(1)

	s = newScene(t, childless(true, false))
	_, err = s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: pathAB(), Children: []string{}})
	require.NoError(t, err)
	s.flush()
	require.ErrorContains(t, find[ike.SessionFailed](s.A.happened)[0].Err, "RFC 6023")
	s.pass(2 * time.Minute)
	s.gone()
}

// Transport mode is negotiated, or the Child SA fails with the reason.
func TestTransportMode(t *testing.T) {
	transport := func(a, b spd.Mode) sceneOption {
		return func(pa, pb *Peer, _, _ *Config) {
			for p, m := range map[*Peer]spd.Mode{pa: a, pb: b} {
				c := p.Children[0]
				c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = m, nil, nil, true, true
			}
		}
	}
	s := newScene(t, transport(spd.ModeTransport, spd.ModeTransport))
	s.initiate().flush()
	require.Equal(t, spd.ModeTransport, s.A.child().Mode)
	require.Equal(t, spd.ModeTransport, s.B.child().Mode)
	require.Equal(t, selectorSet("192.0.2.1/32"), s.A.child().LocalTS)
	require.Equal(t, selectorSet("192.0.2.2/32"), s.A.child().RemoteTS)
	s.B.rekeyChild()
	s.pass(10 * time.Second)
	require.Equal(t, spd.ModeTransport, s.B.child().Mode)
	require.Empty(t, spd.CompareMemory(s.A.plane, s.B.plane))

	s = newScene(t, transport(spd.ModeTransport, spd.ModeTunnel))
	s.initiate().flush()
	require.ErrorContains(t, find[ike.ChildFailed](s.A.happened)[0].Err, "transport mode")
	s.pass(time.Minute)
	s.converged(0)

	s = newScene(t, transport(spd.ModeTunnel, spd.ModeTransport))
	s.initiate().flush()
	require.ErrorContains(t, find[ike.ChildFailed](s.B.happened)[0].Err, "tunnel mode")
	s.converged(0)
}

// natScene puts A, whose own address is 10.1.1.1, behind a NAT that shows
// 192.0.2.1.
func natScene(t testing.TB, options ...sceneOption) *scene {
	s := newScene(t, options...)
	s.nat = &natBox{inside: netip.MustParseAddrPort("10.1.1.1:500"), insideT: netip.MustParseAddrPort("10.1.1.1:4500"),
		outside: netip.MustParseAddrPort("192.0.2.1:1024"), outsideT: netip.MustParseAddrPort("192.0.2.1:1025")}
	return s
}

func (s *scene) initiateBehindNAT() *scene {
	s.t.Helper()
	n := s.nat
	_, err := s.A.Initiate(s.now, Initiation{Peer: s.A.peer, Path: ike.Path{Local: n.inside, Remote: addrB},
		NATTPath: ike.Path{Local: n.insideT, Remote: netip.AddrPortFrom(addrB.Addr(), 4500)}})
	require.NoError(s.t, err)
	s.flush()
	return s
}

// Behind a NAT both float to the other port, and ESP travels in UDP.
func TestNATDetected(t *testing.T) {
	s := natScene(t).initiateBehindNAT()
	a, b := s.A.session(), s.B.session()
	require.True(t, a.NATLocal)
	require.False(t, a.NATRemote)
	require.True(t, b.NATRemote)
	require.False(t, b.NATLocal)
	require.Equal(t, s.nat.insideT, a.Path.Local)
	require.Equal(t, s.nat.outsideT, b.Path.Remote)
	require.EqualValues(t, 4500, b.Path.Local.Port())
	require.True(t, s.A.child().UDPEncap)
	require.True(t, s.B.child().UDPEncap)
	require.Empty(t, spd.CompareMemory(s.A.plane, s.B.plane))
	for _, i := range s.B.plane.Bundles() {
		require.True(t, i.Bundle.UDPEncap)
		require.Equal(t, s.nat.outsideT, i.Bundle.Remote)
	}
}

// A NAT that loses its mapping: the next authenticated message shows the new
// one, and Child SAs move along. An unauthenticated one changes nothing.
func TestNATRebinding(t *testing.T) {
	s := natScene(t).initiateBehindNAT()
	s.forgetEvents()
	old := s.nat.outsideT
	s.nat.outsideT = netip.MustParseAddrPort("192.0.2.7:7777")
	require.NoError(t, s.A.CheckLiveness(s.now, s.A.session().ID))
	s.work()
	tx := s.A.out[0]
	forged := append([]byte(nil), tx.Packet...)
	forged[len(forged)-1] ^= 1
	s.B.HandleDatagram(s.now, ike.Path{Local: netip.AddrPortFrom(addrB.Addr(), 4500), Remote: netip.MustParseAddrPort("203.0.113.1:666")}, forged)
	require.Equal(t, old, s.B.session().Path.Remote)
	s.flush()
	require.Equal(t, s.nat.outsideT, s.B.session().Path.Remote)
	moved := find[ike.SessionMoved](s.B.happened)
	require.Len(t, moved, 1)
	require.Equal(t, old, moved[0].Old.Remote)
	for _, i := range s.B.plane.Bundles() {
		require.Equal(t, s.nat.outsideT, i.Bundle.Remote)
	}
	s.traffic = false
	// The repetition of an old request from elsewhere moves nothing.
	s.B.HandleDatagram(s.now, ike.Path{Local: netip.AddrPortFrom(addrB.Addr(), 4500), Remote: netip.MustParseAddrPort("203.0.113.1:666")}, tx.Packet)
	s.work()
	require.Equal(t, s.nat.outsideT, s.B.session().Path.Remote)
	for _, tx := range s.B.out {
		require.Equal(t, s.nat.outsideT, tx.Path.Remote, "no answer to a stranger")
	}
}

// Transport mode behind a NAT (RFC 7296 2.23.1): each side sees its own
// addresses, and keeps the other's for the checksums.
func TestTransportModeBehindNAT(t *testing.T) {
	s := natScene(t, func(pa, pb *Peer, _, _ *Config) {
		for _, p := range []*Peer{pa, pb} {
			c := p.Children[0]
			c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = spd.ModeTransport, nil, nil, true, true
		}
	}).initiateBehindNAT()
	a, b := s.A.child(), s.B.child()
	require.Equal(t, selectorSet("10.1.1.1/32"), a.LocalTS)
	require.Equal(t, selectorSet("192.0.2.2/32"), a.RemoteTS)
	require.Equal(t, selectorSet("192.0.2.2/32"), b.LocalTS)
	require.Equal(t, selectorSet("192.0.2.1/32"), b.RemoteTS)
	for _, i := range s.B.plane.Bundles() {
		require.Equal(t, netip.MustParseAddr("10.1.1.1"), i.Bundle.OriginalRemote, "NAT-OA of the initiator")
	}
	s.A.rekeyChild()
	s.pass(10 * time.Second)
	require.Equal(t, selectorSet("192.0.2.1/32"), s.B.child().RemoteTS)
	require.NotEqual(t, b.In, s.B.child().In)
	s.B.rekeyChild()
	s.pass(10 * time.Second)
	require.Equal(t, selectorSet("10.1.1.1/32"), s.A.child().LocalTS)
	require.Equal(t, selectorSet("192.0.2.1/32"), s.B.child().RemoteTS)
	st, _ := s.A.Session(s.A.session().ID)
	require.Len(t, st.Children, 1)
	require.Empty(t, find[ike.Warning](s.A.happened))
	require.Empty(t, find[ike.Warning](s.B.happened))
}

// The program's callback may narrow further, refuse, and not widen.
func TestNarrowCallback(t *testing.T) {
	narrow := func(f ike.Narrow) sceneOption {
		return func(a, b *Peer, _, cb *Config) {
			a.Children[0].Local = selectorSet("0.0.0.0/0")
			b.Children[0].Remote = selectorSet("0.0.0.0/0")
			cb.Narrow = f
		}
	}
	s := newScene(t, narrow(func(_ context.Context, r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
		require.Equal(t, selectorSet("0.0.0.0/0"), r.OfferedRemote)
		return r.Local, selectorSet("10.1.2.3/32"), nil
	}))
	s.initiate().flush()
	require.Equal(t, selectorSet("10.1.2.3/32"), s.A.child().LocalTS)

	s = newScene(t, narrow(func(_ context.Context, r ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
		return selectorSet("10.0.0.0/8"), r.Remote, nil
	}))
	s.initiate().flush()
	s.converged(0)
	require.ErrorContains(t, find[ike.ChildFailed](s.B.happened)[0].Err, "not within the offered")

	s = newScene(t, narrow(func(context.Context, ike.NarrowRequest) ([]spd.TrafficSelector, []spd.TrafficSelector, error) {
		return nil, nil, context.DeadlineExceeded
	}))
	s.initiate().flush()
	s.converged(0)
	require.ErrorIs(t, find[ike.ChildFailed](s.B.happened)[0].Err, context.DeadlineExceeded)
}

// A failed installation changes the reply (R12), and leaves nothing.
func TestInstallationFails(t *testing.T) {
	for _, op := range []spd.Operation{spd.OpAllocSPI, spd.OpInstallInbound, spd.OpInstallOutbound, spd.OpSetPolicies} {
		t.Run(op.String(), func(t *testing.T) {
			broken := context.DeadlineExceeded
			s := newScene(t)
			s.B.plane.FailNext(op, broken)
			s.initiate().flush()
			require.ErrorIs(t, find[ike.ChildFailed](s.B.happened)[0].Err, broken)
			require.ErrorContains(t, find[ike.ChildFailed](s.A.happened)[0].Err, message.NotifyTemporaryFailure.String())
			s.pass(time.Minute)
			s.converged(0)
			require.NoError(t, s.A.CreateChild(s.now, s.A.session().ID, "net", 0, nil))
			s.flush()
			s.converged(1)

			// At the initiator the peer's half is deleted again.
			s = newScene(t)
			s.A.plane.FailNext(op, broken)
			s.initiate().flush()
			if op == spd.OpAllocSPI {
				require.ErrorIs(t, find[ike.SessionFailed](s.A.happened)[0].Err, broken)
				s.pass(2 * time.Minute)
				s.gone()
				return
			}
			require.ErrorIs(t, find[ike.ChildFailed](s.A.happened)[0].Err, broken)
			s.pass(time.Minute)
			s.converged(0)
		})
	}
}
