// Package names maps domain names to addresses and back, for policies whose
// selectors are names, and for whoever has a packet's address and needs the
// peer's name: with KINK a principal is called by it.
//
// The policy daemon spmd keeps its policies by it, and answers with it what
// racoon2's daemons, spmdctl and other programs ask over package
// [github.com/racoon3/racoon/spd/spmif]. The iked and kinkd of this module do not
// use it: they take their policies, with the addresses of peers, from the
// configuration file.
//
//   - A [Cache] holds the mapping for as long as the answers of the DNS allow,
//     and longer while there are no better ones, in bounded memory.
//     [Cache.Follow] keeps the names that are registered up to date.
//   - A [Resolver] answers for names that are not in it: [SystemResolver], [Hosts],
//     or a [Forwarder]. A [Directory] is a cache with a resolver.
//   - A [Forwarder] is a small DNS server that asks other servers, and learns
//     from what they answer. So the address that a program is about to connect to
//     is known by the name that it has looked up, however many other addresses
//     and names there are.
//
// What the DNS says is not authenticated. The forwarder refuses answers that
// were not asked for, an address's own claim to a name (PTR) counts only if the
// name says the same, and only names that somebody has registered are learnt.
// Still, who controls a name server decides which policy a name's packets meet.
package names
