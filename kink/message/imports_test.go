package message_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/testhost"
)

// The codec can be used alone.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		testhost.Missing(t, "go list: %v", err)
	}
	for _, p := range strings.Fields(string(out)) {
		if !strings.Contains(p, ".") || strings.HasPrefix(p, "vendor/") {
			continue
		}
		switch p {
		case "github.com/racoon3/racoon/kink/message", "github.com/racoon3/racoon/ikev1/isakmp", "github.com/racoon3/racoon/spd":
		default:
			if !strings.HasPrefix(p, "github.com/racoon3/racoon/internal/") {
				require.Fail(t, "imports "+p)
			}
		}
	}
}
