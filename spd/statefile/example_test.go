package statefile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/spd/statefile"
)

// A daemon that installs a policy is killed. The next one, over the same data
// plane, knows which of the policies there it has inherited.
func Example() {
	dir, err := os.MkdirTemp("", "policies")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	plane := spd.NewMemory(spd.MemoryConfig{})
	rules := []spd.Rule{{
		Name:   "lan",
		Local:  []spd.TrafficSelector{spd.MustParseTrafficSelector("10.1.0.0/16")},
		Remote: []spd.TrafficSelector{spd.MustParseTrafficSelector("10.2.0.0/16")},
		Action: spd.ActionDiscard,
	}}
	for _, life := range []string{"first", "second"} {
		store, err := statefile.Open(filepath.Join(dir, "policies"))
		if err != nil {
			fmt.Println(err)
			return
		}
		db := spd.NewDatabase(spd.DatabaseConfig{DataPlane: plane, Store: store})
		inherited, err := db.Restore(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := db.Declare(context.Background(), rules); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: inherited %d, now %d policies\n", life, inherited.Declared, len(plane.Policies()))
		plane.Crash() // of the daemon: what is installed stays
	}
	// Output:
	// first: inherited 0, now 2 policies
	// second: inherited 2, now 2 policies
}
