//go:build !linux

package route

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

type operation bool

const (
	add    operation = true
	remove operation = false
)

// conn is what this system lacks.
type conn struct{}

func dial() (*conn, error) {
	return nil, fmt.Errorf("changing routes on %s: %w; it needs Linux", runtime.GOOS, errors.ErrUnsupported)
}

func (*conn) close() error                                  { return nil }
func (*conn) setUp(string, int) error                       { return errors.ErrUnsupported }
func (*conn) address(operation, string, netip.Prefix) error { return errors.ErrUnsupported }
func (*conn) route(operation, Route) error                  { return errors.ErrUnsupported }
func (*conn) rule(operation, Rule) error                    { return errors.ErrUnsupported }
func (*conn) addressesOf(string) ([]netip.Prefix, error)    { return nil, errors.ErrUnsupported }
func (*conn) routesOf(string) ([]netip.Prefix, error)       { return nil, errors.ErrUnsupported }
func (*conn) lookup(netip.Addr) (Route, error)              { return Route{}, errors.ErrUnsupported }
func gone(error) bool                                       { return false }
