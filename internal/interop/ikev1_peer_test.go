//go:build linux

package interop

import (
	"context"
	"net/netip"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1"
)

// The user of XAuth, and the group of Cisco clients.
const (
	user     = "carol"
	password = "carol's password"
	group    = "road"
)

// virtual is the address that a road warrior gets from either kind of gateway.
var virtual = netip.MustParseAddr("10.3.0.1")

// useV1 makes it a peer of IKEv1, with a lifetime of ours where that is shorter.
func useV1(p *racoon.Peer) {
	p.Versions, p.IKEv1.Check = []racoon.Version{racoon.IKEv1}, ike.CheckClaim
}

func useAggressive(p *racoon.Peer) { p.IKEv1.Modes = []ikev1.Mode{ikev1.AggressiveMode} }

// users are those whom our gateway lets in.
type users map[string]string

func (users) Supports(kind ike.UserAuthKind) bool { return kind == ike.UserGeneric }

func (u users) AuthenticateUser(_ context.Context, r ike.UserRequest) (ike.UserAnswer, error) {
	if r.Round == 0 {
		return ike.UserPrompt{Fields: ike.FieldUser | ike.FieldPassword}, nil
	}
	if want, ok := u[r.User]; !ok || want != string(r.Password) {
		return ike.UserRejected{User: r.User}, nil
	}
	return ike.UserAccepted{User: r.User}, nil
}

// newV1Pool gives away one address, and a DNS server in our inner network.
func newV1Pool() *assigner {
	return &assigner{config: ike.NetworkConfig{
		Addresses: []netip.Prefix{netip.PrefixFrom(virtual, 32)}, DNS: []netip.Addr{netip.MustParseAddr("10.1.0.53")},
	}}
}
