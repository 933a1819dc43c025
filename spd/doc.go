// Package spd is the vocabulary of the IP security architecture (RFC 4301):
// traffic selectors, policies, security associations, proposals and
// lifetimes, and the DataPlane interface behind which key management keeps
// userspace ESP, PF_KEY and XFRM apart.
//
// Algorithms have their IKEv2 transform numbers here; IKEv1, KINK, PF_KEY and
// XFRM translate.
package spd
