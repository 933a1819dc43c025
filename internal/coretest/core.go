package coretest

import (
	"iter"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/simnet"
	"github.com/racoon3/racoon/spd"
)

// A Core is the Endpoint of a protocol: what a driver feeds and drains, the
// commands that do not depend on the protocol, and what it tells of itself.
// Initiate depends on it, and is left to the tests.
type Core interface {
	comparable
	simnet.Core

	CreateChild(now time.Time, s ike.SessionID, child string, acquire spd.AcquireID, packet *spd.Selector) error
	RekeyIKE(now time.Time, s ike.SessionID) error
	RekeyChild(now time.Time, s ike.SessionID, c ike.ChildID) error
	DeleteChild(now time.Time, s ike.SessionID, c ike.ChildID) error
	CheckLiveness(now time.Time, s ike.SessionID) error
	Delete(now time.Time, s ike.SessionID, reason ike.DownReason) error

	Sessions() iter.Seq[ike.SessionState]
	Stats() ike.CoreStats
	Held() core.Held
	Owner(id spd.SAID) ike.SessionID
}

// Reverse is a path as the other side has it.
func Reverse(p ike.Path) ike.Path {
	return ike.Path{Local: p.Remote, Remote: p.Local, Interface: p.Interface}
}
