// Package testhost is what tests need of the machine that they run on: programs
// as processes ([Process]), logs that are read while they are written ([Log]),
// folders for sockets ([Dir]), free ports ([Ports]), and a way to say what is
// missing ([Missing]).
//
// Whatever waits here waits for a condition, and gives up after [Patience].
package testhost
