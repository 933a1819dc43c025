//go:build freebsd || netbsd || openbsd || darwin

package pfkey

func forceBuffer(int) {}
