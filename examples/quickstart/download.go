package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

const greeting = "Hello from behind the gateway.\n"

// checksum is the trailer after a download, which nobody can know before.
const checksum = "X-Sha256"

// site is the web server behind the gateway: a page at /, and at /stream
// random data that go on until enough is called.
type site struct {
	server http.Server
	stop   chan struct{}
}

func newSite() *site {
	s := &site{stop: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, greeting) })
	mux.HandleFunc("GET /stream", s.stream)
	s.server = http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return s
}

func (s *site) enough() { close(s.stop) }

func (s *site) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", checksum)
	source, sum := rand.NewChaCha8([32]byte{}), sha256.New()
	block := make([]byte, 64<<10)
	for {
		source.Read(block)
		sum.Write(block)
		if _, err := w.Write(block); err != nil {
			return
		}
		select {
		case <-s.stop:
			w.Header().Set(checksum, fmt.Sprintf("%x", sum.Sum(nil)))
			return
		case <-r.Context().Done():
			return
		default:
		}
	}
}

// fetchPage gets the page and compares it.
func fetchPage(ctx context.Context, client *http.Client, url string) error {
	body, _, err := get(ctx, client, url, nil)
	if err == nil && !bytes.Equal(body, []byte(greeting)) {
		err = fmt.Errorf("the page reads %q instead of %q", body, greeting)
	}
	return err
}

// get fetches a URL: into a writer, or without one into memory.
func get(ctx context.Context, client *http.Client, url string, to io.Writer) (body []byte, trailer http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	if to == nil {
		body, err = io.ReadAll(resp.Body)
	} else {
		_, err = io.Copy(to, resp.Body)
	}
	return body, resp.Trailer, err
}

// download is a stream on its way.
type download struct {
	received atomic.Uint64
	moved    chan struct{} // has a token when received has grown
	done     chan struct{}
	sum      string // after done
	err      error
}

func startDownload(ctx context.Context, client *http.Client, url string) *download {
	d := &download{moved: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(d.done)
		sum := sha256.New()
		_, trailer, err := get(ctx, client, url, io.MultiWriter(sum, (*progress)(d)))
		d.sum, d.err = fmt.Sprintf("%x", sum.Sum(nil)), err
		if want := trailer.Get(checksum); err == nil && want != d.sum {
			d.err = fmt.Errorf("what arrived has the SHA-256 sum %s, what was sent has %q", d.sum, want)
		}
	}()
	return d
}

// progress counts what a download has received.
type progress download

func (p *progress) Write(b []byte) (int, error) {
	p.received.Add(uint64(len(b)))
	select {
	case p.moved <- struct{}{}:
	default:
	}
	return len(b), nil
}

// more waits until n more octets have arrived.
func (d *download) more(ctx context.Context, n uint64) error {
	for want := d.received.Load() + n; d.received.Load() < want; {
		select {
		case <-d.moved:
		case <-d.done:
			return errors.Join(errors.New("the download ended too early"), d.err)
		case <-ctx.Done():
			return fmt.Errorf("the download stands still at %s: %w", size(d.received.Load()), context.Cause(ctx))
		}
	}
	return nil
}

func size(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
