package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// pretendedLinks makes devices that every kernel has in the place of those of
// IPsec, which few test machines have, and answers as the kernel would.
type pretendedLinks struct {
	*lab.Namespace
	links map[string]xfrm.Link
}

func (p *pretendedLinks) AddLink(_ context.Context, l xfrm.Link) (int, error) {
	for _, o := range p.links {
		if o.Name == l.Name || l.InterfaceID != 0 && o.InterfaceID == l.InterfaceID {
			return 0, fmt.Errorf("adding %s: %w", l.Name, spd.ErrExists)
		}
	}
	p.IP("link add "+l.Name+" type veth peer name peer-"+l.Name, "link set peer-"+l.Name+" up")
	if l.MTU != 0 {
		p.IP(fmt.Sprintf("link set %s mtu %d", l.Name, l.MTU))
	}
	p.links[l.Name] = l
	return 7, nil
}

func (p *pretendedLinks) FindLink(_ context.Context, name string) (xfrm.Link, error) {
	l, ok := p.links[name]
	if !ok {
		return xfrm.Link{}, spd.ErrNotFound
	}
	return l, nil
}

func (p *pretendedLinks) DeleteLink(_ context.Context, name string) error {
	if _, ok := p.links[name]; !ok {
		return spd.ErrNotFound
	}
	p.IP("link del " + name)
	delete(p.links, name)
	return nil
}

// carrier is what follows a change later.
var carrier = regexp.MustCompile(`NO-CARRIER,|,LOWER_UP| state \w+|,M-DOWN| linkdown`)

// all is what a daemon can change there.
func (p *pretendedLinks) all() string {
	all := p.Run("ip", "-o", "addr") + p.Run("ip", "link") + p.Run("ip", "route") + p.Run("ip", "-6", "route")
	return carrier.ReplaceAllString(all, "")
}

// make makes the interfaces of a program.
func (p *pretendedLinks) make(name string, list ...*conf.Interface) (i *interfaces, log string, err error) {
	var b strings.Builder
	i = &interfaces{links: p, alias: "made by " + name, log: slog.New(slog.NewTextHandler(&b, nil))}
	p.Do(func() { err = i.makeAll(context.Background(), list) })
	return i, b.String(), err
}

func (p *pretendedLinks) remove(t *testing.T, i *interfaces) {
	t.Helper()
	var err error
	p.Do(func() { err = i.remove(context.Background()) })
	require.NoError(t, err)
}

