package setkey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
)

// Flags of an SA on systems of KAME's descent.
const (
	flagIV4    = 0x10 // old DES with an IV of 32 bits
	flagRandom = 0x100
	flagZero   = 0x200
)

type pfkeyKernel struct {
	c *pfkey.Client
	d *pfkey.Dialect
}

// NewPFKey returns a kernel over PF_KEY. The client is the caller's to close.
// OpenBSD's has no SPD in this sense, and no dumps.
func NewPFKey(c *pfkey.Client) Kernel { return &pfkeyKernel{c: c, d: c.Dialect()} }

func (k *pfkeyKernel) HasForward() bool { return k.d.HasForward() }

// linux reports whether the kernel is Linux's, which has none of KAME's flags
// and counts replay windows in packets.
func (k *pfkeyKernel) linux() bool { return k.d.String() == pfkey.Linux.String() }

// found gives the errors of kernels one name for what is not there.
func found(err error) error {
	if errors.Is(err, pfkey.ENOENT) || errors.Is(err, pfkey.ESRCH) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

var saTypes = map[Protocol]pfkey.SAType{
	ProtoAny: pfkey.SATypeUnspec, ProtoESP: pfkey.SATypeESP, ProtoAH: pfkey.SATypeAH, ProtoIPComp: pfkey.SATypeIPComp, ProtoTCP: pfkey.SATypeTCPSignature,
}

func (k *pfkeyKernel) saType(p Protocol) (pfkey.SAType, error) {
	t := saTypes[p.family()]
	if t == pfkey.SATypeTCPSignature && k.linux() {
		return t, fmt.Errorf("%w: Linux has no SAs for TCP-MD5, which is a socket's option there", ErrUnsupported)
	}
	return t, nil
}

// scope returns an address without its zone, and the zone's number.
func scope(a netip.Addr) (netip.Addr, uint32, error) {
	zone := a.Zone()
	if zone == "" {
		return a, 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return a.WithZone(""), uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return a, 0, err
	}
	return a.WithZone(""), uint32(i.Index), nil
}

// key returns what names an SA.
func (k *pfkeyKernel) key(sa *SA) (key pfkey.SAKey, err error) {
	key.SPI = spd.SPI(sa.SPI)
	if key.Type, err = k.saType(sa.Proto); err != nil {
		return key, err
	}
	var other uint32
	if key.Src, other, err = scope(sa.Src); err != nil {
		return key, err
	}
	if key.Dst, key.Scope, err = scope(sa.Dst); err != nil {
		return key, err
	}
	if key.Scope == 0 {
		key.Scope = other
	}
	return key, nil
}

// number returns the system's number of an algorithm; 0 for none.
func (k *pfkeyKernel) number(kind pfkey.AlgKind, name string) (uint8, error) {
	if name == "" {
		return 0, nil
	}
	a := algorithmNamed(kind, name)
	if a == nil {
		return 0, fmt.Errorf("no algorithm %q", name)
	}
	if a.as != "" {
		name = a.as
	}
	if x, ok := k.d.AlgorithmByName(kind, name); ok && !(k.linux() && a.aead) {
		return x.ID, nil
	}
	hint := ""
	if k.linux() && a.aead {
		hint = ", but XFRM has"
	}
	return 0, fmt.Errorf("%w: PF_KEY of %v has no %s%s", ErrUnsupported, k.d, name, hint)
}

func (k *pfkeyKernel) flags(sa *SA) (f uint32, err error) {
	old := sa.Proto == ProtoESPOld || sa.Proto == ProtoAHOld
	if k.linux() {
		if old {
			return 0, fmt.Errorf("%w: Linux has no %s", ErrUnsupported, sa.Proto)
		}
		return 0, nil
	}
	if k.d.String() == pfkey.OpenBSD.String() {
		return 0, nil
	}
	if !sa.NoCyclic {
		f |= pfkey.FlagCyclicSeq
	}
	if old {
		f |= pfkey.FlagOldProtocol
	}
	if sa.RawCPI {
		f |= pfkey.FlagRawCPI
	}
	switch sa.Padding {
	case PadRandom:
		f |= flagRandom
	case PadZero:
		f |= flagZero
	}
	switch sa.Encrypt.Name {
	case "des-deriv":
		f |= pfkey.FlagDerivedIV
	case "des-32iv":
		f |= flagIV4
	}
	return f, nil
}

// window returns a replay window in packets: SAs have it in the kernel's unit.
func (k *pfkeyKernel) window(n uint32) int {
	if k.inPackets() {
		return int(min(n, math.MaxInt32))
	}
	return int(min(n, math.MaxInt32/8) * 8)
}

func (k *pfkeyKernel) inPackets() bool { return k.linux() || k.d.String() == pfkey.OpenBSD.String() }

func (l Lifetime) pfkey() *pfkey.Lifetime {
	if l == (Lifetime{}) {
		return nil
	}
	return &pfkey.Lifetime{Allocations: uint32(min(l.Allocations, math.MaxUint32)), Bytes: l.Bytes, AddTime: l.AddTime, UseTime: l.UseTime}
}

func (c *Context) pfkey() *pfkey.SecCtx {
	if c == nil {
		return nil
	}
	return &pfkey.SecCtx{Alg: c.Alg, DOI: c.DOI, Context: append([]byte(c.Label), 0)}
}

// entry returns an SA as PF_KEY has it. Its keys are those of sa.
func (k *pfkeyKernel) entry(sa *SA) (*pfkey.SAEntry, error) {
	key, err := k.key(sa)
	if err != nil {
		return nil, err
	}
	e := &pfkey.SAEntry{
		Type: key.Type, SPI: key.SPI, Src: key.Src, Dst: key.Dst, Scope: key.Scope, State: pfkey.StateMature, Mode: sa.Mode, ReqID: sa.ReqID,
		ReplayWindow: k.window(sa.Replay), AuthKey: sa.Auth.Key, EncryptKey: sa.Encrypt.Key, Hard: sa.Hard.pfkey(), Soft: sa.Soft.pfkey(), SecCtx: sa.Context.pfkey(),
	}
	if e.Flags, err = k.flags(sa); err != nil {
		return nil, err
	}
	if e.Auth, err = k.number(pfkey.AlgAuth, sa.Auth.Name); err != nil {
		return nil, err
	}
	if e.Encrypt, err = k.number(pfkey.AlgEncrypt, sa.Encrypt.Name); err != nil {
		return nil, err
	}
	if sa.Proto == ProtoIPComp {
		if e.Encrypt, err = k.number(pfkey.AlgCompress, sa.Compress); err != nil {
			return nil, err
		}
	}
	if sa.Proto == ProtoESPUDP {
		e.Encap = &pfkey.Encap{SrcPort: sa.SrcPort, DstPort: sa.DstPort, OriginalSrc: sa.Original}
	}
	return e, nil
}

func (k *pfkeyKernel) Add(ctx context.Context, sa *SA) error {
	e, err := k.entry(sa)
	if err != nil {
		return err
	}
	return k.c.Add(ctx, e)
}

func (k *pfkeyKernel) Update(ctx context.Context, sa *SA) error {
	e, err := k.entry(sa)
	if err != nil {
		return err
	}
	return found(k.c.Update(ctx, e))
}

func (k *pfkeyKernel) GetSPI(ctx context.Context, sa *SA) (uint32, error) {
	key, err := k.key(sa)
	if err != nil {
		return 0, err
	}
	spi, err := k.c.GetSPI(ctx, pfkey.SPIRequest{Type: key.Type, Src: key.Src, Dst: key.Dst, Scope: key.Scope, Mode: sa.Mode, ReqID: sa.ReqID,
		Min: sa.SPI, Max: sa.SPI})
	return uint32(spi), err
}

func (k *pfkeyKernel) Get(ctx context.Context, sa *SA) (*SA, error) {
	key, err := k.key(sa)
	if err != nil {
		return nil, err
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgGet, SAType: key.Type}, Exts: []pfkey.Extension{
		&pfkey.SA{SPI: key.SPI, State: pfkey.StateMature}, address(pfkey.ExtAddressSrc, key.Src, key.Scope), address(pfkey.ExtAddressDst, key.Dst, key.Scope)}}
	r, err := k.c.Do(ctx, m)
	if err != nil {
		return nil, found(err)
	}
	return SAOf(k.d, r)
}

