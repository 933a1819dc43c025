// Package daemon is what iked and kinkd share: a Manager with the data plane,
// the sockets, the log, the hooks and the capture that a configuration file
// (package conf) names, for as long as a service manager wants it.
//
//	func main() { os.Exit(daemon.Main(daemon.Program{Name: "iked"})) }
//
// [Program.Run] is the whole of it, for tests and for embedding: command line,
// environment and signals come as arguments.
//
// # From start to end
//
//	options       options.go     the command line
//	configuration program.go     conf.Load; -check ends here, before anything is opened
//	log           log.go         text or JSON, to standard error or a file
//	process ID    pidfile.go     a live daemon's file is refused, a dead one's replaced
//	data plane    dataplane.go   kernel or userspace ESP, with what a predecessor has left (stale.go)
//	network       userspace.go   TUN device, addresses and routes; interfaces.go for XFRM interfaces
//	policies      policies.go    [policy.NAME]
//	serving       daemon.go      Manager, control socket, hooks, notifications (notify.go)
//	reload        reload.go      SIGHUP, or the control socket
//	end           daemon.go      in the reverse order, within a bound
package daemon
