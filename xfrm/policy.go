package xfrm

import "net/netip"

// Direction is where in the way of a packet a policy is looked up.
type Direction uint8

// Directions. Forward is for packets that are routed on to another host; it is
// looked up when they have come in.
const (
	DirIn      Direction = 0
	DirOut     Direction = 1
	DirForward Direction = 2
)

func (d Direction) String() string {
	switch d {
	case DirIn:
		return "in"
	case DirOut:
		return "out"
	case DirForward:
		return "fwd"
	}
	return "unknown"
}

// Action is what a policy does with a packet; with ActionAllow and templates it
// goes through their SAs.
type Action uint8

// Actions.
const (
	ActionAllow Action = 0
	ActionBlock Action = 1
)

// PolicyFlags are the flags of a policy.
type PolicyFlags uint8

// Flags of a policy.
const (
	PolicyLocalOK PolicyFlags = 1 // a socket's own policy may override it
	PolicyICMP    PolicyFlags = 2 // also for the payload of ICMP errors
)

// Types of a policy in Policy.Type.
const (
	PolicyMain uint8 = 0
	PolicySub  uint8 = 1 // mobile IPv6
	PolicyAny  uint8 = 255
)

// A Template is one SA that a policy wants (struct xfrm_user_tmpl, 64 octets).
// In transport mode addresses are the packet's. In tunnel mode an inbound
// template without a source takes any. Algorithm masks of 0 are sent as all
// ones: any.
type Template struct {
	Src, Dst  netip.Addr // of one family; 0.0.0.0 and :: are none
	SPI       uint32     // 0 for any
	Proto     uint8
	Mode      Mode
	ReqID     uint32
	Share     uint8
	Optional  bool // a packet may come without it
	Auth      uint32
	Crypt     uint32
	Comp      uint32
	AnyFamily uint16 // family if neither address is valid
}

const templateSize = 64

// maxTemplates is the kernel's depth (XFRM_MAX_DEPTH).
const maxTemplates = 6

func (t *Template) append(b []byte) []byte {
	b = appendSPI(appendAddr(b, t.Dst), t.SPI)
	b = append(b, t.Proto, 0, 0, 0)
	family := familyOfAny(t.Dst, t.Src)
	if family == familyUnspec {
		family = t.AnyFamily
	}
	b = pad(append16(b, family), 2)
	b = append32(appendAddr(b, t.Src), t.ReqID)
	b = append(b, uint8(t.Mode), t.Share, flag(t.Optional), 0)
	for _, v := range [...]uint32{t.Auth, t.Crypt, t.Comp} {
		if v == 0 {
			v = ^uint32(0)
		}
		b = append32(b, v)
	}
	return b
}

func (c *cursor) template() (t Template) {
	dst := c.addr()
	t.SPI, t.Proto = c.spi(), c.u8()
	c.skip(3)
	family := c.u16()
	c.skip(2)
	t.Dst, t.Src = address(dst, family), address(c.addr(), family)
	if !t.Dst.IsValid() {
		t.AnyFamily = family
	}
	t.ReqID = c.u32()
	t.Mode, t.Share, t.Optional = Mode(c.u8()), c.u8(), c.u8() != 0
	c.skip(1)
	for _, p := range [...]*uint32{&t.Auth, &t.Crypt, &t.Comp} {
		if *p = c.u32(); *p == ^uint32(0) {
			*p = 0
		}
	}
	return t
}

// A Policy is an entry of the kernel's SPD (struct xfrm_userpolicy_info, 168
// octets, and attributes). Lower priorities are looked up first; of equal ones
// the one that was there first.
type Policy struct {
	Selector Selector
	Limits   Limits
	Usage    Usage
	Priority uint32
	Index    uint32 // the kernel's number; 0 lets it choose
	Dir      Direction
	Action   Action
	Flags    PolicyFlags
	Share    uint8

	Templates   []Template // at most 6, in the order in which they apply to an outbound packet
	Type        uint8
	Mark        Mark
	InterfaceID uint32
	SecCtx      SecCtx
	Offload     Offload

	Unknown []Attribute
}

func (p *Policy) appendInfo(b []byte) []byte {
	b = p.Selector.append(b)
	b = p.Limits.append(b)
	b = p.Usage.append(b)
	b = append32(append32(b, p.Priority), p.Index)
	return pad(append(b, uint8(p.Dir), uint8(p.Action), uint8(p.Flags), p.Share), policyPadding)
}

