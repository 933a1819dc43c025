package racoon

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// versionsCore is the cores of all protocols on one worker, driven as one. What a
// core numbers (sessions, jobs, Child SAs) has its tag in the first octet, and
// the tag tells the protocol.
type versionsCore struct {
	v1, v2, kink core
	all          []core
}

// The bits by which the tags of the other cores differ from that of the IKEv2
// core on the same worker.
const (
	tagIKEv1 = 0x80
	tagKINK  = 0x40
	tagMask  = tagIKEv1 | tagKINK
)

func (m *Manager) newVersions(tag uint8, ps *peerSet) (core, error) {
	v2, err := m.newIKEv2(tag, ps)
	if err != nil {
		return nil, err
	}
	v1, err := m.newIKEv1(tag, ps)
	if err != nil {
		return nil, err
	}
	c := versionsCore{v1: v1, v2: v2, all: []core{v2, v1}}
	k, err := m.newKINK(tag, ps)
	if err != nil {
		return nil, err
	}
	if k != nil {
		c.kink, c.all = k, append(c.all, k)
	}
	return c, nil
}

// of returns the core that has numbered id.
func (c versionsCore) of(id uint64) core {
	switch tag := id >> 56; {
	case tag&tagIKEv1 != 0:
		return c.v1
	case tag&tagKINK != 0 && c.kink != nil:
		return c.kink
	}
	return c.v2
}

// isIKEv1 reports whether a message is of IKEv1: the header is the same but for
// the version.
func isIKEv1(b []byte) bool { return len(b) > 17 && b[17]>>4 == 1 }

func (c versionsCore) SetPeers(ps *peerSet) {
	for _, k := range c.all {
		k.SetPeers(ps)
	}
}

func (c versionsCore) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	if isIKEv1(b) {
		c.v1.HandleDatagram(now, path, b)
		return
	}
	c.v2.HandleDatagram(now, path, b)
}

func (c versionsCore) HandleKINK(now time.Time, path ike.Path, b []byte) {
	if c.kink != nil {
		c.kink.HandleDatagram(now, path, b)
	}
}

func (c versionsCore) HandleTimeout(now time.Time) {
	for _, k := range c.all {
		k.HandleTimeout(now)
	}
}

func (c versionsCore) HandleResult(now time.Time, r ike.Result) {
	c.of(uint64(r.ID)).HandleResult(now, r)
}

func (c versionsCore) HandleDataPlane(now time.Time, ev spd.Event) {
	for _, k := range c.all {
		k.HandleDataPlane(now, ev)
	}
}

func (c versionsCore) PollTransmit() (t ike.Transmit, ok bool) {
	for _, k := range c.all {
		if t, ok = k.PollTransmit(); ok {
			break
		}
	}
	return t, ok
}

func (c versionsCore) PollJob() (j ike.Job, ok bool) {
	for _, k := range c.all {
		if j, ok = k.PollJob(); ok {
			break
		}
	}
	return j, ok
}

func (c versionsCore) PollEvent() (ev ike.Event, ok bool) {
	for _, k := range c.all {
		if ev, ok = k.PollEvent(); ok {
			break
		}
	}
	return ev, ok
}

func (c versionsCore) PollTimeout() (first time.Time, found bool) {
	for _, k := range c.all {
		if t, ok := k.PollTimeout(); ok && (!found || t.Before(first)) {
			first, found = t, true
		}
	}
	return first, found
}

func (c versionsCore) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	switch in.version {
	case IKEv1:
		return c.v1.Initiate(now, in)
	case KINK:
		if c.kink == nil {
			return 0, fmt.Errorf("peer %q speaks KINK, and there was no Config.KINK.Kerberos when the Manager was made", in.peer.name())
		}
		return c.kink.Initiate(now, in)
	}
	return c.v2.Initiate(now, in)
}

func (c versionsCore) CreateChild(now time.Time, s ike.SessionID, child string, acquire spd.AcquireID, packet *spd.Selector) error {
	return c.of(uint64(s)).CreateChild(now, s, child, acquire, packet)
}

func (c versionsCore) RekeyIKE(now time.Time, s ike.SessionID) error {
	return c.of(uint64(s)).RekeyIKE(now, s)
}

func (c versionsCore) RekeyChild(now time.Time, s ike.SessionID, id ike.ChildID) error {
	return c.of(uint64(s)).RekeyChild(now, s, id)
}

func (c versionsCore) DeleteChild(now time.Time, s ike.SessionID, id ike.ChildID) error {
	return c.of(uint64(s)).DeleteChild(now, s, id)
}

func (c versionsCore) Reauthenticate(now time.Time, s ike.SessionID) error {
	return c.of(uint64(s)).Reauthenticate(now, s)
}

func (c versionsCore) CheckLiveness(now time.Time, s ike.SessionID) error {
	return c.of(uint64(s)).CheckLiveness(now, s)
}

func (c versionsCore) Delete(now time.Time, s ike.SessionID, reason ike.DownReason) error {
	return c.of(uint64(s)).Delete(now, s, reason)
}

func (c versionsCore) Forget(now time.Time, s ike.SessionID, reason ike.DownReason) error {
	return c.of(uint64(s)).Forget(now, s, reason)
}

func (c versionsCore) SetPeer(now time.Time, s ike.SessionID, p *peer) error {
	return c.of(uint64(s)).SetPeer(now, s, p)
}

func (c versionsCore) Session(s ike.SessionID) (ike.SessionState, bool) {
	return c.of(uint64(s)).Session(s)
}

func (c versionsCore) Stats() (sum ike.CoreStats) {
	for _, k := range c.all {
		sum = sum.Add(k.Stats())
	}
	return sum
}
