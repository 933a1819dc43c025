//go:build linux

package interop

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/spd"
)

// A keyedSA is what both sides of an SA must agree on. A peer without a data
// plane gives it to a pretended kernel, we give it to ours.
type keyedSA struct {
	spi       uint32
	inbound   bool // at our side
	encrypt   string
	integrity string
}

func (k keyedSA) String() string {
	return fmt.Sprintf("SPI %08x, inbound %v, encryption %x, integrity %x\n", k.spi, k.inbound, k.encrypt, k.integrity)
}

// ourKeys are the SAs in use of the only session.
func (h *host) ourKeys() []keyedSA {
	var out []keyedSA
	all := h.plane.installed()
	for s := range h.Sessions() {
		for _, c := range s.ChildSAs() {
			for _, sa := range all {
				if sa.Direction == spd.In && sa.SPI == c.In || sa.Direction == spd.Out && sa.SPI == c.Out {
					out = append(out, keyedSA{uint32(sa.SPI), sa.Direction == spd.In, string(sa.EncrKey), string(sa.IntegKey)})
				}
			}
		}
	}
	return sortKeyed(out)
}

// peerKeys are the SAs that a peer has installed and not deleted.
func peerKeys(sas []lab.InstalledSA, ourAddr netip.Addr) []keyedSA {
	var out []keyedSA
	for _, sa := range sas {
		if !sa.Deleted {
			out = append(out, keyedSA{sa.SPI, sa.Dst == ourAddr, string(sa.EncKey), string(sa.AuthKey)})
		}
	}
	return sortKeyed(out)
}

func sortKeyed(sas []keyedSA) []keyedSA {
	slices.SortFunc(sas, func(a, b keyedSA) int { return cmp.Compare(a.spi, b.spi) })
	return sas
}

// sameKeys waits until both sides have n Child SAs with the same SPIs and keys.
func (h *host) sameKeys(n int, theirs func() []lab.InstalledSA) {
	h.t.Helper()
	var x, y []keyedSA
	defer func() {
		if h.t.Failed() {
			h.t.Logf("ours:\n%v\ntheirs:\n%v", x, y)
		}
	}()
	h.until("the same SPIs and keys on both sides", func() bool {
		x, y = h.ourKeys(), peerKeys(theirs(), h.site.Outer)
		return len(x) == 2*n && slices.Equal(x, y)
	})
}

// A pair is a network with our side at a and another peer at b, as a swan is one
// with strongSwan.
type pair struct {
	*host
	a, b *lab.Site
	Host hostConfig
	Peer racoon.Peer
}

func newPair(t *testing.T, needs ...lab.Need) *pair {
	lab.Require(t, needs...)
	a, b := lab.NewPair(t)
	return &pair{a: a, b: b, Peer: racoon.Peer{
		Name: "peer", Remote: b.Outer.String(), LocalID: "a.lab", RemoteID: "b.lab", PSK: []byte(psk),
		Children: []racoon.Child{{Name: "net", Local: []string{a.InnerNet.String()}, Remote: []string{b.InnerNet.String()}}},
	}}
}

func (p *pair) start(t *testing.T) {
	t.Helper()
	p.Host.Peers = append(p.Host.Peers, p.Peer)
	p.host = startHost(t, p.a, p.Host)
	p.routeTo(p.b.InnerNet, p.a.Inner)
}
