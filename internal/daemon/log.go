package daemon

import (
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/racoon3/racoon/internal/conf"
)

// A logOutput is where the log goes. A file is opened again at each reload, so
// that it can be moved away.
type logOutput struct {
	stderr io.Writer

	mu   sync.Mutex
	file *os.File // nil: stderr
	path string
}

// Write implements io.Writer. What a file does not take goes to standard error.
func (o *logOutput) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil {
		if n, err := o.file.Write(b); err == nil {
			return n, nil
		}
	}
	return o.stderr.Write(b)
}

// open opens the file of that name anew; "" is standard error. After an error
// the log goes where it went before.
func (o *logOutput) open(path string) error {
	var f *os.File
	if path != "" {
		var err error
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
			return err
		}
	}
	o.mu.Lock()
	old := o.file
	o.file, o.path = f, path
	o.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return nil
}

func (o *logOutput) close() {
	_ = o.open("")
}

// newLogger returns the log that a configuration wants.
func newLogger(cfg *conf.Daemon, level *slog.LevelVar, out io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}

func levelOf(name string) (l slog.Level) {
	_ = l.UnmarshalText([]byte(name)) // checked
	return l
}
