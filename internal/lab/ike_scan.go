//go:build linux

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An IKEScan is what ike-scan saw of one target.
type IKEScan struct {
	Handshake string            // Main Mode, Aggressive Mode, IKEv2 SA_INIT; empty if there was none
	Notify    string            // such as NO-PROPOSAL-CHOSEN
	SA        map[string]string // the transform chosen: Enc, KeyLength, Hash, Group, Auth ...
	Payloads  []string          // the other payloads, as ike-scan prints them: KeyExchange(256 bytes), VID=... (XAUTH)

	// Answers are when answers came, since the first one, with --showbackoff. More
	// than one is the target's retransmission, as ike-scan sends no more by then.
	Answers []time.Duration
	Guess   string // of the implementation, by Answers

	Output string
}

var (
	scanHandshake = regexp.MustCompile(`(?m)^\S+\t(.+) Handshake returned`)
	scanNotify    = regexp.MustCompile(`(?m)^\S+\tNotify message \d+ \((.+)\)`)
	scanPayload   = regexp.MustCompile(`(?m)^\t(.+)$`)
	scanBackoff   = regexp.MustCompile(`(?m)^\S+\t\d+\t\d+\.\d+\t+(\d+\.\d+)$`)
	scanGuess     = regexp.MustCompile(`(?m)^\S+\tImplementation guess: (.+)$`)
)

// IKEScan runs ike-scan against a target, once and without retransmissions, from
// a port of the system's choice unless the arguments say --sport or --nat-t.
// (--trans=(1=7,14=128,2=4,3=1,4=14) is a transform by the numbers of its
// attributes, --aggressive the mode; see ike-scan(1).)
func (n *Namespace) IKEScan(target netip.Addr, args ...string) (IKEScan, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := n.Exec(ctx, "ike-scan", append(append([]string{"--multiline", "--nodns", "--sport=0", "--retry=1", "--timeout=5000"}, args...), target.String())...)
	return parseIKEScan(out), err
}

func parseIKEScan(out string) IKEScan {
	first := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(out); m != nil {
			return m[1]
		}
		return ""
	}
	s := IKEScan{Handshake: first(scanHandshake), Notify: first(scanNotify), Guess: first(scanGuess), SA: map[string]string{}, Output: out}
	for _, m := range scanPayload.FindAllStringSubmatch(out, -1) {
		sa, ok := strings.CutPrefix(m[1], "SA=(")
		if !ok {
			s.Payloads = append(s.Payloads, m[1])
			continue
		}
		for attribute := range strings.FieldsSeq(strings.TrimSuffix(sa, ")")) {
			key, value, _ := strings.Cut(attribute, "=")
			s.SA[key] = value
		}
	}
	var since float64
	for _, m := range scanBackoff.FindAllStringSubmatch(out, -1) {
		delta, _ := strconv.ParseFloat(m[1], 64)
		since += delta
		s.Answers = append(s.Answers, time.Duration(since*float64(time.Second)))
	}
	return s
}

// Has tells whether a payload contains the text.
func (s IKEScan) Has(text string) bool {
	for _, p := range s.Payloads {
		if strings.Contains(p, text) {
			return true
		}
	}
	return false
}

func (s IKEScan) String() string {
	return fmt.Sprintf("%s%s %v %q", s.Handshake, s.Notify, s.SA, s.Payloads)
}
