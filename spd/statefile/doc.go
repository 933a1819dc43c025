// Package statefile remembers in a file which policies a program has installed:
// the [spd.PolicyStore] of a daemon that goes on after a crash where it was.
//
// The file is a journal of lines, one for each policy that comes or goes, so a
// change costs a line however many policies there are. It is written anew, and
// put in the place of the old one in one step, when it is opened and when most
// of it is of the past. A line that a crash has cut short is ignored: its policy
// was not installed yet.
//
// What it says survives a crash of the program, not one of the machine, and it
// need not: the kernel's policies do not survive that either. So nothing is
// forced out to the disk. The place for the file is a directory for the data of
// running programs, /run or /var/run.
package statefile
