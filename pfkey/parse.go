package pfkey

import "fmt"

// ParseHeader decodes the header of a message and checks that its length is
// that of b. It looks at nothing else, and does not allocate.
func (d *Dialect) ParseHeader(b []byte) (Header, error) {
	if len(b) < headerSize {
		return Header{}, &ParseError{Reason: "short message"}
	}
	h := Header{
		Version: b[0],
		Type:    MsgType(d.msgs.fromRaw(uint32(b[1]), uint32(unknownMsg))),
		Errno:   b[2],
		SAType:  SAType(d.saTypes.fromRaw(uint32(b[3]), uint32(unknownSAType))),
		Seq:     d.order.Uint32(b[8:]),
		PID:     d.order.Uint32(b[12:]),
		Refs:    d.order.Uint16(b[6:]),
	}
	if h.Type == MsgPromisc {
		h.SAType = SAType(b[3])
	}
	// The length of NetBSD's wrapped messages counts the outer header too often.
	wrapped := h.Type == MsgPromisc && len(b) >= 2*headerSize && len(b)%8 == 0
	if n := int(d.order.Uint16(b[4:])) * 8; n != len(b) && !wrapped {
		return h, &ParseError{Reason: "length field and length differ"}
	}
	return h, nil
}

// Parse decodes a message. What it returns refers to b: whoever uses b again
// clones first what is to be kept. The whole of b must be one message, as
// sockets deliver it. The error is a [*ParseError].
func (d *Dialect) Parse(b []byte) (*Message, error) {
	m := new(Message)
	if err := d.ParseInto(m, b); err != nil {
		return nil, err
	}
	return m, nil
}

// ParseInto is Parse into a Message that exists: its slice of extensions is
// used again.
func (d *Dialect) ParseInto(m *Message, b []byte) error {
	h, err := d.ParseHeader(b)
	if err != nil {
		return err
	}
	m.Header, m.Exts, m.Inner = h, m.Exts[:0], nil
	if h.Type == MsgPromisc && len(b) > headerSize {
		m.Inner = b[headerSize:]
		return nil
	}
	for at := headerSize; at < len(b); {
		rest := b[at:]
		if len(rest) < extHeaderSize {
			return &ParseError{Offset: at, Reason: "short extension"}
		}
		n := int(d.order.Uint16(rest)) * 8
		t := ExtType(d.exts.fromRaw(uint32(d.order.Uint16(rest[2:])), uint32(unknownExt)))
		switch {
		case n == 0:
			return &ParseError{Offset: at, Ext: t, Reason: "length 0"}
		case n > len(rest):
			return &ParseError{Offset: at, Ext: t, Reason: "longer than the message"}
		case m.Find(t) != nil:
			return &ParseError{Offset: at, Ext: t, Reason: "twice"}
		}
		e, err := d.parseExt(t, rest[:n:n])
		if err != nil {
			return &ParseError{Offset: at, Ext: t, Reason: err.Error()}
		}
		m.Exts = append(m.Exts, e)
		at += n
	}
	return nil
}

// parseError is why the body of an extension is malformed.
type parseError string

func (e parseError) Error() string { return string(e) }

const errShort parseError = "short"

// need returns an error if b, an extension with its header, has not n octets.
func need(b []byte, n int) error {
	if len(b) < n {
		return fmt.Errorf("%w: %d octets instead of %d", errShort, len(b), n)
	}
	return nil
}

// parseExt decodes an extension; b has its header too.
func (d *Dialect) parseExt(t ExtType, b []byte) (Extension, error) {
	switch t {
	case ExtSA, ExtSecondSA:
		return d.parseSA(t, b)
	case ExtLifetimeCurrent, ExtLifetimeHard, ExtLifetimeSoft, ExtLifetimeLastUse:
		return d.parseLifetime(t, b)
	case ExtAddressSrc, ExtAddressDst, ExtAddressProxy, ExtNATTOAI, ExtNATTOAR, ExtNewAddressSrc, ExtNewAddressDst,
		ExtRangeSrcStart, ExtRangeSrcEnd, ExtRangeDstStart, ExtRangeDstEnd, ExtMigrateSrc, ExtMigrateDst,
		ExtSrcMask, ExtDstMask, ExtSrcFlow, ExtDstFlow, ExtDst2:
		return d.parseAddress(t, b)
	case ExtKeyAuth, ExtKeyEncrypt:
		return d.parseKey(t, b)
	case ExtIdentitySrc, ExtIdentityDst:
		return d.parseIdentity(t, b)
	case ExtSensitivity:
		return d.parseSensitivity(b)
	case ExtProposal:
		return d.parseProposal(b)
	case ExtSupportedAuth, ExtSupportedEncrypt, ExtSupportedComp:
		return d.parseSupported(t, b)
	case ExtSPIRange:
		return d.parseSPIRange(b)
	case ExtPolicy:
		return d.parsePolicy(b)
	case ExtSA2:
		return d.parseSA2(b)
	case ExtNATTType:
		return d.parseNATTType(b)
	case ExtNATTSPort, ExtNATTDPort, ExtUDPEncap:
		return d.parseNATTPort(t, b)
	case ExtNATTFrag:
		return d.parseNATTFrag(b)
	case ExtSecCtx:
		return d.parseSecCtx(b)
	case ExtKMAddress:
		return d.parseKMAddress(b)
	case ExtFilter:
		return d.parseFilter(b)
	case ExtSAReplay:
		return d.parseSAReplay(b)
	case ExtSessionID:
		return d.parseSessionID(b)
	case ExtSAStat:
		return d.parseSAStat(b)
	case ExtIPsecIf, ExtMigrateIPsecIf:
		return d.parseIPsecIf(t, b)
	case ExtProtocol, ExtFlowType, ExtSAType2:
		return d.parseProtocol(t, b)
	case ExtPolicySeq, ExtTap, ExtMTU:
		return d.parseNumber(t, b)
	case ExtTag:
		return d.parseTag(b)
	case ExtReplay:
		return d.parseReplayCounter(b)
	case ExtCounter:
		return d.parseCounter(b)
	case ExtRDomain:
		return d.parseRDomain(b)
	case ExtIface:
		return d.parseIface(b)
	}
	return &Unknown{Type: t, Data: b[extHeaderSize:]}, nil
}

// Unknown is an extension that this package has no struct for.
type Unknown struct {
	Type ExtType
	Data []byte // what follows length and type
}

// Ext implements [Extension].
func (e *Unknown) Ext() ExtType { return e.Type }

func (e *Unknown) appendBody(_ *Dialect, b []byte) ([]byte, error) {
	return append(b, e.Data...), nil
}
