package ike

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
)

const (
	maxUserFile = 16 << 20 // octets
	maxUserLine = 2048
)

// A UserFile is a [UserAuthenticator] with the users of a file in the form of
// htpasswd:
//
//	# comment
//	alice:$2y$10$Rn5jDA...                           htpasswd -B
//	bob:$6$x6Pq...:staff,admin                       openssl passwd -6; in two groups
//	carol:$argon2id$v=19$m=65536,t=3,p=4$...::10.9.0.7,2001:db8::7
//	dave:!$2y$10$...                                 locked
//	erin:{PLAIN}the password                         for CHAP; it has no colon
//
// The fields are the name, the hash as in [User].Hash, groups, and fixed inner
// addresses, one of a family at most; the last two may be left out.
//
// The file must belong to the user of the process or to root; others may
// neither read nor change it, its group may read it. It is read again when it
// has changed; a change that cannot be used is an error of every login until
// it is repaired. Time does not tell who exists, as [MemoryUsers] says.
//
// It is safe for concurrent use.
type UserFile struct{ file watchedFile[*userTable] }

// LoadUserFile reads a file of users. Errors are of type [*FileError] and show
// no password and no hash; those about owner and permissions match
// [ErrFilePermissions].
func LoadUserFile(path string, opts ...FileOption) (*UserFile, error) {
	f := &UserFile{watchedFile[*userTable]{path: path, load: func(path string) (*userTable, fs.FileInfo, error) {
		return loadUserTable(path, forbids(writeOthers, opts))
	}}}
	if err := f.file.reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the file, so that an error in it shows now and not at the next
// login.
func (f *UserFile) Reload() error { return f.file.reload() }

// Supports implements [UserAuthenticator]: generic, and CHAP if the file has the
// password of every user.
func (f *UserFile) Supports(k UserAuthKind) bool {
	t, err := f.file.get()
	return err == nil && t.supports(k)
}

// AuthenticateUser implements [UserAuthenticator].
func (f *UserFile) AuthenticateUser(ctx context.Context, r UserRequest) (UserAnswer, error) {
	t, err := f.file.get()
	if err != nil {
		return nil, err
	}
	return t.authenticate(ctx, r)
}

// String names the file.
func (f *UserFile) String() string { return "users of " + f.file.path }

// Format implements [fmt.Formatter] for every verb.
func (f *UserFile) Format(s fmt.State, _ rune) { fmt.Fprint(s, f.String()) }

func loadUserTable(path string, forbidden fs.FileMode) (*userTable, fs.FileInfo, error) {
	data, info, err := readSecretFile(path, forbidden, maxUserFile)
	if err != nil {
		return nil, nil, err
	}
	defer data.Wipe()
	t := newUserTable()
	lines := make(map[string]int)
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, err := t.addLine(line, lines)
		if err != nil {
			return nil, info, &FileError{path, number, err}
		}
		lines[name] = number
	}
	t.finish()
	return t, info, nil
}

// addLine reads one user. lines says where the others are.
func (t *userTable) addLine(line []byte, lines map[string]int) (name string, err error) {
	if len(line) > maxUserLine {
		return "", fmt.Errorf("the line has %d octets, at most %d are accepted", len(line), maxUserLine)
	}
	fields := bytes.SplitN(line, []byte(":"), 4) // IPv6 addresses have colons
	if len(fields) < 2 {
		return "", errors.New("a name and a hash are wanted, with a colon between them")
	}
	name = string(fields[0])
	if n := lines[name]; n != 0 {
		return "", fmt.Errorf("user %s is in line %d already", quoteUser(name), n)
	}
	var u User
	hash := fields[1]
	if plain, ok := bytes.CutPrefix(hash, []byte("{PLAIN}")); ok {
		u.Password = Secret(plain)
	} else {
		if unlocked := bytes.TrimLeft(hash, "!*"); len(unlocked) < len(hash) {
			u.Disabled, hash = true, unlocked
		}
		u.Hash = Secret(hash)
	}
	if len(fields) > 2 {
		u.Groups = commaList(fields[2])
	}
	if len(fields) > 3 {
		for _, s := range commaList(fields[3]) {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return "", fmt.Errorf("user %s: %s is no address", quoteUser(name), quoteUser(s))
			}
			u.Addresses = append(u.Addresses, a)
		}
	}
	return name, t.add(name, u)
}

// commaList splits at commas; blanks around an item do not count.
func commaList(b []byte) (items []string) {
	for s := range strings.SplitSeq(string(b), ",") {
		if s = strings.TrimSpace(s); s != "" {
			items = append(items, s)
		}
	}
	return items
}
