package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/setkey"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// xfrmKernel is Linux's XFRM as a kernel of package setkey.
type xfrmKernel struct{ c *xfrm.Client }

func (k *xfrmKernel) HasForward() bool { return true }

func missing(err error) error {
	if errors.Is(err, spd.ErrNotFound) {
		return fmt.Errorf("%w: %w", setkey.ErrNotFound, err)
	}
	return err
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", setkey.ErrUnsupported, fmt.Sprintf(format, args...))
}

// An algorithm is what XFRM calls one of setkey's.
type algorithm struct {
	name, kernel string
	icv          uint32 // bits; of an encryption that is no AEAD 0
}

var encryptions = []algorithm{
	{"aes-cbc", "cbc(aes)", 0}, {"3des-cbc", "cbc(des3_ede)", 0}, {"null", "ecb(cipher_null)", 0}, {"simple", "ecb(cipher_null)", 0},
	{"des-cbc", "cbc(des)", 0}, {"blowfish-cbc", "cbc(blowfish)", 0}, {"cast128-cbc", "cbc(cast5)", 0}, {"twofish-cbc", "cbc(twofish)", 0},
	{"serpent-cbc", "cbc(serpent)", 0}, {"camellia-cbc", "cbc(camellia)", 0}, {"sm4-cbc", "cbc(sm4)", 0}, {"aes-ctr", "rfc3686(ctr(aes))", 0},
	{"aes-gcm-16", "rfc4106(gcm(aes))", 128}, {"aes-gcm-12", "rfc4106(gcm(aes))", 96}, {"aes-gcm-8", "rfc4106(gcm(aes))", 64},
	{"aes-ccm-16", "rfc4309(ccm(aes))", 128}, {"aes-ccm-12", "rfc4309(ccm(aes))", 96}, {"aes-ccm-8", "rfc4309(ccm(aes))", 64},
	{"aes-gmac", "rfc4543(gcm(aes))", 128}, {"chacha20-poly1305", "rfc7539esp(chacha20,poly1305)", 128},
}

// The lengths of integrity check values are those of the RFCs: PF_KEY's
// HMAC-SHA2-256 has 96 bits on Linux, where RFC 4868 and XFRM here have 128.
var integrities = []algorithm{
	{"hmac-md5", "hmac(md5)", 96}, {"hmac-sha1", "hmac(sha1)", 96}, {"hmac-sha256", "hmac(sha256)", 128}, {"hmac-sha384", "hmac(sha384)", 192},
	{"hmac-sha512", "hmac(sha512)", 256}, {"hmac-ripemd160", "hmac(rmd160)", 96}, {"aes-xcbc-mac", "xcbc(aes)", 96}, {"aes-cmac", "cmac(aes)", 96},
	{"hmac-sm3-256", "hmac(sm3)", 256}, {"null", "digest_null", 0},
}

var compressions = []algorithm{{"deflate", "deflate", 0}, {"lzs", "lzs", 0}}

func find(list []algorithm, name string) (algorithm, error) {
	for _, a := range list {
		if a.name == name {
			return a, nil
		}
	}
	return algorithm{}, unsupported("XFRM has no %s", name)
}

// named returns setkey's name of an algorithm; XFRM's own if it has none.
func named(list []algorithm, a *xfrm.Algorithm) string {
	other := a.Name
	for _, x := range list {
		if x.kernel == a.Name {
			if x.icv == a.ICVBits || a.ICVBits == 0 {
				return x.name
			}
			other = fmt.Sprintf("%s-%d", x.name, a.ICVBits) // HMAC-SHA2-256 with 96 bits, as PF_KEY makes it
		}
	}
	return other
}

var protocols = map[setkey.Protocol]uint8{setkey.ProtoESP: xfrm.ProtoESP, setkey.ProtoESPUDP: xfrm.ProtoESP, setkey.ProtoAH: xfrm.ProtoAH, setkey.ProtoIPComp: xfrm.ProtoIPComp}

