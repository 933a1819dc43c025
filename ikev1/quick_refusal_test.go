package ikev1

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

func TestChildLimit(t *testing.T) {
	var many []spd.TrafficSelector
	for i := range 10 {
		many = append(many, selectors(fmt.Sprintf("10.2.%d.0/24", i))...)
	}
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	a.Children[0].Remote, b.Children[0].Local, b.Children[0].Remote = many, many, a.Children[0].Local
	p := newPair(t, a, b, func(_, b *Config) { b.Limits.Children = 4 })
	p.initiate()
	require.Equal(t, 4, only(t, p.b).Children.Len())
	require.Len(t, find[ike.ChildFailed](p.evA), 6)
	require.ErrorContains(t, find[ike.ChildFailed](p.evB)[0].Err, "limit of 4 Child SAs")
	p.rekey(p.a) // a successor has room
	p.run()
	require.Len(t, find[ike.ChildRekeyed](p.evB), 1)
}

// rawQuick sends a Quick Mode of its own making as A.
type rawQuick struct{ got []*inbound }

func (*rawQuick) hash(x *exchange, covered []byte) secret.Bytes { return nil }
func (r *rawQuick) receive(_ time.Time, x *exchange, m *inbound) {
	r.got = append(r.got, m)
}
func (*rawQuick) abort(time.Time, *exchange, error) {}

// quick sends a first message of Quick Mode with these payloads after HASH.
func (p *pair) quick(payloads ...isakmp.Payload) {
	sa := only(p.t, p.a).current
	x, err := sa.newExchange(isakmp.ExchangeQuickMode, &rawQuick{})
	require.NoError(p.t, err)
	x.send(p.now, x.messageHash, payloads...)
	p.run()
	x.fail(p.now, errGone)
}

// C07: identities, proposals and protocols of Quick Mode that make no sense are
// refused, with an explanation.
func TestC07_QuickModeNonsense(t *testing.T) {
	p := childPair(t, nil)
	p.initiate()
	s := only(t, p.a)
	policy := s.policyOf(s.current, s.peer.Children[0])
	good, err := policy.Offer(dh.None, quickmode.SPIs{spd.ProtoESP: 0x1000})
	require.NoError(t, err)
	edit := func(f func(sa *isakmp.SA)) *isakmp.SA {
		c, err := policy.Offer(dh.None, quickmode.SPIs{spd.ProtoESP: 0x1000})
		require.NoError(t, err)
		f(c)
		return c
	}
	nonce := &isakmp.Nonce{Data: bytes.Repeat([]byte{1}, 16)}
	idci, _ := isakmp.NewSelectorID(selectors("10.1.0.0/16")[0])
	idcr, _ := isakmp.NewSelectorID(selectors("10.2.0.0/16")[0])
	id := func(t isakmp.IDType, data string) *isakmp.ID { return &isakmp.ID{Type: t, Data: []byte(data)} }
	for name, c := range map[string]struct {
		payloads []isakmp.Payload
		why      string
	}{
		"FQDN in IDcr":          {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDFQDN, "b.example")}, "INVALID-ID-INFORMATION"},
		"FQDN in IDci":          {[]isakmp.Payload{good, nonce, id(isakmp.IDFQDN, "a.example"), &idcr}, "INVALID-ID-INFORMATION"},
		"key ID":                {[]isakmp.Payload{good, nonce, id(isakmp.IDKeyID, "a"), id(isakmp.IDKeyID, "b")}, "INVALID-ID-INFORMATION"},
		"mask with a hole":      {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDIPv4AddrSubnet, "\x0a\x02\x00\x00\xff\x00\xff\x00")}, "INVALID-ID-INFORMATION"},
		"reversed range":        {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDIPv4AddrRange, "\x0a\x02\x00\x09\x0a\x02\x00\x01")}, "INVALID-ID-INFORMATION"},
		"families mixed":        {[]isakmp.Payload{good, nonce, &idci, id(isakmp.IDIPv6Addr, string(make([]byte, 16)))}, "INVALID-ID-INFORMATION"},
		"no nonce":              {[]isakmp.Payload{good, &idci, &idcr}, "NONCE"},
		"no SA":                 {[]isakmp.Payload{nonce, &idci, &idcr}, "SA"},
		"two SAs":               {[]isakmp.Payload{good, good, nonce, &idci, &idcr}, "2 SA payloads"},
		"KE without a group":    {[]isakmp.Payload{good, nonce, &isakmp.KE{Data: make([]byte, 64)}, &idci, &idcr}, "KE"},
		"another DOI":           {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.DOI = 9; sa.Situation = 1 }), nonce, &idci, &idcr}, ""},
		"SPI 0":                 {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].SPI = make([]byte, 4) }), nonce, &idci, &idcr}, "SPI"},
		"SPI of 8 octets":       {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].SPI = make([]byte, 8) }), nonce, &idci, &idcr}, "SPI"},
		"AH for ESP":            {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Protocol = spd.ProtoAH }), nonce, &idci, &idcr}, "Protocols"},
		"protocol 0":            {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Protocol = 0 }), nonce, &idci, &idcr}, ""},
		"AES-GMAC with 0 key":   {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Transforms[0].ID = uint8(isakmp.ESPNullAuthAESGMAC) }), nonce, &idci, &idcr}, ""},
		"no transform":          {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Proposals[0].Transforms = nil }), nonce, &idci, &idcr}, ""},
		"another situation":     {[]isakmp.Payload{edit(func(sa *isakmp.SA) { sa.Situation = 2 }), nonce, &idci, &idcr}, ""},
		"one identity only":     {[]isakmp.Payload{good, nonce, &idci}, ""},
		"selectors of nobody's": {[]isakmp.Payload{good, nonce, id(isakmp.IDIPv4Addr, "\x0b\x00\x00\x01"), &idcr}, "no common traffic"},
	} {
		p.evA, p.evB = nil, nil
		p.quick(c.payloads...)
		failed := find[ike.ChildFailed](p.evB)
		if len(failed) == 1 {
			require.ErrorContains(t, failed[0].Err, c.why, name)
		} else {
			require.Empty(t, c.why, name)
		}
		require.Len(t, only(t, p.b).Children.All(), 1, name)
		require.Empty(t, p.pb.Larval(), name)
		require.Empty(t, find[ike.SessionDown](p.evB), name)
	}
	p.delivers(inner)
}

