package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/racoon3/racoon/spd"
)

// An saFile remembers which SAs of the daemon are in a kernel, so that the next
// one can tell them from other programs'. It is a journal of lines; there are no
// keys in it. It is written ahead: an SA is in it before it is in the kernel.
// Nothing is synced: it has to outlive the process, not the kernel.
type saFile struct {
	path string

	mu    sync.Mutex
	f     *os.File
	live  map[storedSA]int
	lines int
}

// A storedSA names an SA in a kernel.
type storedSA struct {
	Protocol spd.Protocol `json:"protocol"`
	SPI      spd.SPI      `json:"spi"`
	Src      netip.Addr   `json:"src"`
	Dst      netip.Addr   `json:"dst"`
	Mark     [2]uint32    `json:"mark"`
}

const (
	saFileHeader = "racoon SAs 1"
	maxSAFile    = 1 << 28
)

// openSAFile opens the journal, or makes it, and returns what was in it.
func openSAFile(path string) (*saFile, []storedSA, error) {
	s := &saFile{path: path, live: make(map[storedSA]int)}
	if err := s.read(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w; remove it if nothing of the daemon's is in the kernel", path, err)
	}
	if err := s.rewrite(); err != nil {
		return nil, nil, err
	}
	old := make([]storedSA, 0, len(s.live))
	for sa := range s.live {
		old = append(old, sa)
	}
	return s, old, nil
}

func (s *saFile) read() error {
	info, err := os.Lstat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return errors.New("is not a plain file that its owner alone may write")
	}
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(io.LimitReader(f, maxSAFile))
	if !in.Scan() {
		return in.Err()
	}
	if in.Text() != saFileHeader {
		return errors.New("is not a file of SAs")
	}
	for in.Scan() {
		var sa storedSA
		sign, line, _ := strings.Cut(in.Text(), " ")
		if json.Unmarshal([]byte(line), &sa) != nil || sign != "+" && sign != "-" {
			continue // the last line, which a killed process has not finished
		}
		if sign == "+" {
			s.live[sa]++
		} else {
			delete(s.live, sa)
		}
	}
	return in.Err()
}

func appendSALine(b []byte, sign byte, sa storedSA) []byte {
	line, _ := json.Marshal(sa) // of such fields it does not fail
	return append(append(append(b, sign, ' '), line...), '\n')
}

// rewrite puts a file of what is there in the place of the old one.
func (s *saFile) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*") // 0600
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, saFileHeader)
	for sa := range s.live {
		_, _ = w.Write(appendSALine(nil, '+', sa)) // Flush tells
	}
	if err = w.Flush(); err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return err
	}
	if s.f != nil {
		_ = s.f.Close()
	}
	s.f, s.lines = f, len(s.live)
	return nil
}

// add remembers SAs.
func (s *saFile) add(list ...storedSA) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	for _, sa := range list {
		if s.live[sa] == 0 {
			b = appendSALine(b, '+', sa)
		}
	}
	if err := s.append(b, len(list)); err != nil {
		return err
	}
	for _, sa := range list {
		s.live[sa] = 1
	}
	return nil
}

// remove forgets SAs. That they stay in the file after an error does no harm.
func (s *saFile) remove(list ...storedSA) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	for _, sa := range list {
		if s.live[sa] > 0 {
			delete(s.live, sa)
			b = appendSALine(b, '-', sa)
		}
	}
	_ = s.append(b, len(list))
	if s.lines > 2*len(s.live)+1024 {
		_ = s.rewrite() // else it only grows on
	}
}

func (s *saFile) append(b []byte, lines int) error {
	if len(b) == 0 {
		return nil
	}
	if s.f == nil {
		return fs.ErrClosed
	}
	s.lines += lines
	_, err := s.f.Write(b)
	return err
}

func (s *saFile) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}
