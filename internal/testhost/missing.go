package testhost

import (
	"fmt"
	"os"
	"testing"
)

// Missing ends a test because the machine lacks what it needs, in the manner of
// fmt.Sprintf: the test is skipped. With RACOON_REQUIRE_PEERS=1 in the
// environment, as where everything is supposed to be there, it fails instead.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	if os.Getenv("RACOON_REQUIRE_PEERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