// An answer without the KE that its group needs, and one with a KE for which
// there is no group, is refused by the initiator.
func TestQuickModeAnswerWithOtherKE(t *testing.T) {
	for _, pfs := range []bool{true, false} {
		p := childPair(t, func(a, b *Peer) {
			if pfs {
				a.Children[0].Proposals = proposals(spd.ProtoESP, "aes128gcm16-ecp256")
				b.Children[0].Proposals = a.Children[0].Proposals
			}
		})
		spoiled := false
		p.hold = func(of *Endpoint, j ike.Job) bool {
			if of == p.b && j.Kind == ike.JobInstall {
				for _, x := range only(t, p.b).current.exchanges {
					if q, ok := x.of.(*quickMode); ok && pfs { // answer() goes by the group
						q.group, spoiled = dh.None, true
					} else if ok {
						q.group, q.keyShare.Public, spoiled = dh.ECP256, make([]byte, 64), true
					}
				}
			}
			return false
		}
		p.initiate()
		require.True(t, spoiled)
		failed := find[ike.ChildFailed](p.evA)
		require.Len(t, failed, 1)
		require.ErrorContains(t, failed[0].Err, "KE payload")
		require.Empty(t, find[ike.ChildUp](p.evA))
		require.Empty(t, only(t, p.a).Children.All())
	}
}

// A refusal is taken for the Quick Mode that it names.
func TestRefusalBySPI(t *testing.T) {
	p := childPair(t, func(a, b *Peer) {
		c := *a.Children[0]
		c.Name, c.Remote = "other", selectors("10.9.0.0/16")
		a.Children = append(a.Children, &c)
	})
	p.initiate()
	p.agree(1)
	failed := find[ike.ChildFailed](p.evA)
	require.Len(t, failed, 1)
	require.Equal(t, "other", failed[0].Name)
	var n *NotifyError
	require.True(t, errors.As(failed[0].Err, &n))
	require.Equal(t, isakmp.NotifyInvalidIDInformation, n.Type)
	require.Contains(t, n.Error(), "10.9.0.0/16")
	require.Empty(t, p.pa.Larval())

	// Without an SPI it may be for any: those that stand do not suffer.
	p = childPair(t, func(a, b *Peer) {
		for _, name := range []string{"second", "third"} {
			c := *a.Children[0]
			c.Name, c.Remote = name, selectors("10.9.0.0/16")
			a.Children = append(a.Children, &c)
		}
	})
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		for _, sa := range p.b.sas {
			if from == p.b && isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeInformational && tx.Packet[19] == 1 && !bytes.Contains(tx.Packet, []byte("mine")) {
				sa.sendNotifyWithoutSPI(p)
				return false
			}
		}
		return true
	}
	p.initiate()
	p.advance(10 * time.Second)
	p.agree(1)
	require.Len(t, find[ike.ChildFailed](p.evA), 2)
	for _, f := range find[ike.ChildFailed](p.evA) {
		require.True(t, errors.As(f.Err, &n), "%v", f.Err)
		require.Equal(t, isakmp.NotifyNoProposalChosen, n.Type)
	}
}

// sendNotifyWithoutSPI refuses something at A's, past the network.
func (sa *isakmpSA) sendNotifyWithoutSPI(p *pair) {
	x := sa.prepare(isakmp.ExchangeInformational, uint32(p.a.Stats().Received)<<8|0xff, true, nil)
	packets, _, err := sa.seal(p.now, sa.header(x.kind, x.id), x.iv, x.messageHash, []isakmp.Payload{&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, Type: isakmp.NotifyNoProposalChosen}})
	require.NoError(p.t, err)
	p.a.HandleDatagram(p.now, pathAB(), packets[0])
}

// An installation that fails changes the answer.
func TestInstallationFails(t *testing.T) {
	for _, op := range []spd.Operation{spd.OpInstallInbound, spd.OpAllocSPI, spd.OpSetPolicies} {
		for _, side := range []string{"initiator", "responder"} {
			p := childPair(t, nil)
			plane := p.pa
			if side == "responder" {
				plane = p.pb
			}
			plane.FailNext(op, errors.New("out of order"))
			p.initiate()
			p.advance(5 * time.Second)
			require.Zero(t, only(t, p.a).Children.Len(), "%v %s", op, side)
			require.Zero(t, only(t, p.b).Children.Len(), "%v %s", op, side)
			require.NotEmpty(t, find[ike.ChildFailed](p.evA))
			for _, plane := range []*spd.Memory{p.pa, p.pb} {
				require.Empty(t, plane.SAs(), "%v %s", op, side)
				require.Empty(t, plane.Larval(), "%v %s", op, side)
				require.Empty(t, plane.Policies(), "%v %s", op, side)
			}
			require.NoError(t, p.a.CreateChild(p.now, only(t, p.a).ID, "net", 0, nil))
			p.run()
			p.agree(1)
		}
	}
}
