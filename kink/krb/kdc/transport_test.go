package kdc_test

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/krb/kdc"
)

// fakeKDC answers every request over UDP and TCP on one port with what it is
// told, nil: not at all.
type fakeKDC struct {
	addr     string
	udp, tcp atomic.Int32 // requests
}

func startFakeKDC(t *testing.T, overUDP, overTCP []byte) *fakeKDC {
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := net.Listen("tcp", u.LocalAddr().String())
	for range 100 { // until a port is free for both
		if err == nil {
			break
		}
		_ = u.Close()
		u, err = net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		l, err = net.Listen("tcp", u.LocalAddr().String())
	}
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = l.Close(), u.Close() })
	k := &fakeKDC{addr: l.Addr().String()}
	go func() {
		b := make([]byte, 0xffff)
		for {
			_, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			k.udp.Add(1)
			if overUDP != nil {
				_, _ = u.WriteTo(overUDP, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			k.tcp.Add(1)
			var head [4]byte
			_, _ = io.ReadFull(c, head[:])
			_, _ = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:])))
			_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(overTCP))), overTCP...))
			_ = c.Close()
		}
	}()
	return k
}

func says(t *testing.T, c krb.Code) []byte {
	b, err := (&krb.KRBError{Code: c, ServerTime: krb.StampOf(time.Unix(1e9, 0)), Server: krb.NewPrincipal("R", "krbtgt", "R")}).AppendBinary(nil)
	require.NoError(t, err)
	return b
}

// tgtError asks for a TGT, which no fake KDC gives, and returns the error.
func tgtError(t *testing.T, ctx context.Context, list ...string) error {
	k, err := kdc.New(kdc.Config{Principal: "a@R", Password: "x", KDCs: map[string][]string{"R": list}, Timeout: 5 * time.Second, Random: rand.NewChaCha8([32]byte{})})
	require.NoError(t, err)
	_, err = k.TGT(ctx, time.Unix(1e9, 0))
	require.Error(t, err)
	return err
}

func TestTransport(t *testing.T) {
	ctx := context.Background()
	revoked, locked := says(t, krb.KDCErrClientRevoked), says(t, krb.KDCErrPolicy)
	big := startFakeKDC(t, says(t, krb.ErrResponseTooBig), revoked)
	require.ErrorIs(t, tgtError(t, ctx, big.addr), krb.KDCErrClientRevoked, "TCP after an answer that is too long")
	require.EqualValues(t, 1, big.udp.Load())
	require.EqualValues(t, 1, big.tcp.Load())
	require.ErrorIs(t, tgtError(t, ctx, "udp/"+big.addr), krb.ErrResponseTooBig)
	require.ErrorIs(t, tgtError(t, ctx, "tcp/"+big.addr), krb.KDCErrClientRevoked)
	require.EqualValues(t, 2, big.tcp.Load())

	busy := startFakeKDC(t, says(t, krb.KDCErrServiceUnavailable), nil)
	good := startFakeKDC(t, locked, nil)
	require.ErrorIs(t, tgtError(t, ctx, busy.addr, good.addr), krb.KDCErrPolicy, "the next one")
	require.EqualValues(t, 1, busy.udp.Load())
	err := tgtError(t, ctx, busy.addr)
	require.ErrorIs(t, err, kdc.ErrNoKDC)
	require.ErrorIs(t, err, krb.KDCErrServiceUnavailable)
	require.ErrorContains(t, err, "realm R")

	garbage := startFakeKDC(t, []byte("garbage"), nil)
	require.ErrorIs(t, tgtError(t, ctx, garbage.addr), krb.ErrSyntax)

	silent := startFakeKDC(t, nil, nil)
	require.ErrorIs(t, tgtError(t, ctx, silent.addr, good.addr), krb.KDCErrPolicy, "after a second")
	before := silent.udp.Load()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, tgtError(t, short, silent.addr), kdc.ErrNoKDC)
	require.LessOrEqual(t, silent.udp.Load(), before+1, "a cancelled context ends the wait: it is not asked again")

	require.ErrorIs(t, tgtError(t, ctx), kdc.ErrNoKDC)
}

func TestConfig(t *testing.T) {
	for _, c := range []kdc.Config{
		{},
		{Principal: "a@R"},
		{Principal: "a", Password: "x"},
		{Principal: "a@R", Password: "x", ETypes: []krb.EType{23}},
		{Principal: "a@R", Password: "x", ETypes: []krb.EType{}},
	} {
		_, err := kdc.New(c)
		require.ErrorIs(t, err, kdc.ErrConfig, "%+v", c)
	}
	k, err := kdc.New(kdc.Config{Principal: "a@R", Keytab: t.TempDir() + "/later"})
	require.NoError(t, err)
	_, err = k.ServiceKeys(k.Principal(), krb.AES128SHA1, 0)
	require.ErrorIs(t, err, krb.APErrNoKey)
	_, err = k.TGT(context.Background(), time.Unix(1e9, 0))
	require.ErrorIs(t, err, krb.ErrNoCredentials)
}

