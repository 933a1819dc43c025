//go:build linux

package interop

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/coretest"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
	"github.com/racoon3/racoon/spd"
)

// A clockwork is an endpoint on a host whose clock is ahead by a constant.
type clockwork struct {
	*kink.Endpoint
	ahead time.Duration
}

func (c *clockwork) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	c.Endpoint.HandleDatagram(now.Add(c.ahead), path, b)
}

func (c *clockwork) HandleResult(now time.Time, r ike.Result) {
	c.Endpoint.HandleResult(now.Add(c.ahead), r)
}

func (c *clockwork) HandleTimeout(now time.Time) { c.Endpoint.HandleTimeout(now.Add(c.ahead)) }

func (c *clockwork) PollTimeout() (time.Time, bool) {
	t, ok := c.Endpoint.PollTimeout()
	return t.Add(-c.ahead), ok
}

// The called side's clock is wrong, with tickets of a real KDC whose clock is
// right. By more than the limit it is corrected for, if the caller can believe
// it; only a clock by which the ticket is no good cannot be helped.
func TestKINKClockOfPeer(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.MITKDC)
	k := lab.StartKDC(t, lab.KDCConfig{})
	k.AddPrincipal(alpha, beta)
	kerberos := func(name string) *kdc.Kerberos {
		h, err := kdc.New(kdc.Config{Principal: name + "@" + k.Realm, Keytab: k.Keytab(name), KDCs: map[string][]string{k.Realm: {k.Addr.String()}}})
		require.NoError(t, err)
		return h
	}
	atA, atB := netip.MustParseAddrPort("192.0.2.1:910"), netip.MustParseAddrPort("192.0.2.2:910")
	netA, netB := spd.MustParseTrafficSelector("10.1.0.0/16"), spd.MustParseTrafficSelector("10.2.0.0/16")
	for _, c := range []struct {
		name     string
		ahead    time.Duration
		at, says string // what the caller and the called side say; empty: nothing, it comes up
		commands int    // at most: a correction of the clock, another ticket
	}{
		{"within the limit", 4 * time.Minute, "", "", 1},
		{"ahead", 20 * time.Minute, "", "the clock of kink/alpha.example.com@EXAMPLE.COM differs from ours by -20m0s, 5m0s is allowed", 2},
		{"behind the ticket", -time.Hour, "peer answered CREATE with krb: KRB_AP_ERR_TKT_NYV", "KRB_AP_ERR_TKT_NYV: from ", 3},
		{"after the ticket", 11 * time.Hour, "peer answered CREATE with krb: KRB_AP_ERR_TKT_EXPIRED", "KRB_AP_ERR_TKT_EXPIRED: ended ", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Now()
			endpoint := func(name, peer string, local, remote spd.TrafficSelector, ahead time.Duration) (*clockwork, *spd.Memory, *kink.Peer) {
				plane := spd.NewMemory(spd.MemoryConfig{})
				e, err := kink.NewEndpoint(kink.Config{Rand: rand.Reader, DataPlane: plane, Kerberos: kerberos(name), Started: now.Add(ahead - time.Hour)})
				require.NoError(t, err)
				p := &kink.Peer{Name: "peer", Principal: peer + "@" + k.Realm, Children: []*ike.ChildConfig{{Name: "net", Local: []spd.TrafficSelector{local},
					Remote: []spd.TrafficSelector{remote}, Proposals: []spd.Proposal{spd.MustParseProposal(spd.ProtoESP, "aes128gcm16-noesn")}}}}
				ps, err := kink.NewPeerSet([]*kink.Peer{p})
				require.NoError(t, err)
				e.SetPeers(ps)
				return &clockwork{e, ahead}, plane, p
			}
			a, planeA, peer := endpoint(alpha, beta, netA, netB, 0)
			b, planeB, _ := endpoint(beta, alpha, netB, netA, c.ahead)
			var failures [2][]error
			commands := 0
			link := &coretest.Link[*clockwork]{Ends: [2]*clockwork{a, b},
				Filter: func(from *clockwork, _ ike.Transmit) bool {
					if from == a {
						commands++
					}
					return true
				},
				Event: func(of *clockwork, ev ike.Event) {
					if f, ok := ev.(ike.SessionFailed); ok {
						i := 0
						if of == b {
							i = 1
						}
						failures[i] = append(failures[i], f.Err)
					}
				}}
			_, err := a.Initiate(now, kink.Initiation{Peer: peer, Path: ike.Path{Local: atA, Remote: atB}})
			require.NoError(t, err)
			require.NoError(t, link.Run(&now))
			require.LessOrEqual(t, commands, c.commands)
			if c.says == "" {
				require.Empty(t, failures[1])
			} else {
				require.NotEmpty(t, failures[1])
				says(t, failures[1][len(failures[1])-1], "refused a message of kink/alpha.example.com@EXAMPLE.COM", c.says)
			}
			if c.at == "" {
				require.Empty(t, failures[0])
				require.Empty(t, spd.CompareMemory(planeA, planeB))
				require.Len(t, planeA.SAs(), 2)
				return
			}
			require.Len(t, failures[0], 1)
			says(t, failures[0][0], c.at)
			require.NotErrorIs(t, failures[0][0], krb.APErrSkew)
			require.Empty(t, planeA.SAs())
			require.Empty(t, planeB.SAs())
		})
	}
}
