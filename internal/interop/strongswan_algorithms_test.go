//go:build linux

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// Algorithms of the IKE SA and of the Child SA, each in the words of both
// sides, with traffic through it.
func TestStrongSwanAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ike, esp string }{
		{"aes128gcm16-prfsha256-x25519", "aes128gcm16"},
		{"aes256gcm16-prfsha384-ecp384", "aes256gcm16"},
		{"aes192gcm8-prfsha512-ecp521", "aes128gcm12"},
		{"chacha20poly1305-prfsha256-ecp256", "chacha20poly1305"},
		{"aes128-sha256-modp2048", "aes128-sha256"},
		{"aes256-sha384-modp3072", "aes256-sha384"},
		{"aes256-sha512-modp4096", "aes256-sha512"},
		{"aes128ctr-sha256-ecp256", "aes128ctr-sha256"},
		{"aes128ccm16-prfsha256-x25519", "aes128ccm16"},
		{"aes128-aesxcbc-x25519", "aes128-aesxcbc"},
		{"aes128-aescmac-x25519", "aes128-sha1"},
		{"3des-sha1-modp2048", "3des-sha1"},
		{"camellia128-sha256-x25519", "camellia256-sha256"},
	} {
		t.Run(c.ike+" "+c.esp, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwan(t)
				s.algorithms(c.ike, c.esp)
				session := s.up(r)
				s.agree()
				s.traffic()
				require.Equal(t, c.ike, session.Info().Proposal.String())
				require.Equal(t, c.esp, session.ChildSAs()[0].Proposal.String())
			})
		})
	}
}

// Where nothing fits, the error says what was offered and what was wanted.
func TestStrongSwanNoProposal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, ike, esp, peerIKE, peerESP string }{
		{"IKE", "aes128gcm16-prfsha256-x25519", "aes128gcm16", "aes256-sha256-ecp256", "aes128gcm16"},
		{"ESP", "aes128gcm16-prfsha256-x25519", "aes128gcm16", "aes128gcm16-prfsha256-x25519", "aes256-sha256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			forRoles(t, func(t *testing.T, r role) {
				s := newSwan(t)
				s.algorithms(c.ike, c.esp)
				s.Swan.Conns[0].Proposals, s.Swan.Conns[0].Children[0].Proposals = c.peerIKE, c.peerESP
				s.start()
				if r == weInitiate {
					_, err := s.Initiate(s.within(), "swan")
					require.ErrorContains(t, err, "NO_PROPOSAL_CHOSEN")
					t.Log(err)
					return
				}
				require.ErrorContains(t, s.peer.Initiate("net"), "NO_PROP")
				if c.name == "IKE" {
					t.Log(waitEvent[ike.SessionFailed](s.host, 1).Err)
				} else {
					t.Log(waitEvent[ike.ChildFailed](s.host, 1).Err)
				}
			})
		})
	}
}
