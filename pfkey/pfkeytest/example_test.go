package pfkeytest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/pfkeytest"
	"github.com/racoon3/racoon/spd"
)

// A test of what happens when the kernel refuses an SA, and when a
// lifetime ends, without root, and without waiting.
func Example() {
	kernel := pfkeytest.NewKernel(pfkeytest.Config{Dialect: pfkey.FreeBSD})
	client, err := pfkey.NewClient(kernel.Connect(), pfkey.ClientConfig{Dialect: pfkey.FreeBSD})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx := context.Background()

	gcm, _ := client.Dialect().AlgorithmByName(pfkey.AlgEncrypt, "aes-gcm-16")
	sa := &pfkey.SAEntry{
		Type: pfkey.SATypeESP, SPI: 0x1000, Mode: pfkey.ModeTransport,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
		Encrypt: gcm.ID, EncryptKey: spd.Key("sixteen octets..salt"),
		Hard: &pfkey.Lifetime{AddTime: 3600},
	}
	kernel.FailNext(pfkey.MsgAdd, pfkey.EINVAL)
	err = client.Add(ctx, sa)
	fmt.Println(errors.Is(err, pfkey.EINVAL), client.Add(ctx, sa))

	count := func() (n int) {
		for range client.Dump(ctx, pfkey.SATypeESP) {
			n++
		}
		return n
	}
	fmt.Println(count(), "SA")
	kernel.Advance(2 * time.Hour)
	fmt.Println(count(), "SAs")
	// Output:
	// true <nil>
	// 1 SA
	// 0 SAs
}
