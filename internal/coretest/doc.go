// Package coretest is what the tests of the protocol cores share: two endpoints
// with a perfect network between them ([Link]), two whose steps octets choose
// ([Fuzzed]), and two that live through random schedules of commands and faults
// ([Sim]), after which both must hold the same and nothing may be left behind.
//
// What every protocol has is here: the virtual clock, who initiates, rekeys and
// deletes when, the books that are kept by the events, the comparison of what a
// core, its Child SAs and its data plane hold, traffic that must not be lost,
// mutants, coverage, and the seeds. What only a protocol knows it tells in a
// [Protocol]: how its messages are called, what state it is in, what it is busy
// with, and in what the two ends differ. Messages on the wire are none of this
// package's business.
package coretest
