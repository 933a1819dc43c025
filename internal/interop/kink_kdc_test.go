//go:build linux

package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/lab"
	"github.com/racoon3/racoon/kink"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/spd"
)

// TestKINKKDC: two hosts whose tickets are from MIT's KDC and from Heimdal's,
// with each encryption type: tunnel and transport mode over ESP as an IP
// protocol, rekeys under traffic, and the other way round.
func TestKINKKDC(t *testing.T) {
	t.Parallel()
	for _, heimdal := range []bool{false, true} {
		for i, e := range krb.DefaultETypes() {
			mode := spd.ModeTunnel
			if i%2 == 1 != heimdal {
				mode = spd.ModeTransport
			}
			name := "MIT"
			if heimdal {
				name = "Heimdal"
			}
			t.Run(name+" "+e.String()+" "+mode.String(), func(t *testing.T) {
				t.Parallel()
				l := newKINK(t, lab.KDCConfig{Heimdal: heimdal, ETypes: []string{e.String()}}, mode)
				l.start()
				wire := l.a.Site.Sniff()
				s := l.up()
				require.Equal(t, e, l.ticket().Key.EType())
				first := s.ChildSAs()[0]
				require.Equal(t, mode, first.Mode)
				require.False(t, first.UDPEncap)
				l.underTraffic(func() {
					require.NoError(t, s.RekeyChild(l.a.within(), first.ID))
					old := l.ticket()
					require.NoError(t, s.Rekey(l.a.within()))
					require.False(t, old.Key.Equal(l.ticket().Key))
					require.NoError(t, s.RekeyChild(l.a.within(), s.ChildSAs()[0].ID))
				})
				waitEvent[ike.ChildRekeyed](l.b.host, 2)
				require.Equal(t, "17 50", onWire(wire))
				require.NotEqual(t, first.In, s.ChildSAs()[0].In)
				require.NoError(t, s.Delete(l.a.within()))
				l.b.until("the end", func() bool { return len(eventsOf[ike.SessionDown](l.b.host)) == 1 })
				require.Equal(t, ike.DownRemote, waitEvent[ike.SessionDown](l.b.host, 1).Reason)

				back := l.b.initiate(l.a.Site.Name) // the other way round
				l.reach()
				require.NoError(t, back.RekeyChild(l.b.within(), back.ChildSAs()[0].ID))
				l.reach()
				require.NoError(t, back.Delete(l.b.within()))
				l.b.until("no SA", func() bool { return len(l.a.plane.installed())+len(l.b.plane.installed()) == 0 })
			})
		}
	}
}

// A host crashes and starts again: its epoch tells the other one, which gives up
// its SAs and makes new ones.
func TestKINKRestart(t *testing.T) {
	t.Parallel()
	t.Run("it calls", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.start()
		l.up()
		l.reach()
		l.a.crash()
		l.a.start(t, &l.b)
		l.a.initiate(l.b.Site.Name)
		l.reach()
		down := waitEvent[ike.ChildDown](l.b.host, 1)
		require.ErrorIs(t, down.Err, kink.ErrPeerRestarted)
		require.Equal(t, ike.DownDead, down.Reason)
		require.Len(t, l.b.session().ChildSAs(), 1)
	})
	t.Run("it is called", func(t *testing.T) {
		t.Parallel()
		l := newKINK(t, lab.KDCConfig{}, spd.ModeTunnel)
		l.a.Peer.Start = racoon.StartAlways
		l.a.Peer.Backoff, l.a.Peer.Timing = 100*time.Millisecond, ike.Timing{Liveness: time.Second, OnDemand: true}
		l.start()
		l.b.session()
		waitEvent[ike.ChildUp](l.a.host, 1)
		l.reach()
		l.b.crash()
		l.b.start(t, &l.a)
		_, _ = l.a.Site.Ping(l.a.Site.Inner, l.b.Site.Inner, 1, 56) // nobody answers, so it looks what is the matter
		down := waitEvent[ike.ChildDown](l.a.host, 1)
		require.ErrorIs(t, down.Err, kink.ErrPeerRestarted)
		says(t, down.Err, "its epoch has changed")
		waitEvent[ike.ChildUp](l.a.host, 2)
		l.reach()
	})
}
