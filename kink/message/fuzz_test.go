package message_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/kink/message"
)

// recorded returns the messages of racoon2's kinkd.
func recorded(t testing.TB) (out [][]byte) {
	files, err := filepath.Glob("../krb/testdata/kinkd/*.pcap")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		packets, err := pcap.ReadFile(f)
		require.NoError(t, err)
		for d := range pcap.UDP(packets) {
			if d.Src.Port() == message.Port || d.Dst.Port() == message.Port {
				out = append(out, d.Payload)
			}
		}
	}
	return out
}

// Recorded messages encode to the octets that they were decoded from. (What is
// in their tickets and encryptions is for package krb's tests.)
func TestRecordingsReencode(t *testing.T) {
	messages := recorded(t)
	require.Len(t, messages, 18)
	for _, b := range messages {
		m, err := message.Parse(b)
		require.NoError(t, err)
		out, err := m.AppendBinary(nil)
		require.NoError(t, err)
		require.Equal(t, b, out)
	}
}

func printable(t *testing.T, s string) {
	for _, c := range s {
		require.True(t, c >= ' ' && c != 0x7f, "%q", c)
	}
}

// FuzzParse: no input panics; what decodes encodes, to a message that decodes to
// the same; and prints without control characters. The same for what is
// decrypted, and for the Quick Mode payloads.
func FuzzParse(f *testing.F) {
	for _, b := range recorded(f) {
		f.Add(b)
	}
	b, err := create(nil, nullKey{})
	require.NoError(f, err)
	f.Add(b)
	for _, p := range []message.Payload{&message.TGTReq{Principal: []byte("kink/b@R")}, &message.TGTRep{TGT: []byte{1}}, &message.Error{Code: 7}, &message.KRBError{Data: []byte{1}}, &message.Unknown{Type: 99}} {
		b, err := (&message.Message{Header: message.Header{Type: message.Reply, AckReq: true}, Payloads: message.Payloads{p}}).AppendBinary(nil)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = message.Parse(b)
		if len(b) >= message.HeaderLen { // let the rest be reached
			b = bytes.Clone(b)
			b[1] = 0x10
			binary.BigEndian.PutUint32(b[4:], 1)
			binary.BigEndian.PutUint16(b[2:], uint16(min(len(b), 0xffff)))
		}
		m, err := message.Parse(b)
		if m == nil {
			var pe *message.ParseError
			require.ErrorAs(t, err, &pe)
			require.LessOrEqual(t, pe.Offset, len(b))
			printable(t, err.Error())
			return
		}
		printable(t, m.String())
		_ = m.Verify(nullKey{})
		out, err := m.AppendBinary(nil)
		if err != nil { // padding that was missing may be too much
			require.Greater(t, len(b), 0xffff-4)
			return
		}
		again, err := message.Parse(out)
		require.NoError(t, err)
		require.Equal(t, m.Payloads, again.Payloads)
		require.Equal(t, m.Header, again.Header)
		require.Equal(t, m.Checksum, again.Checksum)

		ps, err := m.Open(nullKey{})
		if err != nil {
			return
		}
		printable(t, ps.String())
		_ = ps.Check(m.Header)
		for q := range ps.ISAKMPs() {
			inner, err := q.Payloads()
			if err != nil {
				continue
			}
			again, err := message.NewISAKMP(inner...)
			require.NoError(t, err)
			back, err := again.Payloads()
			require.NoError(t, err)
			require.Equal(t, inner, back)
		}
	})
}

// FuzzInner: what a peer with a key can put into KINK_ENCRYPT and KINK_ISAKMP.
func FuzzInner(f *testing.F) {
	f.Add(unhex("06000000 00000014 0a100000 0000000c 0102030405060708 eeee"))
	f.Add(unhex("06000000 00000014 0b100000 0000000c 00000001 0300000e"))
	f.Add(unhex("08000000 00000008 00000005"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &message.Message{Payloads: message.Payloads{&message.APReq{Data: []byte{1}}, &message.Encrypt{Ciphertext: text}}}
		ps, err := m.Open(nullKey{})
		if err != nil {
			return
		}
		require.NotNil(t, ps.APReq())
		require.Nil(t, ps.Encrypt())
		printable(t, ps.String())
		_ = ps.Check(message.Header{Type: message.Create})
		for q := range ps.ISAKMPs() {
			_, _ = q.Payloads()
		}
	})
}