// key returns what names an SA; protocols of SAs that XFRM does not have are an
// error.
func (k *xfrmKernel) key(sa *setkey.SA) (xfrm.SAKey, error) {
	proto, ok := protocols[sa.Proto]
	if !ok {
		return xfrm.SAKey{}, unsupported("XFRM has no SAs for %s", sa.Proto)
	}
	return xfrm.SAKey{Dst: sa.Dst.WithZone(""), SPI: sa.SPI, Proto: proto}, nil
}

func modeOf(m pfkey.Mode) xfrm.Mode {
	if m == pfkey.ModeTunnel {
		return xfrm.ModeTunnel
	}
	return xfrm.ModeTransport // as Linux takes any, too
}

func limits(hard, soft setkey.Lifetime) xfrm.Limits {
	return xfrm.Limits{SoftBytes: soft.Bytes, HardBytes: hard.Bytes, SoftPackets: soft.Allocations, HardPackets: hard.Allocations,
		SoftAdd: soft.AddTime, HardAdd: hard.AddTime, SoftUse: soft.UseTime, HardUse: hard.UseTime}
}

func label(c *setkey.Context) xfrm.SecCtx {
	if c == nil {
		return xfrm.SecCtx{}
	}
	return xfrm.SecCtx{DOI: c.DOI, Algorithm: c.Alg, Label: c.Label}
}

// state returns an SA as XFRM has it. Its keys are those of sa.
func (k *xfrmKernel) state(sa *setkey.SA) (*xfrm.SA, error) {
	key, err := k.key(sa)
	if err != nil {
		return nil, err
	}
	s := &xfrm.SA{Src: sa.Src.WithZone(""), Dst: key.Dst, SPI: key.SPI, Proto: key.Proto, Mode: modeOf(sa.Mode), ReqID: sa.ReqID,
		Limits: limits(sa.Hard, sa.Soft), SecCtx: label(sa.Context)}
	switch {
	case sa.Replay > xfrm.MaxReplayWindow:
		return nil, unsupported("a replay window of %d packets; XFRM has %d at most", sa.Replay, xfrm.MaxReplayWindow)
	case sa.Replay > 32:
		s.ReplayESN = xfrm.NewReplayESN(int(sa.Replay))
	default:
		s.ReplayWindow = uint8(sa.Replay)
	}
	if name := sa.Encrypt.Name; name != "" {
		a, err := find(encryptions, name)
		if err != nil {
			return nil, err
		}
		x := xfrm.Algorithm{Name: a.kernel, Key: sa.Encrypt.Key, ICVBits: a.icv}
		if a.icv > 0 {
			s.AEAD = x
		} else {
			s.Crypt = x
		}
	}
	if name := sa.Auth.Name; name != "" {
		a, err := find(integrities, name)
		if err != nil {
			return nil, err
		}
		s.Auth = xfrm.Algorithm{Name: a.kernel, Key: sa.Auth.Key, ICVBits: a.icv}
	}
	if sa.Compress != "" {
		a, err := find(compressions, sa.Compress)
		if err != nil {
			return nil, err
		}
		s.Comp.Name = a.kernel
	}
	if sa.Proto == setkey.ProtoESPUDP {
		s.Encap = xfrm.Encap{Type: xfrm.EncapUDP, SrcPort: sa.SrcPort, DstPort: sa.DstPort, Original: sa.Original}
	}
	return s, nil
}

func (k *xfrmKernel) Add(ctx context.Context, sa *setkey.SA) error {
	s, err := k.state(sa)
	if err != nil {
		return err
	}
	return k.c.AddSA(ctx, s)
}

func (k *xfrmKernel) Update(ctx context.Context, sa *setkey.SA) error {
	s, err := k.state(sa)
	if err != nil {
		return err
	}
	return missing(k.c.UpdateSA(ctx, s))
}

func (k *xfrmKernel) GetSPI(ctx context.Context, sa *setkey.SA) (uint32, error) {
	s, err := k.state(sa)
	if err != nil {
		return 0, err
	}
	m := &xfrm.AllocSPI{SA: *s, Min: sa.SPI, Max: sa.SPI}
	if sa.SPI == 0 {
		m.Min, m.Max = 0x100, 0x0fffffff
		if sa.Proto == setkey.ProtoIPComp {
			m.Max = 0xefff // above are private numbers (RFC 3173 3.3)
		}
	}
	m.SPI = 0
	r, err := k.c.ReserveSPI(ctx, m)
	if err != nil {
		return 0, err
	}
	return r.SPI, nil
}

