package xfrm

import "time"

// SetTimeout shortens how long a client waits for answers.
func SetTimeout(c *Client, d time.Duration) {
	c.lock <- struct{}{}
	c.timeout = d
	<-c.lock
}
