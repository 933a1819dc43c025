//go:build !linux

package pump

import "golang.zx2c4.com/wireguard/tun"

func newInner(dev tun.Device) (inner, error) { return newPlainInner(dev) }
