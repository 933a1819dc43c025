package ikev1

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

func (sa *isakmpSA) beginAggressive(now time.Time) {}

func (sa *isakmpSA) answerAggressive(now time.Time, answer *isakmp.SA, m *inbound) {}

func (sa *isakmpSA) takeAggressive(now time.Time, path ike.Path, m *inbound, next initVector) bool {
	return false
}
