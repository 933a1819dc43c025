package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuickstart(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var out strings.Builder
		err := run(t.Context(), &out, verbose)
		t.Log(out.String())
		require.NoError(t, err)
		for _, want := range []string{
			"alice@example.org has proved itself",
			"gw.example.org has proved itself",
			"IKE_SA_INIT request 0\n",
			"IKE_AUTH response 1\n",
			"The client has the address 10.99.0.1.",
			"10.99.0.1 pings 10.1.0.1",
			greeting[:len(greeting)-1],
			"the SHA-256 sum is the same",
			"replaced once",
			"replaced 2 times",
			"no goroutine is left",
		} {
			require.Contains(t, out.String(), want)
		}
		require.NotContains(t, out.String(), "failed")
		require.NotContains(t, out.String(), "lost)")
	}
}

// TestInterrupted: whatever the step that fails, the reason is told and all is
// closed.
func TestInterrupted(t *testing.T) {
	for _, step := range []string{"\n1.", "\n2.", "\n3.", "\n4.", "\n5."} {
		why := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		out := writerFunc(func(b []byte) {
			if strings.HasPrefix(string(b), step) {
				cancel(why)
			}
		})
		before := runtime.NumGoroutine()
		err := run(ctx, out, false)
		require.Error(t, err, step)
		require.True(t, errors.Is(err, why) || errors.Is(err, context.Canceled), "%s %v", step, err)
		require.NoError(t, waitForGoroutines(t.Context(), before), step)
	}
}

type writerFunc func(b []byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// TestDamagedDownload: a checksum that differs, or none, is an error.
func TestDamagedDownload(t *testing.T) {
	for _, sum := range []string{"", strings.Repeat("0", 64)} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", checksum)
			w.Write(make([]byte, 1000))
			w.Header().Set(checksum, sum)
		}))
		d := startDownload(t.Context(), server.Client(), server.URL)
		<-d.done
		require.Equal(t, uint64(1000), d.received.Load())
		require.ErrorContains(t, d.err, "SHA-256")
		server.Close()
	}
}
