package ikev1

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/vendorid"
	"github.com/racoon3/racoon/spd"
)

// leases is an assigner that gives what it is told, and keeps account.
type leases struct {
	t        *testing.T
	give     []netip.Prefix
	rest     ike.NetworkConfig
	err      error
	asked    []ike.AddressRequest
	held     map[netip.Addr]bool
	released int
}

func (l *leases) Assign(_ context.Context, r ike.AddressRequest) (*ike.NetworkConfig, error) {
	l.asked = append(l.asked, r)
	if l.err != nil {
		return nil, l.err
	}
	c := l.rest
	for _, p := range l.give {
		if p.Addr().Is4() && r.IPv4 || p.Addr().Is6() && r.IPv6 {
			c.Addresses = append(c.Addresses, p)
			if l.held == nil {
				l.held = make(map[netip.Addr]bool)
			}
			l.held[p.Addr()] = true
		}
	}
	return &c, nil
}

func (l *leases) Release(_ context.Context, _ ike.AddressRequest, c *ike.NetworkConfig) {
	for _, p := range c.Addresses {
		require.True(l.t, l.held[p.Addr()], "%v is not leased", p)
		delete(l.held, p.Addr())
		l.released++
	}
}

func prefixes(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(all ...string) (out []netip.Addr) {
	for _, s := range all {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// officeConfig has a value in every field that mode config can say.
func officeConfig() ike.NetworkConfig {
	return ike.NetworkConfig{
		DNS: addrs("10.0.0.53", "2001:db8::53"), NBNS: addrs("10.0.0.137"), DHCP: addrs("10.0.0.67"),
		Subnets: prefixes("10.2.0.0/16", "2001:db8:2::/48"), Domains: []string{"corp.example", "lab.example"},
		Application: "gateway 1.0", Expiry: time.Hour,
		Banner: "Welcome\nto the office", DefaultDomain: "corp.example", LocalLANExclude: prefixes("192.168.0.0/24"),
		BackupServers: []string{"192.0.2.9", "gw2.example"}, SavePassword: true, PFS: true, UDPPort: 10000,
		Firewall: []byte{1, 2, 3, 4}, DDNSHostname: "alice.corp.example",
	}
}

// gatewayPair is a client a that asks and a gateway b that assigns, without
// XAuth; Child SAs are between what the client gets and 10.2.0.0/16.
func gatewayPair(t *testing.T, l *leases, change func(client, gateway *Peer)) *pair {
	t.Helper()
	l.t = t
	a, b := methodPeers(t, MainMode, AuthPSK)
	a.Request = &ike.ConfigRequest{IPv4: true, DNS: true, Domains: true, Version: "client 1.0"}
	b.Assign = l
	a.Children[0].Local, a.Children[0].LocalDynamic = nil, true
	b.Children[0].Remote, b.Children[0].RemoteDynamic = nil, true
	if change != nil {
		change(a, b)
	}
	return newPairNow(t, a, b)
}

func TestModeConfigPull(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/24", "2001:db8:9::7/64"), rest: officeConfig()}
	p := gatewayPair(t, l, func(c, _ *Peer) {
		c.Request.IPv6 = true
		c.Request.Want = addrs("10.9.0.9")
	})
	id := p.initiate()
	s, ok := p.a.Session(id)
	require.True(t, ok)
	if !s.Up || len(s.Children) != 1 {
		p.explain()
	}
	want := officeConfig()
	want.Addresses = l.give
	require.Equal(t, &want, find[ike.SessionUp](p.evA)[0].Info.Config)
	require.Equal(t, spd.MustParseTrafficSelector("10.9.0.7"), s.Children[0].LocalTS[0])

	// The gateway is up before it knows the addresses.
	require.Nil(t, find[ike.SessionUp](p.evB)[0].Info.Config)
	assigned := find[ike.AddressAssigned](p.evB)
	require.Len(t, assigned, 1)
	require.Equal(t, l.give, assigned[0].Config.Addresses)
	require.Len(t, l.asked, 1)
	require.Equal(t, addrs("10.9.0.9"), l.asked[0].Want)
	require.Equal(t, mustID("a.example"), l.asked[0].RemoteID)
	b, _ := p.b.Session(find[ike.SessionUp](p.evB)[0].Session)
	require.Equal(t, spd.MustParseTrafficSelector("10.9.0.7"), b.Children[0].RemoteTS[0])

	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(2 * time.Minute)
	require.Empty(t, l.held)
	p.requireNothingLeft()
}

// A client that does not speak Unity is asked and told nothing of it.
func TestModeConfigWithoutUnity(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32"), rest: officeConfig()}
	p := gatewayPair(t, l, nil)
	var seen []*isakmp.Attributes
	p.a.cfg.Trace = func(tr ike.TraceRecord) {
		if a := transactionIn(t, tr); a != nil {
			seen = append(seen, a)
		}
	}
	p.filter = func(*Endpoint, ike.Transmit) bool {
		for _, sa := range p.a.sas {
			sa.peerVIDs = vendorid.Announced{}
		}
		return true
	}
	p.initiate()
	require.Len(t, seen, 2)
	for _, a := range seen {
		for _, c := range a.Attributes {
			require.Less(t, c.Type, isakmp.AttrUnityBanner, "%v", c.Type)
		}
	}
	require.Equal(t, []isakmp.ConfigAttributeType{isakmp.AttrInternalIP4Address, isakmp.AttrInternalIP4Netmask, isakmp.AttrInternalIP4DNS,
		isakmp.AttrInternalIP4NBNS, isakmp.AttrInternalIP4DHCP, isakmp.AttrInternalIP4Subnet, isakmp.AttrInternalAddressExpiry,
		isakmp.AttrApplicationVersion}, typesOf(seen[0]))
	require.Equal(t, seen[0].Identifier, seen[1].Identifier)
}

func typesOf(a *isakmp.Attributes) (out []isakmp.ConfigAttributeType) {
	for _, c := range a.Attributes {
		out = append(out, c.Type)
	}
	return out
}

func TestModeConfigPush(t *testing.T) {
	for name, waits := range map[string]bool{"client waits": true, "client pulls too": false} {
		t.Run(name, func(t *testing.T) {
			l := &leases{give: prefixes("10.9.0.7/32"), rest: officeConfig()}
			p := gatewayPair(t, l, func(c, g *Peer) { g.PushConfig, c.PushConfig = true, waits })
			var seen []isakmp.ConfigType
			p.a.cfg.Trace = func(tr ike.TraceRecord) {
				if a := transactionIn(t, tr); a != nil {
					seen = append(seen, a.Type)
				}
			}
			begun := p.now
			p.requireUp(p.initiate())
			require.Equal(t, begun, p.now, "nobody had to wait")
			c := find[ike.SessionUp](p.evA)[0].Info.Config
			require.Equal(t, l.give, c.Addresses)
			require.Equal(t, "Welcome\nto the office", c.Banner)
			require.Equal(t, []string{"corp.example", "lab.example"}, c.Domains)
			if waits {
				require.Equal(t, []isakmp.ConfigType{isakmp.ConfigSet, isakmp.ConfigAck}, seen)
			}
			require.Empty(t, find[ike.Warning](append(p.evA, p.evB...)))
			require.Len(t, find[ike.AddressAssigned](p.evB), 1)
			p.advance(2 * time.Minute)
			require.Empty(t, find[ike.Warning](append(p.evA, p.evB...)))
		})
	}
}

// A gateway that does not begin: the client waits a little and asks.
func TestModeConfigPushDoesNotCome(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32")}
	p := gatewayPair(t, l, func(c, _ *Peer) { c.PushConfig = true })
	id := p.initiate()
	require.Empty(t, find[ike.SessionUp](p.evA))
	p.advance(pushWait)
	p.run()
	p.requireUp(id)
}

// The ACK names what was taken, and nothing else.
func TestModeConfigAck(t *testing.T) {
	p := gatewayPair(t, &leases{give: prefixes("10.9.0.7/32")}, nil)
	p.requireUp(p.initiate())
	var ack *isakmp.Attributes
	p.b.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigSet, Identifier: 7, Attributes: []isakmp.ConfigAttribute{
		{Type: isakmp.AttrUnityBanner, Data: []byte("hello")}, {Type: 999, Data: []byte{1}}, {Type: isakmp.AttrInternalIP4DNS, Data: []byte{1, 2}},
		{Type: isakmp.AttrInternalIP4DNS, Data: []byte{10, 0, 0, 1}},
	}}, time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { ack = a })
	p.run()
	require.Equal(t, uint16(7), ack.Identifier)
	require.Equal(t, []isakmp.ConfigAttribute{emptyAttribute(isakmp.AttrUnityBanner), emptyAttribute(isakmp.AttrInternalIP4DNS)}, ack.Attributes)
	s, _ := p.a.Session(find[ike.SessionUp](p.evA)[0].Session)
	require.Equal(t, "hello", s.Info.Config.Banner)
	require.Equal(t, prefixes("10.9.0.7/32"), s.Info.Config.Addresses, "a SET without addresses takes none away")

	// A gateway takes no configuration from its client.
	ack = nil
	p.a.anySA().transact(p.now, &isakmp.Attributes{Type: isakmp.ConfigSet, Attributes: []isakmp.ConfigAttribute{
		{Type: isakmp.AttrInternalIP4Address, Data: []byte{10, 0, 0, 1}}}}, time.Time{}, func(_ time.Time, a *isakmp.Attributes, _ error) { ack = a })
	p.run()
	require.Empty(t, ack.Attributes)
}

// There is no address: the client comes up without one, and both sides say so.
func TestModeConfigPoolEmpty(t *testing.T) {
	l := &leases{err: errors.New("the pool is exhausted")}
	p := gatewayPair(t, l, nil)
	id := p.initiate()
	s, _ := p.a.Session(id)
	require.True(t, s.Up)
	require.Empty(t, s.Info.Config.Addresses)
	require.ErrorIs(t, find[ike.Warning](p.evA)[0].Err, errNoAddress)
	require.ErrorIs(t, find[ike.Warning](p.evB)[0].Err, l.err)
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(2 * time.Minute)
	require.Zero(t, l.released)
	p.requireNothingLeft()
}

// A gateway that knows no mode config: the client says what it waits for.
func TestModeConfigNoAnswer(t *testing.T) {
	p := gatewayPair(t, &leases{}, nil)
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		h, _ := isakmp.ParseHeader(tx.Packet)
		return h.Exchange != isakmp.ExchangeTransaction
	}
	p.initiate()
	p.advance(5 * time.Minute)
	failed := find[ike.SessionFailed](p.evA)
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed[0].Err, "network configuration")
	var timeout *TimeoutError
	require.ErrorAs(t, failed[0].Err, &timeout)
	require.Len(t, find[ike.SessionDown](p.evB), 1)
	p.requireNothingLeft()
}

