//go:build !linux

package racoon

// batchScratch is empty where datagrams are sent one at a time.
type batchScratch struct{}
