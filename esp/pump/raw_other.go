//go:build !linux

package pump

import "net/netip"

type rawSystem struct{}

func (*rawSystem) init(netip.Addr) error  { return ErrRawUnsupported }
func (*rawSystem) serve(RawHandler) error { return ErrRawUnsupported }
func (*rawSystem) close() error           { return nil }
func (*rawSystem) send(netip.Addr, netip.Addr, byte, bool, [][]byte) (int, error) {
	return 0, ErrRawUnsupported
}
