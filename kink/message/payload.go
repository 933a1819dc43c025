package message

import (
	"encoding/binary"
	"strconv"
)

// A Payload is one payload of a message: a pointer to one of this package's
// payload structs.
type Payload interface {
	// PayloadType returns the payload's type number.
	PayloadType() PayloadType
	// AppendBody appends the payload without its generic header and without
	// padding.
	AppendBody(dst []byte) []byte
	// String returns the payload as a trace shows it, without secrets.
	String() string

	appendText(b []byte) []byte
}

// Epoch is since when a peer has SA information without a gap, usually since
// its daemon was started: the low 32 bits of the POSIX time (RFC 4430 4.2.1). A
// peer whose epoch has changed has lost its SAs (3.7).
type Epoch uint32

// APReq is a KINK_AP_REQ payload (RFC 4430 4.2.1).
type APReq struct {
	Epoch Epoch
	Data  []byte // DER of the AP-REQ
}

// APRep is a KINK_AP_REP payload (RFC 4430 4.2.2).
type APRep struct {
	Epoch Epoch
	Data  []byte // DER of the AP-REP
}

// KRBError is a KINK_KRB_ERROR payload (RFC 4430 4.2.3).
type KRBError struct {
	Data []byte // DER of the KRB-ERROR
}

// TGTReq is a KINK_TGT_REQ payload (RFC 4430 4.2.4).
type TGTReq struct {
	// Principal names whose TGT is wanted, in the text form "kink/host@REALM"
	// that RFC 1964 2.1.3 gives for the NAME of an exported name.
	Principal []byte
}

// TGTRep is a KINK_TGT_REP payload (RFC 4430 4.2.5).
type TGTRep struct {
	TGT []byte // DER of the Ticket
}

// Encrypt is a KINK_ENCRYPT payload (RFC 4430 4.2.7), the last one of a message
// if there is one.
type Encrypt struct {
	Ciphertext []byte
}

// Error is a KINK_ERROR payload (RFC 4430 4.2.8).
type Error struct {
	Code ErrorCode
}

// Unknown is a payload of a type that this package has no struct for.
type Unknown struct {
	Type PayloadType
	Body []byte
}

// PayloadType returns PayloadAPReq.
func (*APReq) PayloadType() PayloadType { return PayloadAPReq }

// PayloadType returns PayloadAPRep.
func (*APRep) PayloadType() PayloadType { return PayloadAPRep }

// PayloadType returns PayloadKRBError.
func (*KRBError) PayloadType() PayloadType { return PayloadKRBError }

// PayloadType returns PayloadTGTReq.
func (*TGTReq) PayloadType() PayloadType { return PayloadTGTReq }

// PayloadType returns PayloadTGTRep.
func (*TGTRep) PayloadType() PayloadType { return PayloadTGTRep }

// PayloadType returns PayloadEncrypt.
func (*Encrypt) PayloadType() PayloadType { return PayloadEncrypt }

// PayloadType returns PayloadError.
func (*Error) PayloadType() PayloadType { return PayloadError }

// PayloadType returns p.Type.
func (p *Unknown) PayloadType() PayloadType { return p.Type }

// AppendBody appends the payload without its generic header.
func (p *APReq) AppendBody(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(p.Epoch)), p.Data...)
}

// AppendBody appends the payload without its generic header.
func (p *APRep) AppendBody(dst []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(p.Epoch)), p.Data...)
}

// AppendBody appends the payload without its generic header.
func (p *KRBError) AppendBody(dst []byte) []byte { return append(dst, p.Data...) }

// AppendBody appends the payload without its generic header.
func (p *TGTReq) AppendBody(dst []byte) []byte { return append(dst, p.Principal...) }

// AppendBody appends the payload without its generic header.
func (p *TGTRep) AppendBody(dst []byte) []byte { return append(dst, p.TGT...) }

// AppendBody appends the payload without its generic header.
func (p *Encrypt) AppendBody(dst []byte) []byte { return append(dst, p.Ciphertext...) }

// AppendBody appends the payload without its generic header.
func (p *Error) AppendBody(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(p.Code))
}

// AppendBody appends the payload without its generic header.
func (p *Unknown) AppendBody(dst []byte) []byte { return append(dst, p.Body...) }

func (p *APReq) parse(b []byte) string {
	if len(b) <= 4 {
		return "no AP-REQ in it"
	}
	p.Epoch, p.Data = Epoch(binary.BigEndian.Uint32(b)), b[4:]
	return ""
}

func (p *APRep) parse(b []byte) string {
	if len(b) <= 4 {
		return "no AP-REP in it"
	}
	p.Epoch, p.Data = Epoch(binary.BigEndian.Uint32(b)), b[4:]
	return ""
}

func (p *Error) parse(b []byte) string {
	if len(b) != 4 {
		return strconv.Itoa(len(b)) + " octets"
	}
	p.Code = ErrorCode(binary.BigEndian.Uint32(b))
	return ""
}

// parsePayload decodes the body of one payload; reason says why it cannot.
func parsePayload(t PayloadType, body []byte) (p Payload, reason string) {
	switch t {
	case PayloadAPReq:
		x := new(APReq)
		return x, x.parse(body)
	case PayloadAPRep:
		x := new(APRep)
		return x, x.parse(body)
	case PayloadISAKMP:
		x := new(ISAKMP)
		return x, x.parse(body)
	case PayloadError:
		x := new(Error)
		return x, x.parse(body)
	case PayloadKRBError, PayloadTGTReq, PayloadTGTRep, PayloadEncrypt:
		if len(body) == 0 {
			reason = "empty"
		}
	}
	switch t {
	case PayloadKRBError:
		return &KRBError{Data: body}, reason
	case PayloadTGTReq:
		return &TGTReq{Principal: body}, reason
	case PayloadTGTRep:
		return &TGTRep{TGT: body}, reason
	case PayloadEncrypt:
		return &Encrypt{Ciphertext: body}, reason
	}
	return &Unknown{Type: t, Body: body}, ""
}
