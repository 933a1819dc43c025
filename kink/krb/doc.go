// Package krb is Kerberos V5 (RFC 4120) as far as KINK (RFC 4430) needs it, as
// pieces without I/O: keys with their encryption, checksums and pseudorandom
// functions (RFC 3961, 3962, 8009), the AP exchange in both roles, KRB-ERROR,
// keytabs, credential caches, and a replay cache. Time and randomness are
// parameters.
//
// The client has a [Ticket], from whatever implements [Kerberos]:
//
//	apReq, err := ticket.APReq(nil, stamper.Next(now), random)
//	...
//	stamp, err := krb.OpenAPRep(apRep, ticket.Key)     // one of those that are outstanding?
//
// The server has an [Acceptor]:
//
//	req, err := krb.ParseAPReq(b)
//	peer, err := acceptor.Accept(now, from, req)       // peer.Client is who it is
//	apRep, err := krb.AppendAPRep(nil, peer.Key, peer.Stamp, random)
//
// On both sides the session key, and never a subkey, protects the KINK messages
// (it is a [github.com/racoon3/racoon/kink/message.Key]), and makes the keys of
// SAs: [Key.AppendKeyMat].
//
// Encryption types are 17 to 20; 16, which is DES3, only if it is asked for.
//
// Every decoder is a total function: any input yields a value or an error, in
// time linear in its length and with memory bounded by it.
package krb
