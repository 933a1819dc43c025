package trace_test

import (
	"fmt"

	"github.com/racoon3/racoon/internal/trace"
)

// A peer chooses its identity; it cannot choose what the log looks like.
func ExampleAppendQuoted() {
	b := trace.AppendQuoted([]byte("id="), "eve\nlevel=ERROR msg=\"disk full\"\x1b[2J")
	fmt.Println(string(b))
	// Output:
	// id="eve\nlevel=ERROR msg=\"disk full\"\x1b[2J"
}

func ExampleAppendHex() {
	b := append([]byte("nonce "), "("...)
	b = trace.AppendOctets(b, 4)
	b = trace.AppendHex(append(b, "): "...), []byte{0xde, 0xad, 0xbe, 0xef})
	fmt.Println(string(b))
	fmt.Println(string(trace.AppendCount(nil, 1, "proposal", "proposals")))
	// Output:
	// nonce (4 octets): deadbeef
	// 1 proposal
}
