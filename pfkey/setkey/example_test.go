package setkey_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/pfkey/setkey"
)

// A file is read whole; what is wrong in it is told all at once.
func ExampleParse() {
	all, err := setkey.Parse("ipsec.conf", []byte(`
		spdadd 10.0.1.0/24 10.0.2.0/24[www] tcp -P out ipsec esp/transport//require ;
		add 192.0.2.1 192.0.2.2 esp 0x1000 -E aes-cbc "too short" ;
		spdadd 10.0.1.0/24 10.0.2.0/24 any -P up none ;
	`))
	for _, s := range all {
		fmt.Println(setkey.Format(s))
	}
	fmt.Println(err)
	fmt.Println(errors.Is(err, setkey.ErrSyntax))
	// Output:
	// spdadd 10.0.1.0/24 10.0.2.0/24[www] tcp -P out ipsec esp/transport//require ;
	// ipsec.conf:3:49: a key of 9 octets: aes-cbc takes 16, 24 or 32 octets
	// ipsec.conf:4:41: "up" is no direction: in, out or fwd
	// true
}

// Statements run on a kernel over PF_KEY, here one in memory.
func ExampleExecutor() {
	conn := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.NetBSD}).Connect() // pfkey.OpenSocket() for the running one
	client, err := pfkey.NewClient(conn, pfkey.ClientConfig{Dialect: pfkey.NetBSD, PID: 7})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	x := &setkey.Executor{Kernel: setkey.NewPFKey(client), Out: os.Stdout, Print: setkey.PrintOptions{Short: true},
		Now: func() time.Time { return time.Date(2026, 1, 1, 0, 0, 42, 0, time.UTC) }}
	all, err := setkey.Parse("ipsec.conf", []byte(`
		add 192.0.2.1 192.0.2.2 esp 0x1000 -lh 3600 -ls 3000 -E null -A hmac-sha1 "this is the test key" ;
		dump ;
	`))
	if err != nil {
		panic(err)
	}
	for _, s := range all {
		if err := x.Execute(context.Background(), s); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// time p   s spi      ltime   src -> dst
	// 0042 esp M 00001000  42/big 192.0.2.1 -> 192.0.2.2
}
