package load_test

import (
	"context"
	"fmt"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/load"
)

// Ten handshakes with a gateway in the same process.
func ExampleRun() {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	defer end()
	psk := ike.Secret("a secret of both")
	gw, err := load.NewResponder(load.ResponderConfig{Listen: "127.0.0.1:0", Plane: "null", Identity: load.Identity{PSK: psk, LocalID: "gw.example.org"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error, 1)
	go func() { served <- gw.Manager.Serve(ctx) }()
	<-gw.Manager.Ready()

	report, err := load.Run(ctx, load.Config{
		Identity: load.Identity{PSK: psk, LocalID: "user%d@example.org", RemoteID: "gw.example.org"},
		Target:   gw.Addr(), Handshakes: 10,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Established, "established,", report.Failed, "failed")
	end()
	<-served
	// Output:
	// 10 established, 0 failed
}
