package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/racoon3/racoon/spd"
)

// displacedFormat is in each file of displaced policies.
const displacedFormat = "racoon displaced policies 1"

// Displaced is a file of policies of others that were displaced. There are few
// of them if any, so each change writes the file anew. It is safe for concurrent
// use by one process.
type Displaced struct {
	path string

	mu     sync.Mutex
	places map[string][]byte
}

var _ spd.DisplacedStore = (*Displaced)(nil)

type displacedFile struct {
	Format string            `json:"format"`
	Places map[string][]byte `json:"places"`
}

// OpenDisplaced reads the file, if there is one; it is made when there is
// something to remember, with permission for the owner alone. A file that others
// may write is refused: who writes it decides which policies are installed.
func OpenDisplaced(path string) (*Displaced, error) {
	d := &Displaced{path: path, places: map[string][]byte{}}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err == nil {
		err = checkFile(info)
	}
	if err != nil {
		return nil, fmt.Errorf("statefile: %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("statefile: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("statefile: %w", err)
	}
	var c displacedFile
	if err := json.Unmarshal(b, &c); err != nil || c.Format != displacedFormat {
		return nil, fmt.Errorf("%w: %s", ErrFormat, path)
	}
	maps.Copy(d.places, c.Places)
	return d, nil
}

// Load implements [spd.DisplacedStore].
func (d *Displaced) Load() (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.places), nil
}

// Put implements [spd.DisplacedStore].
func (d *Displaced) Put(place string, content []byte) error {
	return d.change(func(m map[string][]byte) { m[place] = content })
}

// Remove implements [spd.DisplacedStore].
func (d *Displaced) Remove(place string) error {
	d.mu.Lock()
	_, there := d.places[place]
	d.mu.Unlock()
	if !there {
		return nil
	}
	return d.change(func(m map[string][]byte) { delete(m, place) })
}

func (d *Displaced) change(f func(map[string][]byte)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := maps.Clone(d.places)
	f(next)
	b, _ := json.Marshal(displacedFile{displacedFormat, next})                // of such fields it does not fail
	t, err := os.CreateTemp(filepath.Dir(d.path), filepath.Base(d.path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("statefile: %w", err)
	}
	_, err = t.Write(b)
	if err = errors.Join(err, t.Close()); err == nil {
		err = os.Rename(t.Name(), d.path)
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("statefile: %w", err)
	}
	d.places = next
	return nil
}
