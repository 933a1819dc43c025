package ikev1

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/natt"
	"github.com/racoon3/racoon/spd"
)

// natText is what the texts say: of RFC 3947 and of draft-ietf-ipsec-nat-t-ike-00
// to -08, in sections 3.1 and 3.2 and, of 00 and 01, 4.1 and 4.2, of the others
// 4, 5.1 and 5.2.
type natText struct {
	variant           natt.Variant
	name              string // whose MD5 is the vendor ID
	natD, natOA       byte
	tunnel, transport uint16
	originals         int  // NAT-OA payloads of one side: the own, or both
	floats            bool // to port 4500
}

var natTexts = []natText{
	{natt.Draft00, "draft-ietf-ipsec-nat-t-ike-00", 130, 131, 61443, 61444, 1, false},
	{natt.Draft01, "draft-ietf-ipsec-nat-t-ike-01", 130, 131, 61443, 61444, 1, false},
	{natt.Draft02, "draft-ietf-ipsec-nat-t-ike-02", 130, 131, 61443, 61444, 1, true},
	{natt.Draft02Newline, "draft-ietf-ipsec-nat-t-ike-02\n", 130, 131, 61443, 61444, 1, true},
	{natt.Draft03, "draft-ietf-ipsec-nat-t-ike-03", 130, 131, 61443, 61444, 1, true},
	{natt.Draft04, "draft-ietf-ipsec-nat-t-ike-04", 15, 16, 3, 4, 1, true},
	{natt.Draft05, "draft-ietf-ipsec-nat-t-ike-05", 15, 16, 3, 4, 2, true},
	{natt.Draft06, "draft-ietf-ipsec-nat-t-ike-06", 15, 16, 3, 4, 2, true},
	{natt.Draft07, "draft-ietf-ipsec-nat-t-ike-07", 15, 16, 3, 4, 2, true},
	{natt.Draft08, "draft-ietf-ipsec-nat-t-ike-08", 15, 16, 3, 4, 2, true},
	{natt.RFC3947, "RFC 3947", 20, 21, 3, 4, 2, true},
}

// wireMessage is a message in clear, taken apart by its generic headers alone.
type wireMessage struct {
	outbound bool // of the initiator
	exchange byte
	cookies  []byte
	payloads map[byte][][]byte // bodies by payload type
}

func takeApart(t *testing.T, r ike.TraceRecord) wireMessage {
	b := r.Message
	m := wireMessage{outbound: r.Outbound, exchange: b[18], cookies: b[:16], payloads: make(map[byte][][]byte)}
	for next, rest := b[16], b[28:]; next != 0; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		require.GreaterOrEqual(t, n, 4)
		m.payloads[next] = append(m.payloads[next], rest[4:n])
		next, rest = rest[0], rest[n:]
	}
	return m
}

// encapsulationModes are the values of attribute 4 (RFC 2407 4.5) in all
// transforms of an SA payload.
func encapsulationModes(t *testing.T, body []byte) (modes []uint16) {
	for proposals := body[8:]; len(proposals) > 0; { // behind DOI and situation
		n := int(binary.BigEndian.Uint16(proposals[2:]))
		transforms := proposals[8+int(proposals[6]) : n]
		for len(transforms) > 0 {
			size := int(binary.BigEndian.Uint16(transforms[2:]))
			for a := transforms[8:size]; len(a) > 0; {
				switch k := binary.BigEndian.Uint16(a); {
				case k == 0x8004:
					modes = append(modes, binary.BigEndian.Uint16(a[2:]))
					a = a[4:]
				case k&0x8000 != 0:
					a = a[4:]
				default:
					a = a[4+int(binary.BigEndian.Uint16(a[2:])):]
				}
			}
			transforms = transforms[size:]
		}
		proposals = proposals[n:]
	}
	require.NotEmpty(t, modes)
	return modes
}

