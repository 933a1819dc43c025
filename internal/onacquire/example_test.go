package onacquire_test

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/internal/onacquire"
)

// A data plane passes on what its configuration says; the zero value leaves the
// kernel as it is, and needs no right.
func ExampleSettings() {
	asked := onacquire.Settings{AcquireExpires: 30 * time.Second, HoldPackets: true}
	fmt.Printf("%+v\n", asked)
	fmt.Println(onacquire.Settings{}.Set())
	// Output:
	// {AcquireExpires:30s HoldPackets:true}
	// <nil>
}
