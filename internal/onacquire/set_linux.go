package onacquire

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Set makes the settings.
func (s Settings) Set() error {
	runtime.LockOSThread() // the files are those of the thread's namespace
	defer runtime.UnlockOSThread()
	if d := s.AcquireExpires; d > 0 {
		if err := set("xfrm_acq_expires", int((d+time.Second-1)/time.Second)); err != nil {
			return err
		}
	}
	if s.HoldPackets {
		return set("xfrm_larval_drop", 0)
	}
	return nil
}

func set(name string, value int) error {
	if err := os.WriteFile("/proc/sys/net/core/"+name, []byte(strconv.Itoa(value)), 0); err != nil {
		return fmt.Errorf("setting net.core.%s: %w", name, err)
	}
	return nil
}