// The session ends while the pool is asked: the lease goes back.
func TestModeConfigAbandoned(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32")}
	p := gatewayPair(t, l, nil)
	var held []ike.Job
	p.hold = func(of *Endpoint, j ike.Job) bool {
		if j.Kind == ike.JobAddress && len(held) == 0 {
			held = append(held, j)
			return true
		}
		return false
	}
	id := p.initiate()
	require.Len(t, held, 1)
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.run()
	p.b.HandleResult(p.now, held[0].Do(t.Context()))
	p.advance(2 * time.Minute)
	require.Equal(t, 1, l.released)
	require.Empty(t, l.held)
	p.requireNothingLeft()
}

// A new phase 1 asks for the addresses again. Another answer is a warning, and
// Child SAs keep what they have.
func TestModeConfigRenewal(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32")}
	p := gatewayPair(t, l, nil)
	id := p.initiate()
	p.requireUp(id)
	p.advance(time.Minute)
	require.NoError(t, p.a.RekeyIKE(p.now, id))
	p.advance(time.Minute)
	require.Len(t, l.asked, 2)
	require.Equal(t, addrs("10.9.0.7"), l.asked[1].Want)
	require.Zero(t, l.released)
	require.Empty(t, find[ike.Warning](p.evA))

	l.give = prefixes("10.9.0.8/32")
	require.NoError(t, p.a.RekeyIKE(p.now, id))
	p.advance(time.Minute)
	s, _ := p.a.Session(id)
	require.Equal(t, prefixes("10.9.0.7/32"), s.Info.Config.Addresses)
	require.Len(t, find[ike.Warning](p.evA), 1)
	require.ErrorContains(t, find[ike.Warning](p.evA)[0].Err, "10.9.0.8")
	require.Equal(t, 1, l.released, "the gateway has let the old one go")

	require.NoError(t, p.a.CreateChild(p.now, id, "net", 0, nil)) // so that there is a session without the Child SA
	require.NoError(t, p.a.DeleteChild(p.now, id, s.Children[0].ID))
	p.advance(time.Second)
	for _, c := range func() []ike.ChildState { s, _ := p.a.Session(id); return s.Children }() {
		require.NoError(t, p.a.DeleteChild(p.now, id, c.ID))
	}
	p.run()
	require.NoError(t, p.a.RekeyIKE(p.now, id))
	p.advance(time.Minute)
	s, _ = p.a.Session(id)
	require.Equal(t, prefixes("10.9.0.8/32"), s.Info.Config.Addresses)
	require.Len(t, find[ike.AddressAssigned](p.evA), 1)
	require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
	p.advance(2 * time.Minute)
	require.Empty(t, l.held)
}