// TestNATVariantsOnTheWire has every kind of NAT traversal alone between two
// sides, and reads its numbers in the messages.
func TestNATVariantsOnTheWire(t *testing.T) {
	for _, text := range natTexts {
		for _, mode := range allModes {
			for _, child := range []spd.Mode{spd.ModeTunnel, spd.ModeTransport} {
				for _, nat := range []string{"no NAT", "NAT of the initiator", "NAT of the responder", "forced"} {
					t.Run(fmt.Sprintf("%v/%v/%v/%s", text.variant, mode, child, nat), func(t *testing.T) {
						runNATVariant(t, text, mode, child, nat)
					})
				}
			}
		}
	}
}

func runNATVariant(t *testing.T, text natText, mode Mode, child spd.Mode, nat string) {
	var sent []ike.TraceRecord
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	for _, p := range []*Peer{a, b} {
		p.Modes, p.NATT, p.ForceEncap = []Mode{mode}, []natt.Variant{text.variant}, nat == "forced"
		if c := p.Children[0]; child == spd.ModeTransport {
			c.Mode, c.Local, c.Remote, c.LocalDynamic, c.RemoteDynamic = spd.ModeTransport, nil, nil, true, true
		}
	}
	p := newPair(t, a, b, func(a, _ *Config) { a.Trace = func(r ike.TraceRecord) { sent = append(sent, r) } })
	var box *natBox
	switch nat {
	case "NAT of the initiator":
		box = behindNAT(p, p.a, 1000)
	case "NAT of the responder":
		box = behindNAT(p, p.b, 0)
	default:
		box = behindNAT(p, nil, 0)
	}
	id := ike.SessionID(0)
	if box.inside != nil {
		id = box.initiate()
	} else {
		var err error
		id, err = p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: pathAB(),
			NATTPath: ike.Path{Local: netip.AddrPortFrom(addrA.Addr(), 4500), Remote: netip.AddrPortFrom(addrB.Addr(), 4500)}})
		require.NoError(t, err)
		p.run()
	}
	sa, sb := p.requireUp(id)
	encap := nat != "no NAT"

	// The vendor ID: this one, of both sides.
	vendor := md5.Sum([]byte(text.name))
	known := make(map[string]string)
	for _, x := range natTexts {
		id := md5.Sum([]byte(x.name))
		known[string(id[:])] = x.name
	}
	var first [2]bool
	natD := map[bool][][]byte{}
	var quick []wireMessage
	for _, r := range sent {
		m := takeApart(t, r)
		for _, id := range m.payloads[13] {
			if name, ok := known[string(id)]; ok {
				require.Equal(t, vendor[:], id, name)
				first[map[bool]int{true: 0, false: 1}[m.outbound]] = true
			}
		}
		for _, other := range []byte{15, 16, 20, 21, 130, 131} {
			if other != text.natD && other != text.natOA {
				require.Empty(t, m.payloads[other], "a payload of another version")
			}
		}
		if all := m.payloads[text.natD]; len(all) > 0 {
			require.Nil(t, natD[m.outbound], "once from each side")
			natD[m.outbound] = all
			own, other := netip.AddrPortFrom(sa.Path.Local.Addr(), 500), netip.AddrPortFrom(sa.Path.Remote.Addr(), 500)
			if !m.outbound {
				own, other = netip.AddrPortFrom(sb.Path.Local.Addr(), 500), netip.AddrPortFrom(sb.Path.Remote.Addr(), 500)
				if nat == "NAT of the initiator" {
					other = netip.AddrPortFrom(other.Addr(), 1500)
				}
			} else if mode == AggressiveMode && encap && text.floats {
				own, other = natt.Float(own, other) // section 4: the third message is sent from there
			}
			requireHashes(t, m, all, own, other, nat == "forced")
		}
		if m.exchange == 32 {
			quick = append(quick, m)
		}
	}
	require.Equal(t, [2]bool{true, true}, first, "the vendor ID from each side")
	require.Len(t, natD, 2)

	// Quick Mode.
	require.Equal(t, encap, sa.Children[0].UDPEncap)
	require.Equal(t, encap, sb.Children[0].UDPEncap)
	number := map[spd.Mode]uint16{spd.ModeTunnel: 1, spd.ModeTransport: 2}[child]
	if encap {
		number = map[spd.Mode]uint16{spd.ModeTunnel: text.tunnel, spd.ModeTransport: text.transport}[child]
	}
	require.Len(t, quick, 3)
	for i, m := range quick[:2] {
		require.Equal(t, i == 0, m.outbound)
		for _, n := range encapsulationModes(t, m.payloads[1][0]) {
			require.Equal(t, number, n)
		}
		var originals [][]byte
		if encap && child == spd.ModeTransport {
			// ID type 1, IPv4; three reserved octets; the address.
			ends := [2]netip.Addr{sa.Path.Local.Addr(), sa.Path.Remote.Addr()} // as the initiator sees them
			if !m.outbound {
				ends = [2]netip.Addr{sb.Path.Remote.Addr(), sb.Path.Local.Addr()}
			}
			for k, end := range ends {
				if own := (k == 0) == m.outbound; own || text.originals == 2 {
					originals = append(originals, append([]byte{1, 0, 0, 0}, end.AsSlice()...))
				}
			}
		}
		require.Equal(t, originals, m.payloads[text.natOA])
	}

	// The ports, and what the data planes were told.
	port := uint16(500)
	if encap && text.floats {
		port = 4500
	}
	for i, end := range []struct {
		of   ike.SessionState
		with *spd.Memory
	}{{sa, p.pa}, {sb, p.pb}} {
		require.Equal(t, port, end.of.Path.Local.Port())
		if i == 0 || nat != "NAT of the initiator" {
			require.Equal(t, port, end.of.Path.Remote.Port())
		} else {
			require.Equal(t, port+1000, end.of.Path.Remote.Port())
		}
		bundles := end.with.Bundles()
		require.Len(t, bundles, 2)
		for _, x := range bundles {
			require.Equal(t, spd.Endpoints{Local: end.of.Path.Local, Remote: end.of.Path.Remote, UDPEncap: encap, NonIKE: encap && !text.floats}, x.Bundle.Endpoints())
			if encap && child == spd.ModeTransport {
				other := map[int]netip.Addr{0: sb.Path.Local.Addr(), 1: sa.Path.Local.Addr()}[i]
				require.Equal(t, other, x.Bundle.OriginalRemote, "what the peer takes itself for")
				if text.originals == 2 {
					seen := map[int]netip.Addr{0: sb.Path.Remote.Addr(), 1: sa.Path.Remote.Addr()}[i]
					require.Equal(t, seen, x.Bundle.OriginalLocal, "what the peer takes us for")
				}
			}
		}
	}
	for _, path := range box.seen {
		if !text.floats || !encap {
			require.NotContains(t, []uint16{4500, 5500}, path.Remote.Port())
		}
	}
}

