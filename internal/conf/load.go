package conf

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
)

// An Option changes where a configuration gets what is not in its file.
type Option func(*loader)

// WithFiles reads included files from elsewhere.
func WithFiles(f Files) Option { return func(l *loader) { l.files = f } }

// WithHost asks somebody else for what macros stand for.
func WithHost(h Host) Option { return func(l *loader) { l.host = h } }

type loader struct {
	report
	files Files
	host  Host
	abs   bool // file names are made absolute, whatever the name of the configuration is

	read []string // names of the files, in order
}

// Load reads the configuration of a file and of those that it includes. The
// error is of type [Errors].
func Load(path string, opts ...Option) (*Config, error) {
	l := newLoader(opts)
	data, err := l.files.ReadFile(path)
	if err != nil {
		return nil, Errors{{File: path, Message: "cannot be read: " + reason(err), Err: err}}
	}
	l.abs = true
	c, err := l.load(path, data)
	if err != nil {
		return nil, err
	}
	for _, f := range c.Files {
		if writableByOthers(f) {
			c.Warnings = append(c.Warnings, &Error{File: f, Message: "can be changed by other users of this host, who can so command the daemon", Suggestion: "chmod go-w"})
		}
	}
	return c, nil
}

// writableByOthers reports whether others than its owner may change a file.
func writableByOthers(name string) bool {
	info, err := os.Stat(name)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0
}

// Parse is Load for the content of a file; name is its name, for errors and
// for files relative to it.
func Parse(name string, data []byte, opts ...Option) (*Config, error) {
	return newLoader(opts).load(name, data)
}

func newLoader(opts []Option) *loader {
	l := &loader{files: osFiles{}, host: thisHost{}}
	for _, o := range opts {
		o(l)
	}
	return l
}

func (l *loader) load(name string, data []byte) (*Config, error) {
	l.read = []string{name}
	root := parseDocument(name, data, &l.report)
	l.include(root, name, 0)
	syntax := len(l.errors) > 0
	l.expandMacros(root)
	l.inherit(root)

	c := &Config{File: name, Files: l.read}
	d := &decoder{report: &l.report, sources: make(sources), abs: l.abs}
	d.decode(root, c)
	c.sources = d.sources
	if !syntax { // else much of what seems to be missing is only unreadable
		c.computeDefaults(l.host)
		k := &checker{Config: c, report: &l.report}
		k.all()
	}
	if err := l.err(l.read); err != nil {
		return nil, err
	}
	sortByPlace(l.warnings, l.read)
	c.Warnings = l.warnings
	return c, nil
}

// Files are where included files are read from.
type Files interface {
	// ReadFile returns the content of a file.
	ReadFile(name string) ([]byte, error)
	// Glob returns the names that match a pattern as of filepath.Match, in
	// order.
	Glob(pattern string) ([]string, error)
}

// reason is why a file cannot be read, without its name.
func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

type osFiles struct{}

func (osFiles) ReadFile(name string) ([]byte, error) {
	info, err := os.Stat(name) // before reading, which may wait on a pipe
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > maxFile:
		return nil, errors.New("it is too large")
	}
	return os.ReadFile(name)
}
