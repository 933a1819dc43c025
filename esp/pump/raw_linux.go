package pump

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// rawSystem is what a RawConn has on Linux: a socket that receives, and sends
// with "don't fragment", and over IPv4 one that sends without.
type rawSystem struct {
	local       netip.Addr
	file, plain *os.File
	df, nodf    msgSocket
	reading     *msgReader
	packets     [][]byte
}

func (c *rawSystem) init(local netip.Addr) error {
	if !local.IsValid() {
		return errors.New("the address is not valid")
	}
	c.local = local
	var err error
	if c.file, err = c.open(&c.df, false); err != nil {
		return err
	}
	if local.Is4() {
		if c.plain, err = c.open(&c.nodf, true); err != nil {
			c.file.Close()
			return err
		}
	}
	c.reading = newMsgReader(&c.df, 64, maxPacket)
	return nil
}

// open opens a socket, which with sendOnly receives nothing.
func (c *rawSystem) open(s *msgSocket, sendOnly bool) (*os.File, error) {
	domain := unix.AF_INET
	var addr unix.Sockaddr = &unix.SockaddrInet4{}
	if c.local.Is4() {
		addr.(*unix.SockaddrInet4).Addr = c.local.As4()
	} else {
		domain, addr = unix.AF_INET6, &unix.SockaddrInet6{Addr: c.local.As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ESP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "ESP")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	s.initSocket(raw, domain == unix.AF_INET6, netip.AddrPortFrom(c.local, 0))
	s.noGSO.Store(true)
	var bindErr error
	err = raw.Control(func(uintptr) {
		if sendOnly {
			// A filter that lets nothing pass.
			none := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
			unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &none[0]})
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		} else if c.local.Is4() {
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		}
		s.tellPaths(fd)
		enlargeBuffers(fd)
		bindErr = os.NewSyscallError("bind", unix.Bind(fd, addr))
	})
	if err == nil {
		err = bindErr
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (c *rawSystem) serve(h RawHandler) error {
	r := c.reading
	for {
		if c.df.raw.Read(r.do) != nil {
			return nil // closed
		}
		var last way
		for i := range r.n {
			w := way{netip.AddrPortFrom(c.local, 0), netip.AddrPortFrom(addrPortOf(&r.names[i]).Addr(), 0), 0}
			b, _ := r.message(i, &w)
			if c.local.Is4() {
				// It begins with the IP header.
				if len(b) < 20 {
					continue
				}
				size := int(b[0]&15) * 4
				if size < 20 || size > len(b) || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
					continue
				}
				w.tos = b[1]
				w.local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), 0)
				b = b[size:]
			}
			if w != last {
				c.flush(h, &last)
				last = w
			}
			c.packets = append(c.packets, b)
		}
		c.flush(h, &last)
	}
}

func (c *rawSystem) flush(h RawHandler, w *way) {
	if len(c.packets) > 0 {
		h.HandleRawESP(w.local.Addr(), w.remote.Addr(), w.tos, c.packets)
		c.packets = c.packets[:0]
	}
}

func (c *rawSystem) send(local, remote netip.Addr, tos byte, df bool, packets [][]byte) (int, error) {
	s := &c.df
	if !df && c.plain != nil {
		s = &c.nodf
	}
	return s.send(netip.AddrPortFrom(local, 0), netip.AddrPortFrom(remote, 0), tos, packets)
}

func (c *rawSystem) close() error {
	if c.plain != nil {
		c.plain.Close()
	}
	return c.file.Close()
}
