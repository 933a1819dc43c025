package pidfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/racoon3/racoon/internal/pidfile"
)

func ExampleMake() {
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "iked.pid")

	first, err := pidfile.Make(path)
	fmt.Println("the first daemon:", err)
	_, err = pidfile.Make(path)
	fmt.Println("a second one:", errors.Is(err, pidfile.ErrRunning))
	first.Remove()
	next, err := pidfile.Make(path)
	fmt.Println("the next one:", err)
	next.Remove()
	// Output:
	// the first daemon: <nil>
	// a second one: true
	// the next one: <nil>
}
