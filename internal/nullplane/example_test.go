package nullplane_test

import (
	"context"
	"fmt"

	"github.com/racoon3/racoon/internal/nullplane"
	"github.com/racoon3/racoon/spd"
)

// Under load a data plane would be measured with it; this one takes all and keeps
// nothing.
func ExamplePlane() {
	var p spd.DataPlane = nullplane.New()
	defer p.Close()
	ctx := context.Background()
	first, _ := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP})
	second, _ := p.AllocSPI(ctx, spd.SPIRequest{Protocol: spd.ProtoESP})
	fmt.Println(first != second)
	id := spd.SAID{SPI: first, Protocol: spd.ProtoESP, Direction: spd.In}
	fmt.Println(p.InstallInbound(ctx, &spd.Bundle{}))
	counters, err := p.Query(ctx, id)
	fmt.Println(counters.Packets, err)
	// Output:
	// true
	// <nil>
	// 0 <nil>
}
