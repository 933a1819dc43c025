package ike

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
)

const (
	maxPSKFile = 4 << 20 // octets
	maxPSKLine = 1023    // octets, as ipsec-tools has it
	maxKeyFile = 64 << 10
)

// A PSKFile is a file of pre-shared keys in the form of ipsec-tools (psk.txt):
//
//	# comment, in the first column
//	192.0.2.1          a secret, up to the end of the line
//	2001:db8::1        0x68657861646563696d616c
//	gw.example.org     another secret
//	alice@example.org  hers
//	sales              of a key ID, such as a Cisco client's group
//	*                  of anybody else
//
// The first word is an identity: an address, the text of a name, or any other
// form that [ParseIdentity] knows and that has no blank. A line is at most 1023
// octets long. Each identity has one secret.
//
// The file must belong to the user of the process or to root, and nobody else
// may read it. It is read again when it has changed; a change that cannot be
// used is an error of every lookup until it is repaired.
//
// It is safe for concurrent use.
type PSKFile struct{ file watchedFile[*pskTable] }

// LoadPSKFile reads a file of pre-shared keys. Errors are of type [*FileError]
// and show no secret; those about owner and permissions match
// [ErrFilePermissions].
func LoadPSKFile(path string, opts ...FileOption) (*PSKFile, error) {
	f := &PSKFile{watchedFile[*pskTable]{path: path, load: func(path string) (*pskTable, fs.FileInfo, error) {
		return loadPSKTable(path, forbids(anyOthers, opts))
	}}}
	if err := f.file.reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Credential is a [CredentialSource]: the key of the remote identity, else that
// of "*". IKEv1 asks for the peer's address in Main Mode, where the key is needed
// before the identity is known (RFC 2409 5.4), unless that can be one only, and
// for the identity and then, if there is none, for the address in Aggressive and
// Base Mode. The key of "*" is a [Credential.Fallback]: it counts if neither
// has a line.
func (f *PSKFile) Credential(_ context.Context, local, remote Identity) (*Credential, error) {
	t, err := f.file.get()
	if err != nil {
		return nil, err
	}
	if k := t.find(remote); k != nil {
		return &Credential{PSK: k}, nil
	}
	if t.any == nil {
		return nil, &NoCredentialError{local, remote}
	}
	return &Credential{PSK: t.any, Fallback: true}, nil
}

// Password returns the secret of a login name: racoon keeps the passwords of
// XAuth clients in the same file. It is not that of "*".
func (f *PSKFile) Password(login string) (Secret, error) {
	t, err := f.file.get()
	if err != nil {
		return nil, err
	}
	if k, ok := t.names[login]; ok {
		return k.secret, nil
	}
	return nil, &FileError{File: f.file.path, Err: fmt.Errorf("%w: %s", ErrNoCredential, quoteUser(login))}
}

// Reload reads the file, so that an error in it shows now and not at the next
// lookup.
func (f *PSKFile) Reload() error { return f.file.reload() }

// String names the file.
func (f *PSKFile) String() string { return "pre-shared keys of " + f.file.path }

// Format implements [fmt.Formatter] for every verb.
func (f *PSKFile) Format(s fmt.State, _ rune) { fmt.Fprint(s, f.String()) }

type pskTable struct {
	names map[string]pskEntry // by the text as it is written
	ids   map[Identity]pskEntry
	any   Secret
}

type pskEntry struct {
	secret Secret
	line   int
}

// find looks for an identity, not for "*". The written form of a name is what
// the payload holds; addresses in names are not taken for addresses.
func (t *pskTable) find(id Identity) Secret {
	if k, ok := t.ids[pskKey(id)]; ok {
		return k.secret
	}
	switch id.Type {
	case IDFQDN, IDRFC822Addr, IDKeyID:
		if _, err := netip.ParseAddr(id.Data); err != nil && id.Data != "*" {
			if k, ok := t.names[id.Data]; ok {
				return k.secret
			}
		}
	}
	return nil
}

// pskKey makes identities that are [Identity.Equal] the same key.
func pskKey(id Identity) Identity {
	switch id.Type {
	case IDFQDN:
		id.Data = strings.ToLower(id.Data)
	case IDRFC822Addr:
		if at := strings.LastIndexByte(id.Data, '@'); at >= 0 {
			id.Data = id.Data[:at] + strings.ToLower(id.Data[at:])
		}
	case IDDERASN1DN:
		id.Data = strings.ToLower(id.String())
	}
	return id
}

func loadPSKTable(path string, forbidden fs.FileMode) (*pskTable, fs.FileInfo, error) {
	data, info, err := readSecretFile(path, forbidden, maxPSKFile)
	if err != nil {
		return nil, nil, err
	}
	defer data.Wipe()
	t := &pskTable{names: make(map[string]pskEntry), ids: make(map[Identity]pskEntry)}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if err := t.add(line, number); err != nil {
			return nil, info, &FileError{path, number, err}
		}
	}
	return t, info, nil
}

func (t *pskTable) add(line []byte, number int) error {
	if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
		return nil
	}
	if len(line) > maxPSKLine {
		return fmt.Errorf("the line has %d octets, at most %d are accepted", len(line), maxPSKLine)
	}
	i := bytes.IndexAny(line, " \t")
	if i == 0 {
		return errors.New("the line begins with a blank; it must begin with an identity")
	}
	if i < 0 {
		return errors.New("an identity without a secret; both belong on one line")
	}
	name := string(line[:i])
	rest := bytes.TrimLeft(line[i:], " \t")
	if len(rest) == 0 {
		return errors.New("an identity without a secret; both belong on one line")
	}
	if strings.ContainsFunc(name, isControl) {
		return errors.New("the identity has control characters")
	}
	secret, err := pskSecret(rest)
	if err != nil {
		return err
	}
	if name == "*" {
		if t.any != nil && !t.any.Equal(secret) {
			return errors.New(`"*" has another secret already`)
		}
		t.any = secret
		return nil
	}
	if old, ok := t.names[name]; ok {
		if !old.secret.Equal(secret) {
			return fmt.Errorf("%s has another secret already, in line %d", quoteUser(name), old.line)
		}
		return nil
	}
	e := pskEntry{secret, number}
	t.names[name] = e
	if id, err := ParseIdentity(name); err == nil {
		key := pskKey(id)
		if old, ok := t.ids[key]; ok && !old.secret.Equal(secret) {
			return fmt.Errorf("%s has another secret already, in line %d", quoteUser(name), old.line)
		}
		t.ids[key] = e
	}
	return nil
}

// pskSecret reads 0x and hexadecimal digits, or takes the text as it is.
func pskSecret(text []byte) (Secret, error) {
	digits, isHex := bytes.CutPrefix(text, []byte("0x"))
	if !isHex {
		return Secret(bytes.Clone(text)), nil
	}
	secret := make(Secret, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(secret, digits); err != nil || len(secret) == 0 {
		secret.Wipe()
		return nil, errors.New("a secret that begins with 0x must go on with pairs of hexadecimal digits and nothing else")
	}
	return secret, nil
}

// LoadKeyFile reads a pre-shared key in the form of racoon2: the whole file is
// the key, a newline at its end included. What owns and may read the file is
// checked as by [LoadPSKFile]. Use [Credential.Source] where a source is
// wanted.
func LoadKeyFile(path string, opts ...FileOption) (*Credential, error) {
	data, _, err := readSecretFile(path, forbids(anyOthers, opts), maxKeyFile)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return nil, &FileError{File: path, Err: errors.New("the file is empty, and anybody knows the empty key")}
	}
	return &Credential{PSK: data}, nil
}
