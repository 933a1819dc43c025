package xfrm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// features are what attributes the kernel knows: those that it does not know
// it ignores.
type features struct {
	interfaceID, outputMark, cpu, label bool
}

// Addresses of documentation (RFC 5737, RFC 3849), which no real SA has.
var (
	probeAddr4 = netip.MustParseAddr("192.0.2.77")
	probeAddr6 = netip.MustParseAddr("2001:db8::77")
)

// findCapabilities asks the kernel what it has, unless it was told.
func (p *DataPlane) findCapabilities(ctx context.Context) error {
	if c := p.cfg.Capabilities; c != nil {
		p.caps = *c
		p.has = features{interfaceID: c.InterfaceIDs, outputMark: c.Marks, cpu: c.PerCPU, label: c.SecurityLabels}
		return nil
	}
	p.caps = spd.Capabilities{Name: "xfrm", Tunnel: true, Transport: true, Bundles: true, MaxReplay: MaxReplayWindow,
		Volume: true, TrapPolicy: true, Marks: true, Offload: true}
	pr := &prober{client: p.client}
	pr.algorithms(ctx, &p.caps)
	if pr.err != nil {
		return pr.err
	}
	if pr.base == nil {
		return fmt.Errorf("xfrm: %w: the kernel has no ESP (module esp4) or none of its algorithms", spd.ErrUnsupported)
	}
	pr.rest(ctx, &p.caps, &p.has)
	return pr.err
}

// A prober installs SAs to see whether they can be.
type prober struct {
	client *Client
	base   *SA // ESP that works
	auth   Algorithm
	err    error
}

// try reports whether the kernel takes an SA. See, if not nil, looks at it as
// the kernel has it.
func (p *prober) try(ctx context.Context, sa SA, see func(*SA)) bool {
	if p.err != nil {
		return false
	}
	if !sa.Dst.IsValid() {
		sa.Src, sa.Dst = probeAddr4, probeAddr4.Next()
	}
	if sa.Proto == ProtoIPComp {
		sa.SPI = 256 + rand.Uint32N(60000)
	} else {
		sa.SPI = 0x1000000 + rand.Uint32N(0xf0000000)
	}
	sa.Limits.HardAdd = 1 // should this program be killed in between
	err := p.client.AddSA(ctx, &sa)
	switch {
	case errors.Is(err, fs.ErrPermission):
		p.err = fmt.Errorf("xfrm: CAP_NET_ADMIN is needed: %w", err)
		return false
	case errors.As(err, new(*Error)):
		return false
	case err != nil:
		p.err = err
		return false
	}
	if see != nil {
		if got, err := p.client.SA(ctx, sa.Key()); err == nil {
			see(got)
		}
	}
	_ = p.client.DeleteSA(ctx, sa.Key()) // the limit ends what this cannot
	return true
}

func probeKey(n int) spd.Key {
	k := make(spd.Key, n)
	for i := range k {
		k[i] = byte(rand.Uint32()) // 3DES refuses some that repeat
	}
	return k
}

// algorithms tries the algorithms of ESP and AH.
func (p *prober) algorithms(ctx context.Context, c *spd.Capabilities) {
	var aead, ciphers, integ []spd.Algorithm
	esp := SA{Proto: ProtoESP}
	found := func(sa SA) {
		if p.base == nil || p.base.Crypt.Name != "" {
			p.base = &sa
		}
	}
	// An integrity algorithm needs a cipher beside it, and a cipher an
	// integrity algorithm.
	for _, i := range integrities {
		auth := Algorithm{Name: i.name, Key: probeKey(spd.Transform{Type: spd.TransformINTEG, ID: i.id}.KeymatLen()), ICVBits: i.icv}
		t := spd.Transform{Type: spd.TransformINTEG, ID: i.id}
		for _, name := range []string{"cbc(aes)", "ecb(cipher_null)"} {
			sa := esp
			sa.Auth, sa.Crypt = auth, Algorithm{Name: name}
			if name == "cbc(aes)" {
				sa.Crypt.Key = probeKey(16)
			}
			if p.try(ctx, sa, nil) {
				if p.auth.Name == "" {
					p.auth = auth
				}
				found(sa)
				integ = append(integ, spd.Algorithm{Protocol: spd.ProtoESP, Transform: t})
				break
			}
		}
		if p.try(ctx, SA{Proto: ProtoAH, Auth: auth}, nil) {
			integ = append(integ, spd.Algorithm{Protocol: spd.ProtoAH, Transform: t})
		}
	}
	for _, e := range encryptions {
		t := spd.Transform{Type: spd.TransformENCR, ID: e.id, KeyLen: 128}
		alg := Algorithm{Name: e.name, Key: probeKey(t.KeymatLen()), ICVBits: e.icv}
		sa := esp
		switch {
		case e.icv > 0:
			sa.AEAD = alg
		case p.auth.Name == "":
			continue
		default:
			sa.Crypt, sa.Auth = alg, p.auth
		}
		if !p.try(ctx, sa, nil) {
			continue
		}
		found(sa)
		a := spd.Algorithm{Protocol: spd.ProtoESP, Transform: spd.Transform{Type: spd.TransformENCR, ID: e.id}}
		if e.icv > 0 {
			aead = append(aead, a)
		} else {
			ciphers = append(ciphers, a)
		}
	}
	c.Algorithms = append(append(aead, ciphers...), integ...)
}

// rest tries what else depends on the kernel, with an ESP SA that works.
func (p *prober) rest(ctx context.Context, c *spd.Capabilities, f *features) {
	c.RawESP = true
	esn := *p.base
	esn.Flags, esn.ReplayESN = FlagESN, NewReplayESN(64)
	c.ESN = p.try(ctx, esn, nil)
	udp := *p.base
	udp.Encap = Encap{Type: EncapUDP, SrcPort: 4500, DstPort: 4500}
	c.UDPEncap = p.try(ctx, udp, nil)
	marked := udp
	marked.Encap.Type = EncapUDPNonIKE // newer kernels have dropped it
	c.NonIKE = p.try(ctx, marked, nil)
	udp.Src, udp.Dst = probeAddr6, probeAddr6.Next()
	c.UDPEncap6 = p.try(ctx, udp, nil)
	if p.try(ctx, SA{Proto: ProtoIPComp, Comp: Algorithm{Name: "deflate"}}, nil) {
		c.IPComp = []uint8{ipcompDeflate}
	}
	marked = *p.base
	marked.InterfaceID, marked.SetMark = 1, Mark{1, 1}
	p.try(ctx, marked, func(sa *SA) { f.interfaceID, f.outputMark = sa.InterfaceID == 1, sa.SetMark.Mask == 1 })
	cpu := *p.base
	cpu.CPU, cpu.Direction = 1, SADirIn
	p.try(ctx, cpu, func(sa *SA) { f.cpu = sa.CPU == 1 })
	label := *p.base
	label.SecCtx = SecCtx{Label: "system_u:object_r:ipsec_spd_t:s0"}
	p.try(ctx, label, func(sa *SA) { f.label = sa.SecCtx.Label != "" })
	c.InterfaceIDs, c.SecurityLabels, c.PerCPU = f.interfaceID, f.label, f.cpu
}
