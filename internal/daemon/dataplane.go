package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/internal/pidfile"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/statefile"
	"github.com/racoon3/racoon/xfrm"
)

// A plane is the data plane, and what goes with it.
type plane struct {
	spd.DataPlane
	keeper     spd.PolicyKeeper // nil: the data plane does not outlive the process
	kernel     spd.DataPlane    // without the memory of what was installed: for policies that have one of their own
	remembered *rememberedPlane // nil: nothing is remembered
	xfrm       *xfrm.DataPlane  // nil: another kind
	user       *userspace       // nil: another kind
}

// lockKernel keeps a second daemon of that name away from what this one has in the
// kernel: it would take it for a dead one's, and remove it.
func lockKernel(cfg *conf.DataPlane, state, name string) (*pidfile.File, error) {
	if kind := cfg.EffectiveKind(); state == "" || kind != "xfrm" && kind != "pfkey" {
		return nil, nil
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	return pidfile.Make(filepath.Join(state, name+".lock"))
}

// openPlane opens the data plane of a configuration.
func openPlane(ctx context.Context, cfg *conf.Config, state, name string, log *slog.Logger) (*plane, error) {
	var p *plane
	var err error
	kind := cfg.DataPlane.EffectiveKind()
	if cfg.DataPlane.AtStart != "adopt" {
		state = ""
	}
	switch kind {
	case "xfrm":
		p, err = openXFRM(ctx, &cfg.DataPlane, state, name, log)
	case "pfkey":
		p, err = openPFKey(ctx, &cfg.DataPlane, state, name, log)
	case "userspace":
		p, err = openUserspace(cfg, log)
	default:
		p = &plane{DataPlane: nullplane.New()}
	}
	if err != nil {
		return nil, fmt.Errorf("the data plane %s: %w", kind, err)
	}
	log.Info("data plane", "kind", kind)
	return p, nil
}

// withMemory completes a plane of a kernel, and closes it after an error.
func withMemory(ctx context.Context, p *plane, k kernelPlane, state, name string, removeSA func(context.Context, storedSA) error, log *slog.Logger) (*plane, error) {
	p.DataPlane, p.keeper, p.kernel = k, k, k
	if state == "" {
		return p, nil
	}
	r, err := remember(ctx, state, name, k, removeSA, log)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	p.DataPlane, p.remembered = r, r
	return p, nil
}

func openXFRM(ctx context.Context, cfg *conf.DataPlane, state, name string, log *slog.Logger) (*plane, error) {
	if cfg.AtStart == "flush" {
		if err := flushXFRM(ctx); err != nil {
			return nil, err
		}
	}
	displaced, err := openDisplaced(state, name)
	if err != nil {
		return nil, err
	}
	x, err := xfrm.New(xfrm.Config{
		Displaced: displaced,
		FirstSPI:  spd.SPI(cfg.XFRM.FirstSPI), LastSPI: spd.SPI(cfg.XFRM.LastSPI), AcquireExpires: cfg.AcquireTimeout.D(),
		HoldPackets: cfg.HoldPackets, Events: cfg.Events, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	remove := func(ctx context.Context, sa storedSA) error {
		return x.Client().DeleteSA(ctx, xfrm.SAKey{Dst: sa.Dst, SPI: uint32(sa.SPI), Proto: xfrmProtocols[sa.Protocol], Mark: xfrm.Mark{Value: sa.Mark[0] & sa.Mark[1], Mask: sa.Mark[1]}})
	}
	return withMemory(ctx, &plane{xfrm: x}, x, state, name, remove, log)
}

var (
	xfrmProtocols = map[spd.Protocol]uint8{spd.ProtoESP: xfrm.ProtoESP, spd.ProtoAH: xfrm.ProtoAH, spd.ProtoIPComp: xfrm.ProtoIPComp}
	saTypes       = map[spd.Protocol]pfkey.SAType{spd.ProtoESP: pfkey.SATypeESP, spd.ProtoAH: pfkey.SATypeAH, spd.ProtoIPComp: pfkey.SATypeIPComp}
)

// flushXFRM removes everything, whoever has installed it.
func flushXFRM(ctx context.Context) error {
	dial, release, err := xfrm.SystemDialer()
	if err != nil {
		return err
	}
	defer release()
	c, err := xfrm.NewClient(dial)
	if err != nil {
		return err
	}
	// SAs last: until then nothing goes in clear that a policy protects.
	return errors.Join(c.FlushPolicies(ctx), c.FlushSAs(ctx, xfrm.ProtoAny), c.Close())
}

var dialects = map[string]*pfkey.Dialect{"": nil, "linux": pfkey.Linux, "freebsd": pfkey.FreeBSD, "netbsd": pfkey.NetBSD, "macos": pfkey.MacOS, "openbsd": pfkey.OpenBSD}

func openPFKey(ctx context.Context, cfg *conf.DataPlane, state, name string, log *slog.Logger) (*plane, error) {
	displaced, err := openDisplaced(state, name)
	if err != nil {
		return nil, err
	}
	var clients [2]*pfkey.Client
	for i := range clients {
		conn, err := pfkey.OpenSocket()
		if err == nil {
			clients[i], err = pfkey.NewClient(conn, pfkey.ClientConfig{Dialect: dialects[cfg.PFKey.Dialect], Notifications: cfg.Events})
		}
		if err != nil {
			if i > 0 {
				_ = clients[0].Close()
			}
			return nil, err
		}
	}
	if runtime.GOOS != "linux" && cfg.AcquireTimeout > 0 {
		log.Warn("[dataplane] acquire-timeout has no effect: this kernel has its own, see sysctl net.key")
	}
	k, err := pfkey.NewDataPlane(ctx, clients[0], pfkey.DataPlaneConfig{
		Events: clients[1], Displaced: displaced, Flush: cfg.AtStart == "flush", EventBuffer: cfg.Events, AcquireExpires: cfg.AcquireTimeout.D(), HoldPackets: cfg.HoldPackets,
	})
	if err != nil {
		return nil, err
	}
	remove := func(ctx context.Context, sa storedSA) error {
		return k.Client().Delete(ctx, pfkey.SAKey{Type: saTypes[sa.Protocol], SPI: sa.SPI, Src: sa.Src, Dst: sa.Dst})
	}
	return withMemory(ctx, &plane{}, k, state, name, remove, log)
}

// follow fits SAs to the policies of the configuration, or with spmd to those of
// another program.
func (p *plane) follow(ctx context.Context, spmd bool, own *policies, moved *movedPolicies) error {
	observer, _ := p.kernel.(spd.PolicyObserver)
	switch {
	case spmd && p.user != nil:
		return errors.New("-spmd: ESP in this program does not follow the policies of another one; it needs kind = \"xfrm\" or \"pfkey\"")
	case spmd, own != nil:
		f := newFollowingPlane(p.DataPlane, observer, spmd, own.unique)
		f.moved = moved
		p.DataPlane = f
	}
	// Where policies were there before this program, packets may be waiting.
	if k, ok := p.kernel.(interface{ TakeUpAcquires(context.Context) }); ok && (spmd || p.remembered != nil && p.remembered.stale() > 0) {
		k.TakeUpAcquires(ctx)
	}
	return nil
}

// openDisplaced opens the memory of what policies of others were displaced, if
// there is to be one.
func openDisplaced(state, name string) (spd.DisplacedStore, error) {
	if state == "" {
		return nil, nil
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, err
	}
	return statefile.OpenDisplaced(filepath.Join(state, name+".displaced"))
}

// policies lists what is in force, for the control socket; nil if the data
// plane does not tell.
func (p *plane) policies() func(ctx context.Context) ([]spd.Policy, error) {
	if p.keeper == nil {
		return nil
	}
	return func(ctx context.Context) ([]spd.Policy, error) {
		installed, err := p.keeper.InstalledPolicies(ctx)
		list := make([]spd.Policy, len(installed))
		for i := range installed {
			list[i] = installed[i].Policy
			list[i].Direction = installed[i].Direction
		}
		return list, err
	}
}
