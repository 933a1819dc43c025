package hook

import "github.com/racoon3/racoon"

// Event is what has happened. Its text is the event's name in the native style.
type Event string

// Events.
const (
	SessionUp    Event = "session-up"
	SessionDown  Event = "session-down"
	SessionDead  Event = "session-dead"  // the peer no longer answers; without a script for it that of SessionDown runs
	SessionRekey Event = "session-rekey" // the IKE SA has new keys
	ChildUp      Event = "child-up"
	ChildDown    Event = "child-down"
	ChildRekey   Event = "child-rekey"
	Migration    Event = "migration" // the peer has another address
)

// Style says how events are called and which variables are there beside the
// native ones.
type Style uint8

// Styles.
const (
	StyleNative Style = iota
	// StyleRacoon: phase1_up, phase1_down and phase1_dead as racoon calls them,
	// with its variables; other events as racoon2 calls them for IKEv1.
	StyleRacoon
	// StyleRacoon2: ike_sa_up, child_up and so on, for IKEv1 phase1_up, phase2_up
	// and so on, with racoon2's variables.
	StyleRacoon2
)

func (s Style) String() string {
	switch s {
	case StyleRacoon:
		return "racoon"
	case StyleRacoon2:
		return "racoon2"
	}
	return "native"
}

// names are the events' names: for racoon and IKEv1, and racoon2's for IKEv2.
var names = map[Event][2]string{
	SessionUp:    {"phase1_up", "ike_sa_up"},
	SessionDown:  {"phase1_down", "ike_sa_down"},
	SessionDead:  {"phase1_dead", "ike_sa_down"},
	SessionRekey: {"phase1_rekey", "ike_sa_rekey"},
	ChildUp:      {"phase2_up", "child_up"},
	ChildDown:    {"phase2_down", "child_down"},
	ChildRekey:   {"phase2_rekey", "child_rekey"},
	Migration:    {"migration", "migration"},
}

// name is what an event is called in a style.
func (e Event) name(s Style, v racoon.Version) string {
	switch {
	case s == StyleNative:
		return string(e)
	case s == StyleRacoon2 && v == racoon.IKEv2:
		return names[e][1]
	case s == StyleRacoon2 && e == SessionDead:
		return names[SessionDown][0]
	}
	return names[e][0]
}
