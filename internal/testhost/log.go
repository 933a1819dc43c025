package testhost

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what takes milliseconds on a machine that
// is not busy.
const Patience = time.Minute

// A Log keeps what is written, for any number of writers and readers. Its zero
// value is empty.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// NewLog makes a log that is part of the test's report if that fails, under a name
// in the manner of fmt.Sprintf.
func NewLog(t testing.TB, format string, args ...any) *Log {
	l := new(Log)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", fmt.Sprintf(format, args...), l)
		}
	})
	return l
}

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Lines is String without a last line that is not whole yet.
func (l *Log) Lines() string {
	s := l.String()
	return s[:strings.LastIndexByte(s, '\n')+1]
}

// Count returns how often a text has been written.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }

// Await waits until a text has been written n times. The test ends if ended is
// closed before; a nil channel is for a writer that does not end.
func (l *Log) Await(t testing.TB, text string, n int, ended <-chan struct{}) {
	t.Helper()
	for end := time.Now().Add(Patience); l.Count(text) < n; {
		select {
		case <-ended:
			if l.Count(text) < n {
				t.Fatalf("it has ended, before %q was %d times in the log:\n%s", text, n, l)
			}
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%q is not %d times in the log:\n%s", text, n, l)
		}
	}
}
