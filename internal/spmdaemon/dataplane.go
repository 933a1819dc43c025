package spmdaemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/statefile"
	"github.com/racoon3/racoon/xfrm"
)

// openDataPlane opens the kernel.
func openDataPlane(ctx context.Context, c *conf.Config, o arguments, log *slog.Logger) (spd.DataPlane, error) {
	cfg := &c.DataPlane
	var displaced spd.DisplacedStore
	if o.state != "" && cfg.AtStart == "adopt" {
		if err := os.MkdirAll(filepath.Dir(o.state), 0o755); err != nil {
			return nil, err
		}
		var err error
		if displaced, err = statefile.OpenDisplaced(o.state + ".displaced"); err != nil {
			return nil, err
		}
	}
	flush := cfg.AtStart == "flush"
	switch cfg.EffectiveKind() {
	case "xfrm":
		// The algorithms of SAs are the key daemon's business.
		caps := spd.MemoryCapabilities()
		caps.Name = "xfrm"
		p, err := xfrm.New(xfrm.Config{Capabilities: &caps, NoFirstPacket: true, Displaced: displaced, Logger: log})
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
		return pfkey.OpenDataPlane(ctx, pfkey.DataPlaneConfig{Flush: flush, Displaced: displaced})
	}
	return nil, fmt.Errorf("kind = %q has no policies that this program could install; use \"xfrm\" or \"pfkey\"", cfg.Kind)
}
