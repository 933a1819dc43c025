package statefile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/racoon3/racoon/spd"
)

// Bounds of what is read.
const (
	maxLine = 64 << 10
	maxFile = 1 << 30
)

// header is the first line. Another one is a file of something else, or of a
// later version.
const header = "racoon policies 1"

// ErrFormat says that a file is not one of this package.
var ErrFormat = errors.New("statefile: not a file of policies")

// A File is a store of policies. It is safe for concurrent use by one process.
type File struct {
	path string

	mu     sync.Mutex
	f      *os.File
	stored map[spd.Policy]spd.StoredPolicy
	lines  int
}

var _ spd.PolicyStore = (*File)(nil)

// Open opens the file, or makes it with permission for the owner alone. A file
// that others may write is refused: who writes it decides which policies are
// removed.
func Open(path string) (*File, error) {
	s := &File{path: path, stored: map[spd.Policy]spd.StoredPolicy{}}
	if err := s.read(); err != nil {
		return nil, err
	}
	if err := s.rewrite(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *File) read() error {
	info, err := os.Lstat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("statefile: %w", err)
	}
	if err := checkFile(info); err != nil {
		return fmt.Errorf("statefile: %s: %w", s.path, err)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("statefile: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.LimitReader(f, maxFile), maxLine)
	for n := 0; ; n++ {
		line, err := r.ReadSlice('\n')
		switch {
		case err == io.EOF && n == 0 && len(line) == 0:
			return nil // made, and not written yet
		case err == io.EOF:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%w: %s: line %d is longer than %d octets", ErrFormat, s.path, n+1, maxLine)
		case err != nil:
			return fmt.Errorf("statefile: %w", err)
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if n == 0 {
			if string(line) != header {
				return fmt.Errorf("%w: %s", ErrFormat, s.path)
			}
			continue
		}
		if err := s.replay(line); err != nil {
			return fmt.Errorf("%w: %s: line %d: %w", ErrFormat, s.path, n+1, err)
		}
	}
}

func (s *File) replay(line []byte) error {
	if len(line) < 2 || line[0] != '+' && line[0] != '-' {
		return errors.New("neither + nor -")
	}
	var r record
	if err := json.Unmarshal(line[1:], &r); err != nil {
		return err
	}
	p, err := r.policy()
	if err != nil {
		return err
	}
	if line[0] == '+' {
		s.stored[p.Policy] = p
	} else {
		delete(s.stored, p.Policy)
	}
	return nil
}

// rewrite puts a file of what is stored in the place of the old one.
func (s *File) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("statefile: %w", err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, header)
	var line []byte
	for _, p := range s.stored {
		line = appendRecord(line[:0], '+', &p)
		_, _ = w.Write(line) // Flush tells
	}
	err = w.Flush()
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		return fmt.Errorf("statefile: %w", err)
	}
	if s.f != nil {
		_ = s.f.Close()
	}
	s.f, s.lines = f, len(s.stored)
	return nil
}

// Load implements [spd.PolicyStore].
func (s *File) Load() ([]spd.StoredPolicy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := make([]spd.StoredPolicy, 0, len(s.stored))
	for _, p := range s.stored {
		r = append(r, p)
	}
	return r, nil
}

// Add implements [spd.PolicyStore].
func (s *File) Add(list []spd.StoredPolicy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	n := 0
	for i := range list {
		if s.stored[list[i].Policy] != list[i] {
			b = appendRecord(b, '+', &list[i])
			n++
		}
	}
	if err := s.write(b); err != nil {
		return err
	}
	for _, p := range list {
		s.stored[p.Policy] = p
	}
	return s.written(n)
}

// Remove implements [spd.PolicyStore].
func (s *File) Remove(list []spd.Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	n := 0
	for i := range list {
		if p, ok := s.stored[list[i]]; ok {
			b = appendRecord(b, '-', &p)
			n++
		}
	}
	if err := s.write(b); err != nil {
		return err
	}
	for _, p := range list {
		delete(s.stored, p)
	}
	return s.written(n)
}

// write appends lines, all of them or, as far as the system lets it, none.
func (s *File) write(b []byte) error {
	if s.f == nil {
		return fmt.Errorf("statefile: %w", fs.ErrClosed)
	}
	if len(b) == 0 {
		return nil
	}
	end, err := s.f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = s.f.Write(b); err != nil {
			_ = s.f.Truncate(end)
		}
	}
	if err != nil {
		return fmt.Errorf("statefile: %w", err)
	}
	return nil
}

// written counts lines, and writes the file anew when most are of the past. If
// that fails the journal only grows on.
func (s *File) written(n int) error {
	if s.lines += n; s.lines > 2*len(s.stored)+1024 {
		_ = s.rewrite()
	}
	return nil
}

// Close closes the file and leaves it.
func (s *File) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}

// record is a policy as a line has it.
type record struct {
	Name      string     `json:"name,omitempty"`
	Generated bool       `json:"generated,omitempty"`
	Direction uint8      `json:"direction"`
	Local     string     `json:"local"`
	Remote    string     `json:"remote"`
	Action    uint8      `json:"action"`
	Priority  uint32     `json:"priority"`
	ReqID     uint32     `json:"reqid,omitempty"`
	Protocol  uint8      `json:"protocol,omitempty"`
	Inner     [2]uint8   `json:"inner"`
	Mode      uint8      `json:"mode,omitempty"`
	LocalAt   netip.Addr `json:"localaddr"`
	RemoteAt  netip.Addr `json:"remoteaddr"`
	Mark      [2]uint32  `json:"mark"`
	Interface uint32     `json:"interface,omitempty"`
	Optional  bool       `json:"optional,omitempty"`
}

func appendRecord(b []byte, sign byte, s *spd.StoredPolicy) []byte {
	p := &s.Policy
	line, _ := json.Marshal(record{ // of such fields it does not fail
		Name: s.Name, Generated: s.Generated, Direction: uint8(p.Direction), Local: p.Selector.Local.String(), Remote: p.Selector.Remote.String(),
		Action: uint8(p.Action), Priority: p.Priority, ReqID: p.ReqID, Protocol: uint8(p.Protocol), Inner: [2]uint8{uint8(p.Inner[0]), uint8(p.Inner[1])},
		Mode: uint8(p.Mode), LocalAt: p.Local, RemoteAt: p.Remote, Mark: [2]uint32{p.Mark.Value, p.Mark.Mask},
		Interface: p.InterfaceID, Optional: p.OptionalInbound,
	})
	b = append(b, sign)
	b = append(b, line...)
	return append(b, '\n')
}

func (r *record) policy() (spd.StoredPolicy, error) {
	s := spd.StoredPolicy{Name: r.Name, Generated: r.Generated, Policy: spd.Policy{
		Direction: spd.Direction(r.Direction), Action: spd.Action(r.Action), Priority: r.Priority, ReqID: r.ReqID,
		Protocol: spd.Protocol(r.Protocol), Inner: [2]spd.Protocol{spd.Protocol(r.Inner[0]), spd.Protocol(r.Inner[1])}, Mode: spd.Mode(r.Mode),
		Local: r.LocalAt, Remote: r.RemoteAt, Mark: spd.Mark{Value: r.Mark[0], Mask: r.Mark[1]}, InterfaceID: r.Interface, OptionalInbound: r.Optional,
	}}
	var err error
	if s.Selector.Local, err = spd.ParseTrafficSelector(r.Local); err != nil {
		return s, err
	}
	if s.Selector.Remote, err = spd.ParseTrafficSelector(r.Remote); err != nil {
		return s, err
	}
	return s, s.Valid()
}
