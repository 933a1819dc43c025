package ikev1

import (
	"errors"
	"fmt"
	"time"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// New Group Mode (RFC 2409 5.6):
//
//	HASH(1), SA  ->
//	             <-  HASH(2), SA
//
// It proposes a private group for later key exchanges. Whether one is sound
// cannot be told in any reasonable time: its prime may have been chosen so that
// its owner can break it (RFC 6989, and the "socat" prime). So every proposal
// is refused, as RFC 2409 has it: by ATTRIBUTES-NOT-SUPPORTED.
type newGroup struct{}

var errPrivateGroup = errors.New("private groups are not accepted: their soundness cannot be checked")

func (newGroup) hash(x *exchange, covered []byte) secret.Bytes { return x.messageHash(covered) }

func (newGroup) abort(time.Time, *exchange, error) {}

func (newGroup) receive(now time.Time, x *exchange, m *inbound) {
	sa := x.sa
	x.finish(now)
	why := errPrivateGroup
	if p := m.SA(); p != nil {
		why = fmt.Errorf("%w: %v", errPrivateGroup, p)
	}
	sa.s.Warn(now, &RefusedError{Exchange: x.kind, Type: isakmp.NotifyAttributesNotSupported, Err: why})
	i, r := sa.cookiePair()
	sa.sendInformational(now, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: isakmp.AppendCookies(nil, i, r),
		Type: isakmp.NotifyAttributesNotSupported})
}
