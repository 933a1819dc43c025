package racoon

import (
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/spd"
)

// versionsCore is the cores of both versions of IKE on one worker, driven as
// one. What a core numbers (sessions, jobs, Child SAs) has its tag in the first
// octet, and the tag tells the version.
type versionsCore struct {
	v1, v2 core
}

// tagIKEv1 is the bit by which the tag of an IKEv1 core differs from that of
// the IKEv2 core on the same worker.
const tagIKEv1 = 0x80

func (m *Manager) newVersions(tag uint8, ps *peerSet) (core, error) {
	v2, err := m.newIKEv2(tag, ps)
	if err != nil {
		return nil, err
	}
	v1, err := m.newIKEv1(tag, ps)
	if err != nil {
		return nil, err
	}
	return versionsCore{v1, v2}, nil
}

// of returns the core that has numbered id.
func (c versionsCore) of(id uint64) core {
	if id>>56&tagIKEv1 != 0 {
		return c.v1
	}
	return c.v2
}

// isIKEv1 reports whether a message is of IKEv1: the header is the same but for
// the version.
func isIKEv1(b []byte) bool { return len(b) > 17 && b[17]>>4 == 1 }

func (c versionsCore) SetPeers(ps *peerSet) {
	c.v1.SetPeers(ps)
	c.v2.SetPeers(ps)
}

func (c versionsCore) HandleDatagram(now time.Time, path ike.Path, b []byte) {
	if isIKEv1(b) {
		c.v1.HandleDatagram(now, path, b)
		return
	}
	c.v2.HandleDatagram(now, path, b)
}

func (c versionsCore) HandleTimeout(now time.Time) {
	c.v1.HandleTimeout(now)
	c.v2.HandleTimeout(now)
}

func (c versionsCore) HandleResult(now time.Time, r ike.Result) {
	c.of(uint64(r.ID)).HandleResult(now, r)
}

func (c versionsCore) HandleDataPlane(now time.Time, ev spd.Event) {
	c.v1.HandleDataPlane(now, ev)
	c.v2.HandleDataPlane(now, ev)
}

func (c versionsCore) PollTransmit() (ike.Transmit, bool) {
	if t, ok := c.v2.PollTransmit(); ok {
		return t, true
	}
	return c.v1.PollTransmit()
}

func (c versionsCore) PollJob() (ike.Job, bool) {
	if j, ok := c.v2.PollJob(); ok {
		return j, true
	}
	return c.v1.PollJob()
}

func (c versionsCore) PollEvent() (ike.Event, bool) {
	if ev, ok := c.v2.PollEvent(); ok {
		return ev, true
	}
	return c.v1.PollEvent()
}

func (c versionsCore) PollTimeout() (time.Time, bool) {
	t2, ok2 := c.v2.PollTimeout()
	t1, ok1 := c.v1.PollTimeout()
	if !ok2 || ok1 && t1.Before(t2) {
		return t1, ok1
	}
	return t2, true
}

func (c versionsCore) Initiate(now time.Time, in initiation) (ike.SessionID, error) {
	if in.version == IKEv1 {
		return c.v1.Initiate(now, in)
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

func (c versionsCore) Stats() ike.CoreStats { return c.v1.Stats().Add(c.v2.Stats()) }
