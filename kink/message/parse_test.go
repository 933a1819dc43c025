package message_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/kink/message"
)

// What cannot be read, why, and the KINK_ERROR that answers it.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		err  error
		code message.ErrorCode
		text string
	}{
		{"", message.ErrTruncated, message.ProtoErr, "kink: header at octet 0: datagram ends too early: datagram of 0 octets"},
		{"01 10 0010 00000001 00000000 00 00 00", message.ErrTruncated, message.ProtoErr, ""},
		{"01 20 0010 00000001 00000000 00 00 0000", message.ErrMajorVersion, message.InvMaj, "kink: header at octet 1: not KINK version 1: version 2"},
		{"01 10 0010 00000002 00000000 00 00 0000", message.ErrDOI, message.InvDOI, "kink: header at octet 4: unsupported domain of interpretation: DOI 2"},
		{"01 10 000f 00000001 00000000 00 00 0000", message.ErrLength, message.ProtoErr, ""},
		{"01 10 0011 00000001 00000000 00 00 0000", message.ErrLength, message.ProtoErr, "kink: header at octet 2: header length does not fit the content: length field 17, datagram 16 octets"},
		{"01 10 0010 00000001 00000000 00 00 0001", message.ErrLength, message.ProtoErr, ""},
		{"01 10 0010 00000001 00000000 00 00 ffff", message.ErrLength, message.ProtoErr, ""},
		{"01 10 0014 00000001 00000000 00 00 0000 00000000", message.ErrSyntax, message.ProtoErr, ""},
		{"01 10 0010 00000001 00000000 08 00 0000", message.ErrSyntax, message.ProtoErr, "kink: KINK_ERROR payload at octet 16: malformed payload: message ends before the payload"},
		{"01 10 0018 00000001 00000000 08 00 0000 00 00 0003 00000001", message.ErrSyntax, message.ProtoErr, ""},
		{"01 10 0018 00000001 00000000 08 00 0000 00 00 0009 00000001", message.ErrSyntax, message.ProtoErr, "kink: KINK_ERROR payload at octet 18: malformed payload: payload length 9 with 8 octets left"},
		{"01 10 0018 00000001 00000000 08 00 0000 00 00 0007 00000001", message.ErrSyntax, message.ProtoErr, ""},
		{"01 10 0018 00000001 00000000 01 00 0000 00 00 0008 00000001", message.ErrSyntax, message.ProtoErr, "kink: KINK_AP_REQ payload at octet 20: malformed payload: no AP-REQ in it"},
		{"01 10 0018 00000001 00000000 02 00 0000 00 00 0008 00000001", message.ErrSyntax, message.ProtoErr, ""},
		{"01 10 0014 00000001 00000000 07 00 0000 00 00 0004", message.ErrSyntax, message.ProtoErr, "kink: KINK_ENCRYPT payload at octet 20: malformed payload: empty"},
		{"01 10 0014 00000001 00000000 06 00 0000 00 00 0004", message.ErrSyntax, message.ProtoErr, ""},
		{"01 10 0020 00000001 00000000 08 00 0000 08 00 0008 00000001 00 00 0008 00000001", message.ErrDuplicatePayload, message.ProtoErr, "kink: KINK_ERROR payload at octet 24: payload must not appear again"},
		{"01 10 0020 00000001 00000000 07 00 0000 08 00 0008 00000001 00 00 0008 00000001", message.ErrUnexpectedPayload, message.ProtoErr, "kink: KINK_ENCRYPT payload at octet 16: payload does not belong here: not the last payload"},
		{"01 10 0019 00000001 00000000 08 00 0001 00 00 0008 00000001 00", nil, 0, ""},
		{"01 10 001a 00000001 00000000 03 00 0004 00 00 0006 7e00 00000000", message.ErrLength, message.ProtoErr, "kink: header at octet 14: header length does not fit the content: checksum is not aligned"},
		{"01 10 001b 00000001 00000000 03 00 0000 00 00 0006 7e00 0000000000", message.ErrSyntax, message.ProtoErr, ""},
	} {
		b := unhex(c.in)
		m, err := message.Parse(b)
		if c.err == nil {
			require.NoError(t, err, c.in)
			continue
		}
		require.Nil(t, m)
		require.ErrorIs(t, err, c.err, c.in)
		var pe *message.ParseError
		require.ErrorAs(t, err, &pe)
		require.Equal(t, c.code, pe.Code())
		if c.text != "" {
			require.EqualError(t, err, c.text)
		}
		if len(b) >= message.HeaderLen { // can be answered
			h, _ := message.ParseHeader(b)
			require.Equal(t, message.Create, h.Type)
		}
	}
	many := unhex("01 10 0000 00000001 00000000 06 00 0000")
	for range message.MaxPayloads + 1 {
		many = append(many, 6, 0, 0, 8, 0, 0x10, 0, 0)
	}
	many[2], many[3] = byte(len(many)>>8), byte(len(many))
	_, err := message.Parse(many)
	require.ErrorIs(t, err, message.ErrTooManyPayloads)
}

