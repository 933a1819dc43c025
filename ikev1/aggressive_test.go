package ikev1

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// modePair is two peers with a pre-shared key and one mode.
func modePair(t *testing.T, mode Mode, change func(a, b *Peer)) *pair {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	a.Modes, b.Modes = []Mode{mode}, []Mode{mode}
	if change != nil {
		change(a, b)
	}
	return newPair(t, a, b, nil)
}

// requireUp checks that both sides have a session with one Child SA, and who
// they think the other is.
func (p *pair) requireUp(id ike.SessionID) (a, b ike.SessionState) {
	p.t.Helper()
	a, ok := p.a.Session(id)
	ups := find[ike.SessionUp](p.evB)
	if !ok || !a.Up || len(ups) == 0 || len(a.Children) == 0 {
		p.explain()
		p.t.FailNow()
	}
	b, ok = p.b.Session(ups[len(ups)-1].Session)
	require.True(p.t, ok)
	require.True(p.t, b.Up)
	require.Len(p.t, a.Children, 1)
	require.Len(p.t, b.Children, 1)
	require.Equal(p.t, a.Info.LocalID, b.Info.RemoteID)
	require.Equal(p.t, a.Info.RemoteID, b.Info.LocalID)
	return a, b
}

func TestAggressiveModePSK(t *testing.T) {
	p := modePair(t, AggressiveMode, nil)
	var sent []isakmp.Header
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		h, err := isakmp.ParseHeader(tx.Packet)
		require.NoError(t, err)
		sent = append(sent, h)
		return true
	}
	p.requireUp(p.initiate())
	for i, encrypted := range []bool{false, false, true} {
		require.Equal(t, isakmp.ExchangeAggressive, sent[i].Exchange)
		require.Equal(t, encrypted, sent[i].Encrypted())
	}
	require.Equal(t, isakmp.ExchangeQuickMode, sent[3].Exchange)
	p.advance(2 * time.Minute)
	require.Zero(t, p.a.Stats().Retransmitted)
}

// TestAggressiveThirdMessageInClear: some peers do not encrypt it (RFC 2409
// 5.4). The vectors of what follows then come from that of phase 1.
func TestAggressiveThirdMessageInClear(t *testing.T) {
	for _, method := range []AuthMethod{AuthPSK, AuthECDSA256} {
		a, b := methodPeers(t, AggressiveMode, method)
		a.NoInitialContact = true
		a.Fragmentation, b.Fragmentation = FragmentOff, FragmentOff
		p := newPairNow(t, a, b)
		var public [][]byte
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			h, err := isakmp.ParseHeader(tx.Packet)
			require.NoError(t, err)
			if h.Exchange != isakmp.ExchangeAggressive {
				return true
			}
			if !h.Encrypted() {
				chain, err := isakmp.ParseChain(h.NextPayload, tx.Packet[isakmp.HeaderLen:])
				require.NoError(t, err)
				public = append(public, chain.Body(isakmp.PayloadKE))
				return true
			}
			for _, sa := range p.a.sas {
				vector := sa.keys.hash.phase1IV(sa.blockSize(), public[0], public[1])
				m, _, err := sa.open(p.now, h, tx.Packet, vector, nil)
				require.NoError(t, err)
				h.Flags = 0
				p.b.HandleDatagram(p.now, reverse(tx.Path), rebuild(h, m.chain))
				sa.lastBlock = vector
				// The Quick Mode that was begun meanwhile has another vector.
				for _, x := range sa.exchanges {
					x.fail(p.now, errGone)
				}
			}
			return false
		}
		id := p.initiate()
		require.NoError(t, p.a.CreateChild(p.now, id, "net", 0, nil))
		p.run()
		p.requireUp(id)
	}
}

// TestStaleRefusal: a refusal that somebody has invented counts only until
// something better comes.
func TestStaleRefusal(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		n := 0
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			n++
			h, err := isakmp.ParseHeader(tx.Packet)
			require.NoError(t, err)
			if n == 1 {
				h.Exchange, h.CookieR = isakmp.ExchangeInformational, 0
				p.a.HandleDatagram(p.now, pathAB(), build(t, h, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, Type: isakmp.NotifyNoProposalChosen}))
				for _, sa := range p.a.sas {
					require.Error(t, sa.p1.refused)
				}
			}
			return n != 3 && n != 4
		}
		id := p.initiate()
		p.advance(20 * time.Second)
		p.requireUp(id)
	}
}