func (k *xfrmKernel) Get(ctx context.Context, sa *setkey.SA) (*setkey.SA, error) {
	key, err := k.key(sa)
	if err != nil {
		return nil, err
	}
	s, err := k.c.SA(ctx, key)
	if err != nil {
		return nil, missing(err)
	}
	if s.Src != sa.Src.WithZone("") {
		s.Wipe()
		return nil, fmt.Errorf("%w: the SA comes from %v", setkey.ErrNotFound, s.Src)
	}
	return told(s, 0), nil
}

func (k *xfrmKernel) Delete(ctx context.Context, sa *setkey.SA) error {
	key, err := k.key(sa)
	if err != nil {
		return err
	}
	return missing(k.c.DeleteSA(ctx, key))
}

func (k *xfrmKernel) proto(p setkey.Protocol) (uint8, error) {
	if p == setkey.ProtoAny {
		return 0, nil
	}
	proto, ok := protocols[p]
	if !ok {
		return 0, unsupported("XFRM has no SAs for %s", p)
	}
	return proto, nil
}

func (k *xfrmKernel) Dump(ctx context.Context, p setkey.Protocol) iter.Seq2[*setkey.SA, error] {
	return func(yield func(*setkey.SA, error) bool) {
		proto, err := k.proto(p)
		if err != nil {
			yield(nil, err)
			return
		}
		n := uint32(0)
		for s, err := range k.c.SAs(ctx, &xfrm.DumpSA{Proto: proto}) {
			if err != nil {
				yield(nil, err)
				return
			}
			n++
			more := yield(told(s, n), nil)
			s.Wipe()
			if !more {
				return
			}
		}
	}
}

func (k *xfrmKernel) Flush(ctx context.Context, p setkey.Protocol) error {
	proto, err := k.proto(p)
	if err != nil {
		return err
	}
	return k.c.FlushSAs(ctx, proto)
}

// told returns an SA that the kernel has told. Its keys are those of s.
func told(s *xfrm.SA, seq uint32) *setkey.SA {
	sa := &setkey.SA{
		Src: s.Src, Dst: s.Dst, SPI: s.SPI, ReqID: s.ReqID, Mode: pfkey.ModeTransport, Replay: uint32(s.ReplayWindow), State: pfkey.StateMature,
		Hard:    setkey.Lifetime{Allocations: s.Limits.HardPackets, Bytes: s.Limits.HardBytes, AddTime: s.Limits.HardAdd, UseTime: s.Limits.HardUse},
		Soft:    setkey.Lifetime{Allocations: s.Limits.SoftPackets, Bytes: s.Limits.SoftBytes, AddTime: s.Limits.SoftAdd, UseTime: s.Limits.SoftUse},
		Current: used(&s.Usage), Origin: setkey.Origin{Seq: seq, PID: uint32(os.Getpid())}, Context: labelOf(&s.SecCtx),
	}
	switch s.Mode {
	case xfrm.ModeTunnel:
		sa.Mode = pfkey.ModeTunnel
	case xfrm.ModeBEET:
		sa.Mode = pfkey.ModeBEET
	}
	switch s.Proto {
	case xfrm.ProtoESP:
		sa.Proto = setkey.ProtoESP
	case xfrm.ProtoAH:
		sa.Proto = setkey.ProtoAH
	case xfrm.ProtoIPComp:
		sa.Proto = setkey.ProtoIPComp
	default:
		sa.Proto = setkey.Protocol(fmt.Sprint(s.Proto))
	}
	if s.Replay != nil {
		sa.Sequence = s.Replay.OutSeq
	}
	if s.ReplayESN != nil {
		sa.Sequence, sa.Replay = uint32(s.ReplayESN.OutSeq), s.ReplayESN.Window
	}
	for flag, bit := range map[xfrm.SAFlags]uint32{xfrm.FlagNoECN: pfkey.FlagNoECN, xfrm.FlagDecapDSCP: pfkey.FlagDecapDSCP, xfrm.FlagNoPMTUDisc: pfkey.FlagNoPMTUDisc} {
		if s.Flags&flag != 0 {
			sa.Flags |= bit
		}
	}
	if s.Encap.Type != 0 && s.Proto == xfrm.ProtoESP {
		sa.Proto, sa.SrcPort, sa.DstPort, sa.Original = setkey.ProtoESPUDP, s.Encap.SrcPort, s.Encap.DstPort, s.Encap.Original
	}
	if s.AEAD.Name != "" {
		sa.Encrypt = setkey.Algorithm{Name: named(encryptions, &s.AEAD), Key: s.AEAD.Key}
	}
	if s.Crypt.Name != "" {
		sa.Encrypt = setkey.Algorithm{Name: named(encryptions, &s.Crypt), Key: s.Crypt.Key}
	}
	if s.Auth.Name != "" {
		sa.Auth = setkey.Algorithm{Name: named(integrities, &s.Auth), Key: s.Auth.Key}
	}
	if s.Comp.Name != "" {
		sa.Compress = named(compressions, &s.Comp)
	} else if sa.Encrypt.Name == "" && sa.Auth.Name == "" {
		sa.State = pfkey.StateLarval // reserved: XFRM does not tell otherwise
	}
	return sa
}

