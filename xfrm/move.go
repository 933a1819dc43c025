package xfrm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/racoon3/racoon/spd"
)

// MovePeer implements [spd.DataPlane]. The kernel changes ports of UDP
// encapsulation in place, but no addresses, nor whether there is encapsulation:
// then the SA is removed, and added again with its last sequence number, replay
// window and counters. Packets that meet the policy in between are dropped, not
// sent in clear. The templates of the policies of its ReqID follow.
func (p *DataPlane) MovePeer(ctx context.Context, id spd.SAID, to spd.Endpoints) error {
	if err := to.Valid(); err != nil {
		return err
	}
	if is4 := to.Local.Addr().Is4(); to.UDPEncap && (is4 && !p.caps.UDPEncap || !is4 && !p.caps.UDPEncap6) {
		return fmt.Errorf("%w: xfrm: ESP in UDP to %v", spd.ErrUnsupported, to.Remote)
	}
	if to.NonIKE && !p.caps.NonIKE {
		return fmt.Errorf("%w: xfrm: ESP in UDP behind the non-IKE marker to %v", spd.ErrUnsupported, to.Remote)
	}
	e, err := p.find(ctx, id)
	if err != nil {
		return err
	}
	if e == nil {
		return spd.ErrNotFound
	}
	p.mu.Lock()
	if e.expired {
		p.mu.Unlock()
		return spd.ErrNotFound
	}
	from := e.ends
	key := e.key
	if key.Dst = to.Local.Addr(); id.Direction == spd.Out {
		key.Dst = to.Remote.Addr()
	}
	if other := p.sas[key]; other != nil && other != e {
		p.mu.Unlock()
		return fmt.Errorf("xfrm: %w: SPI %#x to %v", spd.ErrExists, key.SPI, key.Dst)
	}
	p.moving[e.reqID]++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		if p.moving[e.reqID]--; p.moving[e.reqID] == 0 {
			delete(p.moving, e.reqID)
		}
		p.mu.Unlock()
	}()

	if from.Local.Addr() == to.Local.Addr() && from.Remote.Addr() == to.Remote.Addr() && from.UDPEncap == to.UDPEncap && from.NonIKE == to.NonIKE {
		if from == to || !to.UDPEncap || e.key.Proto != ProtoESP {
			p.moved(e, key, to)
			return nil
		}
		if err := p.changePorts(ctx, e, to); err != nil {
			return err
		}
		p.moved(e, key, to)
		return nil
	}
	if err := p.addAgain(ctx, e, key, to); err != nil {
		return err
	}
	return p.movePolicies(ctx, e, from, to)
}

// moved notes an SA's new place.
func (p *DataPlane) moved(e *entry, key SAKey, to spd.Endpoints) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sas[e.key] == e {
		delete(p.sas, e.key)
		p.sas[key] = e
	}
	e.key, e.ends, e.mapping = key, to, to.Remote
	e.id.Dst = key.Dst
}

func (p *DataPlane) changePorts(ctx context.Context, e *entry, to spd.Endpoints) error {
	sa, err := p.client.SA(ctx, e.key)
	if err != nil {
		return err
	}
	defer sa.Wipe()
	sa.Encap = encapOf(e.id.Direction, to)
	if e.id.Direction == spd.In {
		sa.MappingThreshold = mappingSeconds
	}
	return p.client.UpdateSA(ctx, sa)
}

// A skip is by how much the sequence number is advanced if the last one cannot
// be learnt: more than can have been sent in the meantime.
const skip = 1 << 20