// What RFC 4430 6 wants in each message.
func TestCheck(t *testing.T) {
	q := &message.ISAKMP{First: 10, Chain: unhex("0000000c 0102030405060708")}
	req, rep := &message.APReq{}, &message.APRep{}
	type ps = message.Payloads
	for _, c := range []struct {
		t   message.Type
		ack bool
		ps  ps
		err error
	}{
		{message.Create, false, ps{req, q}, nil},
		{message.Create, false, ps{req, q, q}, nil},
		{message.Create, false, ps{req, q, &message.Unknown{Type: 128}}, nil},
		{message.Create, false, ps{req, q, &message.Unknown{Type: 127}}, message.ErrUnexpectedPayload},
		{message.Create, false, ps{q}, message.ErrMissingPayload},
		{message.Create, false, ps{req}, message.ErrMissingPayload},
		{message.Create, false, ps{req, rep, q}, message.ErrUnexpectedPayload},
		{message.Create, true, ps{req, q}, message.ErrUnexpectedFlag},
		{message.Delete, false, ps{req, q}, nil},
		{message.Delete, false, ps{req}, message.ErrMissingPayload},
		{message.Status, false, ps{req}, nil},
		{message.Status, false, ps{req, q}, nil},
		{message.Status, false, ps{q}, message.ErrMissingPayload},
		{message.Ack, false, ps{req}, nil},
		{message.Ack, false, ps{req, q}, message.ErrUnexpectedPayload},
		{message.Ack, false, ps{}, message.ErrMissingPayload},
		{message.GetTGT, false, ps{&message.TGTReq{}}, nil},
		{message.GetTGT, false, ps{&message.TGTReq{}, q}, message.ErrUnexpectedPayload},
		{message.GetTGT, false, ps{req}, message.ErrMissingPayload},
		{message.Reply, false, ps{rep}, nil},
		{message.Reply, true, ps{rep, q}, nil},
		{message.Reply, false, ps{rep, &message.KRBError{}}, nil},
		{message.Reply, false, ps{&message.KRBError{}}, nil},
		{message.Reply, false, ps{&message.Error{}}, nil},
		{message.Reply, false, ps{&message.TGTRep{}}, nil},
		{message.Reply, false, ps{q}, message.ErrMissingPayload},
		{message.Reply, false, ps{rep, req}, message.ErrUnexpectedPayload},
		{99, false, ps{req}, message.ErrSyntax},
	} {
		err := c.ps.Check(message.Header{Type: c.t, AckReq: c.ack})
		if c.err == nil {
			require.NoError(t, err, "%v %v", c.t, c.ps)
		} else {
			require.ErrorIs(t, err, c.err, "%v %v", c.t, c.ps)
		}
	}
	require.True(t, message.Create.IsCommand())
	require.False(t, message.Ack.IsCommand())
	require.Equal(t, "Type(7)", message.Type(7).String())
}

