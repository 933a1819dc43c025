package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

func espProposals(all ...string) (out []spd.Proposal) {
	for _, s := range all {
		out = append(out, spd.MustParseProposal(spd.ProtoESP, s))
	}
	return out
}

// With several groups for perfect forward secrecy the peer may know the second or
// the third one only: each takes a Quick Mode. Rekeys do the same.
func TestAnotherGroup(t *testing.T) {
	for _, theirs := range []string{"aes128gcm16-ecp256", "aes128gcm16-ecp384", "aes128gcm16-modp2048"} {
		a, b := methodPeers(t, MainMode, AuthPSK)
		a.Children[0].Proposals = espProposals("aes128gcm16-ecp256-ecp384", "aes128gcm16-modp2048", "aes128gcm16")
		b.Children[0].Proposals = espProposals(theirs)
		b.Children[0].Name = "theirs"
		p := newPairNow(t, a, b)
		p.initiate()
		up := find[ike.ChildUp](p.evA)
		require.Len(t, up, 1, theirs)
		require.Equal(t, theirs, up[0].Child.Proposal.String())
		require.Empty(t, find[ike.ChildFailed](p.evA))
		s := only(t, p.a)
		require.NoError(t, p.a.RekeyChild(p.now, s.ID, up[0].Child.ID))
		p.advance(time.Minute)
		rekeyed := find[ike.ChildRekeyed](p.evA)
		require.Len(t, rekeyed, 1, theirs)
		require.Equal(t, theirs, rekeyed[0].Child.Proposal.String())
		require.NoError(t, p.a.Delete(p.now, s.ID, ike.DownLocal))
		p.advance(2 * time.Minute)
		p.requireNothingLeft()
	}
}

// Without a group in common it fails, once for each group and then for good.
func TestNoGroup(t *testing.T) {
	a, b := methodPeers(t, MainMode, AuthPSK)
	a.Children[0].Proposals = espProposals("aes128gcm16-ecp256", "aes128gcm16-ecp384")
	b.Children[0].Proposals = espProposals("aes128gcm16-ecp521")
	p := newPairNow(t, a, b)
	p.initiate()
	p.advance(time.Minute)
	require.Len(t, find[ike.ChildFailed](p.evB), 2)
	failed := find[ike.ChildFailed](p.evA)
	require.Len(t, failed, 1)
	var refusal *NotifyError
	require.ErrorAs(t, failed[0].Err, &refusal)
	tried := find[ike.Warning](p.evA)
	require.Len(t, tried, 1)
	require.ErrorContains(t, tried[0].Err, "trying ecp384, since with ecp256")
}