// requireHashes checks what is in the NAT-D payloads of a message (section 3.2):
// HASH(CKY-I | CKY-R | IP | Port) of the remote end first, then of the own one.
func requireHashes(t *testing.T, m wireMessage, got [][]byte, own, other netip.AddrPort, feigned bool) {
	hash := func(a netip.AddrPort) []byte {
		b := append([]byte(nil), m.cookies...)
		b = append(b, a.Addr().AsSlice()...)
		h := sha256.Sum256(binary.BigEndian.AppendUint16(b, a.Port()))
		return h[:]
	}
	require.Len(t, got, 2)
	require.Equal(t, hash(other), got[0])
	if feigned {
		require.NotEqual(t, hash(own), got[1])
		return
	}
	require.Equal(t, hash(own), got[1])
}

// Drafts 00 and 01 are announced and taken only where they are configured, and
// where IKE has no marker.
func TestNonIKEOnlyWhereConfigured(t *testing.T) {
	all := []natt.Variant{natt.Draft00, natt.Draft01, natt.Draft02, natt.Draft03, natt.RFC3947}
	for name, c := range map[string]struct {
		a, b []natt.Variant
		want natt.Variant
	}{
		"the newest of both":                           {[]natt.Variant{natt.Draft00, natt.Draft01}, all, natt.Draft01},
		"older than the others":                        {all, []natt.Variant{natt.Draft00}, natt.Draft00},
		"not taken by default":                         {[]natt.Variant{natt.Draft00, natt.Draft01}, nil, natt.NoVariant},
		"not announced by default":                     {nil, []natt.Variant{natt.Draft00, natt.Draft01}, natt.NoVariant},
		"drafts 04 to 08 are not announced by default": {nil, []natt.Variant{natt.Draft04, natt.Draft08}, natt.NoVariant},
		"and taken":                                    {[]natt.Variant{natt.Draft04, natt.Draft07}, nil, natt.Draft07},
		"both defaults":                                {nil, nil, natt.RFC3947},
		"none":                                         {[]natt.Variant{natt.RFC3947}, []natt.Variant{natt.Draft03}, natt.NoVariant},
	} {
		for _, mode := range allModes {
			p := modePair(t, mode, func(a, b *Peer) { a.NATT, b.NATT = c.a, c.b })
			box := behindNAT(p, p.a, 1000)
			sa, sb := p.requireUp(box.initiate())
			require.Equal(t, c.want, p.a.sessions[sa.ID].current.variant, name)
			require.Equal(t, c.want != natt.NoVariant, sa.Children[0].UDPEncap, name)
			require.Equal(t, c.want != natt.NoVariant, sb.Children[0].UDPEncap, name)
		}
	}
}

