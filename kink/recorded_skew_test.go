package kink

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/kink/krb"
	"github.com/racoon3/racoon/kink/message"
	"github.com/racoon3/racoon/spd"
)

// recordedSkew is the recording of two kinkds whose clocks differ by 20 minutes:
// CREATE, REPLY with KRB_AP_ERR_SKEW, CREATE, REPLY. b's clock is ahead.
func recordedSkew(t *testing.T) (all []pcap.Datagram, keytab *krb.Keytab, from *krb.Accepted) {
	packets, err := pcap.ReadFile("krb/testdata/kinkd/kink-krberror-skew.pcap")
	require.NoError(t, err)
	file, err := os.ReadFile("krb/testdata/kinkd/b-aes256.keytab")
	require.NoError(t, err)
	keytab, err = krb.ParseKeytab(file)
	require.NoError(t, err)
	for d := range pcap.UDP(packets) {
		if d.Dst.Port() == message.Port {
			all = append(all, d)
		}
	}
	require.Len(t, all, 4)
	m, err := message.Parse(all[0].Payload)
	require.NoError(t, err)
	req, err := krb.ParseAPReq(m.APReq().Data)
	require.NoError(t, err)
	acceptor := krb.Acceptor{Keys: keytab, Skew: 24 * time.Hour}
	from, err = acceptor.Accept(all[0].Time, all[0].Src.Addr(), req)
	require.NoError(t, err)
	return all, keytab, from
}

const recordedAhead = 20 * time.Minute

// Our responder in b's place, with b's clock: the first command is answered with
// the protected error, the second one, with the time corrected, is served.
func TestRecordedSkewResponder(t *testing.T) {
	all, keytab, from := recordedSkew(t)
	plane := spd.NewMemory(spd.MemoryConfig{})
	e, err := NewEndpoint(Config{Rand: rand.Reader, DataPlane: plane, Tag: 1, Started: from.Stamp.Time().Add(-time.Minute),
		Kerberos: keytabOnly{keytab, krb.Principal{Name: "kink/b.example.com", Realm: realm}}})
	require.NoError(t, err)
	p := peerOf("a", "kink/a.example.com", spd.MustParseTrafficSelector("10.1.0.2/32"), spd.MustParseTrafficSelector("10.1.0.1/32"), "aes128-sha1-noesn")
	p.Children[0].Mode, p.Racoon2 = spd.ModeTransport, true
	ps, err := NewPeerSet([]*Peer{p})
	require.NoError(t, err)
	e.SetPeers(ps)
	for i, d := range []pcap.Datagram{all[0], all[2]} {
		now := from.Stamp.Time().Add(recordedAhead)
		e.HandleDatagram(now, ike.Path{Local: d.Dst, Remote: d.Src}, d.Payload)
		for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
			e.HandleResult(now, j.Do(t.Context()))
		}
		tx, ok := e.PollTransmit()
		require.True(t, ok)
		m, err := message.Parse(tx.Packet)
		require.NoError(t, err)
		require.EqualValues(t, i, m.Header.XID)
		require.NoError(t, m.Verify(from.Key))
		inner, err := m.Open(from.Key)
		require.NoError(t, err)
		if i == 1 {
			require.NotNil(t, inner.ISAKMP())
			break
		}
		require.NotNil(t, m.APRep(), "it is protected")
		ours, err := krb.ParseKRBError(inner.KRBError().Data)
		require.NoError(t, err)
		// The same as kinkd's, but for its text.
		r, err := message.Parse(all[1].Payload)
		require.NoError(t, err)
		inner, err = r.Open(from.Key)
		require.NoError(t, err)
		theirs, err := krb.ParseKRBError(inner.KRBError().Data)
		require.NoError(t, err)
		require.Equal(t, krb.APErrSkew, ours.Code)
		require.Equal(t, theirs.Code, ours.Code)
		require.Equal(t, theirs.ClientTime, ours.ClientTime)
		require.Equal(t, theirs.Server, ours.Server)
		require.WithinDuration(t, theirs.ServerTime.Time(), ours.ServerTime.Time(), time.Second)
	}
	require.Len(t, plane.SAs(), 2)
}

// oneTicket is a host with a ticket of its own.
type oneTicket struct {
	keytabOnly
	ticket *krb.Ticket
}

