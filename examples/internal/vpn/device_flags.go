package vpn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/route"
	"github.com/racoon3/racoon/spd"
)

// overhead is what ESP in UDP adds to a packet at most, with every algorithm
// and over IPv6.
const overhead = 110

// checkDevice checks -tun and -mtu.
func checkDevice(name string, mtu int) error {
	if name == "" || len(name) > 15 || strings.ContainsAny(name, "/ ") {
		return fmt.Errorf("-tun: %q is not a device name; use 1 to 15 letters", name)
	}
	if mtu != 0 && (mtu < 1280 || mtu > 65535) {
		return fmt.Errorf("-mtu: %d is out of range; use 1280 to 65535", mtu)
	}
	return nil
}

// MTU returns the device's MTU: what the flag says, or what fits in the outer
// link's, of which 0 means 1500.
func MTU(flag, outer int) int {
	if flag != 0 {
		return flag
	}
	if outer == 0 {
		outer = 1500
	}
	return max(min(outer, 65535)-overhead, 1280)
}

// Forward lets this host forward packets of the networks' families.
func Forward(c *route.Changes, networks []netip.Prefix) error {
	for _, n := range networks {
		name := "net/ipv4/ip_forward"
		if n.Addr().Is6() {
			name = "net/ipv6/conf/all/forwarding"
		}
		if err := c.Set(name, "1"); err != nil {
			return err
		}
	}
	return nil
}

// flagOf says which flag a field of a racoon.Peer comes from.
var flagOf = map[string]string{
	"Remote": "-server", "RemoteNATT": "-natt-port", "LocalID": "-id", "RemoteID": "-remote-id", "PSK": "-psk-file",
	"Credential": "-cert, -key", "Trust": "-ca", "Local": "-local-subnet",
}

// CheckPeer finds out what is wrong with a peer before anything is begun, and
// names the flag.
func CheckPeer(p racoon.Peer) error {
	plane := spd.NewMemory(spd.MemoryConfig{})
	defer plane.Close()
	m, err := racoon.NewManager(racoon.Config{DataPlane: plane, Peers: []racoon.Peer{p}})
	if err == nil {
		return m.Shutdown(context.Background())
	}
	var config *racoon.ConfigError
	if errors.As(err, &config) {
		words := strings.Split(config.Field, ": ")
		field, _, _ := strings.Cut(words[len(words)-1], "[")
		name := flagOf[field]
		if field == "Remote" && strings.Contains(config.Field, "Children") {
			name = "-remote-subnet"
		}
		if name != "" {
			return fmt.Errorf("%s: %w", name, config.Err)
		}
	}
	return err
}
