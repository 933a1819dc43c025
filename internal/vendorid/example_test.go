package vendorid_test

import (
	"fmt"
	"slices"

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

// What a client announces, for the state machine and for the log.
func ExampleAnnounced() {
	message := [][]byte{vendorid.XAuth.Append(nil), vendorid.Unity.Append(nil), vendorid.FragmentsMain.Append(nil), []byte("a client 1.0")}
	var peer vendorid.Announced
	for _, id := range message {
		peer.Add(id)
	}
	fmt.Println(peer.Has(vendorid.XAuth), peer.Has(vendorid.DPD), peer.Fragmentation() == vendorid.FragmentsMain)
	fmt.Println(vendorid.Names(slices.Values(message)))
	// Output:
	// true false true
	// XAuth, Cisco Unity 0100, IKEv1 fragmentation 80000000, "a client 1.0"
}
