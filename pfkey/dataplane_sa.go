package pfkey

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/racoon3/racoon/spd"
)

var protocolTypes = map[spd.Protocol]SAType{spd.ProtoESP: SATypeESP, spd.ProtoAH: SATypeAH, spd.ProtoIPComp: SATypeIPComp}

// Ranges of the SPIs that are asked for. CPIs have 16 bits (RFC 3173 3.3).
const (
	firstSPI, lastSPI = 0xc0000000, 0xcfffffff
	firstCPI, lastCPI = 256, 61439
)

// larvalTime is how long an SPI is kept in mind unless asked for otherwise.
// The kernel forgets it earlier; then it is installed as if it were new.
const larvalTime = 5 * time.Minute

// AllocSPI implements [spd.DataPlane].
func (p *DataPlane) AllocSPI(ctx context.Context, r spd.SPIRequest) (spd.SPI, error) {
	typ, ok := protocolTypes[r.Protocol]
	switch {
	case !ok || typ == SATypeIPComp && !p.d.ipcomp:
		return 0, fmt.Errorf("%w: pfkey: an SPI for %v", spd.ErrUnsupported, r.Protocol)
	case r.Mark.Mask != 0:
		return 0, fmt.Errorf("%w: pfkey: marks", spd.ErrUnsupported)
	case !r.Local.IsValid():
		return 0, fmt.Errorf("%w: pfkey: SPIRequest.Local is no address", spd.ErrUnsupported)
	}
	if err := p.lock(ctx); err != nil {
		return 0, err
	}
	p.sweepLarval()
	reqID, err := p.reqs.take(r.ReqID)
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	local, remote := r.Local.Unmap(), r.Remote.Unmap()
	if !remote.IsValid() {
		remote = unspecified(local)
	}
	q := SPIRequest{Type: typ, Src: remote, Dst: local, ReqID: reqID, Seq: uint32(r.Acquire), Min: firstSPI, Max: lastSPI}
	if typ == SATypeIPComp {
		q.Min, q.Max = firstCPI, lastCPI
	}
	spi, err := p.c.GetSPI(ctx, q)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.reqs.give(r.ReqID)
		if missing(err) || errors.Is(err, EEXIST) {
			return 0, fmt.Errorf("%w: %w", spd.ErrSPIExhausted, err)
		}
		return 0, translate(err)
	}
	ttl := r.TTL
	if ttl <= 0 {
		ttl = larvalTime
	}
	id := spd.SAID{Direction: spd.In, Protocol: r.Protocol, SPI: spi, Dst: local}
	p.larval[id] = &larval{key: SAKey{Type: typ, SPI: spi, Src: remote, Dst: local}, reqID: r.ReqID, until: p.cfg.Now().Add(ttl)}
	return spi, nil
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// sweepLarval looks at some larval SPIs, in Go's random order, and forgets
// those whose time is over: each call adds one and looks at several. The
// kernel has forgotten them before.
func (p *DataPlane) sweepLarval() {
	now, n := p.cfg.Now(), 0
	for id, l := range p.larval {
		if now.After(l.until) {
			p.reqs.give(l.reqID)
			delete(p.larval, id)
		}
		if n++; n == 8 {
			return
		}
	}
}

// ReleaseSPI implements [spd.DataPlane].
func (p *DataPlane) ReleaseSPI(ctx context.Context, id spd.SAID) error {
	if err := p.lock(ctx); err != nil {
		return err
	}
	l := p.larval[id]
	if l != nil {
		delete(p.larval, id)
		p.reqs.give(l.reqID)
	}
	p.mu.Unlock()
	if l == nil {
		return spd.ErrNotFound
	}
	// Some kernels do not find larval SAs; those end them by themselves.
	if err := p.c.Delete(ctx, l.key); err != nil && !missing(err) {
		return translate(err)
	}
	return nil
}

// InstallInbound implements [spd.DataPlane].
func (p *DataPlane) InstallInbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, spd.In, b)
}

