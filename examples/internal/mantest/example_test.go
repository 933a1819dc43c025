package mantest_test

import (
	"fmt"

	"github.com/racoon3/racoon/examples/internal/mantest"
)

// A page that was forgotten when the program changed.
func ExamplePage_Faults() {
	page := mantest.Page{Name: "pskgen", Usage: "usage: pskgen [-o file] [-bits n] [-hex]\n"}
	for _, f := range page.Faults(".Op Fl o Ar file\n.Op Fl hex\n.Op Fl base64\n") {
		fmt.Println(f)
	}
	// Output:
	// pskgen.8 does not know the flag -bits
	// pskgen.8 has the flag -base, and the program has not
}
