// Package quickmode is what IKEv1 and KINK negotiate Child SAs with: offering,
// choosing and checking the proposals of Quick Mode (RFC 2407 4.4 and 4.5, RFC
// 2409 5.5) with the numbers of [spd.Proposal], their lifetimes, and the SAs that
// come out. It knows no messages and keeps no state.
package quickmode
