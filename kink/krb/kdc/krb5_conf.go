package kdc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/kink/krb"
)

// ErrKrb5Conf is wrapped by errors about a krb5.conf file.
var ErrKrb5Conf = errors.New("kdc: krb5.conf")

// A Krb5Conf is what KINK needs of a krb5.conf file: [libdefaults]
// default_realm, dns_lookup_kdc, permitted_enctypes, clockskew and
// ticket_lifetime; [realms] kdc; [domain_realm]; [capaths].
type Krb5Conf struct {
	DefaultRealm   string
	DNSLookupKDC   bool
	ETypes         []krb.EType // nil: not said
	ClockSkew      time.Duration
	TicketLifetime time.Duration
	KDCs           map[string][]string            // by realm
	DomainRealm    map[string]string              // by host name, or by ".domain"
	CAPaths        map[string]map[string][]string // client realm, server realm, the realms between
}

// maxInclude is how deep files may include others.
const maxInclude = 8

// ReadKrb5Conf reads a krb5.conf file, and what it includes.
func ReadKrb5Conf(path string) (*Krb5Conf, error) {
	c := newKrb5Conf()
	if err := c.file(path, 0); err != nil {
		return nil, err
	}
	return c, nil
}

// ParseKrb5Conf reads the text of a krb5.conf file that includes no others.
func ParseKrb5Conf(text string) (*Krb5Conf, error) {
	c := newKrb5Conf()
	if err := c.parse("text", text, maxInclude); err != nil {
		return nil, err
	}
	return c, nil
}

func newKrb5Conf() *Krb5Conf {
	return &Krb5Conf{DNSLookupKDC: true, KDCs: map[string][]string{}, DomainRealm: map[string]string{}, CAPaths: map[string]map[string][]string{}}
}

func (c *Krb5Conf) file(path string, depth int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKrb5Conf, err)
	}
	return c.parse(path, string(b), depth)
}

func (c *Krb5Conf) parse(name, text string, depth int) error {
	section := ""
	var groups []string // names of the open braces
	for i, line := range strings.Split(text, "\n") {
		fail := func(why string) error { return fmt.Errorf("%w: %s:%d: %s", ErrKrb5Conf, name, i+1, why) }
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if word, arg, ok := strings.Cut(line, " "); ok && (word == "include" || word == "includedir") {
			if depth >= maxInclude {
				return fail("includes too deep")
			}
			if err := c.include(word, strings.TrimSpace(arg), depth); err != nil {
				return err
			}
			continue
		}
		switch {
		case line[0] == '[':
			end := strings.IndexByte(line, ']')
			if end < 0 || len(groups) > 0 {
				return fail("malformed section")
			}
			section = line[1:end]
			continue
		case line[0] == '}':
			if len(groups) == 0 {
				return fail("unexpected }")
			}
			groups = groups[:len(groups)-1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return fail("neither a section nor an assignment")
		}
		key = strings.TrimSuffix(strings.TrimSpace(key), "*")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		if value == "{" {
			groups = append(groups, key)
			continue
		}
		if err := c.set(section, groups, key, value); err != nil {
			return fail(err.Error())
		}
	}
	if len(groups) > 0 {
		return fmt.Errorf("%w: %s: { without }", ErrKrb5Conf, name)
	}
	return nil
}

func (c *Krb5Conf) include(word, path string, depth int) error {
	if word == "include" {
		return c.file(path, depth+1)
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKrb5Conf, err)
	}
	for _, e := range entries {
		plain := strings.Trim(e.Name(), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if e.IsDir() || !plain && !strings.HasSuffix(e.Name(), ".conf") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := c.file(filepath.Join(path, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// set takes one assignment. What this package has no use for is passed over.
func (c *Krb5Conf) set(section string, groups []string, key, value string) (err error) {
	switch {
	case section == "libdefaults" && len(groups) == 0:
		switch key {
		case "default_realm":
			c.DefaultRealm = value
		case "dns_lookup_kdc":
			c.DNSLookupKDC, err = boolean(value)
		case "permitted_enctypes":
			c.ETypes = etypes(value)
		case "clockskew":
			c.ClockSkew, err = Duration(value)
		case "ticket_lifetime":
			c.TicketLifetime, err = Duration(value)
		}
	case section == "realms" && len(groups) == 1 && (key == "kdc" || key == "master_kdc"):
		if !slices.Contains(c.KDCs[groups[0]], value) {
			c.KDCs[groups[0]] = append(c.KDCs[groups[0]], value)
		}
	case section == "domain_realm" && len(groups) == 0:
		c.DomainRealm[strings.ToLower(key)] = value
	case section == "capaths" && len(groups) == 1:
		m := c.CAPaths[groups[0]]
		if m == nil {
			m = map[string][]string{}
			c.CAPaths[groups[0]] = m
		}
		if value == "." {
			m[key] = []string{}
		} else {
			m[key] = append(m[key], value)
		}
	}
	return err
}

func boolean(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "t", "yes", "y", "1", "on":
		return true, nil
	case "false", "f", "no", "n", "0", "off", "nil":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

// etypes reads a list of names; families such as aes stand for their members,
// and what is not known is passed over.
func etypes(s string) []krb.EType {
	out := []krb.EType{}
	for _, name := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		add := []krb.EType{}
		switch name = strings.ToLower(name); name {
		case "aes":
			add = append(add, krb.AES256SHA1, krb.AES128SHA1, krb.AES256SHA384, krb.AES128SHA256)
		case "default":
			add = krb.DefaultETypes()
		case "des3":
			add = append(add, krb.DES3SHA1)
		default:
			if e, ok := krb.ParseEType(name); ok {
				add = append(add, e)
			}
		}
		for _, e := range add {
			if !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
	}
	return out
}

// Duration reads a time span as krb5.conf has it: "300", "10h", "1d 2h", "h:m"
// or "h:m:s".
func Duration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no time span", s)
	var total, unit time.Duration
	if strings.Contains(s, ":") {
		unit = time.Hour
		for _, p := range strings.Split(s, ":") {
			n, err := strconv.ParseUint(p, 10, 24)
			if err != nil || unit < time.Second {
				return 0, bad
			}
			total += time.Duration(n) * unit
			unit /= 60
		}
		return total, nil
	}
	rest := strings.ReplaceAll(s, " ", "")
	if rest == "" {
		return 0, bad
	}
	for rest != "" {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		v, err := strconv.ParseUint(rest[:n], 10, 31)
		if err != nil {
			return 0, bad
		}
		unit = time.Second
		if n < len(rest) {
			switch rest[n] {
			case 's':
			case 'm':
				unit = time.Minute
			case 'h':
				unit = time.Hour
			case 'd':
				unit = 24 * time.Hour
			default:
				return 0, bad
			}
			n++
		}
		if v > uint64(20*365*24*time.Hour/unit) {
			return 0, bad
		}
		total += time.Duration(v) * unit
		rest = rest[n:]
	}
	return total, nil
}

// Realm returns the realm of a host by [domain_realm], and whether there is
// one.
func (c *Krb5Conf) Realm(host string) (string, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if r, ok := c.DomainRealm[host]; ok {
		return r, true
	}
	for i := strings.IndexByte(host, '.'); i >= 0; {
		if r, ok := c.DomainRealm[host[i:]]; ok {
			return r, true
		}
		j := strings.IndexByte(host[i+1:], '.')
		if j < 0 {
			break
		}
		i += 1 + j
	}
	return "", false
}
