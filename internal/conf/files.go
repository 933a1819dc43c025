package conf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// objects are what has been made of files, by what it was made of.
type objects map[string]any

// files reads secrets from the file system.
type files struct {
	old, kept objects
	any       bool // whatever their permissions
}

// keep returns the object that was made of the same before, else a new one.
// Nothing made with an error is kept.
func keep[T any](f *files, id string, create func() (T, error)) (T, error) {
	for _, m := range []objects{f.kept, f.old} {
		if v, ok := m[id].(T); ok {
			f.kept[id] = v
			return v, nil
		}
	}
	v, err := create()
	if err == nil {
		f.kept[id] = v
	}
	return v, err
}

func (f *files) options() []ike.FileOption {
	if f.any {
		return []ike.FileOption{ike.AnyPermissions}
	}
	return nil
}

func (f *files) key(file, format string) (ike.Secret, error) {
	c, err := ike.LoadKeyFile(file, f.options()...)
	if err != nil {
		return nil, f.explain(err)
	}
	if format == "raw" {
		return c.PSK, nil
	}
	s := ike.Secret(bytes.TrimRight(c.PSK, "\r\n"))
	digits, isHex := bytes.CutPrefix(s, []byte("0x"))
	switch {
	case len(s) == 0:
		return nil, fmt.Errorf("%s: is empty, and anybody knows the empty key", file)
	case bytes.ContainsAny(s, "\r\n"):
		return nil, fmt.Errorf("%s: has several lines; write psk-format = \"raw\" if all of them are the key, or \"table\" if each has an identity and a key", file)
	case !isHex:
		return s, nil
	}
	out := make(ike.Secret, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(out, digits); err != nil || len(out) == 0 {
		return nil, fmt.Errorf("%s: is not hexadecimal after 0x", file)
	}
	s.Wipe()
	return out, nil
}

// explain adds what the configuration can do about permissions.
func (f *files) explain(err error) error {
	if errors.Is(err, ike.ErrFilePermissions) {
		return fmt.Errorf("%w; or write insecure-permissions = true in [secrets]", err)
	}
	return err
}

func (f *files) table(file string) (*ike.PSKFile, error) {
	t, err := keep(f, fmt.Sprintf("psk %q %v", file, f.any), func() (*ike.PSKFile, error) { return ike.LoadPSKFile(file, f.options()...) })
	if err == nil {
		err = t.Reload()
	}
	return t, f.explain(err)
}

func (f *files) keys(file string) (ike.CredentialSource, error) {
	t, err := f.table(file)
	if err != nil {
		return nil, err
	}
	return t.Credential, nil
}

func (f *files) keyOf(dir, name, format string) (ike.Secret, error) {
	for _, n := range []string{name, name + ".psk"} {
		path := filepath.Join(dir, n)
		if _, err := os.Stat(path); err == nil {
			return f.key(path, format)
		}
	}
	return nil, fmt.Errorf("%s: there is neither %s nor %s.psk", dir, name, name)
}

func (f *files) password(file string) (ike.Secret, error) {
	c, err := ike.LoadKeyFile(file, f.options()...)
	if err != nil {
		return nil, f.explain(err)
	}
	return ike.Secret(bytes.TrimRight(c.PSK, "\r\n")), nil
}

func (f *files) passwordOf(file, login string) (ike.Secret, error) {
	t, err := f.table(file)
	if err != nil {
		return nil, err
	}
	return t.Password(login)
}

func (f *files) credential(certificate, key string) (*ike.Credential, error) {
	secret, err := ike.LoadKeyFile(key, f.options()...) // for its permissions
	if err != nil {
		return nil, f.explain(err)
	}
	secret.PSK.Wipe()
	sum, err := digest(certificate, key)
	if err != nil {
		return nil, err
	}
	return keep(f, "credential "+sum, func() (*ike.Credential, error) {
		c, err := ike.LoadCredential(certificate, key)
		if err != nil {
			return nil, err
		}
		return c, c.Validate()
	})
}

func (f *files) trust(p *Peer) (*ike.Trust, error) {
	sum, err := digest(slices.Concat(p.CA, p.Trust.Intermediates, p.Trust.Pinned, p.Trust.RawKeys)...)
	if err != nil {
		return nil, err
	}
	return keep(f, fmt.Sprintf("trust %s %q %+v", sum, p.RemoteID, p.Trust), func() (*ike.Trust, error) { return p.loadTrust() })
}

func (p *Peer) loadTrust() (*ike.Trust, error) {
	t := &ike.Trust{}
	var err error
	if len(p.CA) > 0 {
		if t, err = ike.LoadTrust(p.CA...); err != nil {
			return nil, err
		}
	}
	for _, file := range p.Trust.Intermediates {
		certs, err := ike.LoadCertificates(file)
		if err != nil {
			return nil, err
		}
		t.Intermediates = append(t.Intermediates, certs...)
	}
	for _, file := range p.Trust.Pinned {
		certs, err := ike.LoadCertificates(file)
		if err != nil {
			return nil, err
		}
		t.Pinned = append(t.Pinned, certs...)
	}
	for _, file := range p.Trust.RawKeys {
		k, err := ike.LoadPublicKey(file)
		if err != nil {
			return nil, err
		}
		t.RawKeys = append(t.RawKeys, ike.RawKey{Key: k}) // of the identity that remote-id allows
	}
	p.Trust.apply(t)
	return t, t.Validate()
}

var (
	revocations = map[string]ike.RevocationPolicy{"if-present": ike.RevocationIfPresent, "strict": ike.RevocationStrict, "off": ike.RevocationOff}
	ekus        = map[string]ike.EKUPolicy{"if-present": ike.EKUIfPresent, "required": ike.EKURequired, "ignored": ike.EKUIgnored}
	idTypes     = map[string][]ike.IDType{
		"keyid": {ike.IDKeyID}, "fqdn": {ike.IDFQDN}, "email": {ike.IDRFC822Addr}, "address": {ike.IDIPv4Addr, ike.IDIPv6Addr}, "dn": {ike.IDDERASN1DN},
	}
)

// apply sets what the file says beside certificates.
func (o *Trust) apply(t *ike.Trust) {
	t.Revocation, t.EKU = revocations[o.Revocation], ekus[o.EKU]
	t.MatchCN, t.WildcardSANs, t.AddressInDNS = o.MatchCN, o.WildcardSANs, o.AddressInDNS
	t.MaxChain, t.MinRSABits = o.MaxChain, o.MinRSABits
	for _, w := range o.AnyIdentity {
		t.AnyIdentity = append(t.AnyIdentity, idTypes[w]...)
	}
}

func (f *files) users(u *Users) (ike.UserAuthenticator, error) {
	return keep(f, fmt.Sprintf("users %+v %v", *u, f.any), func() (ike.UserAuthenticator, error) {
		file, err := ike.LoadUserFile(u.File, f.options()...)
		if err != nil {
			return nil, f.explain(err)
		}
		var a ike.UserAuthenticator = file
		if len(u.Groups) > 0 {
			a = ike.RequireGroup(a, u.Groups...)
		}
		t := &u.Throttle
		return ike.ThrottleLogins(a, ike.ThrottleConfig{
			UserFree: t.UserFree, AddressFree: t.AddressFree, Delay: t.Delay.D(), MaxDelay: t.MaxDelay.D(), Forget: t.Forget.D(), MaxEntries: t.MaxEntries,
		}), nil
	})
}

func (f *files) pool(p *Pool) (ike.AddressAssigner, error) {
	return keep(f, fmt.Sprintf("pool %+v", *p), func() (ike.AddressAssigner, error) {
		cfg := p.racoon()
		if p.ExcludeOwn {
			own, err := thisHost{}.Addresses("")
			if err != nil {
				return nil, err
			}
			for _, a := range own {
				cfg.Exclude = append(cfg.Exclude, a.WithZone("").String())
			}
		}
		return racoon.NewPool(cfg)
	})
}

func (f *files) request(r ike.ConfigRequest) *ike.ConfigRequest {
	out, _ := keep(f, fmt.Sprintf("request %+v", r), func() (*ike.ConfigRequest, error) { return &r, nil })
	return out
}

// digest says what files hold, and what the files of directories do.
func digest(paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		if path == "" {
			fmt.Fprintln(h)
			continue
		}
		names := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			entries, err := os.ReadDir(path) // sorted
			if err != nil {
				return "", err
			}
			names = nil
			for _, e := range entries {
				if e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0 {
					names = append(names, filepath.Join(path, e.Name()))
				}
			}
		}
		for _, n := range names {
			fmt.Fprintf(h, "%q ", n)
			if err := addFile(h, n); err != nil {
				return "", err
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func addFile(w io.Writer, name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return nil
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	fmt.Fprintln(w)
	return err
}
