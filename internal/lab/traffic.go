//go:build linux

package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/internal/testhost"
)

// Ping sends count ICMP echo requests with size octets of data from an address of
// the namespace, 50 ms apart, and returns how many were answered; each waits a
// second at most. Extra arguments go to ping, such as "-M", "do".
func (n *Namespace) Ping(from, to netip.Addr, count, size int, args ...string) (answered int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(count)*50*time.Millisecond+testhost.Patience)
	defer cancel()
	args = append([]string{"-n", "-c", strconv.Itoa(count), "-i", "0.05", "-W", "1", "-s", strconv.Itoa(size), "-I", from.String()}, args...)
	out, err := n.Exec(ctx, "ping", append(args, to.String())...)
	// "3 packets transmitted, 3 received, 0% packet loss": status 1 when some are lost.
	_, stat, ok := strings.Cut(out, " transmitted, ")
	if !ok {
		return 0, err
	}
	_, err = fmt.Sscanf(stat, "%d received", &answered)
	return answered, err
}

// MustPing ends the test unless each of 3 pings is answered, each in 20 seconds.
func (n *Namespace) MustPing(from, to netip.Addr) {
	n.t.Helper()
	for i := range 3 {
		// Once it has an answer, ping waits for the others no longer than twice as
		// long as that one took, which a busy machine exceeds. So each is alone.
		if got, err := n.Ping(from, to, 1, 56, "-W", "20"); err != nil || got != 1 {
			n.t.Fatalf("lab: ping %d from %s %v to %v is not answered: %v", i+1, n.Name, from, to, err)
		}
	}
}

// Echo runs a TCP echo server at addr until the test ends.
func (n *Namespace) Echo(addr netip.AddrPort) {
	n.t.Helper()
	l := n.ListenTCP(addr)
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// Transfer sends size random octets over TCP to an [Namespace.Echo] server and
// compares what comes back: so both directions carry data at the same time. It
// gives up when ctx ends.
func (n *Namespace) Transfer(ctx context.Context, from netip.Addr, to netip.AddrPort, size int64) error {
	c, err := n.DialTCP(ctx, from, to)
	if err != nil {
		return fmt.Errorf("from %s: %w", n.Name, err)
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	sent, received := sha256.New(), sha256.New()
	sendErr := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.MultiWriter(c, sent), rand.Reader, size)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		sendErr <- err
	}()
	got, err := io.Copy(received, c)
	if e := <-sendErr; e != nil {
		return fmt.Errorf("from %s: sending: %w", n.Name, e)
	}
	if err != nil {
		return fmt.Errorf("from %s: after %d octets: %w", n.Name, got, err)
	}
	if got != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		return fmt.Errorf("from %s: sent %d octets, received %d, which differ", n.Name, size, got)
	}
	return nil
}

// Iperf is the result of a TCP run of iperf3.
type Iperf struct {
	BitsPerSecond float64 // as received
	Retransmits   int
}

// Iperf3 runs iperf3 for a duration from this namespace to another one, over TCP,
// between the two addresses. Extra arguments go to the client, such as "-R".
func (n *Namespace) Iperf3(from netip.Addr, server *Namespace, to netip.Addr, d time.Duration, args ...string) (Iperf, error) {
	n.t.Helper()
	srv := startProcess(n.t, server, "iperf3", tempDir(n.t), "exec iperf3 -s -1 --forceflush -B "+to.String())
	srv.WaitLog("Server listening", testhost.Patience)
	defer srv.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), d+testhost.Patience)
	defer cancel()
	args = append([]string{"-J", "-c", to.String(), "-B", from.String(), "-t", strconv.Itoa(max(1, int(d.Seconds())))}, args...)
	out, err := n.Exec(ctx, "iperf3", args...)
	if err != nil {
		return Iperf{}, err
	}
	var r struct {
		End struct {
			Sent     struct{ Retransmits int } `json:"sum_sent"`
			Received struct {
				BPS float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return Iperf{}, fmt.Errorf("iperf3: %w", err)
	}
	return Iperf{BitsPerSecond: r.End.Received.BPS, Retransmits: r.End.Sent.Retransmits}, nil
}
