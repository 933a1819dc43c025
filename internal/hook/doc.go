// Package hook runs programs when something has happened: a session has come up
// or ended, a Child SA has new keys, a peer has moved.
//
//	h, err := hook.New(hook.Config{Scripts: map[hook.Event]string{hook.SessionUp: "/etc/racoon/hooks/up"}, Logger: log})
//	err = h.Run(ctx, m.Subscribe(ctx))
//
// They run beside the daemon: nothing waits for them. Those of one session run
// one after the other in the order of the events, those of several beside each
// other. Their number, their time, the waiting ones and their output are
// bounded.
//
// # What they are told
//
// The first argument is the name of the event, and the environment says the
// rest. The environment is made for them: nothing of the daemon's is in it. The
// variables that begin with RACOON_ are always there; [StyleRacoon] and
// [StyleRacoon2] add those that scripts written for these programs expect, and
// their names of the events.
//
// # What a peer can do to them
//
// Identities, user names, banners, domains and version strings are a peer's own
// words, and scripts are seldom careful. So a text of a peer is passed on only
// if it is made of letters, digits, single spaces and . _ : @ = , + - / without
// a word that begins with a hyphen, a path that begins at the root, or "..". Any
// other is passed on as "hex:" and its octets in hexadecimal, so that two
// different texts never look the same. Domains must be host names; others are
// left out. Addresses and numbers are printed by us.
package hook