func TestKrb5Conf(t *testing.T) {
	c, err := kdc.ParseKrb5Conf(`
# comment
[libdefaults]
	default_realm = EXAMPLE.COM
	dns_lookup_kdc = no
	permitted_enctypes = aes256-sha2, aes128-cts-hmac-sha1-96 arcfour-hmac aes
	clockskew = 120
	ticket_lifetime = 1d 2h
	unknown = whatever
[realms]
	EXAMPLE.COM = {
		kdc = kdc1.example.com
		kdc = tcp/kdc2.example.com:8888
		kdc = kdc1.example.com
		admin_server = x
		v4_instance_convert = {
			kdc = not this
		}
	}
[domain_realm]
	.Example.com = EXAMPLE.COM
	odd.example.com = ODD
[capaths]
	A = {
		C = B1
		C = B2
		D = .
	}
[logging]
	kdc = FILE:/x
`)
	require.NoError(t, err)
	require.Equal(t, &kdc.Krb5Conf{
		DefaultRealm: "EXAMPLE.COM", ETypes: []krb.EType{krb.AES256SHA384, krb.AES128SHA1, krb.AES256SHA1, krb.AES128SHA256},
		ClockSkew: 2 * time.Minute, TicketLifetime: 26 * time.Hour,
		KDCs:        map[string][]string{"EXAMPLE.COM": {"kdc1.example.com", "tcp/kdc2.example.com:8888"}},
		DomainRealm: map[string]string{".example.com": "EXAMPLE.COM", "odd.example.com": "ODD"},
		CAPaths:     map[string]map[string][]string{"A": {"C": {"B1", "B2"}, "D": {}}},
	}, c)
	for host, want := range map[string]string{"a.example.com": "EXAMPLE.COM", "a.b.Example.com.": "EXAMPLE.COM", "odd.example.com": "ODD", "example.com": "", "x.org": "", "host": ""} {
		got, ok := c.Realm(host)
		require.Equal(t, want, got, host)
		require.Equal(t, want != "", ok)
	}
	for _, bad := range []string{"[realms", "x", "[realms]\nA = {", "}", "[libdefaults]\nclockskew = soon", "[libdefaults]\ndns_lookup_kdc = maybe", "include /etc/x"} {
		_, err := kdc.ParseKrb5Conf(bad)
		require.ErrorIs(t, err, kdc.ErrKrb5Conf, bad)
	}
	_, err = kdc.ReadKrb5Conf(t.TempDir() + "/none")
	require.ErrorIs(t, err, kdc.ErrKrb5Conf)
	for text, want := range map[string]time.Duration{"300": 5 * time.Minute, "1h30m": 90 * time.Minute, "2:30": 150 * time.Minute, "0:0:5": 5 * time.Second, "7d": 168 * time.Hour} {
		got, err := kdc.Duration(text)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
	for _, bad := range []string{"", "x", "5x", "1:2:3:4", "99999999999", "h"} {
		_, err := kdc.Duration(bad)
		require.Error(t, err, bad)
	}
}

// Files that include others, and themselves.
func TestKrb5ConfIncludes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string { return writeFile(t, dir, name, text) }
	write("d/one.conf", "[libdefaults]\ndefault_realm = ONE\n")
	write("d/ignored.bak~", "nonsense")
	write("two", "[realms]\nONE = {\nkdc = a\n}\n")
	c, err := kdc.ReadKrb5Conf(write("krb5.conf", "includedir "+dir+"/d\ninclude "+dir+"/two\nincludedir "+dir+"/missing\n"))
	require.NoError(t, err)
	require.Equal(t, "ONE", c.DefaultRealm)
	require.Equal(t, []string{"a"}, c.KDCs["ONE"])
	loop := write("loop", "include "+dir+"/loop\n")
	_, err = kdc.ReadKrb5Conf(loop)
	require.ErrorContains(t, err, "includes too deep")
}

func writeFile(t *testing.T, dir, name, text string) string {
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func FuzzKrb5Conf(f *testing.F) {
	f.Add("[libdefaults]\ndefault_realm = A\nclockskew=1:2\n[realms]\nA = {\nkdc = b\n}\n[capaths]\nA = {\nB = .\n}\n")
	f.Fuzz(func(_ *testing.T, text string) {
		if c, err := kdc.ParseKrb5Conf(text); err == nil {
			c.Realm(text)
		}
	})
}
