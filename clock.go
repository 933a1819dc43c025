package racoon

import "time"

// clock is the Manager's only source of time: the cores are told what time it
// is. Under testing/synctest it is the bubble's virtual time.
func clock() time.Time { return time.Now() }
