// Package spd is the vocabulary of the IP security architecture (RFC 4301):
// what is protected, how, and by whom.
//
//   - [TrafficSelector] and [Selector] name traffic; [Narrow], [NarrowPair] and
//     [Covers] are the set algebra of RFC 7296 2.9.
//   - [Transform] and [Proposal] name algorithms; [ParseProposal] reads them,
//     [Select] is the responder's choice and [CheckSelected] the initiator's
//     check of it. When there is no choice, a [NegotiationError] tells why.
//   - [Policy] is an entry of the SPD; [PolicyTable] finds the one for a packet
//     among a hundred thousand with a few hash lookups.
//   - [SA] and [Bundle] are what is installed; [DataPlane] is the interface
//     behind which key management keeps userspace ESP, PF_KEY and XFRM apart.
//     [PolicySet] does the bookkeeping of its SetPolicies, and [Memory] is a
//     data plane for tests.
//   - [Rule] declares what is to be done with some traffic, and [Database]
//     installs rules on a data plane, changes them without a gap, and goes on
//     after a restart where it was.
//
// Algorithms have their IKEv2 transform numbers here; IKEv1, KINK, PF_KEY and
// XFRM translate.
//
// All types are plain values unless they say otherwise, and nothing here
// reads a clock or does input or output.
package spd
