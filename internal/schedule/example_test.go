package schedule_test

import (
	"fmt"
	"time"

	"github.com/racoon3/racoon/internal/schedule"
)

type ikeSA struct {
	name       string
	retransmit schedule.Timer[*ikeSA]
	liveness   schedule.Timer[*ikeSA]
}

func Example() {
	var q schedule.Queue[*ikeSA]
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

	sa := &ikeSA{name: "office"}
	sa.retransmit.Owner, sa.liveness.Owner = sa, sa
	q.Set(&sa.retransmit, now.Add(time.Second))
	q.Set(&sa.liveness, now.Add(30*time.Second))
	q.Set(&sa.liveness, now.Add(60*time.Second)) // a sign of life: later

	for {
		var ok bool
		if now, ok = q.Next(); !ok {
			break
		}
		for t, ok := q.Pop(now); ok; t, ok = q.Pop(now) {
			switch sa := t.Owner; t {
			case &sa.retransmit:
				fmt.Println(now.Format(time.TimeOnly), sa.name, "retransmit")
			case &sa.liveness:
				fmt.Println(now.Format(time.TimeOnly), sa.name, "liveness")
			}
		}
	}
	// Output:
	// 12:00:01 office retransmit
	// 12:01:00 office liveness
}