// addAgain removes an SA and adds it at another place.
func (p *DataPlane) addAgain(ctx context.Context, e *entry, key SAKey, to spd.Endpoints) error {
	sa, err := p.client.SA(ctx, e.key)
	if err != nil {
		return err
	}
	defer sa.Wipe()
	if hidden(sa) {
		return fmt.Errorf("%w: xfrm: moving an SA: the kernel does not tell its key (lockdown)", spd.ErrUnsupported)
	}
	last, err := p.client.removeSA(ctx, e.key)
	if err != nil {
		return err
	}
	if last != nil {
		defer last.Wipe()
		sa.Replay, sa.ReplayESN, sa.Usage, sa.Stats = last.Replay, last.ReplayESN, last.Usage, last.Stats
	} else if e.id.Direction == spd.Out {
		if sa.Replay != nil {
			sa.Replay.OutSeq += min(skip, ^uint32(0)-sa.Replay.OutSeq)
		}
		if sa.ReplayESN != nil {
			sa.ReplayESN.OutSeq += skip
		}
	}
	if sa.ReplayESN != nil {
		sa.Replay, sa.ReplayWindow = nil, 0
	}
	refused := sa.Stats
	sa.SetUsage, sa.LastUsed, sa.Stats = true, 0, Stats{}
	sa.Thresholds = &Thresholds{}
	p.mu.Lock()
	if e.awaited {
		sa.Thresholds.Packets = 1
	}
	p.mu.Unlock()
	old := *sa
	sa.Dst, sa.Src = to.Local.Addr(), to.Remote.Addr()
	if e.id.Direction == spd.Out {
		sa.Dst, sa.Src = sa.Src, sa.Dst
	}
	if !sa.Selector.Dst.IsValid() && sa.Mode == ModeTunnel {
		sa.Flags |= FlagAnyFamily
	}
	sa.Flags &^= FlagAlign4
	if sa.Proto == ProtoAH && sa.Dst.Unmap().Is4() {
		sa.Flags |= FlagAlign4
	}
	sa.Encap, sa.MappingThreshold = Encap{}, 0
	if to.UDPEncap && sa.Proto == ProtoESP {
		sa.Encap = encapOf(e.id.Direction, to)
		if e.id.Direction == spd.In {
			sa.MappingThreshold = mappingSeconds
		}
	}
	// It is out of the kernel: from here on the context does not count.
	ctx, cancel := rollbackContext(ctx)
	defer cancel()
	p.mu.Lock()
	e.before.Replay += refused.Replay
	e.before.Window += refused.Window
	e.before.Integrity += refused.Integrity
	p.mu.Unlock()
	err = p.client.AddSA(ctx, sa)
	if err == nil {
		p.moved(e, key, to)
		return nil
	}
	if errors.Is(err, ErrNoAnswer) {
		_ = p.client.DeleteSA(ctx, sa.Key())
	}
	if back := p.client.AddSA(ctx, &old); back != nil {
		p.mu.Lock()
		e.expired = true
		p.arrived(e)
		ev := spd.ExpireEvent{ID: e.id, Hard: true, Counters: e.seen}
		p.mu.Unlock()
		p.events.Emit(ev)
		err = errors.Join(err, back)
	}
	return err
}

// hidden reports whether the kernel has told zeros instead of keys.
func hidden(sa *SA) bool {
	for _, a := range [...]*Algorithm{&sa.AEAD, &sa.Crypt, &sa.Auth} {
		if len(a.Key) == 0 {
			continue
		}
		var or byte
		for _, v := range a.Key {
			or |= v
		}
		if or == 0 {
			return true
		}
	}
	return false
}

// movePolicies lets the policies of an SA's direction and ReqID want it where
// it is now.
func (p *DataPlane) movePolicies(ctx context.Context, e *entry, from, to spd.Endpoints) error {
	was, is := addrPair{from.Local.Addr(), from.Remote.Addr()}, addrPair{to.Local.Addr(), to.Remote.Addr()}
	if was == is {
		return nil
	}
	if err := p.lockPolicies(ctx); err != nil {
		return err
	}
	defer p.unlockPolicies()
	r := p.policies.reqs[e.reqID]
	if r == nil {
		return nil
	}
	out := e.id.Direction == spd.Out
	for k, v := range r.moved {
		if k.out == out && v == was {
			r.moved[k] = is
		}
	}
	r.moved[movedKey{out, was}] = is
	for k, v := range r.moved {
		if k.from == v {
			delete(r.moved, k)
		}
	}
	return p.applySlots(ctx, r.matching(func(s *slot) bool { return (s.key.Dir == DirOut) == out }))
}

// removeSA removes an SA and returns what it was at the end, nil if that was
// lost. The kernel tells that to those who listen, after no packet can change
// it any more.
func (c *Client) removeSA(ctx context.Context, k SAKey) (*SA, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.dial(ProtocolXFRM, GroupSA)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	m := &DelSA{Key: k}
	seq := rand.Uint32() | 1
	if err := conn.Send(AppendMessage(nil, Header{Type: uint16(MsgDelSA), Flags: FlagRequest | FlagAck, Seq: seq}, m.Append)); err != nil {
		return nil, err
	}
	buf := make([]byte, datagramSize)
	defer clear(buf)
	var last *SA
	for {
		n, err := conn.Receive(ctx, buf)
		if err != nil {
			// Has it been carried out?
			if sa, e := c.SA(context.WithoutCancel(ctx), k); e == nil {
				sa.Wipe()
			} else if isErrno(e, ESRCH) {
				return last, nil
			}
			return nil, fmt.Errorf("xfrm: DELSA %s: %w: %w", describe(m), ErrNoAnswer, err)
		}
		for h, body := range Messages(buf[:n]) {
			if body.Err != nil {
				return nil, body.Err
			}
			switch {
			case h.Seq != seq:
			case h.Type == uint16(MsgDelSA):
				if r, err := Parse(MsgDelSA, body.Data); err == nil && last == nil {
					last = r.(*DelSA).SA
				}
			case h.Type == CtlError:
				errno, text, err := parseAck(h, body.Data)
				if err == nil && errno != 0 {
					err = &Error{Op: "DELSA", What: describe(m), Errno: errno, Text: text}
				}
				return last, err
			}
		}
	}
}
