//go:build linux || darwin || freebsd || netbsd || openbsd

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// askPassword asks at the terminal, and shows nothing of what is typed.
func askPassword(prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.New("there is no terminal to ask at; use -password-file")
	}
	defer tty.Close()
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, setTermios, &silent); err != nil {
		return nil, err
	}
	restore := func() {
		unix.IoctlSetTermios(fd, setTermios, before)
		fmt.Fprintln(tty)
	}
	// An interrupt must not leave the terminal silent.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	fmt.Fprint(tty, prompt)
	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := bufio.NewReaderSize(tty, maxPassword+2).ReadBytes('\n')
		typed <- line{text, err}
	}()
	defer restore()
	select {
	case l := <-typed:
		return l.text, l.err
	case <-interrupted:
		return nil, errors.New("interrupted")
	}
}
