//go:build linux

package interop

import (
	"crypto/x509"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

const psk = "not so secret"

// A role is who begins.
type role string

const (
	weInitiate   role = "we initiate"
	theyInitiate role = "they initiate"
)

var bothRoles = []role{weInitiate, theyInitiate}

// A swan is a network with our side at a and strongSwan at b, and a
// configuration of both that fits: a.lab and b.lab with a pre-shared key and
// one Child SA between the inner networks. A test edits what it is about, and
// then starts them.
type swan struct {
	t    *testing.T
	a, b *lab.Site

	Host hostConfig
	Peer racoon.Peer
	Swan lab.StrongSwanConfig

	*host
	peer *lab.Charon
}

func newSwan(t *testing.T) *swan {
	lab.Require(t, lab.StrongSwan)
	a, b := lab.NewPair(t)
	return swanAt(t, a, b)
}

func swanAt(t *testing.T, a, b *lab.Site) *swan {
	return &swan{
		t: t, a: a, b: b,
		Peer: racoon.Peer{
			Name: "swan", Remote: b.Outer.String(), LocalID: "a.lab", RemoteID: "b.lab", PSK: []byte(psk),
			Children: []racoon.Child{{Name: "net", Local: []string{a.InnerNet.String()}, Remote: []string{b.InnerNet.String()}}},
		},
		Swan: lab.StrongSwanConfig{
			PSK: psk,
			Conns: []lab.StrongSwanConn{{
				Local: b.Outer.String(), Remote: a.Outer.String(), LocalID: "b.lab", RemoteID: "a.lab",
				Children: []lab.StrongSwanChild{{LocalTS: b.InnerNet.String(), RemoteTS: a.InnerNet.String()}},
			}},
			// It sometimes overlooks a response that comes very soon; 4 seconds are
			// long to wait for the next. It gives up after half a minute.
			Charon: "retransmit_timeout = 0.3\nretransmit_base = 1.5\nretransmit_tries = 8",
		},
	}
}

// algorithms sets the proposals of both sides.
func (s *swan) algorithms(ike, esp string) {
	s.Peer.Proposals, s.Swan.Conns[0].Proposals = []string{ike}, ike
	s.Peer.Children[0].Proposals, s.Swan.Conns[0].Children[0].Proposals = []string{esp}, esp
}

// start runs both sides.
func (s *swan) start() {
	s.t.Helper()
	s.peer = lab.StartStrongSwan(s.t, s.b.Namespace, s.Swan)
	if os.Getenv("RACOON_INTEROP_LOG") != "" {
		s.t.Cleanup(func() { s.t.Logf("strongSwan's log:\n%s", s.peer.Log()) })
	}
	s.Host.Peers = append(s.Host.Peers, s.Peer)
	s.host = startHost(s.t, s.a, s.Host)
	s.routeTo(s.b.InnerNet, s.a.Inner)
	s.routeTo(s.b.InnerNet6, s.a.Inner6)
}

// up starts both sides and brings the session up from one of them.
func (s *swan) up(r role) *racoon.Session {
	s.t.Helper()
	s.start()
	if s.Swan.DemandCookies {
		s.peer.DemandCookies() // for another 10 seconds
	}
	if r == weInitiate {
		s.initiate("swan")
	} else {
		require.NoError(s.t, s.peer.Initiate("net"))
	}
	session := s.session()
	s.until("the Child SA", func() bool { return len(session.ChildSAs()) > 0 })
	return session
}

// theirs returns strongSwan's only IKE SA, which must be established.
func (s *swan) theirs() lab.StrongSwanSA {
	s.t.Helper()
	var sas []lab.StrongSwanSA
	s.peer.WaitSAs(patience, "one established IKE SA", func(all []lab.StrongSwanSA) bool {
		sas = slices.DeleteFunc(all, func(sa lab.StrongSwanSA) bool { return sa.Name != "lab" }) // not that of DemandCookies
		if len(sas) > 1 && s.Swan.Conns[0].Version == 1 {
			// IKEv1: one that another took the Child SAs from stays for 10 seconds.
			sas = slices.DeleteFunc(sas, func(sa lab.StrongSwanSA) bool { return len(sa.Children) == 0 })
		}
		return len(sas) == 1 && sas[0].State == "ESTABLISHED"
	})
	return sas[0]
}

// agree checks that both sides hold the same SAs, and returns strongSwan's
// view of the IKE SA.
func (s *swan) agree() lab.StrongSwanSA {
	s.t.Helper()
	ours := s.session()
	var sa lab.StrongSwanSA
	type pair struct{ in, out uint32 }
	var x, y []pair
	var info ike.SessionInfo
	defer func() {
		if s.t.Failed() {
			s.t.Logf("ours: %x, IKE SPIs %x, %x; theirs: %+v", x, info.LocalSPI, info.RemoteSPI, sa)
		}
	}()
	s.until("the same SAs on both sides", func() bool {
		sa = s.theirs()
		x, y = nil, nil
		for _, c := range ours.ChildSAs() {
			x = append(x, pair{uint32(c.In), uint32(c.Out)})
		}
		sa.Children = slices.DeleteFunc(sa.Children, func(c lab.StrongSwanChildSA) bool {
			return c.State == "REKEYED" || c.State == "DELETED" // kept for packets on their way
		})
		for _, c := range sa.Children {
			if c.State != "INSTALLED" {
				return false
			}
			y = append(y, pair{c.SPIOut, c.SPIIn})
		}
		less := func(p, q pair) int { return int(int64(p.in) - int64(q.in)) }
		slices.SortFunc(x, less)
		slices.SortFunc(y, less)
		info = ours.Info()
		local, remote := sa.ResponderSPI, sa.InitiatorSPI
		if !sa.Initiator {
			local, remote = remote, local
		}
		return slices.Equal(x, y) && info.LocalSPI == local && info.RemoteSPI == remote
	})
	return sa
}

// certificates makes both sides prove themselves with keys of a type, issued
// below depth intermediate authorities.
func (s *swan) certificates(kt testpki.KeyType, depth int) {
	s.t.Helper()
	ca := testpki.NewIssuer(s.t, kt, depth)
	own, peer := ca.Host(s.t, kt, "a.lab"), ca.Host(s.t, kt, "b.lab")
	s.Peer.PSK, s.Peer.Credential, s.Peer.Trust = nil, credential(own), &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}
	s.Swan.PSK, s.Swan.Certs, s.Swan.CAs = "", []*testpki.Cert{peer}, []*testpki.Cert{ca}
}

