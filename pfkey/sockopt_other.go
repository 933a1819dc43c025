//go:build !unix

package pfkey

import "errors"

func setsockopt(uintptr, int, int, []byte) error { return errors.ErrUnsupported }
