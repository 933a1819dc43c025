// Package pidfile makes the files that hold the process ID of a daemon, and by
// which a second one knows that the first lives.
package pidfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrRunning says that another daemon holds the file of the process ID.
var ErrRunning = errors.New("the daemon runs already")

// A File is a file with the process ID. It is locked while the process
// lives, however it ends: so a file that is not locked is a dead daemon's, and
// no number in it is ever asked about.
type File struct {
	f    *os.File
	path string
}

// Make makes the file, for its owner alone: who may read it could lock it, and so
// keep the daemon from starting. "" makes none. If another process has it, the
// error wraps [ErrRunning] and says which.
func Make(path string) (*File, error) {
	if path == "" {
		return nil, nil
	}
	for range 10 { // a predecessor may be removing it at this moment
		f, err := open(path)
		if err != nil {
			return nil, fmt.Errorf("the file of the process ID: %w", err)
		}
		err = lock(f)
		if err != nil {
			b := make([]byte, 32)
			n, _ := f.ReadAt(b, 0)
			_ = f.Close()
			if errors.Is(err, ErrRunning) {
				return nil, fmt.Errorf("%w: %s holds process ID %q, which is alive", err, path, strings.TrimSpace(string(b[:n])))
			}
			return nil, fmt.Errorf("the file of the process ID: %w", err)
		}
		if !stillAt(f, path) {
			_ = f.Close()
			continue
		}
		if err = f.Truncate(0); err == nil {
			if _, err = f.Seek(0, io.SeekStart); err == nil {
				_, err = fmt.Fprintln(f, os.Getpid())
			}
		}
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("the file of the process ID: %w", err)
		}
		return &File{f, path}, nil
	}
	return nil, fmt.Errorf("the file of the process ID: %s disappears again and again", path)
}

// stillAt reports whether path is the open file.
func stillAt(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// Remove removes the file, while it is still locked.
func (p *File) Remove() {
	if p == nil {
		return
	}
	if stillAt(p.f, p.path) {
		_ = os.Remove(p.path)
	}
	_ = p.f.Close()
}
