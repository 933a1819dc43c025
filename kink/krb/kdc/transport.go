package kdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/racoon3/racoon/kink/krb"
)

// ErrNoKDC means that no KDC of a realm is known, or that none answers.
var ErrNoKDC = errors.New("kdc: no KDC reached")

// Limits of the exchange with one KDC.
const (
	defaultTimeout = 10 * time.Second // for all of an exchange
	udpRounds      = 3
	udpWait        = time.Second // for the first answer; doubles
	maxUDP         = 1400        // longer requests go over TCP
	maxReply       = 1 << 20
	port           = "88"
)

// dialer is what the network looks like.
type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// transport implements [krb.Transport].
type transport struct {
	dial    dialer
	timeout time.Duration
	kdcs    func(ctx context.Context, realm string) ([]string, error)

	mu   sync.Mutex
	good map[string]string // which one answered last
}

// Exchange asks the KDCs of a realm one after the other, over UDP and, where an
// answer is too long for it, TCP (RFC 4120 7.2). An address that begins with
// "tcp/" or "udp/" is asked in that way only.
func (t *transport) Exchange(ctx context.Context, realm string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	list, err := t.kdcs(ctx, realm)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: none is known for %s", ErrNoKDC, realm)
	}
	t.mu.Lock()
	last := t.good[realm]
	t.mu.Unlock()
	var faults []error
	wait := udpWait
	for round := range udpRounds {
		for i := range len(list) + 1 {
			address := last
			if i > 0 {
				address = list[i-1]
			}
			if address == "" || i > 0 && address == last {
				continue
			}
			reply, err := t.one(ctx, address, request, wait)
			if err == nil && says(reply, krb.KDCErrServiceUnavailable) {
				err = fmt.Errorf("kdc: %s: %w", address, krb.KDCErrServiceUnavailable)
			}
			if err == nil {
				t.mu.Lock()
				t.good[realm] = address
				t.mu.Unlock()
				return reply, nil
			}
			if round == 0 || round == udpRounds-1 && len(faults) == 0 {
				faults = append(faults, err)
			}
			if ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil {
			break
		}
		wait *= 2
	}
	return nil, fmt.Errorf("%w: realm %s: %w", ErrNoKDC, realm, errors.Join(faults...))
}

func (t *transport) one(ctx context.Context, address string, request []byte, wait time.Duration) ([]byte, error) {
	way, rest, ok := strings.Cut(address, "/")
	if !ok || way != "tcp" && way != "udp" {
		way, rest = "", address
	}
	rest = withPort(rest)
	if way != "tcp" && (len(request) <= maxUDP || way == "udp") {
		reply, err := t.udp(ctx, rest, request, wait)
		if err != nil || way == "udp" || !says(reply, krb.ErrResponseTooBig) {
			return reply, err
		}
	}
	return t.tcp(ctx, rest, request)
}

func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), port)
}

func says(reply []byte, code krb.Code) bool {
	e, err := krb.ParseKRBError(reply)
	return err == nil && e.Code == code
}

func (t *transport) udp(ctx context.Context, address string, request []byte, wait time.Duration) ([]byte, error) {
	c, err := t.open(ctx, "udp", address, wait)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	b := make([]byte, 0xffff)
	n, err := c.Read(b)
	if err != nil {
		return nil, err
	}
	return b[:n], nil
}

func (t *transport) tcp(ctx context.Context, address string, request []byte) ([]byte, error) {
	c, err := t.open(ctx, "tcp", address, t.timeout/2)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := c.Write(append(b, request...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxReply {
		return nil, fmt.Errorf("kdc: %s answers with %d octets", address, n)
	}
	reply := make([]byte, n)
	_, err = io.ReadFull(c, reply)
	return reply, err
}

// open connects; nothing takes longer than limit, and a cancelled context ends
// everything.
func (t *transport) open(ctx context.Context, network, address string, limit time.Duration) (net.Conn, error) {
	dctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := t.dial.DialContext(dctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// lookupSRV finds KDCs in the DNS (RFC 4120 7.2.3.2).
func lookupSRV(ctx context.Context, r *net.Resolver, realm string) ([]string, error) {
	var out []string
	var faults []error
	for _, way := range []string{"udp", "tcp"} {
		_, records, err := r.LookupSRV(ctx, "kerberos", way, realm)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, s := range records {
			if host := strings.TrimSuffix(s.Target, "."); host != "" {
				out = append(out, way+"/"+net.JoinHostPort(host, strconv.Itoa(int(s.Port))))
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: realm %s: %w", ErrNoKDC, realm, errors.Join(faults...))
	}
	return out, nil
}
