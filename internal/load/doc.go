// Package load puts an IKEv2 responder under load and measures what comes of
// it: a generator of handshakes and rekeys ([Run]), a flood of half-open
// attempts from many addresses ([RunFlood]), and a gateway to be measured
// ([NewResponder]).
//
// The generator drives one [ikev2.Endpoint] for each of its workers over a UDP
// socket of its own, with a data plane that does nothing, so that it costs as
// little as an initiator can. Everything it does ends: with a number of
// handshakes and with a time.
package load
