package xfrm

// Infinite is the limit that is never reached (XFRM_INF). In [Limits] 0 means
// the same for octets and packets, and stands for itself for times.
const Infinite = ^uint64(0)

// Limits bound the use of an SA or a policy (struct xfrm_lifetime_cfg, 64
// octets): at a soft one the kernel says so, at a hard one it removes the SA.
// For octets and packets 0 means no limit; it is sent as [Infinite], since the
// kernel would take 0 literally. For times, in seconds, 0 means no limit to
// the kernel too.
type Limits struct {
	SoftBytes, HardBytes     uint64
	SoftPackets, HardPackets uint64
	SoftAdd, HardAdd         uint64 // seconds since it was added
	SoftUse, HardUse         uint64 // seconds since its first use
}

func (l *Limits) append(b []byte) []byte {
	for _, v := range [...]uint64{l.SoftBytes, l.HardBytes, l.SoftPackets, l.HardPackets} {
		if v == 0 {
			v = Infinite
		}
		b = append64(b, v)
	}
	for _, v := range [...]uint64{l.SoftAdd, l.HardAdd, l.SoftUse, l.HardUse} {
		b = append64(b, v)
	}
	return b
}

func (c *cursor) limits() (l Limits) {
	for _, p := range [...]*uint64{&l.SoftBytes, &l.HardBytes, &l.SoftPackets, &l.HardPackets} {
		if *p = c.u64(); *p == Infinite {
			*p = 0
		}
	}
	for _, p := range [...]*uint64{&l.SoftAdd, &l.HardAdd, &l.SoftUse, &l.HardUse} {
		*p = c.u64()
	}
	return l
}

// Usage is what has been used of an SA or a policy (struct xfrm_lifetime_cur,
// 32 octets). Times are seconds since 1970; Used is 0 before the first use. Of
// a policy, Used is the time of its last use.
type Usage struct {
	Bytes, Packets uint64
	Added, Used    uint64
}

func (u *Usage) append(b []byte) []byte {
	return append64(append64(append64(append64(b, u.Bytes), u.Packets), u.Added), u.Used)
}

func (c *cursor) usage() (u Usage) {
	u.Bytes, u.Packets, u.Added, u.Used = c.u64(), c.u64(), c.u64(), c.u64()
	return u
}