// TestInterfaces: interfaces are made as they are configured, and removed. Those
// of a predecessor are taken over, and somebody else's are left as they were.
func TestInterfaces(t *testing.T) {
	lab.Require(t, lab.Root)
	p := &pretendedLinks{Namespace: lab.NewNamespace(t, "interfaces"), links: make(map[string]xfrm.Link)}
	p.Sysctl("ipv6/conf/default/addr_gen_mode=1") // no addresses that come by themselves, later
	clean := p.all()
	ipsec0 := &conf.Interface{Name: "ipsec0", Kind: "xfrm", InterfaceID: 42, MTU: 1400, Addresses: []string{"10.255.0.1/30", "fd00:255::1/64"}, Routes: []string{"10.2.0.0/16", "fd00:2::/32"}}
	vti0 := &conf.Interface{Name: "vti0", Kind: "vti", Local: "192.0.2.1", Remote: "192.0.2.2", InKey: 9, OutKey: 10}

	_, log, err := p.make("iked", ipsec0, vti0)
	require.NoError(t, err)
	require.NotContains(t, log, "WARN")
	require.Equal(t, xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, InterfaceID: 42, MTU: 1400, Alias: "made by iked"}, p.links["ipsec0"])
	require.EqualValues(t, 10, p.links["vti0"].OutKey)
	all := p.all()
	require.Regexp(t, `ipsec0@peer-ipsec0: <[^>]*\bUP\b[^>]*> mtu 1400`, all)
	for _, s := range []string{"inet 10.255.0.1/30", "inet6 fd00:255::1/64", "10.2.0.0/16 dev ipsec0", "fd00:2::/32 dev ipsec0"} {
		require.Contains(t, all, s)
	}

	// It was killed: the next takes over what there is, and removes it.
	i, log, err := p.make("iked", ipsec0, vti0)
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(log, "taken over"), log)
	require.Equal(t, all, p.all())
	p.remove(t, i)
	require.Equal(t, clean, p.all())

	// Killed, and the next has other addresses and routes, of the same networks too.
	_, _, err = p.make("iked", ipsec0)
	require.NoError(t, err)
	p.IP("addr add 10.200.0.1/24 dev peer-ipsec0", "route add 10.201.0.0/16 dev peer-ipsec0 proto static")
	moved := *ipsec0
	moved.Addresses, moved.Routes = []string{"10.255.0.2/30", "fd00:255::2/64"}, []string{"10.3.0.0/16", "fd00:2::/32"}
	i, _, err = p.make("iked", &moved)
	require.NoError(t, err)
	all = p.all()
	for _, s := range []string{"inet 10.255.0.2/30", "inet6 fd00:255::2/64", "10.3.0.0/16 dev ipsec0", "fd00:2::/32 dev ipsec0", "10.200.0.1/24", "10.201.0.0/16 dev peer-ipsec0"} {
		require.Contains(t, all, s)
	}
	for _, s := range []string{"10.255.0.1/30", "fd00:255::1/64", "10.2.0.0/16"} {
		require.NotContains(t, all, s)
	}
	p.remove(t, i)
	require.Equal(t, clean, p.all())

	// Killed again, and meanwhile the configuration is another.
	_, _, err = p.make("iked", ipsec0)
	require.NoError(t, err)
	other := *ipsec0
	other.InterfaceID = 43
	i, log, err = p.make("iked", &other)
	require.NoError(t, err)
	require.Contains(t, log, "is replaced")
	require.EqualValues(t, 43, p.links["ipsec0"].InterfaceID)
	p.remove(t, i)
	require.Equal(t, clean, p.all())

	// Another program has one of the same meaning.
	first, _, err := p.make("kinkd", &conf.Interface{Name: "ipsec0", Kind: "xfrm", InterfaceID: 42, MTU: 1300, Addresses: []string{"10.254.0.1/30"}, Routes: []string{"10.2.0.0/16"}})
	require.NoError(t, err)
	theirs := p.all()
	i, log, err = p.make("iked", ipsec0)
	require.NoError(t, err)
	require.Contains(t, log, "it is used as it is, and stays")
	require.Contains(t, log, "there is a route already")
	require.Contains(t, p.all(), "fd00:2::/32 dev ipsec0")
	require.Contains(t, p.all(), "mtu 1300")
	p.remove(t, i)
	require.Equal(t, theirs, p.all())
	// Or of another; or the number is that of another interface. What was made
	// before the error is removed.
	for _, c := range []struct {
		i    *conf.Interface
		want string
	}{
		{&other, "interface ipsec0: adding ipsec0: " + spd.ErrExists.Error() + ": that one is of kind xfrm with interface-id 42, not of kind xfrm with interface-id 43; remove it, or use another name"},
		{&conf.Interface{Name: "ipsec1", Kind: "xfrm", InterfaceID: 42}, "an interface of another name has interface-id 42; use another number"},
	} {
		_, _, err := p.make("iked", vti0, c.i)
		require.ErrorContains(t, err, c.want)
		require.ErrorIs(t, err, spd.ErrExists)
		require.Equal(t, theirs, p.all())
	}
	_, _, err = p.make("iked", &conf.Interface{Name: "ipsec2", Kind: "xfrm", InterfaceID: 9, Routes: []string{"10.9.0.0/16", "10.2.0.1/33"}})
	require.ErrorContains(t, err, "the route 10.2.0.1/33")
	require.Equal(t, theirs, p.all())
	p.remove(t, first)
	require.Equal(t, clean, p.all())

	none, err := makeInterfaces(context.Background(), &conf.Config{}, nil, "iked", slog.Default())
	require.NoError(t, errors.Join(err, none.remove(context.Background())))
	_, err = makeInterfaces(context.Background(), &conf.Config{Interfaces: []*conf.Interface{ipsec0}}, nil, "iked", slog.Default())
	require.ErrorContains(t, err, "needs the data plane xfrm")
}
