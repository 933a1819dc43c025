package secret_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/racoon3/racoon/internal/secret"
)

// However a key gets into a text, its octets do not.
func ExampleBytes() {
	psk := secret.Bytes("correct horse")
	fmt.Printf("%v %s %x %#v\n", psk, psk, psk, struct{ Key secret.Bytes }{psk})
	b, _ := json.Marshal(psk)
	fmt.Println(string(b))
	slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})).Info("loaded", "psk", psk)

	fmt.Println(psk.Equal([]byte("correct horse")))
	psk.Wipe()
	fmt.Println(psk.Equal(make([]byte, len(psk))))
	// Output:
	// [13 secret octets] [13 secret octets] [13 secret octets] struct { Key secret.Bytes }{Key:[13 secret octets]}
	// "[13 secret octets]"
	// level=INFO msg=loaded psk="[13 secret octets]"
	// true
	// true
}
