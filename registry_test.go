package racoon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
)

// The registry knows the sessions of a peer, in whatever order they end.
func TestSessionsOfAPeer(t *testing.T) {
	for _, ends := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}} {
		var r registry
		r.init(nil)
		var sessions []*Session
		for i := range 4 {
			s := r.add(ike.SessionID(i+1), "many", ike.Path{}, time.Time{})
			s.state = established
			sessions = append(sessions, s)
			r.add(ike.SessionID(i+11), "other", ike.Path{}, time.Time{}).state = established
		}
		left := append([]*Session(nil), sessions...)
		for _, i := range ends {
			r.remove(sessions[i], ike.DownLocal, nil)
			r.remove(sessions[i], ike.DownLocal, nil) // once only
			left = without(left, sessions[i])
			require.ElementsMatch(t, left, r.ofPeer("many"))
			require.Len(t, r.ofPeer("other"), 4)
		}
		require.NotContains(t, r.byPeer, "many")
	}
}
