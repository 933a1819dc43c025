//go:build linux

package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
)

// Main and Aggressive Mode with each way of authentication.
func TestIKEv1StrongSwanAuthentication(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		edit func(s *swan)
	}{
		{"Main PSK", func(*swan) {}},
		{"Main RSA", func(s *swan) { s.certificates(testpki.RSA2048, 1) }},
		{"Main ECDSA", func(s *swan) { s.certificates(testpki.P256, 0) }},
		{"Aggressive PSK", (*swan).aggressive},
		{"Aggressive RSA", func(s *swan) { s.certificates(testpki.RSA2048, 0); s.aggressive() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwanV1(t)
				c.edit(s)
				session := s.upV1(r)
				sa := s.agree()
				require.Equal(t, "1", sa.Fields["version"])
				require.Equal(t, r == weInitiate, session.Info().Initiator)
				require.Equal(t, "b.lab", session.Info().RemoteID.String())
				require.Equal(t, "a.lab", sa.RemoteID)
				s.traffic()
				sa = s.agree()
				require.Equal(t, int64(6), sa.Children[0].PacketsIn)
				require.Equal(t, int64(6), sa.Children[0].PacketsOut)
			})
		})
	}
}

// Algorithms of both phases, with and without perfect forward secrecy.
func TestIKEv1StrongSwanAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ike, esp string }{
		{"aes128-sha1-modp2048", "aes128-sha1"},
		{"aes256-sha256-modp2048", "aes256-sha256-modp2048"},
		{"aes192-sha384-modp3072", "aes192-sha384"},
		{"aes256-sha512-ecp256", "aes256-sha512-ecp256"},
		{"aes256-sha384-ecp384", "aes256gcm16"},
		{"3des-sha1-modp2048", "3des-sha1-modp2048"},
		{"camellia256-sha256-modp2048", "camellia128-sha256"},
	} {
		t.Run(c.ike+" "+c.esp, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwanV1(t)
				s.algorithms(c.ike, c.esp)
				session := s.upV1(r)
				s.traffic()
				// (The hash of IKEv1 is IKEv2's PRF.)
				require.Equal(t, strings.Replace(c.ike, "-sha", "-prfsha", 1), session.Info().Proposal.String())
				require.Equal(t, c.esp, session.ChildSAs()[0].Proposal.String())
			})
		})
	}
}

// What is refused, in both phases and on both sides, with the reason.
func TestIKEv1StrongSwanRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		edit         func(s *swan)
		ours, theirs string // what the error on our side says; and on theirs, as the initiator
	}{
		{"phase 1 proposal", func(s *swan) { s.Swan.Conns[0].Proposals = "aes256-sha512-ecp384" }, "NO-PROPOSAL-CHOSEN", "NO_PROP"},
		{"phase 2 proposal", func(s *swan) { s.Swan.Conns[0].Children[0].Proposals = "aes256-sha512" }, "NO-PROPOSAL-CHOSEN", "NO_PROP"},
		{"selectors", func(s *swan) { s.Peer.Children[0].Remote = []string{"10.77.0.0/16"} }, "10.77.0.0/16", "INVAL_ID"},
		{"key in Main Mode", func(s *swan) { s.Swan.PSK = "another" }, "", ""},
		{"key in Aggressive Mode", func(s *swan) { s.Swan.PSK = "another"; s.aggressive() }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwanV1(t)
				c.edit(s)
				if c.ours == "" { // nobody says why
					s.Peer.Timing = ike.Timing{RetransmitBase: 200 * time.Millisecond, RetransmitTries: 2}
					s.Swan.Charon += "\nretransmit_tries = 2"
				}
				s.start()
				if r == weInitiate {
					_, err := s.Initiate(s.within(), "swan")
					require.ErrorContains(t, err, c.ours)
					t.Log(err)
				} else {
					require.ErrorContains(t, s.peer.Initiate("net"), c.theirs)
				}
				s.until("no SA", func() bool { return len(s.plane.installed()) == 0 })
			})
		})
	}
}

// One configuration for both versions: whichever the peer calls with is answered.
func TestIKEv1StrongSwanEitherVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("they speak IKEv%d", version), func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwanV1(t)
				s.Peer.Versions = []racoon.Version{racoon.IKEv2, racoon.IKEv1}
				s.Swan.Conns[0].Version = version
				s.upV1(r)
				require.Equal(t, fmt.Sprint(version), s.agree().Fields["version"])
				s.traffic()
			})
		})
	}
}