func credential(c *testpki.Cert) *ike.Credential {
	return &ike.Credential{Certificates: c.Chain(), Signer: c.Key}
}

// traffic sends 3 datagrams from either side to the other and back.
func (s *swan) traffic() {
	s.t.Helper()
	s.reach(s.a, s.a.Inner, s.b, s.b.Inner)
	s.reach(s.b, s.b.Inner, s.a, s.a.Inner)
}

func forRoles(t *testing.T, f func(t *testing.T, r role)) {
	for _, r := range bothRoles {
		t.Run(string(r), func(t *testing.T) { f(t, r) })
	}
}

func TestStrongSwanPSK(t *testing.T) {
	t.Parallel()
	forRoles(t, func(t *testing.T, r role) {
		s := newSwan(t)
		session := s.up(r)
		sa := s.agree()
		require.Equal(t, r == weInitiate, session.Info().Initiator)
		require.Equal(t, "b.lab", session.Info().RemoteID.String())
		require.Equal(t, "a.lab", sa.RemoteID)
		s.traffic()
		sa = s.agree()
		require.Equal(t, int64(6), sa.Children[0].PacketsIn)
		require.Equal(t, int64(6), sa.Children[0].PacketsOut)
		st, err := session.Stats(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(6), st.Received.Packets)
		require.Equal(t, uint64(6), st.Sent.Packets)
		require.Equal(t, netip.AddrPortFrom(s.a.Outer, 4500), sa.RemoteHost, "strongSwan forces UDP encapsulation")
	})
}
