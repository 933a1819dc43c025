package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
)

// openDataPlane opens the kernel.
func openDataPlane(ctx context.Context, cfg *conf.DataPlane, log *slog.Logger) (spd.DataPlane, error) {
	kind := cfg.Kind
	if kind == "auto" {
		if kind = "pfkey"; runtime.GOOS == "linux" {
			kind = "xfrm"
		}
	}
	flush := cfg.AtStart == "flush"
	switch kind {
	case "xfrm":
		// The algorithms of SAs are the key daemon's business.
		caps := spd.MemoryCapabilities()
		caps.Name = "xfrm"
		p, err := xfrm.New(xfrm.Config{Capabilities: &caps, NoFirstPacket: true, Logger: log})
		if err == nil && flush {
			if err = p.Client().FlushPolicies(ctx); err != nil {
				_ = p.Close()
			}
		}
		if err != nil {
			return nil, err
		}
		return p, nil
	case "pfkey":
		return pfkey.OpenDataPlane(ctx, pfkey.DataPlaneConfig{Flush: flush})
	}
	return nil, fmt.Errorf("kind = %q has no policies that this program could install; use \"xfrm\" or \"pfkey\"", cfg.Kind)
}