// InstallOutbound implements [spd.DataPlane].
func (p *DataPlane) InstallOutbound(ctx context.Context, b *spd.Bundle) error {
	return p.install(ctx, spd.Out, b)
}

// check returns nil if this kernel can have the bundle.
func (p *DataPlane) check(b *spd.Bundle) error {
	if err := b.Valid(); err != nil {
		return err
	}
	if err := p.caps.Check(b); err != nil {
		return err
	}
	o := &b.Options
	lacks := func(what string) error { return fmt.Errorf("%w: pfkey: %s on %s", spd.ErrUnsupported, what, p.d) }
	switch {
	case o.MTU != 0:
		return lacks("an MTU for each SA")
	case o.Fragment != 0 && (!p.d.KnowsExt(ExtNATTFrag) || p.d.goos != "netbsd" || !b.UDPEncap):
		return lacks("fragmentation before ESP that is not in UDP")
	case o.TFCPadding != 0:
		return lacks("traffic flow padding")
	case o.NoDSCP:
		return lacks("a choice about DSCP")
	case o.NoECN && p.d.goos != "linux":
		return lacks("a choice about ECN")
	case o.DF == spd.DFSet || o.DF == spd.DFClear && p.d.goos != "linux":
		return lacks("a choice about the outer DF bit")
	case o.PerCPU != 0:
		return lacks("an SA for each CPU")
	}
	if p.d.goos == "linux" {
		if _, mixed := innerFamily(b); mixed {
			return lacks("a tunnel for both IPv4 and IPv6")
		}
	}
	return nil
}

// innerFamily returns whether the packets inside are IPv4, and whether there
// are both kinds.
func innerFamily(b *spd.Bundle) (is4, mixed bool) {
	is4 = b.LocalTS[0].Is4()
	return is4, slices.ContainsFunc(append(slices.Clone(b.LocalTS), b.RemoteTS...), func(ts spd.TrafficSelector) bool { return ts.Is4() != is4 })
}

