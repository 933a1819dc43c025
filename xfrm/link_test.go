package xfrm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
	"github.com/racoon3/racoon/xfrm"
	"github.com/racoon3/racoon/xfrm/xfrmtest"
)

// routes is an rtnetlink socket that keeps requests and answers from a list.
type routes struct {
	requests [][]byte
	answers  []func(h xfrm.Header) []byte
}

func (r *routes) Send(b []byte) error {
	r.requests = append(r.requests, append([]byte(nil), b...))
	return nil
}

func (r *routes) Receive(_ context.Context, b []byte) (int, error) {
	last := r.requests[len(r.requests)-1]
	for h := range xfrm.Messages(last) {
		a := r.answers[0](h)
		r.answers = r.answers[1:]
		return copy(b, a), nil
	}
	return 0, nil
}

func (r *routes) Close() error { return nil }

func acknowledge(errno xfrm.Errno, text string) func(xfrm.Header) []byte {
	return func(h xfrm.Header) []byte { return xfrm.AppendAck(nil, h, errno, text) }
}

func linkInfo(index uint32, attributes ...byte) func(xfrm.Header) []byte {
	return func(h xfrm.Header) []byte {
		return xfrm.AppendMessage(nil, xfrm.Header{Type: 16, Seq: h.Seq}, func(b []byte) []byte {
			return append(append(binary.NativeEndian.AppendUint32(append(b, 0, 0, 0, 0), index), make([]byte, 8)...), attributes...)
		})
	}
}