func (p *Policy) readInfo(c *cursor) {
	p.Selector = c.selector()
	p.Limits, p.Usage = c.limits(), c.usage()
	p.Priority, p.Index = c.u32(), c.u32()
	p.Dir, p.Action, p.Flags, p.Share = Direction(c.u8()), Action(c.u8()), PolicyFlags(c.u8()), c.u8()
	c.skip(policyPadding)
}

func (p *Policy) appendAttributes(b []byte) []byte {
	if len(p.Templates) > 0 {
		var at int
		b, at = beginAttribute(b, AttrTemplate)
		for i := range p.Templates[:min(len(p.Templates), maxTemplates)] {
			b = p.Templates[i].append(b)
		}
		b = endAttribute(b, at)
	}
	b = appendPolicyType(b, p.Type)
	b = p.Mark.append(b)
	b = appendNonZero(b, AttrInterfaceID, p.InterfaceID)
	b = p.SecCtx.append(b)
	b = p.Offload.append(b)
	return appendUnknown(b, p.Unknown)
}

// appendPolicyType appends a userpolicy_type (6 octets).
func appendPolicyType(b []byte, t uint8) []byte {
	if t == PolicyMain {
		return b
	}
	b, at := beginAttribute(b, AttrPolicyType)
	return endAttribute(pad(append(b, t), 5), at)
}

func (p *Policy) attribute(t AttributeType, v []byte) (err error) {
	switch t {
	case AttrTemplate:
		p.Templates, err = parseTemplates(v)
	case AttrPolicyType:
		err = value(t, v, func(c *cursor) { p.Type = c.u8() })
	case AttrMark:
		p.Mark, err = parseMark(v)
	case AttrInterfaceID:
		err = value32(t, v, &p.InterfaceID)
	case AttrSecCtx:
		err = p.SecCtx.parse(v)
	case AttrOffload:
		p.Offload, err = parseOffload(v)
	case AttrPad:
	default:
		p.Unknown, err = keepUnknown(p.Unknown, t, v)
	}
	return err
}

func parseTemplates(v []byte) ([]Template, error) {
	n := len(v) / templateSize
	if n*templateSize != len(v) {
		return nil, syntaxError(AttrTemplate, "template is cut short")
	}
	if n > maxTemplates {
		return nil, syntaxError(AttrTemplate, "too many templates")
	}
	if n == 0 {
		return nil, nil
	}
	c, ts := cursor{b: v}, make([]Template, n)
	for i := range ts {
		ts[i] = c.template()
	}
	return ts, nil
}

// Key returns what names the policy in the kernel.
func (p *Policy) Key() PolicyKey {
	return PolicyKey{Selector: p.Selector, Dir: p.Dir, Type: p.Type, Mark: p.Mark, InterfaceID: p.InterfaceID, SecCtx: p.SecCtx}
}

// A PolicyKey names a policy (struct xfrm_userpolicy_id, 64 octets, and
// attributes): by its selector, direction, mark, interface ID and label, or if
// Index is not 0, by that and the direction.
type PolicyKey struct {
	Selector    Selector
	Index       uint32
	Dir         Direction
	Type        uint8
	Mark        Mark
	InterfaceID uint32
	SecCtx      SecCtx
}

func (k *PolicyKey) append(b []byte) []byte {
	b = append32(k.Selector.append(b), k.Index)
	return append(b, uint8(k.Dir), 0, 0, 0)
}

func (k *PolicyKey) appendAttributes(b []byte) []byte {
	b = appendPolicyType(b, k.Type)
	b = k.Mark.append(b)
	b = appendNonZero(b, AttrInterfaceID, k.InterfaceID)
	return k.SecCtx.append(b)
}

func (c *cursor) policyKey() (k PolicyKey) {
	k.Selector = c.selector()
	k.Index, k.Dir = c.u32(), Direction(c.u8())
	c.skip(3)
	return k
}

func (k *PolicyKey) attribute(t AttributeType, v []byte) (known bool, err error) {
	switch t {
	case AttrPolicyType:
		err = value(t, v, func(c *cursor) { k.Type = c.u8() })
	case AttrMark:
		k.Mark, err = parseMark(v)
	case AttrInterfaceID:
		err = value32(t, v, &k.InterfaceID)
	case AttrSecCtx:
		err = k.SecCtx.parse(v)
	default:
		return false, nil
	}
	return true, err
}
