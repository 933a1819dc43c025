//go:build !linux

package xfrm

import (
	"errors"
	"fmt"
	"runtime"
)

// SystemDialer returns the Dialer of the running kernel, in the network
// namespace of the calling thread, and a function that releases it. Elsewhere
// than on Linux it fails with errors.ErrUnsupported.
func SystemDialer() (Dialer, func(), error) {
	return nil, nil, fmt.Errorf("xfrm: %w on %s: XFRM is Linux's; use package pfkey, or esp without the kernel", errors.ErrUnsupported, runtime.GOOS)
}
