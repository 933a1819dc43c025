package ikev1

import (
	"slices"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/child"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// A session is one authenticated relation with a peer: its ISAKMP SAs, one
// after the other, and the Child SAs. Child SAs outlive the ISAKMP SA that made
// them; when there is something to say and none stands, another one is made.
type session struct {
	core.Session
	ep    *Endpoint
	peer  *Peer       // nil while a responder does not know yet
	begin *Initiation // of an initiator, until it is established
	float ike.Path    // where it goes on behind a NAT

	relation relation // once established

	current *isakmpSA // the established one that is used; may be nil
	// preparing: private groups are being agreed on, for a phase 1 that then begins.
	preparing bool
	sas       []*isakmpSA // all, those under way too
	queue     []errand    // what waits for an ISAKMP SA

	retiring map[*child.SA]*retirement // replaced Child SAs
	// askedFor is what was negotiated for the own side of Child SAs that are
	// installed for less: a Unity client asks for everything.
	askedFor map[ike.ChildID]spd.TrafficSelector

	remoteMethod string
	why          string            // this peer was chosen
	vendors      []string          // what the peer's vendor IDs name
	mayFloat     bool              // the peer is expected on its NAT-T port (Base Mode)
	user         *ike.UserAccepted // of a client (XAuth)
	userName     string            // of this side, a client

	configured  func(now time.Time) // waits for the gateway's configuration
	configTimer child.Timer
	userTimer   child.Timer  // the user's time is over
	forLease    []*quickMode // wait until the client has its addresses
	splits      bool         // the client has asked for the networks to reach (Unity)
	account     *accounting
}

// An errand is something that needs an established ISAKMP SA.
type errand struct {
	run  func(now time.Time, sa *isakmpSA)
	fail func(now time.Time, err error)

	rekey bool // it is for something that exists
}

func (e *Endpoint) newSession(peer *Peer, path ike.Path, initiator bool) *session {
	s := &session{ep: e}
	s.Init(&e.engine, s, path, initiator, &defaultTiming)
	if peer != nil {
		s.setPeer(peer)
	}
	e.sessions[s.ID] = s
	return s
}

var defaultTiming = ike.Timing{}.WithDefaults()

// setPeer gives the session its configuration.
func (s *session) setPeer(p *Peer) {
	s.peer = p
	s.Name, s.Timing, s.Asked, s.Assign, s.ForceEncap = p.Name, p.times(), p.Request, p.Assign, p.ForceEncap
}

// do runs an errand on the established ISAKMP SA, at once or when there is one.
func (s *session) do(now time.Time, x errand) {
	if s.current != nil {
		x.run(now, s.current)
		return
	}
	if len(s.queue) >= s.ep.Limits.Queue {
		s.ep.Count.Limited++
		x.fail(now, errQueueFull)
		return
	}
	s.queue = append(s.queue, x)
	if s.negotiating() {
		return
	}
	if err := s.renew(now); err != nil {
		s.flunk(now, err)
	}
}

// negotiating reports whether a phase 1 is under way.
func (s *session) negotiating() bool {
	return s.preparing || slices.ContainsFunc(s.sas, func(sa *isakmpSA) bool { return sa.state < stateEstablished })
}

// flunk ends what waits for an ISAKMP SA in vain.
func (s *session) flunk(now time.Time, err error) {
	queue := s.queue
	s.queue = nil
	for _, x := range queue {
		x.fail(now, err)
	}
}

// runErrands runs what has waited for an ISAKMP SA.
func (s *session) runErrands(now time.Time) {
	for s.current != nil && len(s.queue) > 0 {
		x := s.queue[0]
		s.queue = s.queue[1:]
		x.run(now, s.current)
	}
}

// fail ends the session because something broke; the peer is not told (it
// knows, or it cannot be reached).
func (s *session) fail(now time.Time, reason ike.DownReason, err error) { s.end(now, reason, err) }

// end takes the session away.
func (s *session) end(now time.Time, reason ike.DownReason, err error) {
	if s.Dead {
		return
	}
	delete(s.ep.sessions, s.ID)
	s.ep.unknow(s)
	if s.begin != nil {
		s.ep.beginning = slices.DeleteFunc(s.ep.beginning, func(o *session) bool { return o == s })
	}
	s.configured = nil
	s.ep.StopTimer(&s.configTimer)
	s.ep.StopTimer(&s.userTimer)
	if s.account != nil {
		s.ep.StopTimer(&s.account.timer)
		s.Ended = s.stopAccounting
	}
	s.End(now, reason, err)
	if err == nil {
		err = errGone
	}
	s.flunk(now, err)
	for _, q := range s.forLease {
		q.failed(now, err)
	}
	s.forLease = nil
	for _, sa := range slices.Clone(s.sas) {
		sa.kill(now, err)
	}
}

// delete tells the peer, as far as it can be told without an answer, and ends
// the session (RFC 2408 3.15).
func (s *session) delete(now time.Time, reason ike.DownReason, err error) {
	if s.Dead {
		return
	}
	if sa := s.current; sa != nil {
		// Messages may be lost or change their order, and some peers read only
		// the first payload. So everything is said twice.
		children := s.childDeletes()
		if len(children) > 0 {
			sa.sendInformational(now, children...)
		}
		for _, o := range s.sas {
			if o.state < stateEstablished {
				continue
			}
			if len(children) > 0 {
				o.sendInformational(now, append(slices.Clone(children), o.deletion())...)
			}
			o.sendDelete(now)
		}
	}
	s.end(now, reason, err)
}

// childDeletes are the Delete payloads for all Child SAs, one for each protocol.
func (s *session) childDeletes() (out []isakmp.Payload) {
	for _, protocol := range []spd.Protocol{spd.ProtoESP, spd.ProtoAH} {
		var spis []byte
		for _, a := range s.Children.All() {
			if a.Info.Protocol == protocol && a.State > child.Larval && a.State < child.Deleting {
				spis = quickmode.AppendSPI(spis, a.Info.In)
			}
		}
		if spis != nil {
			out = append(out, &isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: protocol, SPISize: 4, SPIs: spis})
		}
	}
	return out
}

