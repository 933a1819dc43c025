package pfkey

import "fmt"

// An Errno is an error that a kernel answers with. The values are this
// package's own, since systems number their errors differently; they are found
// in errors with errors.Is.
type Errno uint8

type errno = Errno

// Errors that kernels give for PF_KEY messages.
const (
	EPERM Errno = iota + 1
	ENOENT
	ESRCH
	EINTR
	EIO
	ENOMEM
	EACCES
	EBUSY
	EEXIST
	ENODEV
	EINVAL
	EAGAIN
	ENOSYS
	EMSGSIZE
	ENOPROTOOPT
	EPROTONOSUPPORT
	EOPNOTSUPP
	EAFNOSUPPORT
	EADDRNOTAVAIL
	ENETUNREACH
	ENOBUFS
	ETIMEDOUT
	ECONNREFUSED
	EHOSTUNREACH
)

var errnoNames = map[Errno][2]string{
	EPERM: {"EPERM", "operation not permitted"}, ENOENT: {"ENOENT", "no such entry"}, ESRCH: {"ESRCH", "no such entry"},
	EINTR: {"EINTR", "interrupted"}, EIO: {"EIO", "input/output error"}, ENOMEM: {"ENOMEM", "out of memory"},
	EACCES: {"EACCES", "permission denied"}, EBUSY: {"EBUSY", "busy"}, EEXIST: {"EEXIST", "exists already"}, ENODEV: {"ENODEV", "no such device"},
	EINVAL: {"EINVAL", "invalid argument"}, EAGAIN: {"EAGAIN", "try again"}, ENOSYS: {"ENOSYS", "not implemented"},
	EMSGSIZE: {"EMSGSIZE", "message too long"}, ENOPROTOOPT: {"ENOPROTOOPT", "not available"}, EPROTONOSUPPORT: {"EPROTONOSUPPORT", "protocol not supported"},
	EOPNOTSUPP: {"EOPNOTSUPP", "operation not supported"}, EAFNOSUPPORT: {"EAFNOSUPPORT", "address family not supported"},
	EADDRNOTAVAIL: {"EADDRNOTAVAIL", "address not available"}, ENETUNREACH: {"ENETUNREACH", "network unreachable"},
	ENOBUFS: {"ENOBUFS", "no buffer space"}, ETIMEDOUT: {"ETIMEDOUT", "timed out"}, ECONNREFUSED: {"ECONNREFUSED", "connection refused"},
	EHOSTUNREACH: {"EHOSTUNREACH", "host unreachable"},
}

// Error returns the name and what it means.
func (e Errno) Error() string {
	if n, ok := errnoNames[e]; ok {
		return n[1] + " (" + n[0] + ")"
	}
	return fmt.Sprintf("Errno(%d)", uint8(e))
}

var linuxErrnos = map[uint8]errno{
	1: EPERM, 2: ENOENT, 3: ESRCH, 4: EINTR, 5: EIO, 11: EAGAIN, 12: ENOMEM, 13: EACCES, 16: EBUSY, 17: EEXIST, 19: ENODEV, 22: EINVAL,
	38: ENOSYS, 90: EMSGSIZE, 92: ENOPROTOOPT, 93: EPROTONOSUPPORT, 95: EOPNOTSUPP, 97: EAFNOSUPPORT, 99: EADDRNOTAVAIL,
	101: ENETUNREACH, 105: ENOBUFS, 110: ETIMEDOUT, 111: ECONNREFUSED, 113: EHOSTUNREACH,
}

var bsdErrnos = map[uint8]errno{
	1: EPERM, 2: ENOENT, 3: ESRCH, 4: EINTR, 5: EIO, 12: ENOMEM, 13: EACCES, 16: EBUSY, 17: EEXIST, 19: ENODEV, 22: EINVAL, 35: EAGAIN,
	40: EMSGSIZE, 42: ENOPROTOOPT, 43: EPROTONOSUPPORT, 45: EOPNOTSUPP, 47: EAFNOSUPPORT, 49: EADDRNOTAVAIL, 51: ENETUNREACH,
	55: ENOBUFS, 60: ETIMEDOUT, 61: ECONNREFUSED, 65: EHOSTUNREACH, 78: ENOSYS,
}

// Errno returns what a system's number means, 0 if this package does not know.
func (d *Dialect) Errno(code uint8) Errno { return d.errnos[code] }

// Code returns a system's number of an error, that of EINVAL for those it does
// not have.
func (d *Dialect) Code(e Errno) uint8 {
	for code, x := range d.errnos {
		if x == e {
			return code
		}
	}
	return 22
}

// A KernelError is a request that the kernel has refused. errors.Is finds its
// [Errno].
type KernelError struct {
	Type  MsgType // of the request
	Errno Errno   // 0 if this package has no name for Code
	Code  uint8   // the system's own number
}

func (e *KernelError) Error() string {
	if e.Errno == 0 {
		return fmt.Sprintf("pfkey: %v: error %d", e.Type, e.Code)
	}
	return fmt.Sprintf("pfkey: %v: %v", e.Type, e.Errno)
}

// Unwrap returns the Errno.
func (e *KernelError) Unwrap() error { return e.Errno }

func (d *Dialect) kernelError(t MsgType, code uint8) error {
	return &KernelError{Type: t, Errno: d.Errno(code), Code: code}
}
