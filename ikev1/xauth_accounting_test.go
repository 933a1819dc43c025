package ikev1

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// books is accounting in memory.
type books struct {
	ike.UserAuthenticator
	records []ike.AccountingRecord
	err     error
}

func (b *books) Account(_ context.Context, r ike.AccountingRecord) error {
	b.records = append(b.records, r)
	return b.err
}

// metered is a data plane whose SAs have counted something.
type metered struct {
	spd.DataPlane
	count map[spd.SAID]spd.Counters
}

func (m *metered) Query(_ context.Context, id spd.SAID) (spd.Counters, error) {
	return m.count[id], nil
}

func (m *metered) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	_, err := m.DataPlane.Remove(ctx, id)
	return m.count[id], err
}

func TestXAuthAccounting(t *testing.T) {
	acct := &books{UserAuthenticator: users(func(r ike.UserRequest) (ike.UserAnswer, error) {
		if r.Round == 0 {
			return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword}, nil
		}
		return ike.UserAccepted{User: "alice@example", Class: [][]byte{{1, 2}}, Interim: time.Minute}, nil
	})}
	m := &metered{count: make(map[spd.SAID]spd.Counters)}
	client, gateway := methodPeers(t, MainMode, AuthXAuthInitPSK)
	gateway.Users = acct
	client.Request = &ike.ConfigRequest{IPv4: true}
	gateway.Assign = &leases{t: t, give: []netip.Prefix{netip.MustParsePrefix("10.9.0.7/32")}}
	p := newPair(t, client, gateway, func(_, b *Config) { m.DataPlane, b.DataPlane = b.DataPlane, m })
	id := p.initiate()
	_, b := p.requireUp(id)
	require.Len(t, acct.records, 1)
	start := acct.records[0]
	require.Equal(t, ike.AccountingStart, start.Kind)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.9.0.7")}, start.Addresses)
	require.Equal(t, "alice@example", start.User)
	require.Equal(t, [][]byte{{1, 2}}, start.Class)
	require.Equal(t, b.ID, start.Session)

	m.count[b.Children[0].InSA[0]] = spd.Counters{Bytes: 100, Packets: 2}
	m.count[b.Children[0].OutSA[0]] = spd.Counters{Bytes: 1000, Packets: 3}
	p.advance(90 * time.Second)
	require.Len(t, acct.records, 2)
	require.Equal(t, ike.AccountingInterim, acct.records[1].Kind)
	require.Equal(t, uint64(100), acct.records[1].In.Bytes)
	require.Equal(t, uint64(1000), acct.records[1].Out.Bytes)
	require.Equal(t, time.Minute, acct.records[1].Duration)

	// While two SAs of one Child stand, both count, and the sum of those before
	// them once.
	require.NoError(t, p.a.RekeyChild(p.now, id, find[ike.ChildUp](p.evA)[0].Child.ID))
	p.advance(28 * time.Second)
	require.NoError(t, p.a.RekeyChild(p.now, id, find[ike.ChildUp](p.evA)[0].Child.ID))
	p.advance(3 * time.Second)
	require.Len(t, acct.records, 3)
	require.Equal(t, uint64(100), acct.records[2].In.Bytes)
	require.Equal(t, uint64(1000), acct.records[2].Out.Bytes)
	acct.records = acct.records[:2]
	p.advance(9 * time.Second)
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.run()
	require.Len(t, acct.records, 3)
	stop := acct.records[2]
	require.Equal(t, ike.AccountingStop, stop.Kind)
	require.Equal(t, uint64(100), stop.In.Bytes)
	require.Equal(t, uint64(1000), stop.Out.Bytes)
	require.Equal(t, ike.DownRemote, stop.Reason)
	require.Equal(t, 130*time.Second, stop.Duration)
	p.advance(5 * time.Minute)
	require.Len(t, acct.records, 3)
	p.requireNothingLeft()
}

// A client that does not ask for addresses is accounted without them; a failing
// back end is a warning.
func TestXAuthAccountingWithoutAddresses(t *testing.T) {
	acct := &books{err: errors.New("disk full")}
	p := pskRoadwarrior(t, func(_, g *Peer) {
		acct.UserAuthenticator = g.Users
		g.Users = acct
		g.Assign = &leases{t: t}
	})
	p.requireUp(p.initiate())
	require.Empty(t, acct.records)
	p.advance(accountWait)
	p.run()
	require.Len(t, acct.records, 1)
	require.Empty(t, acct.records[0].Addresses)
	w := find[ike.Warning](p.evB)
	require.Len(t, w, 1)
	require.ErrorIs(t, w[0].Err, acct.err)
}

func TestXAuthSessionTimeout(t *testing.T) {
	p := pskRoadwarrior(t, func(_, g *Peer) {
		g.Users = memoryUsers(t, map[string]ike.User{"alice": {Password: ike.Secret("alice's password"), SessionTimeout: time.Hour}})
	})
	id := p.initiate()
	p.requireUp(id)
	p.advance(50 * time.Minute)
	require.NoError(t, p.a.RekeyIKE(p.now, id)) // another login, another hour
	p.advance(50 * time.Minute)
	p.requireUp(id)
	p.advance(15 * time.Minute)
	down := find[ike.SessionDown](p.evB)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownExpired, down[0].Reason)
	require.ErrorIs(t, down[0].Err, errSessionTimeout)
	require.Len(t, find[ike.SessionDown](p.evA), 1)
}
