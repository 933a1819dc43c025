package control

import (
	"time"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
)

// Event is something that has happened: one line of the stream of events.
type Event struct {
	Seq     uint64    `json:"seq"` // counts from 1; 0 for "lost"
	Time    time.Time `json:"time"`
	Type    string    `json:"type"` // one of the types below
	Peer    string    `json:"peer,omitempty"`
	Session string    `json:"session,omitempty"`
	Local   string    `json:"local,omitempty"`
	Remote  string    `json:"remote,omitempty"`

	Initiator bool     `json:"initiator,omitempty"` // this side began it
	Reason    string   `json:"reason,omitempty"`
	Error     string   `json:"error,omitempty"`
	LocalID   string   `json:"local_id,omitempty"`
	RemoteID  string   `json:"remote_id,omitempty"`
	User      string   `json:"user,omitempty"`
	LocalSPI  string   `json:"local_spi,omitempty"`
	RemoteSPI string   `json:"remote_spi,omitempty"`
	Proposal  string   `json:"proposal,omitempty"`
	Name      string   `json:"name,omitempty"` // of a Child SA that is not there
	OldRemote string   `json:"old_remote,omitempty"`
	Successor string   `json:"successor,omitempty"`
	Notify    uint16   `json:"notify,omitempty"`
	Text      string   `json:"text,omitempty"`
	Count     uint64   `json:"count,omitempty"`
	Child     *ChildSA `json:"child,omitempty"`

	Network *NetworkConfig `json:"network,omitempty"`
}

// Types of events.
const (
	EventSessionUp       = "session-up"
	EventSessionFailed   = "session-failed"
	EventSessionDown     = "session-down"
	EventSessionRekeyed  = "session-rekeyed"
	EventSessionMoved    = "session-moved"
	EventAddressAssigned = "address-assigned"
	EventChildUp         = "child-up"
	EventChildRekeyed    = "child-rekeyed"
	EventChildDown       = "child-down"
	EventChildFailed     = "child-failed"
	EventRekeyFailed     = "rekey-failed"
	EventReauthNeeded    = "reauthentication-due"
	EventPeerNotify      = "notify"
	EventPeerAlive       = "peer-alive"
	EventWarning         = "warning"
	EventLost            = "lost"
)

// describeEvent makes the JSON form of an event; its type is empty for those
// that are not told.
func describeEvent(ev ike.Event) Event {
	h := ev.Header()
	out := Event{Time: h.Time.Round(0), Peer: h.Peer, Local: addrPortText(h.Path.Local), Remote: addrPortText(h.Path.Remote)}
	if h.Session != 0 {
		out.Session = idText(h.Session)
	}
	failed := func(err error) {
		if err != nil {
			out.Error = err.Error()
		}
	}
	child := func(c *ike.ChildInfo) {
		d := describeChild(c, h.Path)
		d.Session, d.Peer = out.Session, h.Peer
		out.Child = &d
	}
	switch ev := ev.(type) {
	case ike.SessionUp:
		i := &ev.Info
		out.Type, out.Initiator, out.User = EventSessionUp, i.Initiator, i.User
		out.LocalID, out.RemoteID, out.Proposal = i.LocalID.String(), i.RemoteID.String(), i.Proposal.String()
		out.LocalSPI, out.RemoteSPI, out.Network = ikeSPI(i.LocalSPI), ikeSPI(i.RemoteSPI), describeNetwork(i.Config)
	case ike.SessionFailed:
		out.Type, out.Initiator = EventSessionFailed, ev.Initiator
		failed(ev.Err)
	case ike.SessionDown:
		out.Type, out.Reason = EventSessionDown, ev.Reason.String()
		if ev.Successor != 0 {
			out.Successor = idText(ev.Successor)
		}
		failed(ev.Err)
	case ike.SessionRekeyed:
		out.Type, out.Initiator, out.Proposal = EventSessionRekeyed, ev.Initiator, ev.Proposal.String()
		out.LocalSPI, out.RemoteSPI = ikeSPI(ev.LocalSPI), ikeSPI(ev.RemoteSPI)
	case ike.SessionMoved:
		out.Type, out.OldRemote = EventSessionMoved, addrPortText(ev.Old.Remote)
	case ike.AddressAssigned:
		out.Type, out.Network = EventAddressAssigned, describeNetwork(ev.Config)
	case ike.ChildUp:
		out.Type = EventChildUp
		child(&ev.Child)
	case ike.ChildRekeyed:
		out.Type, out.Initiator = EventChildRekeyed, ev.Initiator
		child(&ev.Child)
	case ike.ChildDown:
		out.Type, out.Reason = EventChildDown, ev.Reason.String()
		child(&ev.Child)
		in, sent := describeCounters(ev.In), describeCounters(ev.Out)
		out.Child.In, out.Child.Out = &in, &sent
		failed(ev.Err)
	case ike.ChildFailed:
		out.Type, out.Name, out.Initiator = EventChildFailed, ev.Name, ev.Initiator
		failed(ev.Err)
	case ike.RekeyFailed:
		out.Type, out.Name = EventRekeyFailed, ev.Name
		failed(ev.Err)
	case ike.ReauthNeeded:
		out.Type = EventReauthNeeded
	case ike.PeerNotify:
		out.Type, out.Notify, out.Text = EventPeerNotify, ev.Type, ev.Text
	case ike.PeerAlive:
		out.Type = EventPeerAlive
	case ike.Warning:
		out.Type = EventWarning
		failed(ev.Err)
	case racoon.EventsLost:
		out.Type, out.Count = EventLost, ev.Count
	}
	return out
}
