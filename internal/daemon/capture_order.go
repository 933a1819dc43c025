package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/racoon3/racoon/internal/conf"
	"github.com/racoon3/racoon/internal/control"
)

var _ control.Recorder = (*capture)(nil)

// Capture implements [control.Recorder].
func (c *capture) Capture() control.Capture {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.describe()
}

// describe says what is being written. c.mu is held.
func (c *capture) describe() control.Capture {
	if c.file == nil {
		return control.Capture{}
	}
	r := control.Capture{File: c.cfg.File, Peers: slices.Clone(c.cfg.Peers), Octets: c.file.size.Load(), Most: c.file.limit.Load(), Lost: c.file.lost.Load()}
	if err := c.file.ended.Load(); err != nil {
		r.Error = (*err).Error()
	}
	return r
}

// StartCapture implements [control.Recorder]. Who may use the control socket is
// not for that reason one who may have files of this process's account written
// where he likes. So files are made in the folder that the configuration names
// and nowhere else, by no link, and never in the place of one that is there; they
// are readable by that account alone, and end at the configured size.
func (c *capture) StartCapture(name string, peers []string) (control.Capture, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		return control.Capture{}, control.NewConflict(fmt.Sprintf("decrypted messages are already written to %s", c.cfg.File))
	}
	cfg := conf.Capture{File: filepath.Join(c.configured.Directory, name), Peers: slices.Clone(peers), MaxSize: c.configured.MaxSize}
	f, err := createCapture(c.configured.Directory, name)
	if err != nil {
		return control.Capture{}, err
	}
	c.use(writeCapture(f, c.log), cfg)
	return c.describe(), nil
}

// StopCapture implements [control.Recorder].
func (c *capture) StopCapture() control.Capture {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.describe()
	if f := c.file; f != nil {
		c.use(nil, conf.Capture{})
		r.Octets, r.Lost = f.size.Load(), f.lost.Load() // all that waited is written
		if err := f.ended.Load(); err != nil {
			r.Error = (*err).Error()
		}
		c.log.Warn("decrypted messages are no longer written to a file", "file", r.File)
	}
	return r
}

// maxCaptureName is how long the name of a file may be.
const maxCaptureName = 128

var errCaptureName = errors.New("it must be a plain name of letters, digits, dots, hyphens and underscores, which begins with a letter or a digit")

func checkCaptureName(name string) error {
	if name == "" || len(name) > maxCaptureName {
		return errCaptureName
	}
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case i > 0 && (r == '.' || r == '-' || r == '_'):
		default:
			return errCaptureName
		}
	}
	return nil
}

// createCapture makes a new file in a folder that others may not write to.
func createCapture(dir, name string) (*os.File, error) {
	if dir == "" {
		return nil, control.NewConflict("the configuration names no folder for captures; write directory into [capture], and reload")
	}
	if err := checkCaptureName(name); err != nil {
		return nil, fmt.Errorf("a capture called %q: %w", name, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(".")
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("%s can be written to by others (%v): no place for decrypted messages", dir, mode)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, control.NewConflict(fmt.Sprintf("%s is there already; a capture never takes the place of a file", filepath.Join(dir, name)))
	}
	return f, err
}
