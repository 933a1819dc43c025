package message

import (
	"errors"

	"github.com/racoon3/racoon/ikev1/isakmp"
)

// ISAKMP is a KINK_ISAKMP payload: the Quick Mode payloads of one SA operation
// (RFC 4430 4.2.6). A message may have several.
type ISAKMP struct {
	First   isakmp.PayloadType // type of the first payload in Chain
	Version isakmp.Version     // of Quick Mode; 0 is written as 1.0
	Chain   []byte             // payloads with generic headers
}

// NewISAKMP returns the payload that carries ps.
func NewISAKMP(ps ...isakmp.Payload) (*ISAKMP, error) {
	b := isakmp.NewChainBuilder(nil)
	for _, p := range ps {
		b.Add(p)
	}
	chain, err := b.Finish()
	if err != nil {
		return nil, err
	}
	return &ISAKMP{First: b.First(), Version: isakmp.Version1, Chain: chain}, nil
}

// PayloadType returns PayloadISAKMP.
func (*ISAKMP) PayloadType() PayloadType { return PayloadISAKMP }

// AppendBody appends the payload without its generic header.
func (p *ISAKMP) AppendBody(dst []byte) []byte {
	v := p.Version
	if v == 0 {
		v = isakmp.Version1
	}
	return append(append(dst, byte(p.First), byte(v), 0, 0), p.Chain...)
}

func (p *ISAKMP) parse(b []byte) string {
	if len(b) < 4 {
		return "ends before the Quick Mode version"
	}
	p.First, p.Version, p.Chain = isakmp.PayloadType(b[0]), isakmp.Version(b[1]), b[4:]
	return ""
}

// Payloads decodes the Quick Mode payloads and checks that their DOI, where
// they have one, is the message's (RFC 4430 4). The error is a [*ParseError] of
// kind [ErrQMVersion], [ErrDOI] or [ErrUnexpectedPayload], or one around an
// [isakmp.ParseError], which tells the notify to answer with. Offsets count in
// Chain.
//
// Payload types that Quick Mode does not have, those of phase 1 among them, are
// refused (RFC 4430 5), and so is HASH, which KINK does not use. Private types
// and vendor IDs are not.
func (p *ISAKMP) Payloads() (isakmp.Payloads, error) {
	if p.Version != isakmp.Version1 {
		return nil, &ParseError{Payload: PayloadISAKMP, Err: ErrQMVersion, Reason: "version " + p.Version.String()}
	}
	ps, err := isakmp.ParsePayloads(p.First, p.Chain)
	if err == nil {
		err = ps.Only(isakmp.PayloadSA, isakmp.PayloadNonce, isakmp.PayloadKE, isakmp.PayloadID, isakmp.PayloadNotify, isakmp.PayloadDelete)
	}
	if err != nil {
		e := &ParseError{Payload: PayloadISAKMP, Err: err}
		if pe, ok := errors.AsType[*isakmp.ParseError](err); ok {
			e.Offset = pe.Offset
		}
		return nil, e
	}
	for _, q := range ps {
		doi := uint32(DOIIPsec)
		switch q := q.(type) {
		case *isakmp.SA:
			doi = uint32(q.DOI)
		case *isakmp.Notify:
			doi = uint32(q.DOI)
		case *isakmp.Delete:
			doi = uint32(q.DOI)
		}
		if doi != DOIIPsec {
			return nil, &ParseError{Payload: PayloadISAKMP, Err: ErrDOI, Reason: q.PayloadType().String() + " payload of another DOI than the message"}
		}
	}
	return ps, nil
}
