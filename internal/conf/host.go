package conf

import (
	"fmt"
	"net"
	"net/netip"
	"os"
)

// Host is what macros ask about the machine.
type Host interface {
	// Hostname returns the host's name.
	Hostname() (string, error)
	// Addresses returns the addresses of a network interface, or with ""
	// those of all that are not loopback ones. Link-local addresses have a
	// zone.
	Addresses(interfaceName string) ([]netip.Addr, error)
	// Getenv returns an environment variable.
	Getenv(name string) (string, bool)
}

// thisHost is the machine that the program runs on.
type thisHost struct{}

func (thisHost) Hostname() (string, error)         { return os.Hostname() }
func (thisHost) Getenv(name string) (string, bool) { return os.LookupEnv(name) }

func (thisHost) Addresses(name string) (all []netip.Addr, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	found := false
	for _, i := range interfaces {
		if name == "" && i.Flags&net.FlagLoopback != 0 || name != "" && i.Name != name {
			continue
		}
		found = true
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(n.IP)
			if !ok {
				continue
			}
			if ip = ip.Unmap(); ip.Is6() && ip.IsLinkLocalUnicast() {
				ip = ip.WithZone(i.Name)
			}
			all = append(all, ip)
		}
	}
	if name != "" && !found {
		names := make([]string, len(interfaces))
		for i := range interfaces {
			names[i] = interfaces[i].Name
		}
		return nil, fmt.Errorf("there is no such interface here; there are %s", list(names))
	}
	return all, nil
}