// An address with an expiry is asked for again before it.
func TestModeConfigExpiry(t *testing.T) {
	l := &leases{give: prefixes("10.9.0.7/32"), rest: ike.NetworkConfig{Expiry: 10 * time.Minute}}
	p := gatewayPair(t, l, nil)
	id := p.initiate()
	p.advance(9 * time.Minute)
	require.Len(t, l.asked, 2)
	p.advance(20 * time.Minute)
	require.Len(t, l.asked, 4)
	p.requireUp(id)
	l.rest.Expiry = time.Second
	p.advance(10 * time.Minute)
	require.LessOrEqual(t, len(l.asked), 20, "a gateway does not make us ask all the time")
}

// What the user's authentication says: fixed addresses, groups, and a
// configuration of his own.
func TestModeConfigOfUser(t *testing.T) {
	fixed := officeConfig()
	alice := ike.User{Password: ike.Secret("alice's password"), Groups: []string{"vpn"}, Addresses: addrs("10.9.0.42"),
		Config: &ike.NetworkConfig{Banner: "Hello Alice", DNS: addrs("10.0.0.99")}}
	for name, pool := range map[string]*leases{"pool": {give: prefixes("10.9.0.42/32"), rest: fixed}, "no pool": nil} {
		t.Run(name, func(t *testing.T) {
			p := pskRoadwarrior(t, func(c, g *Peer) {
				g.Users = memoryUsers(t, map[string]ike.User{"alice": alice})
				behind := g.Users
				g.Users = users(func(r ike.UserRequest) (ike.UserAnswer, error) {
					a, err := behind.AuthenticateUser(t.Context(), r)
					if in, ok := a.(ike.UserAccepted); ok { // a back end that does not keep to the rule
						o := *in.Config
						o.Addresses = prefixes("10.9.9.9/32")
						in.Config = &o
						a = in
					}
					return a, err
				})
				c.Request = &ike.ConfigRequest{IPv4: true, DNS: true}
				if pool != nil {
					pool.t, g.Assign = t, pool
				}
			})
			id := p.initiate()
			p.requireUp(id)
			c := find[ike.SessionUp](p.evA)[0].Info.Config
			require.Equal(t, prefixes("10.9.0.42/32"), c.Addresses)
			require.Equal(t, "Hello Alice", c.Banner)
			require.Equal(t, addrs("10.0.0.99"), c.DNS)
			if pool != nil {
				require.Equal(t, "alice", pool.asked[0].User)
				require.Equal(t, []string{"vpn"}, pool.asked[0].Groups)
				require.Equal(t, addrs("10.9.0.42"), pool.asked[0].Fixed)
				require.Equal(t, fixed.NBNS, c.NBNS)
			}
			require.NoError(t, p.a.Delete(p.now, id, ike.DownLocal))
			p.advance(2 * time.Minute)
			p.requireNothingLeft()
		})
	}
}

