package racoon

import (
	"context"
	"log/slog"
	"time"

	"github.com/racoon3/racoon/ike"
)

// writeLog logs the events. It is a subscriber like others: a slow log loses
// lines, and says so, rather than delay a worker. What strangers can cause at
// will has a limit for each kind of line; what was left out is counted.
func (m *Manager) writeLog(events <-chan ike.Event) {
	limits := make(map[string]*lineLimit)
	var pause <-chan time.Time // while there is something to count
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				m.logLeftOut(limits)
				return
			}
			m.logEvent(ev, limits)
			if pause == nil && len(limits) > 0 {
				pause = time.After(logPause)
			}
		case <-pause:
			m.logLeftOut(limits)
			pause = nil
		}
	}
}

func (m *Manager) logEvent(ev ike.Event, limits map[string]*lineLimit) {
	ctx := context.Background()
	level, msg, args := describe(ev)
	if msg == "" || !m.log.Enabled(ctx, level) {
		return
	}
	if byStrangers(ev) {
		l := limits[msg]
		if l == nil {
			l = &lineLimit{level: level}
			limits[msg] = l
		}
		if l.lines++; l.lines > logBurst {
			return
		}
	}
	h := ev.Header()
	r := slog.NewRecord(h.Time, level, msg, 0)
	if h.Peer != "" {
		r.AddAttrs(slog.String("peer", h.Peer))
	}
	if h.Session != 0 {
		r.AddAttrs(slog.Uint64("session", uint64(h.Session)))
	}
	if h.Path.Remote.IsValid() {
		r.AddAttrs(slog.String("remote", h.Path.Remote.String()))
	}
	r.Add(args...)
	_ = m.log.Handler().Handle(ctx, r) // there is nobody to tell that the log fails
}

const (
	// logBurst is how many lines of a kind that strangers can cause are written
	// in logPause.
	logBurst = 20
	logPause = 10 * time.Second
)

// A lineLimit counts the lines of one kind in the current pause.
type lineLimit struct {
	level slog.Level
	lines int
}

// logLeftOut begins a new pause, and tells what the last one has left out.
func (m *Manager) logLeftOut(limits map[string]*lineLimit) {
	for msg, l := range limits {
		if l.lines > logBurst {
			m.log.Log(context.Background(), l.level, "lines left out", "line", msg, "count", l.lines-logBurst, "within", logPause)
		}
		delete(limits, msg)
	}
}

// byStrangers reports whether an event may be caused by anybody, or by a peer as
// often as it likes.
func byStrangers(ev ike.Event) bool {
	switch ev := ev.(type) {
	case ike.SessionFailed:
		return !ev.Initiator
	case ike.Warning, ike.PeerNotify, ike.ChildFailed:
		return true
	}
	return false
}

// describe turns an event into a line of the log.
func describe(ev ike.Event) (level slog.Level, msg string, args []any) {
	switch ev := ev.(type) {
	case ike.SessionUp:
		i := ev.Info
		args = []any{"initiator", i.Initiator, "local", ev.Path.Local.String(), "local-id", i.LocalID.String(), "remote-id", i.RemoteID.String(),
			"proposal", i.Proposal.String()}
		if i.User != "" {
			args = append(args, "user", i.User)
		}
		if i.LocalNAT || i.RemoteNAT {
			args = append(args, "local-nat", i.LocalNAT, "remote-nat", i.RemoteNAT)
		}
		if i.Config != nil {
			args = append(args, "addresses", i.Config.Addresses)
		}
		if i.Why != "" {
			args = append(args, "why", i.Why)
		}
		return slog.LevelInfo, "session up", args
	case ike.InitialContact:
		return slog.LevelInfo, "the peer knows of no other session", nil
	case ike.AddressAssigned:
		return slog.LevelInfo, "addresses assigned", []any{"addresses", ev.Config.Addresses}
	case ike.SessionFailed:
		return slog.LevelWarn, "session failed", []any{"initiator", ev.Initiator, "err", ev.Err}
	case ike.SessionDown:
		return slog.LevelInfo, "session down", withErr(ev.Err, "reason", ev.Reason.String())
	case ike.SessionRekeyed:
		return slog.LevelInfo, "session rekeyed", []any{"initiator", ev.Initiator, "proposal", ev.Proposal.String()}
	case ike.SessionMoved:
		return slog.LevelInfo, "peer moved", []any{"from", ev.Old.Remote.String()}
	case ike.PeerAlive:
		return slog.LevelInfo, "the peer is alive", nil
	case ike.ReauthNeeded:
		return slog.LevelDebug, "reauthentication is due", nil
	case ike.ChildUp:
		return slog.LevelInfo, "child up", describeChild(&ev.Child)
	case ike.ChildRekeyed:
		return slog.LevelInfo, "child rekeyed", append(describeChild(&ev.Child), "initiator", ev.Initiator)
	case ike.ChildDown:
		return slog.LevelInfo, "child down", withErr(ev.Err, "child", ev.Child.Name, "reason", ev.Reason.String(),
			"bytes-in", ev.In.Bytes, "bytes-out", ev.Out.Bytes)
	case ike.ChildFailed:
		return slog.LevelWarn, "child failed", []any{"child", ev.Name, "initiator", ev.Initiator, "err", ev.Err}
	case ike.RekeyFailed:
		what := "IKE SA"
		if ev.Child != 0 {
			what = ev.Name
		}
		return slog.LevelWarn, "rekey failed", []any{"sa", what, "err", ev.Err}
	case ike.Warning:
		return slog.LevelWarn, "warning", []any{"err", ev.Err}
	case ike.PeerNotify:
		return slog.LevelInfo, "notify", []any{"type", ev.Type, "text", ev.Text, "octets", len(ev.Data)}
	case EventsLost:
		return slog.LevelWarn, "log lost events", []any{"count", ev.Count}
	}
	return 0, "", nil
}

func describeChild(c *ike.ChildInfo) []any {
	args := []any{"child", c.Name, "protocol", c.Protocol.String(), "mode", c.Mode.String(), "spi-in", uint64(c.In), "spi-out", uint64(c.Out),
		"local-ts", c.LocalTS, "remote-ts", c.RemoteTS, "proposal", c.Proposal.String(), "udp", c.UDPEncap}
	if c.Why != "" {
		args = append(args, "why", c.Why)
	}
	return args
}

func withErr(err error, args ...any) []any {
	if err != nil {
		args = append(args, "err", err)
	}
	return args
}
