package ikev1

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testpki"
	"github.com/racoon3/racoon/spd"
)

func TestPeerCheck(t *testing.T) {
	users := memoryUsers(t, map[string]ike.User{})
	for want, change := range map[string]func(p *Peer){
		"Modes has":            func(p *Peer) { p.Modes = []Mode{MainMode, MainMode} },
		"Check is 9":           func(p *Peer) { p.Check = 9 },
		"Fragmentation is 9":   func(p *Peer) { p.Fragmentation = 9 },
		"GeneratePolicy is 9":  func(p *Peer) { p.GeneratePolicy = 9 },
		"GeneratePolicy needs": func(p *Peer) { p.GeneratePolicy, p.Children = GenerateOn, nil },
		"asks for no user":     func(p *Peer) { p.Users = users },
		"has no form in IKEv1": func(p *Peer) { p.Children[0].Local[0] = spd.MustParseTrafficSelector("10.1.0.0/16[tcp/80-90]") },
		"Quick Mode has no numbers": func(p *Peer) {
			p.Children[0].Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "chacha20poly1305")}
		},
		"encapsulates a key": func(p *Peer) {
			p.Children[0].Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes128gcm16-mlkem768")}
		},
		"Remote.Credential is": func(p *Peer) { p.Remote.Credential = nil },
		"Local.Credential is":  func(p *Peer) { p.Methods = []AuthMethod{AuthRSA} },
		"Users (server) and":   func(p *Peer) { p.Methods = []AuthMethod{AuthXAuthInitPSK} },
		"not supported":        func(p *Peer) { p.Methods = []AuthMethod{4} },
	} {
		p := pskPeer("b", "a.example", "b.example")
		change(p)
		_, err := NewPeerSet([]*Peer{p})
		require.ErrorContains(t, err, want)
	}
}

// A peer that has to log in does not come in as somebody less specific who has
// not.
func TestB18_NoLoginByAnotherPeer(t *testing.T) {
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		for _, other := range []Mode{mode, MainMode} {
			client := pskPeer("b", "a.example", "b.example")
			client.Modes = []Mode{mode}
			users := pskPeer("users", "b.example", "a.example")
			users.Modes, users.Methods = []Mode{other}, []AuthMethod{AuthXAuthInitPSK}
			users.Users = memoryUsers(t, map[string]ike.User{})
			sites := pskPeer("sites", "b.example", "a.example")
			sites.Modes, sites.Remote.ID = []Mode{mode}, ike.IdentityPattern{}
			p := newPair(t, client, users, nil)
			ps, err := NewPeerSet([]*Peer{users, sites})
			require.NoError(t, err)
			p.b.SetPeers(ps)
			p.now = testpki.Now
			id := p.initiate()
			s, _ := p.a.Session(id)
			require.False(t, s.Up, "%v", mode)
			require.Empty(t, find[ike.SessionUp](p.evB), "%v", mode)
		}
	}
}