func used(u *xfrm.Usage) *setkey.Lifetime {
	return &setkey.Lifetime{Allocations: u.Packets, Bytes: u.Bytes, AddTime: u.Added, UseTime: u.Used}
}

func labelOf(c *xfrm.SecCtx) *setkey.Context {
	if c.Label == "" {
		return nil
	}
	return &setkey.Context{DOI: c.DOI, Alg: c.Algorithm, Label: c.Label}
}

// policy returns a policy as XFRM has it.
func (k *xfrmKernel) policy(ctx context.Context, p *setkey.Policy) (*xfrm.Policy, error) {
	if p.Tag != "" {
		return nil, unsupported("XFRM has no policies by tag")
	}
	x := &xfrm.Policy{Selector: selector(p), Priority: p.Policy.Priority, Dir: direction(p.Policy.Dir), SecCtx: label(p.Context)}
	switch p.Policy.Type {
	case pfkey.PolicyDiscard:
		x.Action = xfrm.ActionBlock
	case pfkey.PolicyNone, pfkey.PolicyIPsec:
	default:
		return nil, unsupported("%v is for policies of sockets", p.Policy.Type)
	}
	last := uint32(0)
	for i := range p.Policy.Requests {
		r := &p.Policy.Requests[i]
		t, err := template(r, p.Src.Addr())
		if err == nil && r.Level == pfkey.LevelUnique && t.ReqID == 0 {
			t.ReqID, err = k.unusedReqID(ctx, last)
			last = t.ReqID
		}
		if err != nil {
			return nil, err
		}
		x.Templates = append(x.Templates, t)
	}
	return x, nil
}

func direction(d pfkey.Dir) xfrm.Direction {
	switch d {
	case pfkey.DirIn:
		return xfrm.DirIn
	case pfkey.DirForward:
		return xfrm.DirForward
	}
	return xfrm.DirOut
}

func selector(p *setkey.Policy) xfrm.Selector {
	s := xfrm.Selector{Src: p.Src, Dst: p.Dst, SrcPort: p.SrcPort, DstPort: p.DstPort, Proto: p.Proto}
	if s.Proto == pfkey.ProtoAny {
		s.Proto = 0
	}
	if s.SrcPort != 0 {
		s.SrcPortMask = 0xffff
	}
	if s.DstPort != 0 {
		s.DstPortMask = 0xffff
	}
	return s
}

// AF_INET and AF_INET6 of Linux.
const (
	familyIPv4 = 2
	familyIPv6 = 10
)

func template(r *pfkey.Request, inner netip.Addr) (xfrm.Template, error) {
	t := xfrm.Template{Proto: uint8(r.Proto), ReqID: r.ReqID, Optional: r.Level == pfkey.LevelUse, AnyFamily: familyIPv6}
	if inner.Is4() {
		t.AnyFamily = familyIPv4
	}
	switch {
	case r.Proto != pfkey.IPProtoESP && r.Proto != pfkey.IPProtoAH && r.Proto != pfkey.IPProtoIPComp:
		return t, unsupported("a policy for protocol %d", r.Proto)
	case r.Mode == pfkey.ModeTunnel:
		t.Mode, t.Src, t.Dst = xfrm.ModeTunnel, r.Src.Addr, r.Dst.Addr
	case r.Mode != pfkey.ModeTransport:
		return t, unsupported("a policy for SAs of mode any")
	}
	return t, nil
}

