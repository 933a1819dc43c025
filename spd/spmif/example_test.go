package spmif_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/racoon3/racoon/spd/spmif"
)

// A server for what a daemon has, and a client that logs in.
func Example() {
	password := spmif.Password("from a file")
	server := spmif.NewServer(spmif.ServerConfig{
		Password: password,
		Stats:    func() spmif.Stats { return spmif.Stats{Queries: 7} },
	})
	here, there := net.Pipe() // a daemon has spmif.Listen and Server.Serve
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go server.ServeConn(ctx, there, spmif.Peer{})

	c, err := spmif.NewClient(ctx, here, password) // spmif.Dial
	if err != nil {
		fmt.Println(err)
		return
	}
	stats, err := c.Stats(ctx)
	fmt.Println(stats.Queries, err)
	fmt.Println(c.Quit(ctx))
	// Output:
	// 7 <nil>
	// <nil>
}
