//go:build unix

package controltest_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/internal/control/controltest"
)

// A test that is not one: it ends when it is told to.
type test struct {
	testing.TB
	last []func()
}

func (t *test) Helper()          {}
func (t *test) Cleanup(f func()) { t.last = append(t.last, f) }
func (t *test) end() {
	for _, f := range slices.Backward(t.last) {
		f()
	}
}

// A client calls its gateway, both over UDP, as one is told through its socket.
func ExampleNew() {
	t := &test{} // in a test, its own
	defer t.end()
	p := controltest.New(t)
	ctx := context.Background()
	if _, err := p.Client.Control.Establish(ctx, control.EstablishRequest{Peer: "gw", Wait: true}); err != nil {
		fmt.Println(err)
		return
	}
	sessions, err := p.Client.Control.Sessions(ctx, control.Select{}, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sessions[0].Peer, sessions[0].RemoteID)
	// Output:
	// gw gw.example.org
}
