package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/racoon3/racoon/pfkey"
	"github.com/racoon3/racoon/pfkey/setkey"
)

// readBuffer is more than any kernel writes at once.
const readBuffer = 1 << 17

// monitor prints every message that anybody writes to PF_KEY, and that the
// kernel does, until ctx ends.
func (p *program) monitor(ctx context.Context) error {
	conn, err := p.pfkey()
	if err != nil {
		return err
	}
	// Close ends a Read that waits.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	on, err := p.dialect.Append(nil, &pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgPromisc, SAType: 1, PID: uint32(os.Getpid())}})
	if err != nil {
		return err
	}
	if _, err := conn.Write(on); err != nil {
		return fmt.Errorf("promiscuous reception: %w", err)
	}
	b := make([]byte, readBuffer)
	for {
		n, err := conn.Read(b)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ENOBUFS) || errors.Is(err, pfkey.ENOBUFS):
			_, err = fmt.Fprintln(p.out, "(messages were lost)")
		case err == nil:
			err = p.print(p.timestamp()+"\n", b[:n])
		}
		if err != nil {
			return err
		}
		clear(b[:n])
	}
}

// timestamp is the time of day, or with -xx in seconds since 1970.
func (p *program) timestamp() string {
	now := p.now()
	if p.rawTime {
		return fmt.Sprintf("%d.%06d ", now.Unix(), now.Nanosecond()/1000)
	}
	if p.location != nil {
		now = now.In(p.location)
	} else {
		now = now.In(time.Local)
	}
	return now.Format("15:04:05.000000 ")
}

// print prints a message behind what head says.
func (p *program) print(head string, message []byte) error {
	b := []byte(head)
	if p.hex {
		b = setkey.AppendHexDump(b, message)
	}
	if p.mode == modeMonitor || p.verbose {
		b = append(setkey.AppendMessage(b, p.dialect, message), '\n')
	}
	_, err := p.out.Write(b)
	clear(b)
	return err
}

// tracer prints the messages that pass through a connection.
type tracer struct {
	pfkey.Conn
	p *program
}

func (t *tracer) Write(b []byte) (int, error) {
	if err := t.p.print("", b); err != nil {
		return 0, err
	}
	return t.Conn.Write(b)
}

func (t *tracer) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if err == nil {
		err = t.p.print("", b[:n])
	}
	return n, err
}

// messages prints the SAs and policies of the messages that a file has, one
// behind the other.
func (p *program) messages(name string) error {
	if p.dialect == nil {
		return pfkey.ErrNoSystem
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := readAll(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer clear(b)
	o := setkey.PrintOptions{Ports: p.ports, Dead: p.all, NoSockets: p.noSockets, Location: p.location}
	for at := 0; at < len(b); {
		rest := b[at:]
		n := 0
		if len(rest) >= 16 {
			n = int(binary.NativeEndian.Uint16(rest[4:])) * 8
		}
		if n < 16 || n > len(rest) {
			return fmt.Errorf("%s: no message of PF_KEY at octet %d", name, at)
		}
		if err := p.message(rest[:n:n], o); err != nil {
			return fmt.Errorf("%s: octet %d: %w", name, at, err)
		}
		at += n
	}
	return nil
}

func (p *program) message(b []byte, o setkey.PrintOptions) error {
	if p.verbose || p.hex {
		if err := p.print("", b); err != nil {
			return err
		}
	}
	m, err := p.dialect.Parse(b)
	if err != nil {
		return err
	}
	var out []byte
	switch {
	case m.Errno != 0:
		out = fmt.Appendf(nil, "%v.\n", p.dialect.Errno(m.Errno))
	case m.Type == pfkey.MsgGet || m.Type == pfkey.MsgDump:
		sa, err := setkey.SAOf(p.dialect, m)
		if err != nil {
			return err
		}
		if sa.State != pfkey.StateDead || o.Dead {
			out = setkey.AppendSA(nil, sa, p.now(), o)
		}
	case m.Type == pfkey.MsgSPDGet || m.Type == pfkey.MsgSPDDump:
		policy, err := setkey.PolicyOf(p.dialect, m)
		if err != nil {
			return err
		}
		if !policy.Socket || !o.NoSockets {
			out = setkey.AppendPolicy(nil, policy, o)
		}
	}
	_, err = p.out.Write(out)
	return err
}
