package vendorid_test

import (
	"fmt"

	"github.com/racoon3/racoon/internal/vendorid"
)

func ExampleDescribe() {
	fmt.Println(vendorid.Describe(vendorid.DPD.Append(nil)))
	fmt.Println(vendorid.Describe([]byte("OE-Libreswan-4.15")))
	fmt.Println(vendorid.Describe([]byte("my own product 1.0")))
	// Output:
	// dead peer detection 0100
	// Libreswan "4.15"
	// "my own product 1.0"
}
