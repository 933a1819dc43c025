// Package setkey is the language of setkey(8), the tool that edits a kernel's
// SAD and SPD by hand: a parser, a printer of what it has parsed, what runs the
// statements on a kernel, and the form in which setkey prints SAs and policies.
//
//	add 192.0.2.1 192.0.2.2 esp 0x10001 -m transport -E aes-cbc 0x0001...0f -A hmac-sha1 "this is the test key" ;
//	spdadd 10.0.1.0/24 10.0.2.0/24[80] tcp -P out ipsec esp/tunnel/192.0.2.1-192.0.2.2/require ;
//
// # Reading
//
// [Parse] reads a file whole, a [Parser] statement by statement as they come. Any
// octets are statements or a [*SyntaxError], which names file, line, column, the
// word, and what was expected in its place; a statement is 64 KiB at most. A
// statement is an [*SAStatement], a [*PolicyStatement] or a [*Command]; [Format]
// prints one so that Parse reads the same again. Keys print as their length
// everywhere but there and in dumps. The lengths of keys are checked.
//
// # Running
//
// An [Executor] looks up names of hosts and services and does what a statement
// says on a [Kernel]: [NewPFKey] is one over a pfkey.Client. A statement about a
// name with several addresses is for all of their pairs.
//
// # Printing
//
// [AppendSA] and [AppendPolicy] print what a kernel has as setkey -D and -DP do,
// [AppendMessage] a message as -x and -v do. [SA] and [Policy] are what a Kernel
// gives and takes.
//
// The language is that of ipsec-tools 0.8, with what NetBSD and FreeBSD have
// added, the update statement that its manual has, and the names of AEADs.
package setkey
