package pfkey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"
)

// dumpQueue holds a dump's messages until they are read. The reader of the
// socket never waits for it: other requests and the kernel's queue would.
type dumpQueue struct {
	mu    sync.Mutex
	queue [][]byte
	err   error
	ended bool
	wake  chan struct{} // has room for one

	n    int    // messages so far
	prev uint32 // sequence number of the last one
	gap  bool
}

func newDumpQueue() *dumpQueue { return &dumpQueue{wake: make(chan struct{}, 1)} }

func (q *dumpQueue) take(d *Dialect, h Header, b []byte) (last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.signal()
	if len(b) > headerSize {
		q.queue = append(q.queue, append([]byte(nil), b...))
		// Linux counts up from 1 and gives the last one 0; the others count down
		// to 0. Either way the last has 0, and a gap shows a loss.
		if q.n++; q.n > 1 && h.Seq != q.prev-1 && h.Seq != q.prev+1 && (h.Seq != 0 || !d.dumpCountsUp()) {
			q.gap = true
		}
		q.prev = h.Seq
	}
	switch errno := d.Errno(h.Errno); {
	case h.Errno == 0:
	case (errno == ENOENT || errno == ESRCH) && q.n == 0:
		q.ended = true // nothing to dump
		return true
	default:
		q.err, q.ended = d.kernelError(h.Type, h.Errno), true
		return true
	}
	if h.Seq == 0 {
		q.ended = true
		if q.gap {
			q.err = ErrIncomplete
		}
	}
	return q.ended
}

func (d *Dialect) dumpCountsUp() bool { return d.goos == "linux" }

func (q *dumpQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ended {
		q.err, q.ended = err, true
	}
	q.signal()
}

func (q *dumpQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next returns what has come, nil if nothing has.
func (q *dumpQueue) next() (batch [][]byte, ended bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, q.queue = q.queue, nil
	return batch, q.ended, q.err
}

// Messages makes a request that is answered by many messages, DUMP or SPDDUMP,
// and returns them as they come. They are valid until the next one only. An
// error ends the sequence; [ErrIncomplete] says that messages were lost and the
// dump should be asked for again. Dumps of one client wait for each other; the
// loop's body may make other requests.
func (c *Client) Messages(ctx context.Context, m *Message) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if !isDump(m.Type) {
			yield(nil, fmt.Errorf("%w: %v has one answer", ErrMessage, m.Type))
			return
		}
		select {
		case c.dumping <- struct{}{}:
			defer func() { <-c.dumping }()
		case <-ctx.Done():
			yield(nil, ctx.Err())
			return
		}
		q := newDumpQueue()
		key, err := c.begin(&call{dump: q}, m)
		if err != nil {
			yield(nil, err)
			return
		}
		defer c.forget(key)
		writing, cancel := context.WithTimeoutCause(ctx, c.cfg.Timeout, fmt.Errorf("%w: %v", ErrNoAnswer, m.Type))
		err = c.write(writing, m)
		cancel()
		if err != nil {
			yield(nil, err)
			return
		}
		// The time-out is for the next message, not for all.
		timer := time.NewTimer(c.cfg.Timeout)
		defer timer.Stop()
		var one Message
		for {
			batch, ended, err := q.next()
			for i, b := range batch {
				if perr := c.d.ParseInto(&one, b); perr != nil {
					yield(nil, perr)
					return
				}
				more := yield(&one, nil)
				clear(b)
				if !more {
					wipeAll(batch[i+1:])
					return
				}
			}
			if ended {
				if err != nil {
					yield(nil, err)
				}
				return
			}
			if len(batch) > 0 {
				continue
			}
			timer.Reset(c.cfg.Timeout)
			select {
			case <-q.wake:
			case <-timer.C:
				yield(nil, fmt.Errorf("%w: %v", ErrNoAnswer, m.Type))
				return
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

func wipeAll(batch [][]byte) {
	for _, b := range batch {
		clear(b)
	}
}

// Dump returns the SAs of a type, SATypeUnspec for all, as they come from the
// kernel. An entry, its keys too, is valid until the next one only. On an
// error see [Client.Messages].
func (c *Client) Dump(ctx context.Context, t SAType) iter.Seq2[*SAEntry, error] {
	return entries(c.Messages(ctx, &Message{Header: Header{Type: MsgDump, SAType: t}}), c.d.SAEntry)
}

// SPDDump returns the policies of the SPD as they come from the kernel. An
// entry is valid until the next one only. On an error see [Client.Messages].
func (c *Client) SPDDump(ctx context.Context) iter.Seq2[*PolicyEntry, error] {
	return entries(c.Messages(ctx, &Message{Header: Header{Type: MsgSPDDump}}), c.d.PolicyEntry)
}

func entries[T any](messages iter.Seq2[*Message, error], entry func(*Message) (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for m, err := range messages {
			if err != nil {
				yield(nil, err)
				return
			}
			e, err := entry(m)
			if errors.Is(err, ErrMessage) {
				continue // an entry of another kind than there is a struct for
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