// Requests that ask for no address: the version (draft-dukes-ike-mode-cfg-02
// 5.2), what is supported, nothing at all. There is always an answer.
func TestModeConfigQueries(t *testing.T) {
	l := &leases{rest: officeConfig()}
	p := gatewayPair(t, l, func(c, _ *Peer) {
		c.Request = nil
		c.Children[0].LocalDynamic, c.Children[0].Local = false, []spd.TrafficSelector{spd.MustParseTrafficSelector("192.0.2.1")}
	})
	p.requireUp(p.initiate())
	ask := func(e *Endpoint, types ...isakmp.ConfigAttributeType) (reply *isakmp.Attributes) {
		q := &isakmp.Attributes{Type: isakmp.ConfigRequest, Identifier: 0xabcd}
		for _, ty := range types {
			q.Attributes = append(q.Attributes, emptyAttribute(ty))
		}
		e.anySA().transact(p.now, q, time.Time{}, func(_ time.Time, a *isakmp.Attributes, err error) { require.NoError(t, err); reply = a })
		p.run()
		require.NotNil(t, reply)
		require.Equal(t, isakmp.ConfigReply, reply.Type)
		require.Equal(t, uint16(0xabcd), reply.Identifier)
		return reply
	}
	require.Empty(t, ask(p.a).Attributes)
	require.Empty(t, ask(p.b, isakmp.AttrInternalIP4Address).Attributes, "a client assigns nothing")
	require.Empty(t, ask(p.a, 999, 30000).Attributes)
	s := ask(p.a, isakmp.AttrSupportedAttributes).First(isakmp.AttrSupportedAttributes)
	all, err := s.SupportedAttributes()
	require.NoError(t, err)
	require.Equal(t, supportedAttributes, all)
	require.Empty(t, l.asked, "no address was asked for")

	l.give = prefixes("10.9.0.7/24")
	r := ask(p.a, isakmp.AttrInternalIP4Address, isakmp.AttrApplicationVersion, isakmp.AttrInternalIP4Netmask)
	require.Equal(t, []isakmp.ConfigAttributeType{isakmp.AttrInternalIP4Address, isakmp.AttrInternalIP4Netmask, isakmp.AttrInternalAddressExpiry,
		isakmp.AttrInternalIP4DNS, isakmp.AttrInternalIP6DNS, isakmp.AttrInternalIP4NBNS, isakmp.AttrApplicationVersion}, typesOf(r))
	require.Equal(t, []byte{255, 255, 255, 0}, r.First(isakmp.AttrInternalIP4Netmask).Data)

	// The other family later does not cost the first one.
	l.give = prefixes("10.9.0.7/24", "2001:db8::7/128")
	r = ask(p.a, isakmp.AttrInternalIP6Address)
	require.NotNil(t, r.First(isakmp.AttrInternalIP4Address))
	require.NotNil(t, r.First(isakmp.AttrInternalIP6Address))
	require.Zero(t, l.released)
	require.Len(t, find[ike.AddressAssigned](p.evB), 2)
}

