package ike

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ErrFilePermissions is matched by the error about a file of secrets that
// others may read or change, or that belongs to somebody else.
var ErrFilePermissions = errors.New("the file is not safe")

// A FileError says where in a file something is wrong. It shows no secret.
type FileError struct {
	File string // "" if it was not read from one
	Line int    // from 1; 0 is the file as a whole
	Err  error
}

func (e *FileError) Error() string {
	switch {
	case e.File == "" && e.Line == 0:
		return e.Err.Error()
	case e.File == "":
		return "line " + strconv.Itoa(e.Line) + ": " + e.Err.Error()
	case e.Line == 0:
		return e.File + ": " + e.Err.Error()
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

func (e *FileError) Unwrap() error { return e.Err }

// A FileOption changes how a file of secrets is read.
type FileOption uint8

// AnyPermissions reads the file whoever it belongs to and whoever else may read
// or change it.
const AnyPermissions FileOption = 1

// forbids returns the permission bits that a file must not have; unchecked if
// all are allowed.
func forbids(bits fs.FileMode, opts []FileOption) fs.FileMode {
	if slices.Contains(opts, AnyPermissions) {
		return unchecked
	}
	return bits
}

// Permission bits that files of secrets must not have.
const (
	anyOthers   fs.FileMode = 0o077 // of keys: for the owner alone
	writeOthers fs.FileMode = 0o027 // of hashes: the group may read
	unchecked   fs.FileMode = 0     // all are allowed, and any owner
)

// readSecretFile reads a file that must be regular, must belong to the user of
// the process or to root, must have none of the forbidden permission bits and
// be no larger than limit octets. Where the system has no such notions, only
// what it has is checked. The caller wipes the octets.
func readSecretFile(path string, forbidden fs.FileMode, limit int64) (Secret, fs.FileInfo, error) {
	fail := func(err error) (Secret, fs.FileInfo, error) {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		return nil, nil, &FileError{File: path, Err: err}
	}
	info, err := os.Stat(path) // before Open, which waits on a pipe
	if err != nil {
		return fail(err)
	}
	if !info.Mode().IsRegular() {
		return fail(errors.New("not a regular file"))
	}
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return fail(err)
	}
	if forbidden != unchecked {
		if err := checkOwner(info, forbidden); err != nil {
			return fail(err)
		}
	}
	if info.Size() > limit {
		return fail(fmt.Errorf("%d octets, at most %d are read", info.Size(), limit))
	}
	data := make(Secret, info.Size()+1)
	n, err := io.ReadFull(f, data)
	if err == nil { // it has grown since
		data.Wipe()
		return fail(errors.New("the file changes while it is read"))
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		data.Wipe()
		return fail(err)
	}
	return data[:n], info, nil
}

// A watchedFile is what a file says, read anew when the file changes. A changed
// file that cannot be used is an error until it can: a user who was to be
// removed must not live on because of a typing error elsewhere in the file.
type watchedFile[T any] struct {
	path string
	load func(path string) (T, fs.FileInfo, error)

	mu      sync.Mutex
	value   T
	err     error
	seen    fs.FileInfo
	settled bool // the file was old enough when it was read that a change shows
}

// get returns what the file says now.
func (w *watchedFile[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.settled {
		if info, err := os.Stat(w.path); err == nil && os.SameFile(info, w.seen) &&
			info.Size() == w.seen.Size() && info.ModTime().Equal(w.seen.ModTime()) && info.Mode() == w.seen.Mode() {
			return w.value, w.err
		}
	}
	return w.read()
}

// reload reads the file whether it has changed or not.
func (w *watchedFile[T]) reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.read()
	return err
}

// settleTime is longer than the steps in which file systems count time.
const settleTime = 3 * time.Second

func (w *watchedFile[T]) read() (T, error) {
	w.value, w.seen, w.err = w.load(w.path)
	age := time.Duration(0)
	if w.seen != nil {
		age = time.Since(w.seen.ModTime())
	}
	w.settled = age > settleTime
	return w.value, w.err
}