// Quick Mode payloads: versions, DOIs, and what Quick Mode in KINK does not have.
func TestISAKMP(t *testing.T) {
	for _, c := range []struct {
		first   isakmp.PayloadType
		version isakmp.Version
		chain   string
		err     error
		code    message.ErrorCode
	}{
		{10, 0x10, "0000000c 0102030405060708", nil, 0},
		{0, 0x10, "", nil, 0},
		{10, 0x11, "0000000c 0102030405060708", message.ErrQMVersion, message.BadQMVers},
		{10, 0, "0000000c 0102030405060708", message.ErrQMVersion, message.BadQMVers},
		{11, 0x10, "0000000c 00000001 03 00 000e", nil, 0},
		{11, 0x10, "0000000c 00000002 03 00 000e", message.ErrDOI, message.InvDOI},
		{11, 0x10, "0000000c 00000000 03 00 000e", message.ErrDOI, message.InvDOI},
		{12, 0x10, "00000010 00000000 03 04 0001 11111111", message.ErrDOI, message.InvDOI},
		{8, 0x10, "0000000c 0102030405060708", isakmp.ErrUnexpectedPayload, message.ProtoErr},
		{10, 0x10, "0000000c 01020304050607", isakmp.ErrSyntax, message.ProtoErr},
		{10, 0x10, "0000000c 0102030405060708 00", isakmp.ErrSyntax, message.ProtoErr},
	} {
		p := &message.ISAKMP{First: c.first, Version: c.version, Chain: unhex(c.chain)}
		_, err := p.Payloads()
		if c.err == nil {
			require.NoError(t, err, c.chain)
			continue
		}
		require.ErrorIs(t, err, c.err, c.chain)
		pe, ok := errors.AsType[*message.ParseError](err)
		require.True(t, ok)
		require.Equal(t, c.code, pe.Code())
	}
	_, err := (&message.ISAKMP{First: 10, Version: 0x10, Chain: unhex("0000000c 01020304050607")}).Payloads()
	ie, ok := errors.AsType[*isakmp.ParseError](err)
	require.True(t, ok)
	require.Equal(t, isakmp.NotifyPayloadMalformed, ie.Notify())
}

// What was decrypted may be anything that the peer made.
func TestOpenErrors(t *testing.T) {
	k := testKey{}
	seal := func(text string) *message.Message {
		c, err := k.Seal(append([]byte{7, 7}, unhex(text)...), 0)
		require.NoError(t, err)
		return &message.Message{Payloads: message.Payloads{&message.APReq{Data: apReq}, &message.Encrypt{Ciphertext: c}}}
	}
	for text, want := range map[string]error{
		"000000":                                           message.ErrSyntax, // not even the type of the first payload
		"08000000":                                         message.ErrSyntax,
		"08000000 00 00 0009 00000001":                     message.ErrSyntax,
		"07000000 00 00 0008 00000001":                     message.ErrUnexpectedPayload,
		"01000000 00 00 0009 00000001 01":                  message.ErrUnexpectedPayload,
		"02000000 00 00 0009 00000001 01":                  message.ErrUnexpectedPayload,
		"08000000 08 00 0008 00000001 00 00 0008 00000001": message.ErrDuplicatePayload,
	} {
		ps, err := seal(text).Open(k)
		require.ErrorIs(t, err, want, text)
		require.Nil(t, ps)
	}
	ps, err := seal("00000000").Open(k)
	require.NoError(t, err)
	require.Len(t, ps, 1)
	ps, err = seal("08000000 00ff0008 00000005 eeeeeeeeeeee").Open(k) // padding, reserved
	require.NoError(t, err)
	require.Equal(t, message.IntErr, ps.Error().Code)
	m := seal("08000000 00ff0008 00000005")
	m.Encrypt().Ciphertext[0] ^= 1
	_, err = m.Open(k)
	require.ErrorIs(t, err, message.ErrDecrypt)
}

// Lengths in KINK's header and payloads that lie, and checksums in a place or of
// a size that is not theirs.
func TestC28_ChecksumConfusion(t *testing.T) {
	k := testKey{}
	good, err := create(nil, k)
	require.NoError(t, err)
	for n := range good {
		_, err := message.Parse(good[:n])
		require.Error(t, err, "cut to %d octets", n)
	}
	for _, cksum := range []int{0, 1, 3, 5, 8, 12, len(good) - 16, len(good) - 15, 0xffff} {
		b := bytes.Clone(good)
		b[14], b[15] = byte(cksum>>8), byte(cksum)
		m, err := message.Parse(b)
		if err == nil {
			err = m.Verify(k)
		}
		require.Error(t, err, "a checksum of %d octets", cksum)
	}
	// Octets behind the message are not part of it.
	m, err := message.Parse(append(bytes.Clone(good), good...))
	require.NoError(t, err)
	require.NoError(t, m.Verify(k))
}
