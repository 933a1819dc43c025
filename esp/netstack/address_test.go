package netstack_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/netstack"
)

// TestAddresses: a host has what it was given and nothing else, such as the
// broadcast address.
func TestAddresses(t *testing.T) {
	engine := esp.New(esp.Config{})
	defer engine.Close()
	stack, err := netstack.New(netstack.Config{Engine: engine, Addresses: []netip.Addr{addr2}})
	require.NoError(t, err)
	defer stack.Close()
	require.NoError(t, stack.AddAddress(addr16))
	require.NoError(t, stack.AddAddress(addr1))
	require.Equal(t, []netip.Addr{addr1, addr2, addr16}, stack.Addresses())
	require.NoError(t, stack.RemoveAddress(addr1))
	require.Equal(t, []netip.Addr{addr2, addr16}, stack.Addresses())
}