func address(t pfkey.ExtType, a netip.Addr, scope uint32) *pfkey.Address {
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		scope = 0
	}
	return &pfkey.Address{Type: t, Proto: pfkey.ProtoAny, PrefixLen: uint8(a.BitLen()), SockAddr: pfkey.SockAddr{Addr: a, Scope: scope}}
}

func (k *pfkeyKernel) Delete(ctx context.Context, sa *SA) error {
	key, err := k.key(sa)
	if err != nil {
		return err
	}
	return found(k.c.Delete(ctx, key))
}

// dumped turns messages into what they are about; those that are about nothing
// that there is a struct for are passed over.
func dumped[T any](messages iter.Seq2[*pfkey.Message, error], of func(*pfkey.Message) (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for m, err := range messages {
			if err != nil {
				yield(nil, err)
				return
			}
			x, err := of(m)
			if errors.Is(err, pfkey.ErrMessage) {
				continue
			}
			if !yield(x, err) || err != nil {
				return
			}
		}
	}
}

func (k *pfkeyKernel) Dump(ctx context.Context, p Protocol) iter.Seq2[*SA, error] {
	t, err := k.saType(p)
	if err != nil {
		return func(yield func(*SA, error) bool) { yield(nil, err) }
	}
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgDump, SAType: t}}
	return dumped(k.c.Messages(ctx, m), func(m *pfkey.Message) (*SA, error) { return SAOf(k.d, m) })
}

