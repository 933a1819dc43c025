package conf

import (
	"net/netip"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// racoon returns the pool as the root package takes it.
func (p *Pool) racoon() racoon.PoolConfig {
	return racoon.PoolConfig{
		Addresses: p.Addresses, Exclude: append([]string(nil), p.Exclude...), Static: p.Static, Keep: p.Keep.D(),
		DNS: addresses(p.DNS), NBNS: addresses(p.WINS), Subnets: prefixes(p.Subnets), Domains: p.Domains,
		Options: ike.NetworkConfig{
			DHCP: addresses(p.DHCP), HomePrefix: prefixes(p.HomePrefix), Application: p.Application, Expiry: p.Expiry.D(), Banner: p.Banner,
			DefaultDomain: p.DefaultDomain, LocalLANExclude: prefixes(p.LocalLANExclude), BackupServers: p.BackupServers,
			SavePassword: p.SavePassword, PFS: p.PFS, UDPPort: uint16(p.UDPPort), DDNSHostname: p.DDNSHostname,
		},
	}
}

// addresses and prefixes parse what has been checked.
func addresses(list []string) (out []netip.Addr) {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a.Unmap())
		}
	}
	return out
}

func prefixes(list []string) (out []netip.Prefix) {
	for _, s := range list {
		if p, err := parsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}
