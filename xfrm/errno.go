package xfrm

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/racoon3/racoon/spd"
)

// An Errno is an error number of Linux. It has the same numbers on every
// system, so that a kernel that is not the running one can answer too. With
// errors.Is it matches the errors of packages spd and io/fs that say the same:
// ESRCH and ENOENT [spd.ErrNotFound], EEXIST [spd.ErrExists], ENOSYS,
// EOPNOTSUPP and EPROTONOSUPPORT [spd.ErrUnsupported], EPERM fs.ErrPermission.
type Errno uint16

// Error numbers that XFRM answers with.
const (
	EPERM           Errno = 1
	ENOENT          Errno = 2
	ESRCH           Errno = 3
	ENOMEM          Errno = 12
	EACCES          Errno = 13
	EBUSY           Errno = 16
	EEXIST          Errno = 17
	ENODEV          Errno = 19
	EINVAL          Errno = 22
	ERANGE          Errno = 34
	ENOSYS          Errno = 38
	ENODATA         Errno = 61
	ENOPROTOOPT     Errno = 92
	EPROTONOSUPPORT Errno = 93
	EOPNOTSUPP      Errno = 95
	EAFNOSUPPORT    Errno = 97
	EADDRNOTAVAIL   Errno = 99
	ENOBUFS         Errno = 105
)

var errnoNames = map[Errno]string{EPERM: "EPERM", ENOENT: "ENOENT", ESRCH: "ESRCH", ENOMEM: "ENOMEM", EACCES: "EACCES", EBUSY: "EBUSY",
	EEXIST: "EEXIST", ENODEV: "ENODEV", EINVAL: "EINVAL", ERANGE: "ERANGE", ENOSYS: "ENOSYS", ENODATA: "ENODATA", ENOPROTOOPT: "ENOPROTOOPT",
	EPROTONOSUPPORT: "EPROTONOSUPPORT", EOPNOTSUPP: "EOPNOTSUPP", EAFNOSUPPORT: "EAFNOSUPPORT", EADDRNOTAVAIL: "EADDRNOTAVAIL", ENOBUFS: "ENOBUFS"}

// Error is the number's name: "EEXIST".
func (e Errno) Error() string {
	if s, ok := errnoNames[e]; ok {
		return s
	}
	return fmt.Sprintf("errno %d", uint16(e))
}

// Is implements errors.Is.
func (e Errno) Is(target error) bool {
	switch target {
	case spd.ErrNotFound:
		return e == ESRCH || e == ENOENT
	case fs.ErrNotExist:
		return e == ENOENT
	case spd.ErrExists, fs.ErrExist:
		return e == EEXIST
	case spd.ErrUnsupported, errors.ErrUnsupported:
		return e == ENOSYS || e == EOPNOTSUPP || e == EPROTONOSUPPORT || e == ENOPROTOOPT || e == EAFNOSUPPORT
	case fs.ErrPermission:
		return e == EPERM || e == EACCES
	}
	return false
}

// An Error is the kernel's refusal of a request. It wraps an [Errno].
type Error struct {
	Op    string // "NEWSA"
	What  string // the SA or the policy
	Errno Errno
	Text  string // the kernel's own explanation, if it gave one
}

// Error implements error.
func (e *Error) Error() string {
	s := "xfrm: " + e.Op
	if e.What != "" {
		s += " " + e.What
	}
	s += ": " + e.Errno.Error()
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	return s
}

// Unwrap returns the Errno.
func (e *Error) Unwrap() error { return e.Errno }

// isErrno reports whether err is the kernel's refusal with one of these numbers.
func isErrno(err error, numbers ...Errno) bool {
	e := (*Error)(nil)
	if !errors.As(err, &e) {
		return false
	}
	for _, n := range numbers {
		if e.Errno == n {
			return true
		}
	}
	return false
}
