package control

import (
	"context"
	"net/http"
	"slices"
)

// A Recorder writes the decrypted messages of the daemon to a file. Where that may
// be is its own decision: callers give a name only.
type Recorder interface {
	// Capture says what is being written.
	Capture() Capture
	// StartCapture begins a file of a name that must not be there yet, with the
	// messages of these peers, or all if there are none.
	StartCapture(name string, peers []string) (Capture, error)
	// StopCapture ends what is being written, and says what that was.
	StopCapture() Capture
}

// NewConflict returns the error of what something else stands against.
func NewConflict(message string) error {
	return &Error{Status: http.StatusConflict, Code: CodeConflict, Message: message}
}

func (s *server) capture(*http.Request) (any, error) {
	if s.Recorder == nil {
		return nil, unsupported("capture")
	}
	return s.Recorder.Capture(), nil
}

func (s *server) startCapture(_ context.Context, q *CaptureRequest) (any, error) {
	switch {
	case s.Recorder == nil:
		return nil, unsupported("capture")
	case q.Name == "":
		return nil, badRequest("name: it is not said what the file is to be called")
	}
	for _, p := range q.Peers {
		if s.Manager == nil || !slices.Contains(s.Manager.Peers(), p) {
			return nil, notFound("peers: there is no peer %q", p)
		}
	}
	return s.Recorder.StartCapture(q.Name, q.Peers)
}

func (s *server) stopCapture(context.Context, *struct{}) (any, error) {
	if s.Recorder == nil {
		return nil, unsupported("capture")
	}
	return s.Recorder.StopCapture(), nil
}
