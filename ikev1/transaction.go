package ikev1

import "time"

// beginUser authenticates the user of the client (XAuth).
func (sa *isakmpSA) beginUser(now time.Time) {}

// configure gets the network configuration that this side asks for, and then
// goes on.
func (sa *isakmpSA) configure(now time.Time, next func(now time.Time)) { next(now) }

// transactionFor makes the responder's side of a Transaction exchange.
func (sa *isakmpSA) transactionFor() conversation { return nil }
