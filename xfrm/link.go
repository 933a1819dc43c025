package xfrm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// LinkKind is the kind of a network interface for route-based IPsec: packets
// that are routed to it are protected, and those that come out of its SAs
// arrive on it.
type LinkKind string

// Kinds of links.
const (
	// LinkXFRM is an XFRM interface: it serves the policies and SAs that have
	// its InterfaceID (spd.Policy.InterfaceID, spd.Options.InterfaceID). Linux
	// 4.19.
	LinkXFRM LinkKind = "xfrm"
	// LinkVTI and LinkVTI6 serve a tunnel between two addresses, and the
	// policies that have its key as their mark.
	LinkVTI  LinkKind = "vti"
	LinkVTI6 LinkKind = "vti6"
)

// A Link is an interface to be made by [DataPlane.AddLink].
type Link struct {
	Name   string // at most 15 octets
	Kind   LinkKind
	Device string // the interface below it, by name; empty: the route decides
	MTU    int    // 0: the kernel's default
	Alias  string // a text beside the name, to tell whose it is: at most 255 octets

	InterfaceID uint32 // LinkXFRM: not 0, unless External
	External    bool   // LinkXFRM: routes say the InterfaceID. Linux 6.1

	Local, Remote netip.Addr // LinkVTI, LinkVTI6: the tunnel's addresses
	InKey, OutKey uint32     // LinkVTI, LinkVTI6: marks of inbound and outbound policies
}

// Numbers of rtnetlink.
const (
	rtmNewLink uint16 = 16
	rtmDelLink uint16 = 17
	rtmGetLink uint16 = 18

	iflaName     AttributeType = 3
	iflaMTU      AttributeType = 4
	iflaLinkInfo AttributeType = 18
	iflaAlias    AttributeType = 20
	infoKind     AttributeType = 1
	infoData     AttributeType = 2

	linkFlagUp uint32 = 1
)

const ifInfoSize = 16

func (l *Link) valid() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("xfrm: link %q: %s", l.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case l.Name == "" || len(l.Name) > 15 || bytes.ContainsAny([]byte(l.Name), "/ \x00"):
		return fail("Name is not 1 to 15 octets without slash and space")
	case l.MTU < 0:
		return fail("MTU %d is negative", l.MTU)
	case len(l.Alias) > 255:
		return fail("Alias has more than 255 octets")
	case l.Kind == LinkXFRM && (l.InterfaceID == 0) != l.External:
		return fail("needs either InterfaceID or External")
	case l.Kind == LinkVTI && (!l.Local.Is4() || !l.Remote.Is4()), l.Kind == LinkVTI6 && (!l.Local.Is6() || !l.Remote.Is6()):
		return fail("Local %v and Remote %v are not the addresses of a %s link", l.Local, l.Remote, l.Kind)
	case l.Kind != LinkXFRM && l.Kind != LinkVTI && l.Kind != LinkVTI6:
		return fail("Kind %q is unknown", l.Kind)
	}
	return nil
}

// append appends a RTM_NEWLINK body that makes the link and turns it on.
func (l *Link) append(b []byte, device uint32) []byte {
	b = appendLinkHeader(b, 0, linkFlagUp)
	b = appendAttr(b, iflaName, append([]byte(l.Name), 0))
	if l.MTU > 0 {
		b = appendAttr32(b, iflaMTU, uint32(l.MTU))
	}
	b, info := beginAttribute(b, iflaLinkInfo)
	b = appendAttr(b, infoKind, []byte(l.Kind))
	b, data := beginAttribute(b, infoData)
	b = appendNonZero(b, 1, device)
	switch l.Kind {
	case LinkXFRM:
		b = appendNonZero(b, 2, l.InterfaceID)
		if l.External {
			b = appendAttr(b, 3, nil)
		}
	default:
		b = appendAttr(b, 2, binary.BigEndian.AppendUint32(nil, l.InKey))
		b = appendAttr(b, 3, binary.BigEndian.AppendUint32(nil, l.OutKey))
		b = appendAttr(b, 4, l.Local.AsSlice())
		b = appendAttr(b, 5, l.Remote.AsSlice())
	}
	return endAttribute(endAttribute(b, data), info)
}

// appendLinkHeader appends an ifinfomsg.
func appendLinkHeader(b []byte, index, flags uint32) []byte {
	b = append32(pad(b, 4), index)
	return append32(append32(b, flags), flags)
}

// namedLink appends an ifinfomsg about the link of a name.
func namedLink(b []byte, name string) []byte {
	return appendAttr(appendLinkHeader(b, 0, 0), iflaName, append([]byte(name), 0))
}

