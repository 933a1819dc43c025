package ikev2

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
)

// replaceSession is the last task of a session that reauthenticates another
// one (RFC 7296 2.8.3): with the new Child SAs up, the old session goes. If
// there are none, the old one stays, and with it its traffic.
type replaceSession struct{ old ike.SessionID }

func (t *replaceSession) start(now time.Time, sa *ikeSA) {
	s := sa.s
	if old := s.ep.sessions[t.old]; old != nil && old.Up && (s.Children.Len() > 0 || old.Children.Len() == 0) {
		old.Successor = s.ID
		old.Children.StopSending(now) // the peer forgets them when the Delete arrives
		old.delete(now, ike.DownReauth, nil)
	}
	sa.finish(now)
}

func (t *replaceSession) response(time.Time, *ikeSA, *message.Message) {}

func (t *replaceSession) abort(time.Time, *ikeSA, error) {}
