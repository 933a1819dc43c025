package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/racoon3/racoon/ikev2"
)

// A Report is what came of [Run].
type Report struct {
	Target      string  `json:"target"`
	Requested   int     `json:"requested"`
	Begun       int     `json:"begun"`
	Established int     `json:"established"`
	Failed      int     `json:"failed"`
	Elapsed     float64 `json:"elapsed_s"`  // from the first handshake to the end of the last
	Rate        float64 `json:"rate_per_s"` // handshakes established per second of it

	Latency     Latency `json:"latency_ms"`         // of handshakes: first message to established
	IKERekeys   Latency `json:"ike_rekey_ms"`       // of rekeys of IKE SAs
	ChildRekeys Latency `json:"child_rekey_ms"`     // of rekeys of Child SAs
	Deletes     int     `json:"deleted"`            // sessions that the responder let go
	Lost        int     `json:"lost"`               // sessions that ended by themselves after they were up
	Sent        uint64  `json:"datagrams_sent"`     //
	Received    uint64  `json:"datagrams_recvd"`    //
	Repeated    uint64  `json:"retransmissions"`    // requests sent again
	Generator   float64 `json:"generator_cpu_s"`    // processor time of the generator
	Overrun     bool    `json:"time_was_too_short"` // Config.Time ended the run

	// Failures counts what went wrong by kind.
	Failures map[string]int `json:"failures"`
}

// Latency summarises times in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// summarise sorts d.
func summarise(d []time.Duration) (l Latency) {
	if len(d) == 0 {
		return l
	}
	slices.Sort(d)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	at := func(percent int) float64 { return ms(d[min(len(d)*percent/100, len(d)-1)]) }
	var sum float64
	for _, v := range d {
		sum += ms(v)
	}
	return Latency{Count: len(d), Min: ms(d[0]), Mean: sum / float64(len(d)), P50: at(50), P90: at(90), P99: at(99), Max: ms(d[len(d)-1])}
}

func (l Latency) String() string {
	return fmt.Sprintf("min %.2f, mean %.2f, 50%% %.2f, 90%% %.2f, 99%% %.2f, max %.2f ms", l.Min, l.Mean, l.P50, l.P90, l.P99, l.Max)
}

// WriteText writes the report for a reader.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "target       %s\n", r.Target)
	fmt.Fprintf(&b, "handshakes   %d established, %d failed, of %d\n", r.Established, r.Failed, r.Requested)
	fmt.Fprintf(&b, "rate         %.1f a second, in %.2f s\n", r.Rate, r.Elapsed)
	if r.Latency.Count > 0 {
		fmt.Fprintf(&b, "latency      %v\n", r.Latency)
	}
	for _, k := range []struct {
		name string
		l    Latency
	}{{"IKE rekeys", r.IKERekeys}, {"Child rekeys", r.ChildRekeys}} {
		if k.l.Count > 0 {
			fmt.Fprintf(&b, "%-12s %d: %v\n", k.name, k.l.Count, k.l)
		}
	}
	if r.Deletes+r.Lost > 0 {
		fmt.Fprintf(&b, "sessions     %d deleted, %d lost\n", r.Deletes, r.Lost)
	}
	fmt.Fprintf(&b, "datagrams    %d sent, %d received, %d requests repeated\n", r.Sent, r.Received, r.Repeated)
	fmt.Fprintf(&b, "generator    %.2f s of processor time\n", r.Generator)
	for _, kind := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(&b, "failure      %d times: %s\n", r.Failures[kind], kind)
	}
	if r.Overrun {
		b.WriteString("note         the time was over before all handshakes had begun\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes a report of any kind for a program.
func WriteJSON(w io.Writer, report any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(report)
}

// maxKinds bounds how many kinds of failures a report tells apart.
const maxKinds = 50

// kindOf names the kind of a failure, without what differs from one handshake
// to the next.
func kindOf(err error) string {
	if err == nil {
		return "ended without a reason"
	}
	if t, ok := errors.AsType[*ikev2.TimeoutError](err); ok {
		return fmt.Sprintf("no answer to %v", t.Exchange)
	}
	if n, ok := errors.AsType[*ikev2.NotifyError](err); ok {
		return fmt.Sprintf("%v in %v", n.Type, n.Exchange)
	}
	if p, ok := errors.AsType[*ikev2.ProtocolError](err); ok {
		return clip(p.Error())
	}
	return clip(err.Error())
}

func clip(s string) string {
	const most = 160
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// failures counts by kind.
type failures map[string]int

func (f failures) add(kind string) {
	if _, known := f[kind]; !known && len(f) >= maxKinds {
		kind = "other"
	}
	f[kind]++
}
