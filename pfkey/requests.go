package pfkey

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/racoon3/racoon/spd"
)

// GetSPI reserves an SPI: it makes a larval SA, which Update makes mature and
// which otherwise ends by itself.
func (c *Client) GetSPI(ctx context.Context, r SPIRequest) (spd.SPI, error) {
	m, err := c.Do(ctx, r.message(c.d))
	if err != nil {
		return 0, err
	}
	sa := m.SA()
	if sa == nil || sa.SPI == 0 {
		return 0, fmt.Errorf("%w: GETSPI without an SPI", ErrMessage)
	}
	return sa.SPI, nil
}

// Add adds an SA.
func (c *Client) Add(ctx context.Context, s *SAEntry) error { return c.sa(ctx, MsgAdd, s) }

// Update makes a larval SA mature. What it does with a mature one differs:
// Linux keeps the keys, FreeBSD refuses new ones, NetBSD and macOS begin the SA
// anew with all its counters. Where new keys are wanted, delete and add.
func (c *Client) Update(ctx context.Context, s *SAEntry) error { return c.sa(ctx, MsgUpdate, s) }

func (c *Client) sa(ctx context.Context, t MsgType, s *SAEntry) error {
	m, err := c.d.saMessage(t, s)
	if err != nil {
		return err
	}
	r, err := c.Do(ctx, m)
	wipeKeys(r) // Linux sends them back
	return err
}

func wipeKeys(m *Message) {
	if m == nil {
		return
	}
	for _, e := range m.Exts {
		if k, ok := e.(*Key); ok {
			k.Key.Wipe()
		}
	}
}

// Delete deletes an SA. An SPI of 0 deletes all SAs between two addresses on
// BSD; Linux refuses that.
//
// NetBSD may have the SA and say that it has not (see hidden.go); then it is
// looked for in a dump, and ends within seconds. So this is not to be called
// while the same goroutine reads a dump of the same client.
func (c *Client) Delete(ctx context.Context, k SAKey) error {
	_, err := c.Do(ctx, k.message(MsgDelete))
	if missing(err) && c.d.firstHead && k.SPI != 0 {
		return c.deleteHidden(ctx, k, err)
	}
	return err
}

// Get returns an SA with its keys and counters. What [Client.Delete] says of
// NetBSD holds here too.
func (c *Client) Get(ctx context.Context, k SAKey) (*SAEntry, error) {
	m, err := c.Do(ctx, k.message(MsgGet))
	switch {
	case err == nil:
		return c.d.SAEntry(m)
	case missing(err) && c.d.firstHead:
		if e := c.hidden(ctx, k); e != nil {
			return e, nil
		}
	}
	return nil, err
}

// Flush deletes all SAs of a type, SATypeUnspec for all there are, those of
// other programs too.
func (c *Client) Flush(ctx context.Context, t SAType) error {
	_, err := c.Do(ctx, &Message{Header: Header{Type: MsgFlush, SAType: t}})
	return err
}

// Register asks for the ACQUIREs and EXPIREs of an SA type and returns the
// algorithms of the kernel, which may differ between types. It may be called
// again.
func (c *Client) Register(ctx context.Context, t SAType) (auth, encrypt []Alg, err error) {
	m, err := c.Do(ctx, &Message{Header: Header{Type: MsgRegister, SAType: t}})
	c.mu.Lock()
	switch {
	case err == nil:
		c.registered[t] = m
	case errors.Is(err, EEXIST) && c.registered[t] != nil:
		m, err = c.registered[t], nil // most kernels take it once for each socket
	}
	c.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	for _, s := range [...]struct {
		t    ExtType
		list *[]Alg
	}{{ExtSupportedAuth, &auth}, {ExtSupportedEncrypt, &encrypt}} {
		if x := m.Supported(s.t); x != nil {
			*s.list = x.Algs
		}
	}
	return auth, encrypt, nil
}

// RefuseAcquire answers an ACQUIRE, of which it has type and sequence number,
// with an error: there will be no SA (RFC 2367 3.1.6). There is no answer to
// that.
func (c *Client) RefuseAcquire(ctx context.Context, t SAType, seq uint32, e Errno) error {
	return c.Send(ctx, &Message{Header: Header{Type: MsgAcquire, SAType: t, Seq: seq, Errno: c.d.Code(e)}})
}

// Promiscuous turns on or off that this socket hears of every message, those of
// other programs with their keys too (SADB_X_PROMISC). They come as
// notifications if ClientConfig.Broadcasts is set.
func (c *Client) Promiscuous(ctx context.Context, on bool) error {
	m := &Message{Header: Header{Type: MsgPromisc}}
	if on {
		m.SAType = 1
	}
	_, err := c.Do(ctx, m)
	return err
}

// SPDAdd adds a policy and returns the kernel's number for it. One with the
// same selector and direction must not be there.
func (c *Client) SPDAdd(ctx context.Context, p *PolicyEntry) (id uint32, err error) {
	return c.policy(ctx, MsgSPDAdd, p)
}

