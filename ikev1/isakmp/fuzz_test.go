package isakmp_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/spd"
)

// seeds are real and hand-made messages in clear.
func seeds(f *testing.F) [][]byte {
	s := [][]byte{encoded(f, main1()), encoded(f, &isakmp.Message{Payloads: quick1()}), datagram(mandatory()...), datagram()}
	for _, name := range sessions {
		keys := readSecrets(f, name)
		for _, b := range session(f, name) {
			m, err := isakmp.Parse(b)
			require.NoError(f, err)
			if !m.Header.Encrypted() {
				s = append(s, b)
				continue
			}
			text := keys.open(f, m)
			c, err := isakmp.ParsePaddedChain(m.Header.NextPayload, text)
			require.NoError(f, err)
			clear := append(bytes.Clone(b[:isakmp.HeaderLen]), text[:c.Len()]...)
			clear[19] = 0
			binary.BigEndian.PutUint32(clear[24:], uint32(len(clear)))
			s = append(s, clear)
		}
	}
	for _, a := range everyConfig() {
		s = append(s, encoded(f, &isakmp.Message{Payloads: isakmp.Payloads{&isakmp.Attributes{Type: isakmp.ConfigReply, Attributes: []isakmp.ConfigAttribute{a}}}}))
	}
	s = append(s, datagram(raw{t: isakmp.PayloadAttributes, body: unhex("02000001 00010004 0a000001 0000")}))
	return append(s, encoded(f, &isakmp.Message{Payloads: isakmp.Payloads{
		&isakmp.CERT{Encoding: isakmp.CertPKCS7, Data: der(f, "certs-crl")},
		&isakmp.NATOA{Addr: addr("10.0.0.1")},
		&isakmp.Notify{Type: isakmp.NotifyResponderLifetime, Protocol: spd.ProtoESP, Data: unhex("80010001 00020004 00007080")},
	}}))
}

// exercise calls every decoder of values that a payload has.
func exercise(t *testing.T, ps isakmp.Payloads) {
	for _, c := range ps.String() {
		require.True(t, c >= ' ' && c != 0x7f, "%q", c)
	}
	for sa := range ps.SAs() {
		for _, p := range sa.Proposals {
			for i := range p.Transforms {
				tr := &p.Transforms[i]
				if l, err := isakmp.LifetimeOf(p.Protocol, tr.Attributes); err == nil {
					again, err := isakmp.LifetimeOf(p.Protocol, isakmp.AppendLifetime(nil, p.Protocol, l))
					require.NoError(t, err)
					require.Equal(t, l, again)
				}
			}
		}
	}
	for n := range ps.Notifies() {
		n.Cookies()
		n.IPsecSPI()
		n.ReplayStatus()
		n.ResponderLifetime()
		n.Sequence()
		n.UnityLoadBalance()
	}
	for d := range ps.Deletes() {
		d.Cookies()
		for range d.IPsecSPIs() {
		}
	}
	for c := range ps.CERTs() {
		c.Certificates()
		c.RevocationLists()
	}
	for _, p := range ps {
		switch p := p.(type) {
		case *isakmp.ID:
			if ts, err := p.TrafficSelector(); err == nil {
				require.NoError(t, ts.Valid())
				if id, ok := isakmp.NewSelectorID(ts); ok {
					again, err := id.TrafficSelector()
					require.NoError(t, err)
					require.Equal(t, ts, again)
				}
			}
		case *isakmp.Attributes:
			for _, a := range p.Attributes {
				a.Addr()
				a.AddressExpiry()
				a.Domain()
				for range a.Domains() {
				}
				a.Netmask()
				a.Prefix()
				a.SupportedAttributes()
				a.Uint()
				a.UnityNetworks()
				_ = a.String()
			}
		}
	}
	ps.NATOAs(isakmp.PayloadNATOADraft04)
}

// FuzzParse: no input panics; what decodes encodes, to a message that decodes
// to the same; and prints without control characters.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		isakmp.Parse(b)
		if len(b) >= isakmp.HeaderLen { // let the rest be reached
			b = bytes.Clone(b)
			b[17] = byte(isakmp.Version1)
			b[19] &^= byte(isakmp.FlagEncryption)
			binary.BigEndian.PutUint32(b[24:], uint32(len(b)))
		}
		m, err := isakmp.Parse(b)
		if m == nil {
			var pe *isakmp.ParseError
			require.ErrorAs(t, err, &pe)
			require.LessOrEqual(t, pe.Offset, len(b))
			return
		}
		out, eerr := m.AppendBinary(nil)
		require.NoError(t, eerr)
		missing := len(b) - len(out) // padding of Attributes payloads is not kept
		require.GreaterOrEqual(t, missing, 0)
		require.LessOrEqual(t, missing, 3*m.Count(isakmp.PayloadAttributes))
		again, err := isakmp.Parse(out)
		require.NoError(t, err)
		require.Equal(t, m.Payloads, again.Payloads)
		exercise(t, m.Payloads)
	})
}

// FuzzChain: the cheap walk and the typed decoding agree on where payloads are,
// with padding and without.
func FuzzChain(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s[16], s[isakmp.HeaderLen:])
		f.Add(s[16], append(s[isakmp.HeaderLen:len(s):len(s)], 0, 0, 3))
	}
	f.Fuzz(func(t *testing.T, first byte, body []byte) {
		c, err := isakmp.ParsePaddedChain(isakmp.PayloadType(first), body)
		strict, serr := isakmp.ParseChain(isakmp.PayloadType(first), body)
		if err != nil {
			require.Error(t, serr)
			return
		}
		require.LessOrEqual(t, len(c), isakmp.MaxPayloads)
		total := 0
		for i, r := range c {
			require.Equal(t, total, r.Offset)
			total += 4 + len(r.Body)
			require.Equal(t, total, r.End())
			one, err := isakmp.ParsePayload(c[i])
			if err == nil {
				require.Equal(t, r.Type, one.PayloadType())
			}
		}
		require.Equal(t, total, c.Len())
		require.Equal(t, total == len(body), serr == nil)
		if serr == nil {
			require.Equal(t, c, strict)
		}
		if ps, err := c.Payloads(); err == nil {
			require.Len(t, ps, len(c))
			for i, p := range ps {
				require.Equal(t, c[i].Type, p.PayloadType())
			}
		}
		if hash, covered, err := c.Hashed(body); err == nil {
			require.Equal(t, total, 4+len(hash)+len(covered))
		}
	})
}

// FuzzPKCS7: whatever comes out was in the payload, and is bounded.
func FuzzPKCS7(f *testing.F) {
	for _, name := range []string{"certs-crl", "signed", "ber", "enveloped", "ee"} {
		f.Add(der(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := isakmp.CERT{Encoding: isakmp.CertPKCS7, Data: b}
		certs, err := c.Certificates()
		lists, lerr := c.RevocationLists()
		if err != nil {
			require.Empty(t, certs)
		}
		if lerr != nil {
			require.Empty(t, lists)
		}
		for _, x := range append(certs, lists...) {
			require.True(t, bytes.Contains(b, x))
		}
		require.LessOrEqual(t, max(len(certs), len(lists)), isakmp.MaxCertificates)
	})
}