func withRoutes(t *testing.T, r *routes) *xfrm.DataPlane {
	k := xfrmtest.NewKernel()
	p, err := xfrm.New(xfrm.Config{Capabilities: fakeCapabilities(), Dial: func(p xfrm.Protocol, g xfrm.Groups) (xfrm.Conn, error) {
		if p == xfrm.ProtocolRoute {
			return r, nil
		}
		return k.Dial(p, g)
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestAddLink(t *testing.T) {
	r := &routes{answers: []func(xfrm.Header) []byte{linkInfo(3), acknowledge(0, ""), linkInfo(17), acknowledge(0, "")}}
	p := withRoutes(t, r)
	i, err := p.AddLink(ctx, xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, Device: "eth0", InterfaceID: 0x01020304, MTU: 1400})
	require.NoError(t, err)
	require.Equal(t, 17, i)
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		require.Equal(t, "00000000"+"00000000"+"01000000"+"01000000"+ // ifinfomsg: index, flags, change
			"0b000300697073656330"+"0000"+ // IFLA_IFNAME
			"0800040078050000"+ // IFLA_MTU
			"20001200"+ // IFLA_LINKINFO
			"080001007866726d"+ // IFLA_INFO_KIND
			"14000200"+"0800010003000000"+"0800020004030201", // IFLA_INFO_DATA: link, if_id
			hex.EncodeToString(r.requests[1][16:]))
	}
	require.NoError(t, p.DeleteLink(ctx, "ipsec0"))
	require.EqualValues(t, 17, binary.NativeEndian.Uint16(r.requests[3][4:]))

	r.answers = append(r.answers, acknowledge(xfrm.EOPNOTSUPP, "Unknown device type"))
	_, err = p.AddLink(ctx, xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, InterfaceID: 1})
	require.ErrorIs(t, err, spd.ErrUnsupported)
	require.ErrorContains(t, err, "xfrm_interface")
	r.answers = append(r.answers, acknowledge(xfrm.ENODEV, ""))
	require.ErrorIs(t, p.DeleteLink(ctx, "ipsec0"), spd.ErrNotFound)

	r.answers = append(r.answers, acknowledge(0, ""), linkInfo(18))
	_, err = p.AddLink(ctx, xfrm.Link{Name: "vti0", Kind: xfrm.LinkVTI, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2"), InKey: 9, OutKey: 10})
	require.NoError(t, err)
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		require.Contains(t, hex.EncodeToString(r.requests[len(r.requests)-2]),
			"07000100767469"+"00"+"24000200"+"0800020000000009"+"080003000000000a"+"08000400c0000201"+"08000500c0000202")
	}
	for _, l := range []xfrm.Link{
		{Kind: xfrm.LinkXFRM, InterfaceID: 1}, {Name: "0123456789abcdef", Kind: xfrm.LinkXFRM, InterfaceID: 1}, {Name: "a", Kind: xfrm.LinkXFRM},
		{Name: "a", Kind: xfrm.LinkVTI}, {Name: "a", Kind: xfrm.LinkVTI6, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2")}, {Name: "a", Kind: "gre"},
	} {
		_, err := p.AddLink(ctx, l)
		require.Error(t, err, "%+v", l)
	}
}

// TestFindLink: what the kernel of Linux 6.1 says about its links, without what
// this package does not read.
func TestFindLink(t *testing.T) {
	r := &routes{}
	p := withRoutes(t, r)
	attr := func(n int, value ...byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, uint16(n)), value...)
		return append(b, make([]byte, -len(value)&3)...)
	}
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	about := func(name, kind string, data ...[]byte) func(xfrm.Header) []byte {
		b := append(attr(3, append([]byte(name), 0)...), attr(4, number(1400)...)...)
		b = append(b, attr(20, []byte("iked\x00")...)...)
		b = append(b, attr(18, append(attr(1, append([]byte(kind), 0)...), attr(2, bytes.Join(data, nil)...)...)...)...)
		return linkInfo(17, b...)
	}
	for _, c := range []struct {
		answer func(xfrm.Header) []byte
		want   xfrm.Link
	}{
		{about("ipsec0", "xfrm", attr(1, number(3)...), attr(2, number(42)...)), xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, InterfaceID: 42, MTU: 1400, Alias: "iked"}},
		{about("ipsec1", "xfrm", attr(3)), xfrm.Link{Name: "ipsec1", Kind: xfrm.LinkXFRM, External: true, MTU: 1400, Alias: "iked"}},
		{about("vti0", "vti", attr(1, number(0)...), attr(2, 0, 0, 0, 9), attr(3, 0, 0, 0, 10), attr(4, 192, 0, 2, 1), attr(5, 192, 0, 2, 2)),
			xfrm.Link{Name: "vti0", Kind: xfrm.LinkVTI, InKey: 9, OutKey: 10, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2"), MTU: 1400, Alias: "iked"}},
		{about("br0", "bridge", attr(2, 1)), xfrm.Link{Name: "br0", Kind: "bridge", MTU: 1400, Alias: "iked"}},
	} {
		r.answers = append(r.answers, c.answer)
		l, err := p.FindLink(ctx, c.want.Name)
		require.NoError(t, err)
		require.Equal(t, c.want, l)
	}
	for _, a := range []func(xfrm.Header) []byte{about("a", "xfrm", attr(2, 1)), about("a", "vti", attr(3, 1)), about("a", "vti6", attr(4, 1))} {
		r.answers = append(r.answers, a)
		_, err := p.FindLink(ctx, "a")
		require.ErrorIs(t, err, xfrm.ErrSyntax)
	}
	r.answers = append(r.answers, acknowledge(xfrm.ENODEV, ""))
	_, err := p.FindLink(ctx, "a")
	require.ErrorIs(t, err, spd.ErrNotFound)

	// The name beside the name comes in a second request.
	r.answers = append(r.answers, acknowledge(0, ""), acknowledge(0, ""), linkInfo(18))
	_, err = p.AddLink(ctx, xfrm.Link{Name: "ipsec0", Kind: xfrm.LinkXFRM, InterfaceID: 1, Alias: "iked"})
	require.NoError(t, err)
	require.NotContains(t, string(r.requests[len(r.requests)-3]), "iked")
	require.Contains(t, string(r.requests[len(r.requests)-2]), "iked")
}
