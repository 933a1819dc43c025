package ikev1

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

func (sa *isakmpSA) beginBase(now time.Time) {}

func (sa *isakmpSA) answerBase(now time.Time, answer *isakmp.SA, m *inbound) {}

func (sa *isakmpSA) takeBase(now time.Time, path ike.Path, m *inbound, next initVector) bool {
	return false
}
