package core

import (
	"context"
	"time"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
)

// Attempt is Conclude for an answer that may be forged: done gets the private
// key back in k.Private, with an error too, for the next answer.
func (s *Session) Attempt(private dh.PrivateKey, peer []byte, done func(now time.Time, k KeyExchange, err error)) {
	peer = append([]byte(nil), peer...)
	var failure error
	s.Job(ike.JobKeyExchange, 0, func(context.Context) (any, error) {
		k := KeyExchange{Private: private}
		k.Secret, failure = private.Finish(peer)
		return k, nil
	}, func(now time.Time, v any, err error) {
		k, _ := v.(KeyExchange)
		if err == nil {
			err = failure
		}
		done(now, k, err)
	}, abandonKeyExchange)
}
