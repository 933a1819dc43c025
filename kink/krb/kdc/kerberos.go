package kdc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/racoon3/racoon/kink/krb"
)

// A Config says who we are and where the KDCs are. The zero value of every
// field but Principal is usable.
type Config struct {
	// Principal is who we are, such as "kink/a.example.com@EXAMPLE.COM". Without
	// a realm it is in the default realm of Krb5Conf.
	Principal string

	Keytab   string // file with our keys, as a server and for getting a TGT
	CCache   string // file with tickets, for a host that others keep logged in
	Password string // for getting a TGT if there is no keytab

	KDCs     map[string][]string // by realm: host, host:port, or one of them after "udp/" or "tcp/"
	Krb5Conf *Krb5Conf           // more realms, and defaults; see ReadKrb5Conf
	DNS      bool                // ask the DNS for the KDCs of other realms; also if Krb5Conf says so

	ETypes   []krb.EType   // nil: Krb5Conf's, else krb.DefaultETypes
	Lifetime time.Duration // of tickets; 0: Krb5Conf's, else 10 hours
	Timeout  time.Duration // of one exchange with the KDCs of a realm; 0: 10 seconds

	Random   io.Reader     // nil: crypto/rand
	Dialer   *net.Dialer   // nil: a plain one
	Resolver *net.Resolver // nil: net.DefaultResolver
}

// ErrConfig is wrapped by errors about a Config that cannot work.
var ErrConfig = errors.New("kdc: configuration")

// Kerberos implements [krb.Kerberos]. It is safe for concurrent use.
type Kerberos struct {
	*krb.Client
	conf    Config
	keytab  atomic.Pointer[krb.Keytab]
	reload  sync.Mutex
	keyfile file
	cache   file
}

var _ krb.Kerberos = (*Kerberos)(nil)

// New returns Kerberos as configured. The files are read if they are there;
// one that is not there yet is no error, since [Kerberos.Reload] takes it when
// it is. Nothing is asked of a KDC.
func New(c Config) (*Kerberos, error) {
	conf := c.Krb5Conf
	if conf == nil {
		conf = newKrb5Conf()
		conf.DNSLookupKDC = false
	}
	me, err := krb.ParsePrincipal(c.Principal, conf.DefaultRealm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.Keytab == "" && c.CCache == "" && c.Password == "" {
		return nil, fmt.Errorf("%w: neither keytab nor credential cache nor password for %v", ErrConfig, me)
	}
	if c.ETypes == nil {
		c.ETypes = conf.ETypes
	}
	for _, e := range c.ETypes {
		if !e.Supported() {
			return nil, fmt.Errorf("%w: %w: %v", ErrConfig, krb.ErrEType, e)
		}
	}
	if c.ETypes != nil && len(c.ETypes) == 0 {
		return nil, fmt.Errorf("%w: no encryption type is left", ErrConfig)
	}
	if c.Lifetime <= 0 {
		c.Lifetime = conf.TicketLifetime
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Dialer == nil {
		c.Dialer = &net.Dialer{}
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	t := &transport{dial: c.Dialer, timeout: c.Timeout, good: map[string]string{}}
	t.kdcs = func(ctx context.Context, realm string) ([]string, error) {
		if list := c.KDCs[realm]; len(list) > 0 {
			return list, nil
		}
		if list := conf.KDCs[realm]; len(list) > 0 {
			return list, nil
		}
		if !c.DNS && !conf.DNSLookupKDC {
			return nil, fmt.Errorf("%w: none is configured for %s", ErrNoKDC, realm)
		}
		return lookupSRV(ctx, c.Resolver, realm)
	}
	k := &Kerberos{
		conf: c,
		Client: krb.NewClient(krb.ClientConfig{
			Principal: me, Transport: t, Random: c.Random, ETypes: c.ETypes, Lifetime: c.Lifetime,
			CAPath: func(from, to string) []string { return conf.CAPaths[from][to] },
		}),
		keyfile: file{path: c.Keytab}, cache: file{path: c.CCache},
	}
	k.SetPassword(c.Password)
	if err := k.Reload(context.Background()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return k, nil
}

// ServiceKeys implements [krb.KeySource] with the keytab.
func (k *Kerberos) ServiceKeys(server krb.Principal, e krb.EType, kvno uint32) ([]*krb.Key, error) {
	t := k.keytab.Load()
	if t == nil {
		return nil, krb.APErrNoKey
	}
	return t.ServiceKeys(server, e, kvno)
}

// Keytab returns the keys as of the last Reload, nil if there are none.
func (k *Kerberos) Keytab() *krb.Keytab { return k.keytab.Load() }

// Reload reads the keytab and the credential cache again if they have changed.
// What is in use stays in use if the new file is not readable.
func (k *Kerberos) Reload(context.Context) error {
	k.reload.Lock()
	defer k.reload.Unlock()
	return errors.Join(k.keyfile.read(func(b []byte) error {
		t, err := krb.ParseKeytab(b)
		if err != nil {
			return err
		}
		k.keytab.Store(t)
		k.SetKeytab(t)
		return nil
	}), k.cache.read(func(b []byte) error {
		c, err := krb.ParseCCache(b)
		if err != nil {
			return err
		}
		return k.SetCCache(c)
	}))
}

// outdated reports errors that other files would help against: there is nothing
// to get a ticket with, or the KDC has another key of ours.
func outdated(err error) bool {
	return errors.Is(err, krb.ErrNoCredentials) || errors.Is(err, krb.KDCErrPreauthFailed) || errors.Is(err, krb.ErrDecrypt) || errors.Is(err, krb.APErrBadKeyVer)
}

// TGT implements [krb.Kerberos]: before it says that there is no valid TGT it
// looks whether the files have changed.
func (k *Kerberos) TGT(ctx context.Context, now time.Time) (*krb.Ticket, error) {
	t, err := k.Client.TGT(ctx, now)
	if outdated(err) && k.Reload(ctx) == nil {
		t, err = k.Client.TGT(ctx, now)
	}
	return t, err
}

// ServiceTicket implements [krb.Kerberos], with files as TGT.
func (k *Kerberos) ServiceTicket(ctx context.Context, now time.Time, server krb.Principal, o krb.TicketOptions) (*krb.Ticket, error) {
	t, err := k.Client.ServiceTicket(ctx, now, server, o)
	if outdated(err) && k.Reload(ctx) == nil {
		t, err = k.Client.ServiceTicket(ctx, now, server, o)
	}
	return t, err
}

// file is a file that is read again when it has changed.
type file struct {
	path string
	seen os.FileInfo
}

// maxFile bounds keytabs and credential caches in octets.
const maxFile = 16 << 20

func (f *file) read(use func([]byte) error) error {
	if f.path == "" {
		return nil
	}
	h, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("kdc: %w", err)
	}
	defer func() { _ = h.Close() }()
	i, err := h.Stat()
	if err != nil {
		return fmt.Errorf("kdc: %w", err)
	}
	if f.seen != nil && os.SameFile(i, f.seen) && i.ModTime().Equal(f.seen.ModTime()) && i.Size() == f.seen.Size() {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(h, maxFile+1))
	if err != nil {
		return fmt.Errorf("kdc: %w", err)
	}
	defer clear(b)
	if len(b) > maxFile {
		return fmt.Errorf("kdc: %s: more than %d octets", f.path, maxFile)
	}
	if err := use(b); err != nil {
		return fmt.Errorf("kdc: %s: %w", f.path, err)
	}
	f.seen = i
	return nil
}
