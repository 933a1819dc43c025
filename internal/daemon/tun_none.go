//go:build !linux && !darwin && !freebsd && !openbsd && !windows

package daemon

import (
	"errors"
	"fmt"
	"runtime"

	"golang.zx2c4.com/wireguard/tun"
)

func createTUN(string, int) (tun.Device, error) {
	return nil, fmt.Errorf("TUN devices: %w on %s", errors.ErrUnsupported, runtime.GOOS)
}