// The octets of values as the field expects them: ipsec-tools' racoon, vpnc and
// Cisco agree on these.
func TestModeConfigOctets(t *testing.T) {
	c := officeConfig()
	c.Addresses = prefixes("10.9.0.7/24", "2001:db8::7/64")
	all := configAttributes(&c, func(isakmp.ConfigAttributeType) bool { return true })
	a := &isakmp.Attributes{Attributes: all}
	for ty, want := range map[isakmp.ConfigAttributeType]string{
		isakmp.AttrInternalIP4Address:    "\x0a\x09\x00\x07",
		isakmp.AttrInternalIP4Netmask:    "\xff\xff\xff\x00",
		isakmp.AttrInternalIP6Address:    "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07",
		isakmp.AttrInternalAddressExpiry: "\x00\x00\x0e\x10",
		isakmp.AttrInternalIP4Subnet:     "\x0a\x02\x00\x00\xff\xff\x00\x00",
		isakmp.AttrUnitySplitInclude:     "\x0a\x02\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00",
		isakmp.AttrUnityLocalLAN:         "\xc0\xa8\x00\x00\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00",
		isakmp.AttrUnitySplitDNS:         "corp.example,lab.example",
		isakmp.AttrUnityBackupServers:    "192.0.2.9,gw2.example",
	} {
		require.NotNil(t, a.First(ty), "%v", ty)
		require.Equal(t, want, string(a.First(ty).Data), "%v", ty)
	}
	for ty, want := range map[isakmp.ConfigAttributeType]uint16{isakmp.AttrUnitySavePassword: 1, isakmp.AttrUnityPFS: 1, isakmp.AttrUnityNATTPort: 10000} {
		require.Equal(t, basicAttribute(ty, want), *a.First(ty))
	}
	back, understood := networkConfig(all)
	require.Equal(t, &c, back)
	require.Len(t, understood, len(supportedAttributes)-2, "all but SUPPORTED_ATTRIBUTES and IPv6 DHCP")
}