// On a NAT-T socket IKE has the non-ESP marker, so there is no place for drafts
// that have none, whatever is configured.
func TestNonIKENotOnNATTSocket(t *testing.T) {
	for _, mode := range allModes {
		for _, told := range []bool{false, true} {
			p := modePair(t, mode, func(a, b *Peer) {
				a.NATT = []natt.Variant{natt.Draft00, natt.Draft01, natt.Draft02}
				b.NATT = a.NATT
			})
			port := uint16(4500)
			if told {
				port = 14500
				for _, e := range []*Endpoint{p.a, p.b} {
					e.cfg.NATTSocket = func(local netip.AddrPort) bool { return local.Port() == port }
				}
			}
			p.a.peers.index.All()[0].ForceEncap = true
			path := ike.Path{Local: netip.AddrPortFrom(addrA.Addr(), port), Remote: netip.AddrPortFrom(addrB.Addr(), port)}
			var announced []natt.Variant
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				if from == p.a && announced == nil {
					for r := range vendorIDsOf(t, tx.Packet) {
						announced = append(announced, r)
					}
				}
				return true
			}
			id, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: path})
			require.NoError(t, err)
			p.run()
			sa, _ := p.requireUp(id)
			require.Equal(t, []natt.Variant{natt.Draft02}, announced)
			require.Equal(t, natt.Draft02, p.a.sessions[sa.ID].current.variant)
			for _, x := range append(p.pa.Bundles(), p.pb.Bundles()...) {
				require.False(t, x.Bundle.NonIKE)
			}
		}
	}
}

// vendorIDsOf yields the kinds of NAT traversal that a message announces.
func vendorIDsOf(t *testing.T, b []byte) iter.Seq[natt.Variant] {
	return func(yield func(natt.Variant) bool) {
		for _, id := range takeApart(t, ike.TraceRecord{Message: b}).payloads[13] {
			if v, ok := natt.VariantOf(id); ok && !yield(v) {
				return
			}
		}
	}
}

// A peer that is known only after its address must allow what was negotiated
// with whoever it might be.
func TestChosenPeerMustAllowNATVariant(t *testing.T) {
	p := modePair(t, MainMode, func(a, b *Peer) {
		a.NATT = []natt.Variant{natt.Draft00}
		b.NATT = []natt.Variant{natt.RFC3947}
	})
	other := pskPeer("other", "b.example", "other.example")
	other.NATT = []natt.Variant{natt.Draft00}
	ps, err := NewPeerSet(append(p.b.peers.index.All()[:1:1], other))
	require.NoError(t, err)
	p.b.SetPeers(ps)
	behindNAT(p, p.a, 1000).initiate()
	failed := find[ike.SessionFailed](p.evB)
	require.NotEmpty(t, failed)
	require.ErrorContains(t, failed[0].Err, `does not allow NAT traversal as of draft-ietf-ipsec-nat-t-ike-00`)
}
