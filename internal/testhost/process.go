package testhost

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// A Process is a program that runs beside a test, and ends with it.
type Process struct {
	Cmd  *exec.Cmd     // its Wait is called here
	Log  *Log          // of what it writes to standard output and standard error
	Done chan struct{} // closed at its end

	t testing.TB
}

// Start starts a command, whose output goes to a log; several may share one.
func Start(t testing.TB, cmd *exec.Cmd, log *Log) *Process {
	t.Helper()
	p := &Process{Log: log, Done: make(chan struct{}), t: t, Cmd: cmd}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // its status is in cmd
		close(p.Done)
	}()
	t.Cleanup(p.Kill)
	return p
}

// Await waits until a text is in the log n times; see [Log.Await].
func (p *Process) Await(text string, n int) {
	p.t.Helper()
	p.Log.Await(p.t, text, n, p.Done)
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%q: %v", p.Cmd.Args, err)
	}
}

// Wait waits for the end and returns the exit status.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.Done:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		p.t.Fatalf("%q does not end", p.Cmd.Args)
		return 0
	}
}

// Stop ends the program with a signal, as a user or an init system does, and wants
// it to end in order.
func (p *Process) Stop(s os.Signal) {
	p.t.Helper()
	p.Signal(s)
	if status := p.Wait(); status != 0 {
		p.t.Fatalf("%q has ended with %d", p.Cmd.Args, status)
	}
}

// Kill ends the program without a word.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Done
}