// unusedReqID returns a request ID above last that no policy has, from those that
// PF_KEY leaves to the kernel.
func (k *xfrmKernel) unusedReqID(ctx context.Context, last uint32) (uint32, error) {
	id := max(last, pfkey.MaxReqID)
	for p, err := range k.c.Policies(ctx) {
		if err != nil {
			return 0, err
		}
		for _, t := range p.Templates {
			id = max(id, t.ReqID)
		}
	}
	if id == ^uint32(0) {
		return 0, errors.New("no request ID is left")
	}
	return id + 1, nil
}

func (k *xfrmKernel) AddPolicy(ctx context.Context, p *setkey.Policy, update bool) error {
	x, err := k.policy(ctx, p)
	if err != nil {
		return err
	}
	if update {
		return k.c.SetPolicy(ctx, x)
	}
	return k.c.AddPolicy(ctx, x)
}

func (k *xfrmKernel) DeletePolicy(ctx context.Context, p *setkey.Policy) error {
	if p.Tag != "" {
		return unsupported("XFRM has no policies by tag")
	}
	return missing(k.c.DeletePolicy(ctx, xfrm.PolicyKey{Selector: selector(p), Dir: direction(p.Policy.Dir), SecCtx: label(p.Context)}))
}

func (k *xfrmKernel) FlushPolicies(ctx context.Context) error { return k.c.FlushPolicies(ctx) }

func (k *xfrmKernel) DumpPolicies(ctx context.Context) iter.Seq2[*setkey.Policy, error] {
	return func(yield func(*setkey.Policy, error) bool) {
		n := uint32(0)
		for p, err := range k.c.Policies(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			n++
			if !yield(toldPolicy(p, n), nil) {
				return
			}
		}
	}
}

// toldPolicy returns a policy that the kernel has told, as PF_KEY tells it.
func toldPolicy(x *xfrm.Policy, seq uint32) *setkey.Policy {
	p := &setkey.Policy{Src: x.Selector.Src, Dst: x.Selector.Dst, SrcPort: x.Selector.SrcPort, DstPort: x.Selector.DstPort, Proto: x.Selector.Proto,
		Hard: &setkey.Lifetime{AddTime: x.Limits.HardAdd, UseTime: x.Limits.HardUse}, Current: used(&x.Usage), Context: labelOf(&x.SecCtx),
		Origin: setkey.Origin{Seq: seq, PID: uint32(os.Getpid())}, Socket: x.Index%8 >= 3}
	if p.Proto == 0 {
		p.Proto = pfkey.ProtoAny
	}
	p.Policy = pfkey.Policy{Type: pfkey.PolicyNone, Dir: map[xfrm.Direction]pfkey.Dir{xfrm.DirIn: pfkey.DirIn, xfrm.DirOut: pfkey.DirOut, xfrm.DirForward: pfkey.DirForward}[x.Dir],
		ID: x.Index, Priority: x.Priority}
	switch {
	case x.Action == xfrm.ActionBlock:
		p.Policy.Type = pfkey.PolicyDiscard
	case len(x.Templates) > 0:
		p.Policy.Type = pfkey.PolicyIPsec
	}
	for _, t := range x.Templates {
		r := pfkey.Request{Proto: uint16(t.Proto), Mode: pfkey.ModeTransport, Level: pfkey.LevelRequire, ReqID: t.ReqID}
		switch {
		case t.Optional:
			r.Level = pfkey.LevelUse
		case t.ReqID != 0:
			r.Level = pfkey.LevelUnique
		}
		if t.Mode == xfrm.ModeTunnel {
			r.Mode, r.Src.Addr, r.Dst.Addr = pfkey.ModeTunnel, t.Src, t.Dst
		}
		p.Policy.Requests = append(p.Policy.Requests, r)
	}
	return p
}
