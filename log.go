package racoon

import (
	"context"
	"log/slog"

	"github.com/racoon3/racoon/ike"
)

// writeLog logs the events. It is a subscriber like others: a slow log loses
// lines, and says so, rather than delay a worker.
func (m *Manager) writeLog(events <-chan ike.Event) {
	ctx := context.Background()
	for ev := range events {
		level, msg, args := describe(ev)
		if msg == "" || !m.log.Enabled(ctx, level) {
			continue
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
		m.log.Handler().Handle(ctx, r)
	}
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
		return slog.LevelInfo, "session up", args
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
		return slog.LevelDebug, "notify", []any{"type", ev.Type, "text", ev.Text, "octets", len(ev.Data)}
	case EventsLost:
		return slog.LevelWarn, "log lost events", []any{"count", ev.Count}
	}
	return 0, "", nil
}

func describeChild(c *ike.ChildInfo) []any {
	return []any{"child", c.Name, "protocol", c.Protocol.String(), "mode", c.Mode.String(), "spi-in", uint64(c.In), "spi-out", uint64(c.Out),
		"local-ts", c.LocalTS, "remote-ts", c.RemoteTS, "proposal", c.Proposal.String(), "udp", c.UDPEncap}
}

func withErr(err error, args ...any) []any {
	if err != nil {
		args = append(args, "err", err)
	}
	return args
}
