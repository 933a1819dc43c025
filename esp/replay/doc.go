// Package replay is the anti-replay service of ESP and AH (RFC 4303 section
// 3.4.3 and appendix A): a sliding window over 32-bit or extended 64-bit
// sequence numbers.
//
//	seq, ok := w.Infer(low)      // before the integrity check: which packet would this be?
//	...                          // check the ICV
//	ok, newest := w.Accept(seq)  // after it: take it, once
package replay
