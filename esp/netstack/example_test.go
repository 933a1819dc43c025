package netstack_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"

	"github.com/racoon3/racoon/esp"
	"github.com/racoon3/racoon/esp/netstack"
	"github.com/racoon3/racoon/esp/pump"
	"github.com/racoon3/racoon/spd"
)

// A web server in one inner network, fetched from another one, over ESP in UDP
// on the loopback interface. Key management would install the SAs; here the
// keys are set by hand.
func Example() {
	client, clientSocket := newHost("10.1.0.1")
	server, serverSocket := newHost("10.2.0.1")
	defer client.Close()
	defer server.Close()
	defer clientSocket.Close()
	defer serverSocket.Close()
	connect(client, clientSocket, server, serverSocket)

	l, err := server.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from behind the gateway")
	}))

	c := http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
	resp, err := c.Get("http://10.2.0.1/")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", resp.Status, body)
	// Output: 200 OK: Hello from behind the gateway
}

// node is a stack with its engine.
type node struct {
	*netstack.Stack
	engine *esp.Engine
	addr   netip.Addr
}

func newHost(addr string) (*node, *pump.UDPConn) {
	n := &node{engine: esp.New(esp.Config{}), addr: netip.MustParseAddr(addr)}
	stack, err := netstack.New(netstack.Config{Engine: n.engine, Addresses: []netip.Addr{n.addr}})
	if err != nil {
		log.Fatal(err)
	}
	n.Stack = stack
	socket, err := pump.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	stack.SetWriter(socket)
	go socket.Serve(stack)
	return n, socket
}

// connect installs an SA in each direction, and the policies that send packets
// through them.
func connect(a *node, socketA *pump.UDPConn, b *node, socketB *pump.UDPConn) {
	ctx := context.Background()
	for i, e := range []struct {
		from, to      *node
		local, remote netip.AddrPort
	}{
		{a, b, socketA.LocalAddr(), socketB.LocalAddr()},
		{b, a, socketB.LocalAddr(), socketA.LocalAddr()},
	} {
		out := spd.Bundle{
			SAs: []spd.SA{{
				Protocol: spd.ProtoESP, SPI: spd.SPI(0x1000 + i),
				Encryption: spd.Transform{Type: spd.TransformENCR, ID: spd.EncrAESGCM16, KeyLen: 256},
				EncrKey:    make([]byte, 32+4), // key and salt
			}},
			ReqID: 1, Local: e.local, Remote: e.remote, UDPEncap: true,
			LocalTS:  []spd.TrafficSelector{spd.FromAddr(e.from.addr)},
			RemoteTS: []spd.TrafficSelector{spd.FromAddr(e.to.addr)},
		}
		rand.Read(out.SAs[0].EncrKey)
		in := out
		in.Local, in.Remote, in.LocalTS, in.RemoteTS = out.Remote, out.Local, out.RemoteTS, out.LocalTS
		if err := e.to.engine.InstallInbound(ctx, &in); err != nil {
			log.Fatal(err)
		}
		if err := e.from.engine.InstallOutbound(ctx, &out); err != nil {
			log.Fatal(err)
		}
		s := spd.Selector{Local: out.LocalTS[0], Remote: out.RemoteTS[0]}
		if err := e.from.engine.SetPolicies(ctx, 1, []spd.Policy{
			{Direction: spd.Out, Selector: s, Action: spd.ActionProtect, ReqID: 1},
			{Direction: spd.In, Selector: s, Action: spd.ActionProtect, ReqID: 1},
		}); err != nil {
			log.Fatal(err)
		}
	}
}
