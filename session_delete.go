package racoon

import (
	"context"
	"errors"
	"time"

	"github.com/racoon3/racoon/ike"
)

// BeginDelete orders the session's end as [Session.Delete] does and does not
// wait for it: Done tells when it is over. It is for whoever ends many sessions,
// whose peers may not answer.
func (s *Session) BeginDelete(ctx context.Context) error {
	err := s.do(ctx, func(now time.Time, c core) error { return c.Delete(now, s.id, ike.DownLocal) })
	if errors.Is(err, ErrSessionEnded) {
		return nil
	}
	return err
}
