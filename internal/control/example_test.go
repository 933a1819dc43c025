//go:build unix

package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/control"
	"github.com/racoon3/racoon/spd"
)

// A daemon's socket, and a program that asks.
func Example() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "control")

	d := &control.Daemon{Name: "iked", Version: "1.2.3", LogLevel: new(slog.LevelVar)}
	if d.Manager, err = racoon.NewManager(racoon.Config{DataPlane: spd.NewMemory(spd.MemoryConfig{}), Authorize: d.Authorize(nil)}); err != nil {
		fmt.Println(err)
		return
	}
	l, err := control.Listen(control.ListenConfig{Path: path})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, l) }()

	c := control.NewClient(path)
	defer c.Close()
	st, err := c.Status(ctx)
	fmt.Println(st.Daemon, st.Version, st.Peers, "peers", err)
	end()
	fmt.Println(<-served)
	// Output:
	// iked 1.2.3 0 peers <nil>
	// <nil>
}
