//go:build unix

package hook_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/hook"
)

// A script that writes down who has come, beside a Manager whose one event is a
// session. The user name was the peer's to choose: it cannot become a command.
func ExampleRunner() {
	dir, err := os.MkdirTemp("", "hook")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	script, told := filepath.Join(dir, "up"), filepath.Join(dir, "told")
	text := "#!/bin/sh\necho \"$1 $RACOON_PEER $RACOON_USER $RACOON_REMOTE_ADDR\" >" + told + "\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		fmt.Println(err)
		return
	}
	h, err := hook.New(hook.Config{Scripts: map[hook.Event]string{hook.SessionUp: script}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	events := make(chan ike.Event, 1)
	events <- ike.SessionUp{
		EventHeader: ike.EventHeader{Session: 1, Peer: "office", Time: time.Now(), Path: ike.Path{Remote: netip.MustParseAddrPort("198.51.100.7:4500")}},
		Info:        ike.SessionInfo{User: "alice; reboot"},
	}
	close(events)
	if err := h.Run(context.Background(), events); err != nil {
		fmt.Println(err)
	}
	b, err := os.ReadFile(told)
	fmt.Println(strings.TrimSpace(string(b)), err)
	// Output:
	// session-up office hex:616c6963653b207265626f6f74 198.51.100.7 <nil>
}
