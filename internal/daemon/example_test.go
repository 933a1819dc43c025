package daemon_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/racoon3/racoon/internal/daemon"
)

// A program within a program: iked -check says what is wrong with a file.
func ExampleProgram_Run() {
	dir, err := os.MkdirTemp("", "iked")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "racoon.toml")
	if err := os.WriteFile(file, []byte("[daemon]\nlog-level = \"debgu\"\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	var said strings.Builder
	iked := daemon.Program{Name: "iked"}
	status := iked.Run(context.Background(), []string{"-check", "-c", file}, daemon.Env{}, &said, &said)
	fmt.Print(strings.ReplaceAll(said.String(), file, "racoon.toml"))
	fmt.Println("status", status)
	// Output:
	// racoon.toml:2:13: daemon.log-level: is "debgu", but can be "debug", "info", "warn" or "error" only; did you mean "debug"?
	// status 1
}
