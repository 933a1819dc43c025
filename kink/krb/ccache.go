package krb

import (
	"errors"
	"fmt"
	"time"
)

// ErrCCache is wrapped by errors about files that are no credential caches.
var ErrCCache = errors.New("krb: not a credential cache")

// A CCache holds tickets of one principal, as kinit leaves them in a file.
type CCache struct {
	Client  Principal
	Tickets []*Ticket
}

// maxCCache bounds the tickets of a cache.
const maxCCache = 4096

// ParseCCache decodes a credential cache file, versions 3 and 4. Tickets whose
// session key has an encryption type that this package does not have are left
// out, and so are entries that hold configuration. The error wraps [ErrCCache].
func ParseCCache(b []byte) (*CCache, error) {
	f := &fields{b: b}
	version := f.uint16()
	if f.bad || version != 0x0503 && version != 0x0504 {
		return nil, fmt.Errorf("%w: no version 3 or 4 at its start", ErrCCache)
	}
	if version == 0x0504 {
		f.counted16()
	}
	c := &CCache{}
	var ok bool
	if c.Client, ok = f.principal(); !ok {
		return nil, fmt.Errorf("%w: no principal", ErrCCache)
	}
	for len(f.b) > 0 && !f.bad {
		if len(c.Tickets) == maxCCache {
			break
		}
		t, config := f.credential(version)
		if f.bad {
			return nil, fmt.Errorf("%w: ends inside a ticket", ErrCCache)
		}
		if !config && t.Key != nil {
			c.Tickets = append(c.Tickets, t)
		}
	}
	return c, nil
}

func (f *fields) principal() (Principal, bool) {
	f.uint32() // name type
	n := f.uint32()
	if n > maxComponents {
		f.bad = true
	}
	realm := string(f.counted32())
	var parts []string
	for range n {
		if f.bad {
			break
		}
		parts = append(parts, string(f.counted32()))
	}
	if f.bad || n == 0 || realm == "" {
		return Principal{}, false
	}
	return NewPrincipal(realm, parts...), true
}

func (f *fields) time() time.Time {
	s := f.uint32()
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// skip steps over a list of typed octet strings.
func (f *fields) skip() {
	for n := f.uint32(); n > 0 && !f.bad; n-- {
		f.uint16()
		f.counted32()
	}
}

func (f *fields) credential(version uint16) (t *Ticket, config bool) {
	t = &Ticket{}
	var ok bool
	if t.Client, ok = f.principal(); !ok {
		f.bad = true
	}
	if t.Server, ok = f.principal(); !ok {
		f.bad = true
	}
	e := EType(f.uint16())
	if version == 0x0503 {
		f.uint16()
	}
	key := f.counted32()
	t.AuthTime, t.StartTime, t.EndTime, t.RenewTill = f.time(), f.time(), f.time(), f.time()
	if t.StartTime.IsZero() {
		t.StartTime = t.AuthTime
	}
	t.UserToUser = f.uint8() != 0
	t.Flags = Flags(f.uint32())
	f.skip()
	f.skip()
	t.Raw = append([]byte(nil), f.counted32()...)
	f.counted32()
	if f.bad {
		return t, false
	}
	if k, err := NewKey(e, key); err == nil {
		t.Key = k
	}
	return t, t.Server.Realm == "X-CACHECONF:"
}
