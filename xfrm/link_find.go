package xfrm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/racoon3/racoon/spd"
)

// FindLink returns the network interface of that name. Kind is what the kernel
// says, empty for a device of its own; other kinds than those of this package
// have no more than Name, Kind, MTU and Alias. Device is not filled in. One that
// is not there is spd.ErrNotFound.
func (p *DataPlane) FindLink(ctx context.Context, name string) (Link, error) {
	var l Link
	err := p.onRoutes(func(conn Conn) error {
		_, attrs, err := linkInfo(ctx, conn, name)
		if isErrno(err, ENODEV) {
			return fmt.Errorf("xfrm: %w: link %s", spd.ErrNotFound, name)
		}
		if err != nil {
			return err
		}
		return l.parse(attrs)
	})
	return l, err
}

// parse reads the attributes of a link.
func (l *Link) parse(attrs []byte) error {
	text := func(v []byte) string { return string(bytes.TrimRight(v, "\x00")) }
	return attributes(attrs, func(t AttributeType, v []byte) (err error) {
		switch t {
		case iflaName:
			l.Name = text(v)
		case iflaAlias:
			l.Alias = text(v)
		case iflaMTU:
			var mtu uint32
			err = value32(t, v, &mtu)
			l.MTU = int(mtu)
		case iflaLinkInfo:
			var data []byte
			err = attributes(v, func(t AttributeType, v []byte) error {
				switch t {
				case infoKind:
					l.Kind = LinkKind(text(v))
				case infoData:
					data = v
				}
				return nil
			})
			if err == nil {
				err = attributes(data, l.parseData)
			}
		}
		return err
	})
}

// parseData reads an attribute of the link's kind.
func (l *Link) parseData(t AttributeType, v []byte) error {
	if l.Kind == LinkXFRM {
		switch t {
		case 2:
			return value32(t, v, &l.InterfaceID)
		case 3:
			l.External = true
		}
		return nil
	}
	if l.Kind != LinkVTI && l.Kind != LinkVTI6 {
		return nil
	}
	switch t {
	case 2:
		return linkKey(t, v, &l.InKey)
	case 3:
		return linkKey(t, v, &l.OutKey)
	case 4:
		return linkAddr(t, v, &l.Local)
	case 5:
		return linkAddr(t, v, &l.Remote)
	}
	return nil
}

func linkKey(t AttributeType, v []byte, p *uint32) error {
	if len(v) < 4 {
		return syntaxError(t, "attribute is cut short")
	}
	*p = binary.BigEndian.Uint32(v)
	return nil
}

func linkAddr(t AttributeType, v []byte, p *netip.Addr) error {
	a, ok := netip.AddrFromSlice(v)
	if !ok {
		return syntaxError(t, "address is cut short")
	}
	*p = a
	return nil
}