// sweep decides what becomes of a session that has lost an ISAKMP SA. Without
// Child SAs and anything to do, there is nothing left of it.
func (s *session) sweep(now time.Time, reason ike.DownReason, err error) {
	if s.Dead || s.current != nil || s.negotiating() {
		return
	}
	if !s.Up && err == nil {
		err = errDeleted
	}
	if !s.Up || !s.carries() {
		s.end(now, reason, err)
		return
	}
	if err == nil {
		err = errGone
	}
	s.flunk(now, err)
}

// carries reports whether traffic rests on the session: a Child SA that is no
// mere remainder of a rekey.
func (s *session) carries() bool {
	return slices.ContainsFunc(s.Children.All(), func(a *child.SA) bool { return a.State < child.Replaced })
}

// StartDelete implements child.Host. Nobody answers a Delete, so the SA goes at
// once.
func (s *session) StartDelete(now time.Time, a *child.SA, reason ike.DownReason) {
	a.Unwanted = reason == ike.DownLocal
	if s.current != nil {
		s.current.sendDeleteChild(now, a)
	}
	s.Children.Remove(now, a, reason, nil, false)
}

// Removed implements child.Host.
func (s *session) Removed(now time.Time, a *child.SA) {
	s.Session.Removed(now, a)
	s.retired(a)
	s.forgetServed(a)
	s.endReplaced(now, a)
	if s.Up && !s.carries() {
		s.sweep(now, ike.DownRemote, nil)
	}
}

// alive notes a sign of life: an authenticated message that is no repetition. A
// peer behind a NAT may show a new address by it.
func (s *session) alive(now time.Time, path ike.Path) {
	s.LastAlive = now
	s.Seen = nil
	if path != s.Path && (s.mayFloat || s.Up && s.FollowsNAT()) {
		s.MoveTo(now, path)
		s.merge(now)
	}
	s.mayFloat = false
}

// merge ends the sessions that turn out to be with the same peer as this one. A
// peer whose NAT has given it another port begins a new one here when it renews
// its ISAKMP SA, while to the peer it is the same; if then the old one is heard
// of again, both are at the same place. The peer is told what goes.
func (s *session) merge(now time.Time) {
	if !s.Up {
		return
	}
	var old []*session
	for _, o := range s.ep.sessionsWith(s.peer, s.RemoteID) {
		if o != s && o.sameAs(s) {
			old = append(old, o)
		}
	}
	for _, o := range old {
		o.Successor = s.ID
		o.delete(now, ike.DownReplaced, nil)
	}
}

func (s *session) info() ike.SessionInfo {
	i := s.Info()
	i.Vendors, i.Why = s.vendors, s.why
	if s.user != nil {
		i.User, i.Groups = s.user.User, slices.Clone(s.user.Groups)
	} else {
		i.User = s.userName
	}
	if sa := s.current; sa != nil {
		i.LocalSPI, i.RemoteSPI, i.Proposal = uint64(sa.local), uint64(sa.remote), sa.negotiated.proposal()
		i.Fragmentation = sa.fragmentSize() > 0
	}
	return i
}

// A relation is what the established sessions of one peer are found by.
type relation struct {
	peer   string
	remote ike.Identity
}

// know and unknow keep the established sessions by their relation.
func (e *Endpoint) know(s *session) {
	s.relation = relation{s.Name, s.RemoteID}
	e.relations[s.relation] = append(e.relations[s.relation], s)
}

func (e *Endpoint) unknow(s *session) {
	all := slices.DeleteFunc(e.relations[s.relation], func(o *session) bool { return o == s })
	if len(all) == 0 {
		delete(e.relations, s.relation)
	} else {
		e.relations[s.relation] = all
	}
}

// sessionsWith are the established sessions with an identity, oldest first.
func (e *Endpoint) sessionsWith(p *Peer, remote ike.Identity) []*session {
	return slices.Clone(e.relations[relation{p.Name, remote}])
}
