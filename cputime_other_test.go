//go:build !unix

package racoon

func cpuTime() int64 { return 0 }
