package conf

import (
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
)

// testHost is a machine with two interfaces.
type testHost struct{}

func (testHost) Hostname() (string, error) { return "gw.example.org", nil }

func (testHost) Getenv(name string) (string, bool) { return "of the environment", name == "SITE" }

func (testHost) Addresses(name string) ([]netip.Addr, error) {
	interfaces := map[string][]string{
		"eth0": {"192.0.2.1", "2001:db8::1", "fe80::1%eth0"},
		"eth1": {"10.1.0.1", "10.1.0.2"},
	}
	var out []netip.Addr
	for _, n := range []string{"eth0", "eth1"} {
		if name == "" || name == n {
			for _, a := range interfaces[n] {
				out = append(out, netip.MustParseAddr(a))
			}
		}
	}
	if out == nil {
		return nil, errors.New("there is no such interface here; there are eth0 or eth1")
	}
	return out, nil
}

// memoryFiles are included files by name.
type memoryFiles map[string]string

func (m memoryFiles) ReadFile(name string) ([]byte, error) {
	if s, ok := m[name]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

func (m memoryFiles) Glob(pattern string) (all []string, err error) {
	for name := range m {
		if ok, e := filepath.Match(pattern, name); e != nil {
			return nil, e
		} else if ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all, nil
}
