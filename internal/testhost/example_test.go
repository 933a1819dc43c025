package testhost_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/racoon3/racoon/internal/testhost"
)

// What a daemon logs is waited for while it runs.
func ExampleLog_Await() {
	test := func(t testing.TB) {
		var log testhost.Log
		done := make(chan struct{})
		go func() {
			defer close(done)
			slog.New(slog.NewTextHandler(&log, nil)).Info("ready", "peers", 2)
		}()
		log.Await(t, "msg=ready", 1, done)
		fmt.Println(log.Count("peers=2"))
	}
	test(new(testing.T)) // in a test, its own
	// Output: 1
}
