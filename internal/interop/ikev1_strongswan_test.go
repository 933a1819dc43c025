//go:build linux

package interop

import (
	"crypto/x509"
	"net/netip"
	"testing"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/internal/testpki"
)

// newSwanV1 is newSwan with IKEv1, and algorithms that both sides have there.
func newSwanV1(t *testing.T) *swan { return newSwan(t).v1() }

// v1 sets both sides to IKEv1.
func (s *swan) v1() *swan {
	useV1(&s.Peer)
	s.Swan.Conns[0].Version = 1
	s.algorithms("aes128-sha256-modp2048", "aes128-sha256")
	return s
}

func (s *swan) aggressive() {
	useAggressive(&s.Peer)
	s.Swan.Conns[0].Aggressive = true
}

// upV1 is up for IKEv1. There the initiator has its SAs before the responder has
// the last message; packets that come first would be lost.
func (s *swan) upV1(r role) *racoon.Session {
	s.t.Helper()
	session := s.up(r)
	s.agree()
	return session
}

// roadWarrior makes the one who initiates a client with XAuth, and the other a
// gateway that gives an address. Both prove themselves as before.
func (s *swan) roadWarrior(r role) *assigner {
	c := &s.Swan.Conns[0]
	s.Swan.EAP = map[string]string{user: password}
	if r == weInitiate {
		s.Peer.UserPrompt = ike.StaticUser(user, []byte(password))
		s.Peer.RequestAddress = true
		s.Peer.Children = []racoon.Child{{Name: "net", Remote: []string{s.b.InnerNet.String()}, Proposals: s.Peer.Children[0].Proposals}}
		c.XAuthClients, c.Remote, c.Pools, c.Children[0].RemoteTS = true, "", "p", "dynamic"
		s.Swan.Pools = []lab.StrongSwanPool{{Name: "p", Addrs: "10.3.0.0/24", Extra: "dns = 10.2.0.53"}}
		return nil
	}
	s.Peer.Users = users{user: password}
	pool := newV1Pool()
	s.Peer.Assign = pool
	s.Peer.Children = []racoon.Child{{Name: "net", Local: []string{s.a.InnerNet.String()}, Remote: []string{"dynamic"}, Proposals: s.Peer.Children[0].Proposals}}
	c.XAuthUser, c.VirtualIPs, c.Children[0].LocalTS = user, "0.0.0.0", "dynamic"
	return pool
}

// hybrid makes the gateway, who does not initiate, prove itself by a certificate
// and the client by XAuth alone. After roadWarrior.
func (s *swan) hybrid(r role) {
	ca := testpki.NewIssuer(s.t, testpki.RSA2048, 0)
	c := &s.Swan.Conns[0]
	s.Peer.PSK, s.Swan.PSK = nil, ""
	s.Peer.IKEv1.Hybrid = true
	if r == weInitiate {
		s.Peer.Trust, s.Peer.LocalID = &ike.Trust{Roots: []*x509.Certificate{ca.Root()}}, "keyid:"+group
		c.LocalAuth, c.RemoteAuth, c.RemoteID, c.XAuthClients = "pubkey", "xauth", "", false
		s.Swan.Certs, s.Swan.CAs = []*testpki.Cert{ca.Host(s.t, testpki.RSA2048, "b.lab")}, []*testpki.Cert{ca}
		return
	}
	s.Peer.Credential, s.Peer.RemoteID = credential(ca.Host(s.t, testpki.RSA2048, "a.lab")), "*"
	c.LocalAuth, c.RemoteAuth, c.LocalID = "xauth", "pubkey", "keyid:"+group
	s.Swan.CAs = []*testpki.Cert{ca}
}

// asVirtual gives us the address in the tunnel, or leads packets for it there,
// and returns the ends of the tunnel: ours and strongSwan's.
func (h *host) asVirtual(r role, peer *lab.Site) (ours, theirs netip.Addr) {
	h.t.Helper()
	if r == weInitiate {
		h.site.IP("addr add " + virtual.String() + "/32 dev tun0")
		return virtual, peer.Inner
	}
	h.routeTo(netip.MustParsePrefix("10.3.0.0/24"), h.site.Inner)
	return h.site.Inner, virtual
}