func (p *DataPlane) install(ctx context.Context, dir spd.Direction, b *spd.Bundle) error {
	if err := p.check(b); err != nil {
		return err
	}
	if err := p.lock(ctx); err != nil {
		return err
	}
	for i := range b.SAs {
		if p.sas[b.ID(dir, i)] != nil {
			p.mu.Unlock()
			return fmt.Errorf("%w: %v %v SPI %#x", spd.ErrExists, dir, b.SAs[i].Protocol, uint32(b.SAs[i].SPI))
		}
	}
	reqID, err := p.reqs.take(b.ReqID)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	kb := &bundle{dir: dir, reqID: b.ReqID, local: b.Local, remote: b.Remote, udp: b.UDPEncap, sas: slices.Clone(b.SAs), count: len(b.SAs)}
	done := make([]*installed, 0, len(b.SAs))
	for i := range b.SAs {
		kb.sas[i].EncrKey, kb.sas[i].IntegKey = nil, nil
		e := p.entry(dir, b, i, reqID)
		id := b.ID(dir, i)
		if err = p.installOne(ctx, id, e); err != nil {
			// A request without an answer may have been carried out.
			done = append(done, &installed{id: id, entry: *e})
			if errors.Is(err, EEXIST) {
				done = done[:len(done)-1] // it is somebody else's
			}
			break
		}
		s := &installed{id: id, entry: *e, bundle: kb, keyBits: [2]int{len(e.AuthKey), len(e.EncryptKey)}}
		s.entry.AuthKey, s.entry.EncryptKey = nil, nil
		done = append(done, s)
	}
	if err != nil {
		undo, cancel := cleanup(ctx)
		defer cancel()
		for _, s := range done {
			_ = p.c.Delete(undo, s.entry.Key())
		}
		p.mu.Lock()
		p.reqs.give(b.ReqID)
		p.mu.Unlock()
		return translate(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range done {
		p.sas[s.id] = s
		if l := p.larval[s.id]; l != nil {
			delete(p.larval, s.id)
			p.reqs.give(l.reqID)
		}
	}
	p.bundles[b.ReqID] = append(p.bundles[b.ReqID], kb)
	return nil
}

// installOne makes a reserved SA mature, or adds it.
func (p *DataPlane) installOne(ctx context.Context, id spd.SAID, e *SAEntry) error {
	p.mu.Lock()
	l := p.larval[id]
	p.mu.Unlock()
	if l != nil {
		err := p.c.Update(ctx, e)
		if err == nil {
			return nil
		}
		var refused *KernelError
		if !errors.As(err, &refused) || !missing(err) && !errors.Is(err, EINVAL) {
			return err
		}
		// The kernel has forgotten the SPI, or holds it for other addresses or
		// ports than it came to be.
		if err := p.c.Delete(ctx, l.key); err != nil && !missing(err) && !errors.Is(err, EINVAL) {
			return err
		}
	}
	return p.c.Add(ctx, e)
}

// entry is one SA of a bundle as PF_KEY describes it.
func (p *DataPlane) entry(dir spd.Direction, b *spd.Bundle, i int, reqID uint32) *SAEntry {
	sa := &b.SAs[i]
	e := &SAEntry{
		Type: protocolTypes[sa.Protocol], SPI: sa.SPI, Src: b.Local.Addr(), Dst: b.Remote.Addr(), Scope: b.Interface,
		Mode: modeOf(sa.Mode), ReqID: reqID, ReplayWindow: p.replayWindow(sa.ReplayWindow),
		AuthKey: sa.IntegKey, EncryptKey: sa.EncrKey,
	}
	if dir == spd.In {
		e.Src, e.Dst = e.Dst, e.Src
	}
	if sa.Protocol == spd.ProtoIPComp {
		e.Encrypt, e.ReplayWindow = uint8(sa.Encryption.ID), 0
		if p.d.goos != "linux" {
			e.Flags |= FlagRawCPI // the negotiated CPI, not the algorithm's well-known one
		}
	} else {
		if a, ok := p.d.AlgorithmByTransform(sa.Encryption); ok {
			e.Encrypt = a.ID
		}
		if a, ok := p.d.AlgorithmByTransform(sa.Integrity); ok {
			e.Auth = a.ID
		}
	}
	if sa.ESN {
		e.Flags |= FlagESN
	}
	if p.d.goos == "linux" {
		if b.Options.NoECN {
			e.Flags |= FlagNoECN
		}
		if b.Options.DF == spd.DFClear {
			e.Flags |= FlagNoPMTUDisc
		}
		// Its SAs are for packets of the family of their selector, which is that
		// of their addresses unless it is told.
		if is4, _ := innerFamily(b); sa.Mode == spd.ModeTunnel && is4 != b.Local.Addr().Is4() {
			e.Proxy = netip.PrefixFrom(unspecified(b.LocalTS[0].First), 0)
		}
	}
	if b.UDPEncap && sa.Protocol == spd.ProtoESP {
		e.Encap = encapOf(dir, b.Endpoints())
		if p.d.goos == "freebsd" && sa.Mode == spd.ModeTransport && e.Src.Is4() {
			e.Encap.OriginalSrc, e.Encap.OriginalDst = b.OriginalLocal, b.OriginalRemote
			if dir == spd.In {
				e.Encap.OriginalSrc, e.Encap.OriginalDst = b.OriginalRemote, b.OriginalLocal
			}
		}
		if p.d.goos == "netbsd" {
			e.Encap.FragmentSize = uint16(b.Options.Fragment)
		}
	}
	p.limits(e, &b.Lifetime)
	return e
}

func modeOf(m spd.Mode) Mode {
	if m == spd.ModeTransport {
		return ModeTransport
	}
	return ModeTunnel
}

func (p *DataPlane) replayWindow(w int) int {
	switch {
	case w < 0:
		return 0
	case w == 0:
		return 32 // what all have
	}
	return w
}

// limits sets the lifetimes of an SA.
func (p *DataPlane) limits(e *SAEntry, l *spd.Lifetime) {
	if *l == (spd.Lifetime{}) {
		return
	}
	e.Hard = &Lifetime{Bytes: l.HardBytes, AddTime: uint64((l.HardTime + time.Second - 1) / time.Second)}
	e.Soft = &Lifetime{Bytes: l.SoftBytes}
	if p.d.packetLifetimes {
		e.Hard.Allocations = uint32(min(l.HardPackets, 1<<32-1))
		e.Soft.Allocations = uint32(min(l.SoftPackets, 1<<32-1))
	}
	e.AlwaysExpire = p.d.nattStyle == nattLongSA
	if p.d.noHardExpire {
		// These kernels look at the hard limits of an SA only when it has reached a
		// soft one.
		e.Soft.AddTime = e.Hard.AddTime
		if e.Soft.Bytes == 0 {
			e.Soft.Bytes = e.Hard.Bytes
		}
	}
}

// Remove implements [spd.DataPlane].
func (p *DataPlane) Remove(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	s, err := p.find(ctx, id)
	if err != nil {
		return spd.Counters{}, err
	}
	c, err := p.query(ctx, s)
	if err != nil && !missing(err) {
		return c, translate(err)
	}
	gone := err != nil
	if err := p.c.Delete(ctx, s.entry.Key()); missing(err) {
		gone = true
	} else if err != nil {
		return c, translate(err)
	}
	if p.forget(s) {
		p.refreshPolicies(ctx, s.bundle.reqID)
	}
	if gone {
		return c, spd.ErrNotFound
	}
	return c, nil
}

func (p *DataPlane) find(ctx context.Context, id spd.SAID) (*installed, error) {
	if err := p.lock(ctx); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	s := p.sas[id]
	if s == nil {
		return nil, spd.ErrNotFound
	}
	return s, nil
}

// forget takes an SA out of the tables, and reports whether its bundle was the
// last one of its request ID.
func (p *DataPlane) forget(s *installed) (last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sas[s.id] != s {
		return false
	}
	delete(p.sas, s.id)
	delete(p.dying, s.id)
	if s.bundle.count--; s.bundle.count > 0 {
		return false
	}
	id := s.bundle.reqID
	p.reqs.give(id)
	p.bundles[id] = slices.DeleteFunc(p.bundles[id], func(b *bundle) bool { return b == s.bundle })
	if len(p.bundles[id]) == 0 {
		delete(p.bundles, id)
		return true
	}
	return false
}

// Query implements [spd.DataPlane].
func (p *DataPlane) Query(ctx context.Context, id spd.SAID) (spd.Counters, error) {
	s, err := p.find(ctx, id)
	if err != nil {
		return spd.Counters{}, err
	}
	c, err := p.query(ctx, s)
	return c, translate(err)
}

func (p *DataPlane) query(ctx context.Context, s *installed) (spd.Counters, error) {
	e, err := p.c.Get(ctx, s.entry.Key())
	if err != nil {
		return spd.Counters{}, err
	}
	e.Wipe()
	return p.count(s, e.Current), nil
}

// count makes counters of what the kernel tells.
func (p *DataPlane) count(s *installed, l *Lifetime) spd.Counters {
	if l == nil {
		return spd.Counters{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := spd.Counters{Bytes: l.Bytes}
	if p.d.packetLifetimes {
		c.Packets = uint64(l.Allocations)
	}
	used := time.Time{}
	if l.UseTime > 0 {
		used = time.Unix(int64(l.UseTime), 0)
	}
	switch first := s.packets == 0 && s.bytes == 0; {
	case p.d.lastUse:
		s.lastUsed = used
	case c.Bytes == 0 && c.Packets == 0:
	case first && s.lastUsed.IsZero() && !used.IsZero():
		s.lastUsed = used // the first use, and since then nothing is known
	case c.Bytes != s.bytes || c.Packets != s.packets:
		s.lastUsed = p.cfg.Now()
	}
	s.bytes, s.packets = c.Bytes, c.Packets
	c.LastUsed = s.lastUsed
	return c
}
