package pfkey

import (
	"errors"
	"fmt"
	"runtime"
)

// ErrNoSystem is what errors on systems without PF_KEY wrap.
var ErrNoSystem = errors.New("pfkey: this system has no PF_KEY")

var errNoPFKey = fmt.Errorf("%w: %s", ErrNoSystem, runtime.GOOS)

// socketBuffer is what is asked for: a kernel drops what does not fit, and a
// dump of 50,000 SAs has 15 MiB.
const socketBuffer = 4 << 20
