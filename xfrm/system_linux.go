package xfrm

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// setSystem sets what of Config is the network namespace's.
func (p *DataPlane) setSystem() error {
	runtime.LockOSThread() // the settings are those of the thread's namespace
	defer runtime.UnlockOSThread()
	if d := p.cfg.AcquireExpires; d > 0 {
		if err := setting("xfrm_acq_expires", int((d+time.Second-1)/time.Second)); err != nil {
			return err
		}
	}
	if p.cfg.HoldPackets {
		return setting("xfrm_larval_drop", 0)
	}
	return nil
}

func setting(name string, value int) error {
	if err := os.WriteFile("/proc/sys/net/core/"+name, []byte(strconv.Itoa(value)), 0); err != nil {
		return fmt.Errorf("xfrm: setting net.core.%s: %w", name, err)
	}
	return nil
}
