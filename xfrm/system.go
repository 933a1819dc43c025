package xfrm

import (
	"fmt"

	"github.com/racoon3/racoon/internal/onacquire"
)

// setSystem sets what of Config is the network namespace's.
func (p *DataPlane) setSystem() error {
	if err := (onacquire.Settings{AcquireExpires: p.cfg.AcquireExpires, HoldPackets: p.cfg.HoldPackets}).Set(); err != nil {
		return fmt.Errorf("xfrm: %w", err)
	}
	return nil
}