func (k *pfkeyKernel) Flush(ctx context.Context, p Protocol) error {
	t, err := k.saType(p)
	if err != nil {
		return err
	}
	return k.c.Flush(ctx, t)
}

// SAOf returns the SA that a message of PF_KEY is about. Its keys are the
// message's.
func SAOf(d *pfkey.Dialect, m *pfkey.Message) (*SA, error) {
	e, err := d.SAEntry(m)
	if err != nil {
		return nil, err
	}
	sa := &SA{
		Src: e.Src, Dst: e.Dst, SPI: uint32(e.SPI), Mode: e.Mode, ReqID: e.ReqID, State: e.State, Sequence: e.SequenceOut, Flags: e.Flags,
		Hard: lifetime(e.Hard), Soft: lifetime(e.Soft), Origin: originOf(m), Context: contextOf(e.SecCtx),
	}
	if e.Current != nil {
		c := lifetime(e.Current)
		sa.Current = &c
	}
	k := pfkeyKernel{d: d}
	if sa.Replay = uint32(e.ReplayWindow); !k.inPackets() {
		sa.Replay /= 8
	}
	for p, t := range saTypes {
		if t == e.Type {
			sa.Proto = p
		}
	}
	if sa.Proto == ProtoAny {
		sa.Proto = Protocol(strings.ToLower(e.Type.String()))
	}
	if e.Encap != nil && sa.Proto == ProtoESP {
		sa.Proto, sa.SrcPort, sa.DstPort, sa.Original = ProtoESPUDP, e.Encap.SrcPort, e.Encap.DstPort, e.Encap.OriginalSrc
	}
	switch sa.Proto {
	case ProtoIPComp:
		sa.Compress = nameOf(d, pfkey.AlgCompress, e.Encrypt)
	case ProtoESP, ProtoESPUDP:
		sa.Encrypt = keyed(d, pfkey.AlgEncrypt, e.Encrypt, m.Key(pfkey.ExtKeyEncrypt))
	}
	sa.Auth = keyed(d, pfkey.AlgAuth, e.Auth, m.Key(pfkey.ExtKeyAuth))
	return sa, nil
}

