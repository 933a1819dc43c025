package racoon

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/testhost"
)

// A flood of first messages that are refused fills no log: some lines, then how
// many there were. Other lines are not concerned.
func TestLogLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out testhost.Log
		m := &Manager{log: slog.New(slog.NewTextHandler(&out, nil))}
		events := make(chan ike.Event)
		done := make(chan struct{})
		go func() { m.writeLog(events); close(done) }()
		lines := out.Count

		for i := range 1000 {
			events <- ike.SessionFailed{Err: fmt.Errorf("flood %d", i)}
			events <- ike.Warning{Err: errors.New("odd")}
			if i%100 == 0 {
				events <- ike.SessionFailed{Initiator: true, Err: errors.New("own")}
			}
		}
		synctest.Wait()
		require.Equal(t, logBurst, lines("flood "))
		require.Equal(t, logBurst, lines("odd"))
		require.Equal(t, 10, lines("own"))
		require.Zero(t, lines("left out"))

		time.Sleep(logPause)
		synctest.Wait()
		require.Equal(t, 1, lines(`msg="lines left out" line="session failed" count=980`), out.String())
		require.Equal(t, 1, lines(`line=warning count=980`))
		events <- ike.SessionFailed{Err: errors.New("flood again")}
		time.Sleep(2 * logPause)
		synctest.Wait()
		require.Equal(t, logBurst+1, lines("flood "))
		require.Equal(t, 2, lines("left out"))

		for range logBurst + 7 {
			events <- ike.SessionFailed{Err: errors.New("last")}
		}
		close(events)
		<-done
		require.Equal(t, 1, lines("count=7"))
	})
}
