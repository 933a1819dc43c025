package krb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrKeytab is wrapped by errors about files that are no keytabs.
var ErrKeytab = errors.New("krb: not a keytab")

// A Keytab holds the keys of principals, as MIT's and Heimdal's keytab files
// do. It is immutable and a [KeySource].
type Keytab struct {
	entries []KeytabEntry
}

// A KeytabEntry is one key of a keytab.
type KeytabEntry struct {
	Principal Principal
	KVNO      uint32
	Time      time.Time
	Key       *Key
}

// NewKeytab returns a keytab with the entries.
func NewKeytab(entries ...KeytabEntry) *Keytab { return &Keytab{entries: slices.Clone(entries)} }

// ParseKeytab decodes a keytab file (version 0x502). Keys of encryption types
// that this package does not have are left out. The error wraps [ErrKeytab].
func ParseKeytab(b []byte) (*Keytab, error) {
	if len(b) < 2 || b[0] != 5 || b[1] != 2 {
		return nil, fmt.Errorf("%w: no version 0x502 at its start", ErrKeytab)
	}
	k := &Keytab{}
	for rest := b[2:]; len(rest) > 0; {
		off := len(b) - len(rest)
		if len(rest) < 4 {
			return nil, fmt.Errorf("%w: ends inside an entry at octet %d", ErrKeytab, off)
		}
		n := int64(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
		size := max(n, -n) // negative: a hole
		if size > int64(len(rest)) {
			return nil, fmt.Errorf("%w: ends inside an entry at octet %d", ErrKeytab, off)
		}
		if n > 0 {
			e, ok := parseKeytabEntry(rest[:n])
			if !ok {
				return nil, fmt.Errorf("%w: malformed entry at octet %d", ErrKeytab, off)
			}
			if e.Key != nil {
				k.entries = append(k.entries, e)
			}
		}
		rest = rest[size:]
	}
	return k, nil
}

// fields reads the counted fields of keytabs and credential caches.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n < 0 || n > len(f.b) {
		f.bad = true
		return nil
	}
	out := f.b[:n:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) uint8() uint8 {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) counted16() []byte { return f.take(int(f.uint16())) }

func (f *fields) counted32() []byte {
	n := f.uint32()
	if n > 1<<24 {
		f.bad = true
		return nil
	}
	return f.take(int(n))
}

func parseKeytabEntry(b []byte) (e KeytabEntry, ok bool) {
	f := &fields{b: b}
	n := int(f.uint16())
	realm := string(f.counted16())
	if n > maxComponents {
		return e, false
	}
	var parts []string
	for range n {
		parts = append(parts, string(f.counted16()))
	}
	f.uint32() // name type
	e.Time = time.Unix(int64(f.uint32()), 0).UTC()
	e.KVNO = uint32(f.uint8())
	etype := EType(f.uint16())
	raw := f.counted16()
	if f.bad || n == 0 || realm == "" || !printableName(realm+strings.Join(parts, "")) {
		return e, false
	}
	if len(f.b) >= 4 { // 32 bits of the version, unless zero
		if v := f.uint32(); v != 0 {
			e.KVNO = v
		}
	}
	e.Principal = NewPrincipal(realm, parts...)
	if !etype.Supported() {
		return e, true
	}
	k, err := NewKey(etype, raw)
	if err != nil {
		return e, false
	}
	e.Key = k
	return e, true
}

// Entries returns the entries in the order of the file.
func (k *Keytab) Entries() []KeytabEntry { return slices.Clone(k.entries) }

// ServiceKeys implements [KeySource]. A ticket that names no key version may be
// of any; the latest comes first.
func (k *Keytab) ServiceKeys(server Principal, e EType, kvno uint32) ([]*Key, error) {
	if k == nil {
		return nil, APErrNoKey
	}
	var found []KeytabEntry
	us, etype := false, false
	for _, x := range k.entries {
		if x.Principal != server {
			continue
		}
		us = true
		if x.Key.etype != e {
			continue
		}
		etype = true
		// Files of old programs have only the lower 8 bits.
		if kvno == 0 || x.KVNO == kvno || x.KVNO < 256 && x.KVNO == kvno&0xff {
			found = append(found, x)
		}
	}
	switch {
	case !us:
		return nil, APErrNotUs
	case !etype:
		return nil, APErrNoKey
	case len(found) == 0:
		return nil, APErrBadKeyVer
	}
	slices.SortStableFunc(found, func(a, b KeytabEntry) int { return int(b.KVNO) - int(a.KVNO) })
	keys := make([]*Key, len(found))
	for i := range found {
		keys[i] = found[i].Key
	}
	return keys, nil
}

// Principals returns whose keys there are, in the order of the file.
func (k *Keytab) Principals() []Principal {
	var out []Principal
	for _, e := range k.entries {
		if !slices.Contains(out, e.Principal) {
			out = append(out, e.Principal)
		}
	}
	return out
}
