package kink

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// Why the program refuses a peer is its own affair, however long it says so.
func TestRefusalKeepsReason(t *testing.T) {
	reason := strings.Repeat("user 4711 is not in the group; ", 3000)
	p := newPair(t, peerOf("b", nameB, netA, netB), peerOf("a", nameA, netB, netA), func(_, b *Config) {
		b.Authorize = func(context.Context, ike.AuthorizeRequest) error { return errors.New(reason) }
	})
	p.initiate()
	failed := find[ike.SessionFailed](p.evA)
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed[0].Err, "AUTHENTICATION-FAILED")
	require.NotContains(t, failed[0].Err.Error(), "4711")
	require.ErrorContains(t, find[ike.SessionFailed](p.evB)[0].Err, "4711")
}

// An ACK that is asked for is sent, whatever is wrong with the answer (RFC 4430
// 3.2).
func TestAckOfBadAnswer(t *testing.T) {
	p := plainPair(t)
	d := newDouble(p, func(c *command) {
		switch c.m.Header.Type {
		case message.Create:
			c.reply(true, c.sa(func(q *isakmp.Proposal) {
				q.Transforms[0].Attributes = isakmp.AppendLifetime(nil, spd.ProtoESP, isakmp.Lifetime{Seconds: 1 << 30})
			}))
		case message.Delete:
			c.reply(false)
		}
	})
	p.initiate()
	require.Contains(t, d.types(), message.Ack)
	require.Empty(t, find[ike.ChildUp](p.evA))
}

// An error that is not known means that all has failed (RFC 4430 5.5).
func TestUnknownErrorInAnswer(t *testing.T) {
	p := plainPair(t)
	newDouble(p, func(c *command) {
		if c.m.Header.Type == message.Create {
			c.reply(false, c.sa(nil, &isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: 9999}))
			return
		}
		c.reply(false)
	})
	p.initiate()
	require.Empty(t, find[ike.ChildUp](p.evA))
	require.Len(t, find[ike.SessionFailed](p.evA), 1)
}

// What a responder says to Quick Mode payloads that it cannot read (RFC 4430
// 4.2.8, 5.5).
func TestUnreadablePayloads(t *testing.T) {
	hash, err := message.NewISAKMP(&isakmp.HASH{Data: make([]byte, 20)})
	require.NoError(t, err)
	other, err := message.NewISAKMP(&isakmp.Delete{DOI: 2, Protocol: spd.ProtoESP, SPISize: 4, SPIs: []byte{1, 2, 3, 4}})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		send *message.ISAKMP
		code message.ErrorCode
		is   isakmp.NotifyType
		data string
	}{
		"version": {&message.ISAKMP{First: isakmp.PayloadNonce, Version: 0x20, Chain: []byte{0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8}}, message.BadQMVers, 0, ""},
		"DOI":     {other, message.InvDOI, 0, ""},
		"HASH":    {hash, 0, isakmp.NotifyInvalidPayloadType, string([]byte{byte(isakmp.PayloadHASH)})},
	} {
		t.Run(name, func(t *testing.T) {
			p := plainPair(t)
			ticket, err := p.ka.ServiceTicket(t.Context(), p.now, krb.Principal{Name: nameB, Realm: realm}, krb.TicketOptions{})
			require.NoError(t, err)
			b, err := p.a.request(message.Header{Type: message.Create, XID: 7}, ticket, krb.StampOf(p.now), []message.Payload{c.send})
			require.NoError(t, err)
			p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: addrA}, b)
			for j, ok := p.b.PollJob(); ok; j, ok = p.b.PollJob() {
				p.b.HandleResult(p.now, j.Do(t.Context()))
			}
			tx, ok := p.b.PollTransmit()
			require.True(t, ok)
			m, err := message.Parse(tx.Packet)
			require.NoError(t, err)
			ps, err := m.Open(ticket.Key)
			require.NoError(t, err)
			if c.code != 0 {
				require.NotNil(t, ps.Error())
				require.Equal(t, c.code, ps.Error().Code)
				return
			}
			qm, err := ps.ISAKMP().Payloads()
			require.NoError(t, err)
			n := qm.ErrorNotify()
			require.NotNil(t, n)
			require.Equal(t, c.is, n.Type)
			require.Equal(t, c.data, string(n.Data))
		})
	}
}

// A NAT that keeps the port shows in transport mode: the hosts are not where they
// say they are.
func TestNATInTransportMode(t *testing.T) {
	own, other := spd.FromAddr(addrA.Addr()), spd.FromAddr(addrB.Addr())
	a, b := peerOf("b", nameB, own, other), peerOf("a", nameA, other, own)
	for _, p := range []*Peer{a, b} {
		c := p.Children[0]
		c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = spd.ModeTransport, nil, nil, true, true
	}
	b.Children[0].Remote, b.Children[0].RemoteDynamic = []spd.TrafficSelector{spd.AnyIPv4}, false
	p := newPair(t, a, b, nil)
	seen := netip.MustParseAddrPort("203.0.113.9:910")
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if from == p.a {
			p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: seen}, tx.Packet)
		} else {
			p.a.HandleDatagram(p.now, pathAB(), tx.Packet)
		}
		return false
	}
	p.initiate()
	p.advance(time.Second)
	require.Empty(t, find[ike.ChildUp](p.evB))
	failed := find[ike.SessionFailed](p.evA)
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed[0].Err, "NAT")
}