// keyed returns an algorithm with its key, none if there is no key: but for null,
// kernels do not always tell the algorithm without one, nor mean it.
func keyed(d *pfkey.Dialect, kind pfkey.AlgKind, id uint8, key *pfkey.Key) Algorithm {
	a := Algorithm{Name: nameOf(d, kind, id)}
	switch {
	case key != nil:
		a.Key = key.Key
	case a.Name != "null":
		return Algorithm{}
	}
	return a
}

func nameOf(d *pfkey.Dialect, kind pfkey.AlgKind, id uint8) string {
	if id == 0 {
		return "none"
	}
	a, ok := d.AlgorithmByID(kind, id)
	if !ok {
		return strconv.Itoa(int(id))
	}
	return printed(kind, a.Name)
}

func lifetime(l *pfkey.Lifetime) Lifetime {
	if l == nil {
		return Lifetime{}
	}
	return Lifetime{Allocations: uint64(l.Allocations), Bytes: l.Bytes, AddTime: l.AddTime, UseTime: l.UseTime}
}

func originOf(m *pfkey.Message) Origin { return Origin{Seq: m.Seq, PID: m.PID, Refs: m.Refs} }

func contextOf(c *pfkey.SecCtx) *Context {
	if c == nil {
		return nil
	}
	return &Context{DOI: c.DOI, Alg: c.Alg, Label: strings.TrimRight(string(c.Context), "\x00")}
}

func (k *pfkeyKernel) policy(p *Policy) (*pfkey.PolicyEntry, error) {
	if p.Tag != "" {
		return nil, fmt.Errorf("%w: %v has no policies by tag", ErrUnsupported, k.d)
	}
	return &pfkey.PolicyEntry{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Proto: p.Proto, Policy: p.Policy, SecCtx: p.Context.pfkey()}, nil
}

func (k *pfkeyKernel) AddPolicy(ctx context.Context, p *Policy, update bool) error {
	e, err := k.policy(p)
	if err != nil {
		return err
	}
	if update {
		_, err = k.c.SPDUpdate(ctx, e)
	} else {
		_, err = k.c.SPDAdd(ctx, e)
	}
	return err
}

func (k *pfkeyKernel) DeletePolicy(ctx context.Context, p *Policy) error {
	e, err := k.policy(p)
	if err != nil {
		return err
	}
	return found(k.c.SPDDelete(ctx, e))
}

func (k *pfkeyKernel) DumpPolicies(ctx context.Context) iter.Seq2[*Policy, error] {
	m := &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgSPDDump}}
	return dumped(k.c.Messages(ctx, m), func(m *pfkey.Message) (*Policy, error) { return PolicyOf(k.d, m) })
}

func (k *pfkeyKernel) FlushPolicies(ctx context.Context) error { return k.c.SPDFlush(ctx) }

// PolicyOf returns the policy that a message of PF_KEY is about.
func PolicyOf(d *pfkey.Dialect, m *pfkey.Message) (*Policy, error) {
	e, err := d.PolicyEntry(m)
	if err != nil {
		return nil, err
	}
	p := &Policy{Src: e.Src, Dst: e.Dst, SrcPort: e.SrcPort, DstPort: e.DstPort, Proto: e.Proto, Policy: e.Policy, Context: contextOf(e.SecCtx), Origin: originOf(m)}
	if p.Proto == 0 {
		p.Proto = pfkey.ProtoAny
	}
	// Linux has selectors for those of sockets too, but indexes of their own;
	// BSD leaves the selectors out.
	p.Socket = !p.Src.IsValid() || !p.Dst.IsValid() || d.HasForward() && e.Policy.ID%8 >= 3
	if e.Current != nil {
		c := lifetime(e.Current)
		p.Current = &c
	}
	if e.Hard != nil {
		h := lifetime(e.Hard)
		p.Hard = &h
	}
	return p, nil
}
