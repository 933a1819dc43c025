package message_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev2/message"
)

// seeds are real and hand-made messages.
func seeds(f *testing.F) [][]byte {
	s := append(racoon2(f), encoded(f, saInit()), encoded(f, &message.Message{Payloads: auth()}), datagram(mandatory()...))
	for _, name := range []string{"ikev2-psk.a.decrypted.pcap", "ikev2-psk.b.decrypted.pcap"} {
		s = append(s, datagrams(f, filepath.Join("testdata/racoon2", name))...)
	}
	return s
}

// FuzzParse: no input panics; what decodes encodes, to a message that decodes
// to the same; and prints without control characters.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		message.Parse(b)
		if len(b) >= message.HeaderLen { // let the rest be reached
			b = bytes.Clone(b)
			b[17] = byte(message.Version2)
			binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
		}
		m, err := message.Parse(b)
		if m == nil {
			var pe *message.ParseError
			require.ErrorAs(t, err, &pe)
			require.LessOrEqual(t, pe.Offset, len(b))
			return
		}
		out, eerr := m.AppendBinary(nil)
		require.NoError(t, eerr)
		require.Len(t, out, len(b))
		again, err2 := message.Parse(out)
		require.Equal(t, err, err2)
		require.Equal(t, m.Payloads, again.Payloads)
		for _, c := range m.String() {
			require.True(t, c >= ' ' && c != 0x7f, "%q", c)
		}
		for n := range m.Notifies() {
			n.AdditionalAddress()
			n.Cookie()
			n.HashAlgorithms()
			n.IPComp()
			n.InvalidKEGroup()
			n.MessageIDSync()
			n.NoNATs()
			n.PPKIdentity()
			n.Redirect()
			n.Ticket()
		}
		if a := m.AUTH(); a != nil {
			message.ParseDigitalSignature(a.Data)
		}
	})
}

// FuzzChain: the cheap walk and the typed decoding agree on where payloads are.
func FuzzChain(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s[16], s[message.HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, first byte, body []byte) {
		c, err := message.ParseChain(message.PayloadType(first), body)
		ps, perr := message.ParsePayloads(message.PayloadType(first), body)
		if err != nil {
			require.Error(t, perr)
			return
		}
		require.LessOrEqual(t, len(c), message.MaxPayloads)
		total := 0
		for _, r := range c {
			require.Equal(t, total, r.Offset)
			total += 4 + len(r.Body)
		}
		require.Equal(t, len(body), total)
		if ps != nil {
			require.Len(t, ps, len(c))
			for i, p := range ps {
				require.Equal(t, c[i].Type, p.PayloadType())
			}
		}
		if e := c.Encrypted(); e != nil {
			if l, err := message.OpenLayout(body, e.Body, 8, 16); err == nil {
				message.Unpad(l.Plaintext)
			}
		}
	})
}

// fuzzBody decodes body as the only payload of a message.
func fuzzBody(t *testing.T, ty message.PayloadType, body []byte) message.Payload {
	if len(body) > 65000 {
		return nil
	}
	m, err := message.Parse(datagram(raw{t: ty, body: body}))
	if err != nil {
		return nil
	}
	again, err := message.Parse(datagram(raw{t: ty, body: m.Payloads[0].AppendBody(nil)}))
	require.NoError(t, err)
	require.Equal(t, m.Payloads, again.Payloads)
	return m.Payloads[0]
}

// FuzzTS: selectors survive a round trip, and a valid one has its addresses and
// ports in order.
func FuzzTS(f *testing.F) {
	for _, p := range auth() {
		if ts, ok := p.(*message.TS); ok {
			f.Add(ts.AppendBody(nil))
		}
	}
	f.Add(unhex("02000000 f1060004 0706 0010 ffff 0000 0a000001 0a0000ff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := fuzzBody(t, message.PayloadTSi, body)
		if p == nil {
			return
		}
		for _, s := range p.(*message.TS).Selectors {
			if s.Valid() {
				require.LessOrEqual(t, s.First.Compare(s.Last), 0)
				require.Equal(t, s, message.NewTrafficSelector(s.TrafficSelector))
			}
			_ = s.String()
		}
	})
}

// FuzzCP: attributes survive a round trip, and every value decoder is total.
func FuzzCP(f *testing.F) {
	f.Add(auth()[5].AppendBody(nil))
	f.Add(unhex("02000000 000d0008 0a010000ffff0000 00190003 612e62 00100015 0000005afd00000100000000000000000000000040"))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := fuzzBody(t, message.PayloadCP, body)
		if p == nil {
			return
		}
		for _, a := range p.(*message.CP).Attributes {
			if ip, err := a.Addr(); err == nil {
				require.True(t, ip.IsValid())
			}
			if px, err := a.Prefix(); err == nil {
				require.True(t, px.IsValid())
			}
			if n, err := a.Netmask(); err == nil {
				require.Equal(t, a.Value, message.AppendNetmaskValue(nil, n))
			}
			a.HomePrefix()
			a.SupportedAttributes()
			a.TrustAnchor()
			a.AddressExpiry()
			if d, err := a.DNSDomain(); err == nil {
				require.NotContains(t, d, "\n")
			}
			_ = a.String()
		}
	})
}