func (k oneTicket) ServiceTicket(context.Context, time.Time, krb.Principal, krb.TicketOptions) (*krb.Ticket, error) {
	return k.ticket, nil
}

// xidsFirst is randomness whose four octets are XIDs from 0 on, as kinkd's are.
type xidsFirst struct{ next byte }

func (x *xidsFirst) Read(b []byte) (int, error) {
	if len(b) != 4 {
		return rand.Read(b)
	}
	copy(b, []byte{0, 0, 0, x.next})
	x.next++
	return 4, nil
}

// Our initiator in a's place, with a's clock and ticket, is answered with what was
// recorded: it corrects the time, to the second, and begins anew; the second answer
// is for the authenticator that it then has.
func TestRecordedSkewInitiator(t *testing.T) {
	all, keytab, from := recordedSkew(t)
	plane := spd.NewMemory(spd.MemoryConfig{})
	me, peer := krb.Principal{Name: "kink/a.example.com", Realm: realm}, krb.Principal{Name: "kink/b.example.com", Realm: realm}
	now := from.Stamp.Time()
	// The ticket's octets do not matter to whoever answers from a recording.
	raw, err := (&krb.Issue{Client: me, Server: peer, Session: from.Key, AuthTime: now, StartTime: now.Add(-time.Minute), EndTime: from.EndTime, Seal: from.Key}).Ticket(rand.Reader)
	require.NoError(t, err)
	e, err := NewEndpoint(Config{Rand: &xidsFirst{}, DataPlane: plane, Tag: 1, Started: now.Add(-time.Minute), Kerberos: oneTicket{keytabOnly{keytab, me}, raw}})
	require.NoError(t, err)
	p := peerOf("b", "kink/b.example.com", spd.MustParseTrafficSelector("10.1.0.1/32"), spd.MustParseTrafficSelector("10.1.0.2/32"), "aes128-sha1-noesn")
	p.Children[0].Mode, p.Children[0].Lifetime, p.Racoon2, p.Tickets = spd.ModeTransport, time.Hour, true, TicketIgnored
	ps, err := NewPeerSet([]*Peer{p})
	require.NoError(t, err)
	e.SetPeers(ps)
	_, err = e.Initiate(now, Initiation{Peer: p, Path: ike.Path{Local: all[0].Src, Remote: all[0].Dst}})
	require.NoError(t, err)
	var sent []*message.Message
	var stamps []krb.Stamp
	work := func() {
		for j, ok := e.PollJob(); ok; j, ok = e.PollJob() {
			e.HandleResult(now, j.Do(t.Context()))
		}
		for tx, ok := e.PollTransmit(); ok; tx, ok = e.PollTransmit() {
			m, err := message.Parse(bytes.Clone(tx.Packet))
			require.NoError(t, err)
			req, err := krb.ParseAPReq(m.APReq().Data)
			require.NoError(t, err)
			acceptor := krb.Acceptor{Keys: oneKey{from.Key}, Skew: 24 * time.Hour}
			got, err := acceptor.Accept(now, all[0].Src.Addr(), req)
			require.NoError(t, err)
			sent, stamps = append(sent, m), append(stamps, got.Stamp)
		}
	}
	work()
	now = now.Add(time.Microsecond) // kinkd makes every authenticator's time another one, so
	for _, d := range []pcap.Datagram{all[1], all[3]} {
		e.HandleDatagram(now, ike.Path{Local: d.Dst, Remote: d.Src}, d.Payload)
		work()
	}
	require.Len(t, sent, 2)
	require.Equal(t, []uint32{0, 1}, []uint32{sent[0].Header.XID, sent[1].Header.XID})
	require.Equal(t, krb.StampOf(from.Stamp.Time().Add(recordedAhead+time.Microsecond)), stamps[1])
	var up []ike.ChildUp
	for ev, ok := e.PollEvent(); ok; ev, ok = e.PollEvent() {
		if c, is := ev.(ike.ChildUp); is {
			up = append(up, c)
		}
	}
	require.Len(t, up, 1)
	require.EqualValues(t, 0x0e0cd871, up[0].Child.Out)
	require.Len(t, plane.SAs(), 2)
}

// oneKey opens every ticket with one key.
type oneKey struct{ key *krb.Key }

func (k oneKey) ServiceKeys(krb.Principal, krb.EType, uint32) ([]*krb.Key, error) {
	return []*krb.Key{k.key}, nil
}