// AddLink makes a network interface, turns it on and returns its index. It is
// not removed by Close, since routes hang on it. A kind that the kernel lacks is
// spd.ErrUnsupported. It is spd.ErrExists if there is an interface of that name,
// or one of another name that has the InterfaceID, or the addresses and keys:
// [DataPlane.FindLink] tells which it is.
func (p *DataPlane) AddLink(ctx context.Context, l Link) (index int, err error) {
	if err := l.valid(); err != nil {
		return 0, err
	}
	err = p.onRoutes(func(conn Conn) error {
		var device int
		if l.Device != "" {
			if device, err = linkIndex(ctx, conn, l.Device); err != nil {
				return err
			}
		}
		_, err := routeRequest(ctx, conn, rtmNewLink, FlagAck|FlagCreate|FlagExcl, func(b []byte) []byte { return l.append(b, uint32(device)) }, "adding link "+l.Name)
		if err != nil {
			if isErrno(err, EOPNOTSUPP) {
				return fmt.Errorf("%w: the kernel has no links of kind %s (module %s)", err, l.Kind, linkModules[l.Kind])
			}
			return err
		}
		// The kernel takes an alias only for an interface that is there.
		if l.Alias != "" {
			_, err := routeRequest(ctx, conn, rtmNewLink, FlagAck, func(b []byte) []byte {
				return appendAttr(namedLink(b, l.Name), iflaAlias, []byte(l.Alias))
			}, "naming link "+l.Name)
			if err != nil {
				return errors.Join(err, deleteLink(ctx, conn, l.Name))
			}
		}
		index, err = linkIndex(ctx, conn, l.Name)
		return err
	})
	return index, err
}

var linkModules = map[LinkKind]string{LinkXFRM: "xfrm_interface", LinkVTI: "ip_vti", LinkVTI6: "ip6_vti"}

// DeleteLink removes a network interface. One that is not there is
// spd.ErrNotFound.
func (p *DataPlane) DeleteLink(ctx context.Context, name string) error {
	return p.onRoutes(func(conn Conn) error { return deleteLink(ctx, conn, name) })
}

func deleteLink(ctx context.Context, conn Conn, name string) error {
	_, err := routeRequest(ctx, conn, rtmDelLink, FlagAck, func(b []byte) []byte { return namedLink(b, name) }, "removing link "+name)
	if isErrno(err, ENODEV) {
		return fmt.Errorf("xfrm: %w: link %s", spd.ErrNotFound, name)
	}
	return err
}

func (p *DataPlane) onRoutes(f func(Conn) error) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return spd.ErrClosed
	}
	conn, err := p.cfg.Dial(ProtocolRoute, 0)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return f(conn)
}

// linkInfo asks for a link and returns the attributes of the answer.
func linkInfo(ctx context.Context, conn Conn, name string) (index int, attrs []byte, err error) {
	body, err := routeRequest(ctx, conn, rtmGetLink, 0, func(b []byte) []byte { return namedLink(b, name) }, "looking for link "+name)
	if err != nil {
		return 0, nil, err
	}
	if len(body) < ifInfoSize {
		return 0, nil, &ParseError{Reason: "answer about a link is cut short"}
	}
	return int(binary.NativeEndian.Uint32(body[4:])), body[ifInfoSize:], nil
}

func linkIndex(ctx context.Context, conn Conn, name string) (int, error) {
	index, _, err := linkInfo(ctx, conn, name)
	return index, err
}

// routeRequest makes a request on a socket of its own and returns the body of
// the answer, nil if it is an acknowledgement.
func routeRequest(ctx context.Context, conn Conn, t, flags uint16, f func([]byte) []byte, what string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	seq := uint32(t) // sockets are not shared, and no request is made twice at once
	if err := conn.Send(AppendMessage(nil, Header{Type: t, Flags: FlagRequest | flags, Seq: seq}, f)); err != nil {
		return nil, fmt.Errorf("xfrm: %s: %w", what, err)
	}
	buf := make([]byte, datagramSize)
	for {
		n, err := conn.Receive(ctx, buf)
		if err != nil {
			return nil, fmt.Errorf("xfrm: %s: %w: %w", what, ErrNoAnswer, err)
		}
		for h, body := range Messages(buf[:n]) {
			switch {
			case body.Err != nil:
				return nil, fmt.Errorf("xfrm: %s: %w", what, body.Err)
			case h.Seq != seq:
			case h.Type == CtlError:
				errno, text, err := parseAck(h, body.Data)
				if err == nil && errno != 0 {
					err = &Error{Op: what, Errno: errno, Text: text}
				}
				return nil, err
			case h.Type == rtmNewLink:
				return bytes.Clone(body.Data), nil
			default:
				return nil, errors.New("xfrm: " + what + ": the answer is not understood")
			}
		}
	}
}