// SPDUpdate adds a policy, in place of one with the same selector and direction
// if there is one, and returns the kernel's number for it. Without priorities
// it comes behind all others.
func (c *Client) SPDUpdate(ctx context.Context, p *PolicyEntry) (id uint32, err error) {
	return c.policy(ctx, MsgSPDUpdate, p)
}

// SPDSetIdx is SPDUpdate by another name on KAME, and SPDAdd on Linux.
func (c *Client) SPDSetIdx(ctx context.Context, p *PolicyEntry) (id uint32, err error) {
	return c.policy(ctx, MsgSPDSetIdx, p)
}

func (c *Client) policy(ctx context.Context, t MsgType, p *PolicyEntry) (uint32, error) {
	m, err := c.d.policyMessage(t, p)
	if err != nil {
		return 0, err
	}
	r, err := c.Do(ctx, m)
	if err != nil {
		return 0, err
	}
	if x := r.Policy(); x != nil {
		return x.ID, nil
	}
	return 0, nil
}

// SPDDelete deletes a policy by its selector and direction.
func (c *Client) SPDDelete(ctx context.Context, p *PolicyEntry) error {
	bare := PolicyEntry{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Proto: p.Proto,
		Policy: Policy{Type: PolicyNone, Dir: p.Policy.Dir}, SecCtx: p.SecCtx}
	_, err := c.policy(ctx, MsgSPDDelete, &bare)
	return err
}

// SPDDeleteID deletes a policy by the kernel's number (X_SPDDELETE2).
func (c *Client) SPDDeleteID(ctx context.Context, dir Dir, id uint32) error {
	_, err := c.Do(ctx, &Message{Header: Header{Type: MsgSPDDelete2}, Exts: []Extension{&Policy{Dir: dir, ID: id}}})
	return err
}

// SPDGet returns a policy by the kernel's number.
func (c *Client) SPDGet(ctx context.Context, dir Dir, id uint32) (*PolicyEntry, error) {
	m, err := c.Do(ctx, &Message{Header: Header{Type: MsgSPDGet}, Exts: []Extension{&Policy{Dir: dir, ID: id}}})
	if err != nil {
		return nil, err
	}
	return c.d.PolicyEntry(m)
}

// SPDFlush deletes all policies, those of other programs too.
func (c *Client) SPDFlush(ctx context.Context) error {
	_, err := c.Do(ctx, &Message{Header: Header{Type: MsgSPDFlush}})
	return err
}

// A Migration moves the SAs of a policy, and the policy's own templates, to
// other endpoints (Linux, X_MIGRATE).
type Migration struct {
	Policy PolicyEntry // its selector and direction name the policy
	Moves  []Move
	// LocalKM and RemoteKM are where key management talks, for other daemons;
	// invalid for none.
	LocalKM, RemoteKM SockAddr
}

// A Move is one transform of a [Migration]: which SAs, and where to.
type Move struct {
	Proto          uint16 // IPProtoESP and so on
	Mode           Mode
	ReqID          uint32
	OldSrc, OldDst SockAddr
	NewSrc, NewDst SockAddr
}

func (d *Dialect) migrateMessage(x *Migration) *Message {
	src, dst := x.Policy.addresses()
	p := &Policy{Type: PolicyIPsec, Dir: x.Policy.Policy.Dir}
	for _, v := range x.Moves {
		r := Request{Proto: v.Proto, Mode: v.Mode, Level: LevelUnique, ReqID: v.ReqID, Src: v.OldSrc, Dst: v.OldDst}
		p.Requests = append(p.Requests, r)
		r.Src, r.Dst = v.NewSrc, v.NewDst
		p.Requests = append(p.Requests, r)
	}
	m := &Message{Header: Header{Type: MsgMigrate}, Exts: []Extension{src, dst, p}}
	if x.LocalKM.Addr.IsValid() && x.RemoteKM.Addr.IsValid() {
		m.Exts = append(m.Exts, &KMAddress{Local: x.LocalKM, Remote: x.RemoteKM})
	}
	return m
}

// sameMigration reports whether two messages are about one migration.
func sameMigration(a, b *Message) bool {
	x, err := Linux.PolicyEntry(a)
	y, err2 := Linux.PolicyEntry(b)
	if err != nil || err2 != nil {
		return false
	}
	return x.Src == y.Src && x.Dst == y.Dst && x.Proto == y.Proto && x.SrcPort == y.SrcPort && x.DstPort == y.DstPort &&
		x.Policy.Dir == y.Policy.Dir && slices.EqualFunc(x.Policy.Requests, y.Policy.Requests, func(a, b Request) bool {
		return a.Proto == b.Proto && a.Src.Addr == b.Src.Addr && a.Dst.Addr == b.Dst.Addr
	})
}

// Migrate moves SAs and their policy to other endpoints, sequence numbers and
// replay windows with them (Linux, if it has CONFIG_NET_KEY_MIGRATE).
func (c *Client) Migrate(ctx context.Context, x *Migration) error {
	_, err := c.Do(ctx, c.d.migrateMessage(x))
	return err
}
