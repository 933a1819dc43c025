package setkey

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/racoon3/racoon/pfkey"
)

// AppendMessage appends a message of PF_KEY as setkey -x prints it, with its keys.
// The dialect is one in this machine's byte order.
// A message that an X_PROMISC message wraps is printed in its place. What is
// malformed is printed as far as it goes.
func AppendMessage(b []byte, d *pfkey.Dialect, raw []byte) []byte {
	m, err := d.Parse(raw)
	if m != nil && len(m.Inner) > 0 {
		raw = m.Inner
		m, err = d.Parse(raw)
	}
	if len(raw) < headerSize {
		return fmt.Appendf(b, "a message of %d octets\n", len(raw))
	}
	h, _ := d.ParseHeader(raw)
	b = fmt.Appendf(b, "sadb_msg{ version=%d type=%d errno=%d satype=%d\n", raw[0], raw[1], raw[2], raw[3])
	b = fmt.Appendf(b, "  len=%d reserved=%d seq=%d pid=%d\n", len(raw)/8, h.Refs, h.Seq, h.PID)
	if err != nil {
		return fmt.Appendf(b, "%v\n", err)
	}
	at := headerSize
	for _, e := range m.Exts {
		// Parse has checked the lengths.
		n := int(binary.NativeEndian.Uint16(raw[at:]))
		b = fmt.Appendf(b, "sadb_ext{ len=%d type=%d }\n", n, binary.NativeEndian.Uint16(raw[at+2:]))
		b = appendExtension(b, e)
		at += n * 8
	}
	return b
}

const headerSize = 16

func appendExtension(b []byte, e pfkey.Extension) []byte {
	switch e := e.(type) {
	case *pfkey.SA:
		b = fmt.Appendf(b, "sadb_sa{ spi=%d replay=%d state=%d\n", uint32(e.SPI), e.Replay, e.State)
		b = fmt.Appendf(b, "  auth=%d encrypt=%d flags=0x%08x }\n", e.Auth, e.Encrypt, e.Flags)
	case *pfkey.Lifetime:
		b = fmt.Appendf(b, "sadb_lifetime{ alloc=%d, bytes=%d\n  addtime=%d, usetime=%d }\n", e.Allocations, e.Bytes, e.AddTime, e.UseTime)
	case *pfkey.Address:
		b = fmt.Appendf(b, "sadb_address{ proto=%d prefixlen=%d }\n", e.Proto, e.PrefixLen)
		b = appendSockAddr(b, &e.SockAddr)
	case *pfkey.Key:
		b = fmt.Appendf(b, "sadb_key{ bits=%d\n  key=", max(int(e.Bits), 8*len(e.Key)))
		b = append(appendHex(b, e.Key), " }\n"...)
	case *pfkey.Identity:
		b = fmt.Appendf(b, "sadb_ident{ %+v }\n", *e)
	case *pfkey.Proposal:
		b = fmt.Appendf(b, "sadb_prop{ replay=%d\n", e.Replay)
		for _, c := range e.Combs {
			b = fmt.Appendf(b, "  %+v\n", c)
		}
		b = append(b, "}\n"...)
	case *pfkey.Supported:
		b = append(b, "sadb_sup{\n"...)
		for _, a := range e.Algs {
			b = fmt.Appendf(b, "  { id=%d ivlen=%d min=%d max=%d }\n", a.ID, a.IVLen, a.MinBits, a.MaxBits)
		}
		b = append(b, "}\n"...)
	case *pfkey.SPIRange:
		b = fmt.Appendf(b, "sadb_spirange{ min=%d max=%d }\n", e.Min, e.Max)
	case *pfkey.SA2:
		b = fmt.Appendf(b, "sadb_x_sa2{ mode=%d reqid=%d sequence=%d }\n", e.Mode, e.ReqID, e.Sequence)
	case *pfkey.Policy:
		b = fmt.Appendf(b, "sadb_x_policy{ type=%d dir=%d id=%x priority=%d }\n", e.Type, e.Dir, e.ID, e.Priority)
		for i := range e.Requests {
			r := &e.Requests[i]
			b = fmt.Appendf(b, " { proto=%d mode=%d level=%d reqid=%d\n", r.Proto, r.Mode, r.Level, r.ReqID)
			if r.Src.Addr.IsValid() {
				b = appendSockAddr(appendSockAddr(b, &r.Src), &r.Dst)
			}
			b = append(b, " }\n"...)
		}
	case *pfkey.NATTType:
		b = fmt.Appendf(b, "sadb_x_nat_t_type{ type=%d }\n", e.Encap)
	case *pfkey.NATTPort:
		b = fmt.Appendf(b, "sadb_x_nat_t_port{ port=%d }\n", e.Port)
	case *pfkey.SecCtx:
		b = fmt.Appendf(b, "sadb_x_sec_ctx{ doi=%d alg=%d ctx=%q }\n", e.DOI, e.Alg, strings.TrimRight(string(e.Context), "\x00"))
	case *pfkey.Unknown:
		b = append(appendHex(b, e.Data), '\n')
	default:
		b = fmt.Appendf(b, "%+v\n", e)
	}
	return b
}

func appendSockAddr(b []byte, a *pfkey.SockAddr) []byte {
	if !a.Addr.IsValid() {
		return append(b, "sockaddr{ }\n"...)
	}
	b = fmt.Appendf(b, "sockaddr{ addr=%v port=%d", a.Addr, a.Port)
	if a.Scope != 0 {
		b = fmt.Appendf(b, " scope_id=%d", a.Scope)
	}
	return append(b, " }\n"...)
}

// AppendHexDump appends octets as setkey -h does: 16 in a line, behind their
// offset.
func AppendHexDump(b []byte, raw []byte) []byte {
	for i, c := range raw {
		if i%16 == 0 {
			b = fmt.Appendf(b, "%08x: ", i)
		}
		b = fmt.Appendf(b, "%02x ", c)
		if i%16 == 15 || i == len(raw)-1 {
			b = append(b, '\n')
		}
	}
	return b
}
