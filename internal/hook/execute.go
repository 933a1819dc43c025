package hook

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"
)

const (
	// maxOutput is how much of what a script prints is kept, in octets.
	maxOutput = 4096
	// drain is how long a script's output is waited for when it has ended or was
	// killed: something that it has started may hold it open.
	drain = 3 * time.Second
)

// errTimeout is why a script was killed.
var errTimeout = errors.New("it ran for too long and was killed")

// execute runs a script to its end and logs it.
func (r *Runner) execute(ctx context.Context, j job) {
	log := r.log.With("event", string(j.event), "peer", j.peer, "script", j.script)
	if err := Check(j.script); err != nil {
		log.Error("hook cannot be run", "err", err)
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.Timeout, errTimeout)
	defer cancel()
	out := new(output)
	c := exec.CommandContext(ctx, j.script, j.name)
	c.Env, c.Dir = j.env, "/"
	c.Stdout, c.Stderr = out, out
	c.WaitDelay = drain
	group(c)
	start := time.Now()
	err := c.Run()
	took := time.Since(start).Round(time.Millisecond)
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	for line := range strings.SplitSeq(strings.TrimRight(out.text.String(), "\n"), "\n") {
		if line != "" {
			log.Info("hook says", "line", line)
		}
	}
	if out.lost > 0 {
		log.Warn("hook says too much", "octets-lost", out.lost)
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		log.Warn("hook failed", "err", err, "took", took.String())
		return
	}
	log.Debug("hook ended", "took", took.String())
}

// output keeps the beginning of what is written to it.
type output struct {
	text bytes.Buffer
	lost int
}

func (o *output) Write(b []byte) (int, error) {
	n := min(len(b), maxOutput-o.text.Len())
	o.text.Write(b[:n])
	o.lost += len(b) - n
	return len(b), nil
}