// TestC15_ConfigValues: what makes no sense is left out, and nothing grows
// without bound.
func TestC15_ConfigValues(t *testing.T) {
	att := func(ty isakmp.ConfigAttributeType, data ...byte) isakmp.ConfigAttribute {
		return isakmp.ConfigAttribute{Type: ty, Data: data}
	}
	text := func(ty isakmp.ConfigAttributeType, s string) isakmp.ConfigAttribute { return att(ty, []byte(s)...) }
	c, understood := networkConfig([]isakmp.ConfigAttribute{
		att(isakmp.AttrInternalIP4Address), att(isakmp.AttrInternalIP4Address, 1, 2, 3), att(isakmp.AttrInternalIP4Address, 0, 0, 0, 0),
		att(isakmp.AttrInternalIP4Address, 224, 0, 0, 1), att(isakmp.AttrInternalIP6Address, make([]byte, 16)...), att(isakmp.AttrInternalIP6Address, make([]byte, 15)...),
		att(isakmp.AttrInternalIP4Netmask, 255, 0, 255, 0), att(isakmp.AttrInternalIP4Netmask, 0, 0, 0),
		att(isakmp.AttrInternalIP4DNS, 0, 0, 0, 0), att(isakmp.AttrInternalIP4Subnet, 10, 0, 0, 0, 255, 0, 255, 0), att(isakmp.AttrInternalIP4Subnet, 1),
		att(isakmp.AttrInternalAddressExpiry, 1), basicAttribute(isakmp.AttrInternalIP4Address, 7), basicAttribute(isakmp.AttrUnityBanner, 7),
		att(isakmp.AttrUnitySplitInclude, make([]byte, 13)...), text(isakmp.AttrUnityDefaultDomain, "a b;rm -rf"), text(isakmp.AttrUnitySplitDNS, "ok.example,$(x)"),
		text(isakmp.AttrUnityDDNSHostname, "x\ny"), text(isakmp.AttrUnityBackupServers, "bad name!x"), att(isakmp.AttrUnityPFS, 1, 2, 3, 4, 5, 6, 7, 8, 9), att(12345, 1),
	})
	require.Equal(t, &ike.NetworkConfig{Domains: []string{"ok.example"}}, c)
	require.Empty(t, understood)

	var many []isakmp.ConfigAttribute
	for i := range 2000 {
		v := binary.BigEndian.AppendUint32(nil, 0x0a000001+uint32(i))
		many = append(many, att(isakmp.AttrInternalIP4Address, v...), att(isakmp.AttrInternalIP4DNS, v...), att(isakmp.AttrInternalIP4NBNS, v...),
			att(isakmp.AttrInternalIP4Subnet, append(v, 255, 255, 255, 255)...), text(isakmp.AttrUnityBackupServers, netip.AddrFrom4([4]byte(v)).String()))
	}
	c, _ = networkConfig(many)
	for _, n := range []int{len(c.Addresses), len(c.DNS), len(c.NBNS), len(c.Subnets), len(c.BackupServers)} {
		require.Equal(t, maxConfig, n)
	}
	c, _ = networkConfig([]isakmp.ConfigAttribute{text(isakmp.AttrUnityBanner, string(make([]byte, 60000))), text(isakmp.AttrApplicationVersion, "\x1b[31m"),
		att(isakmp.AttrInternalIP4Address, 10, 0, 0, 1), att(isakmp.AttrInternalIP4Netmask, 0, 0, 0, 0), att(isakmp.AttrUnityFirewallType, make([]byte, 5000)...),
		att(isakmp.AttrUnityBackupServers, 192, 0, 2, 1, 192, 0, 2, 2), att(isakmp.AttrInternalIP6Address, append(make([]byte, 15), 1, 64)...)})
	require.LessOrEqual(t, len(c.Banner), maxBanner)
	require.Equal(t, "?[31m", c.Application)
	require.Equal(t, prefixes("10.0.0.1/32", "::1/64"), c.Addresses, "a mask of nothing is none")
	require.Len(t, c.Firewall, maxFirewall)
	require.Equal(t, []string{"192.0.2.1", "192.0.2.2"}, c.BackupServers)
}

// ipsec-tools' servers send each name with its closing zero.
func TestSplitDNSOfRacoon(t *testing.T) {
	c, _ := networkConfig([]isakmp.ConfigAttribute{{Type: isakmp.AttrUnitySplitDNS, Data: []byte("corp.example\x00,lab.example\x00")}})
	require.Equal(t, []string{"corp.example", "lab.example"}, c.Domains)
}

func FuzzNetworkConfig(f *testing.F) {
	c := officeConfig()
	all := isakmp.Attributes{Type: isakmp.ConfigReply, Attributes: configAttributes(&c, func(isakmp.ConfigAttributeType) bool { return true })}
	f.Add(all.AppendBody(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		chain, err := isakmp.ParseChain(isakmp.PayloadAttributes, append(binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(b)+4)), b...))
		if err != nil || len(b) > 60000 {
			return
		}
		m, err := chain.Payloads()
		if err != nil || m.Attributes() == nil {
			return
		}
		c, _ := networkConfig(m.Attributes().Attributes)
		again, _ := networkConfig(configAttributes(c, func(isakmp.ConfigAttributeType) bool { return true }))
		require.Equal(t, c.Addresses, again.Addresses)
		require.Equal(t, c.DNS, again.DNS)
		require.Equal(t, c.Domains, again.Domains)
	})
}
