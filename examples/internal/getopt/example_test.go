package getopt_test

import (
	"fmt"

	"github.com/racoon3/racoon/examples/internal/getopt"
)

// setkey -Pvf policies.conf rest
func ExampleParse() {
	options, rest, err := getopt.Parse([]string{"-Pvf", "policies.conf", "rest"}, "PDvf:")
	for _, o := range options {
		fmt.Printf("%c %q\n", o.Letter, o.Arg)
	}
	fmt.Println(rest, err)
	_, _, err = getopt.Parse([]string{"-f"}, "f:")
	fmt.Println(err)
	// Output:
	// P ""
	// v ""
	// f "policies.conf"
	// [rest] <nil>
	// -f without its argument
}
