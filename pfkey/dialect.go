package pfkey

import (
	"encoding/binary"
	"runtime"
)

// A Dialect is what one system makes of PF_KEY: the numbers of messages,
// extensions and algorithms, the layouts that differ, and the kernel's habits.
// The variables [Linux], [FreeBSD], [NetBSD], [MacOS] and [OpenBSD] are all
// there are; [Default] is the running system's. A Dialect never changes, and
// any of them works on any system as far as no socket is needed.
type Dialect struct {
	name  string
	goos  string
	order byteOrder

	family    int    // PF_KEY of socket(2)
	familyIP6 uint8  // AF_INET6 inside sockaddrs
	saLen     bool   // sockaddrs begin with their length
	msgs      number // MsgType
	saTypes   number // SAType
	exts      number // ExtType

	requestHeader int  // octets before the addresses of an ipsecrequest
	priority      bool // policies have a priority
	plainAddress  bool // OpenBSD: addresses without protocol and prefix length
	maxRequest    int  // octets of the largest request, 0 for no limit of its own

	algorithms *algorithmTable
	habits
}

// habits are what the data plane has to know about a kernel beyond layouts.
type habits struct {
	errnos          map[uint8]errno // of the system, not of the one this runs on
	replayInBytes   bool            // sadb_sa_replay counts octets of bitmap, not packets
	maxReplay       int             // packets
	replayExtension bool            // X_SA_REPLAY for windows above 255 octets
	esn             bool
	nattStyle       nattStyle
	udpEncap6       bool
	bundles         bool // several requests in one policy
	ipcomp          bool
	forward         bool // direction fwd
	noHardExpire    bool // an SA disappears at its hard limit without a message, and only after a soft one
	firstHead       bool // GET and DELETE may find only SAs of one request ID, of all between two addresses
	lastUse         bool // usetime of LIFETIME_CURRENT is the last use, not the first
	packetLifetimes bool // allocations counts packets
	move            moveStyle
	nullKey         nullKey
	icmpSelectors   bool // ports of a selector hold ICMP type and code
	sockets         socketOptions
}

// nattStyle is how UDP encapsulation is put into an SA.
type nattStyle uint8

const (
	nattExtensions nattStyle = iota // NAT_T_TYPE, SPORT, DPORT
	nattAddresses                   // the same, and the ports are part of the SA's addresses
	nattLongSA                      // macOS: sadb_sa_2
	nattUDPEncap                    // OpenBSD: X_UDPENCAP
)

// moveStyle is how an SA gets other endpoints.
type moveStyle uint8

const (
	moveNever     moveStyle = iota
	moveMigrate             // Linux: X_MIGRATE for addresses, UPDATE for ports
	moveUpdate              // FreeBSD: UPDATE with X_NEW_ADDRESS_SRC and DST
	moveMigrateSA           // macOS: MIGRATE
)

// nullKey is what ESP with NULL encryption has for a key.
type nullKey uint8

const (
	nullEmpty nullKey = iota // a KEY_ENCRYPT of 0 bits
	nullDummy                // a KEY_ENCRYPT of 8 bits that are not used
	nullNone                 // no KEY_ENCRYPT
)

// byteOrder is what both halves of encoding/binary's orders are.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// Dialects. Their byte order is that of this machine.
var (
	// Linux, as of 6.1.
	Linux = &Dialect{
		name: "linux", goos: "linux", order: binary.NativeEndian,
		family: 15, familyIP6: 10,
		msgs: linuxMsgs, saTypes: kameSATypes, exts: linuxExts,
		requestHeader: 16, priority: true,
		algorithms: &linuxAlgorithms,
		habits: habits{
			errnos: linuxErrnos, maxReplay: 32, nattStyle: nattExtensions, udpEncap6: true, bundles: true, ipcomp: true,
			forward: true, packetLifetimes: true, move: moveMigrate, nullKey: nullEmpty, icmpSelectors: true,
			sockets: socketOptions{policy4: 16, policy6: 34, udpEncap: 100},
		},
	}
	// FreeBSD, 13 and 14.
	FreeBSD = &Dialect{
		name: "freebsd", goos: "freebsd", order: binary.NativeEndian,
		family: 27, familyIP6: 28, saLen: true,
		msgs: freeBSDMsgs, saTypes: kameSATypes, exts: freeBSDExts,
		requestHeader: 8, priority: true, maxRequest: 2048,
		algorithms: &freeBSDAlgorithms,
		habits: habits{
			errnos: bsdErrnos, replayInBytes: true, maxReplay: 4096, replayExtension: true, esn: true, nattStyle: nattExtensions,
			bundles: true, ipcomp: true, packetLifetimes: true, move: moveUpdate, nullKey: nullEmpty,
			sockets: socketOptions{policy4: 21, policy6: 28, udpEncap: 1},
		},
	}
	// NetBSD, 8 to 10.
	NetBSD = &Dialect{
		name: "netbsd", goos: "netbsd", order: binary.NativeEndian,
		family: 29, familyIP6: 24, saLen: true,
		msgs: netBSDMsgs, saTypes: kameSATypes, exts: netBSDExts,
		requestHeader: 8, maxRequest: 2048,
		algorithms: &netBSDAlgorithms,
		habits: habits{
			errnos: bsdErrnos, replayInBytes: true, maxReplay: 255 * 8, nattStyle: nattAddresses,
			bundles: true, ipcomp: true, noHardExpire: true, firstHead: true, nullKey: nullDummy,
			sockets: socketOptions{policy4: 22, policy6: 28, udpEncap: 100},
		},
	}
	// MacOS, as of xnu 11417.
	MacOS = &Dialect{
		name: "macos", goos: "darwin", order: binary.NativeEndian,
		family: 29, familyIP6: 30, saLen: true,
		msgs: macOSMsgs, saTypes: kameSATypes, exts: macOSExts,
		requestHeader: 8, maxRequest: 2048,
		algorithms: &macOSAlgorithms,
		habits: habits{
			errnos: bsdErrnos, replayInBytes: true, maxReplay: 255 * 8, nattStyle: nattLongSA,
			noHardExpire: true, lastUse: true, move: moveMigrateSA, nullKey: nullEmpty,
			sockets: socketOptions{policy4: 21, policy6: 28},
		},
	}
	// OpenBSD, as of 7.5: the codec only. Its flows are no SPD in the sense of
	// the others, so there is no data plane for it.
	OpenBSD = &Dialect{
		name: "openbsd", goos: "openbsd", order: binary.NativeEndian,
		family: 30, familyIP6: 24, saLen: true,
		msgs: openBSDMsgs, saTypes: openBSDSATypes, exts: openBSDExts,
		requestHeader: 8, plainAddress: true, maxRequest: 4096,
		algorithms: &openBSDAlgorithms,
		habits: habits{
			errnos: bsdErrnos, maxReplay: 64, esn: true, nattStyle: nattUDPEncap, nullKey: nullNone,
		},
	}
)

// Dialects returns all dialects.
func Dialects() []*Dialect { return []*Dialect{Linux, FreeBSD, NetBSD, MacOS, OpenBSD} }

// Default returns the running system's dialect, nil where there is no PF_KEY.
func Default() *Dialect {
	for _, d := range Dialects() {
		if d.goos == runtime.GOOS {
			return d
		}
	}
	return nil
}

// String returns "linux", "freebsd", "netbsd", "macos" or "openbsd".
func (d *Dialect) String() string { return d.name }

// WithByteOrder returns the dialect of a machine with another byte order, for
// recordings.
func (d *Dialect) WithByteOrder(order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}) *Dialect {
	c := *d
	c.order = order
	return &c
}

// HasPriority reports whether the system's policies have a priority; without,
// their order is that of their installation.
func (d *Dialect) HasPriority() bool { return d.priority }

// HasForward reports whether the system has policies for forwarded packets,
// direction [DirForward], apart from the inbound ones.
func (d *Dialect) HasForward() bool { return d.forward }

// Knows reports whether the system has a message type.
func (d *Dialect) Knows(t MsgType) bool { _, ok := d.msgs.raw[uint32(t)]; return ok }

// KnowsExt reports whether the system has an extension.
func (d *Dialect) KnowsExt(t ExtType) bool { _, ok := d.exts.raw[uint32(t)]; return ok }

// number translates this package's values to a system's and back.
type number struct{ raw, value map[uint32]uint32 }

func numbers(pairs ...map[uint32]uint32) number {
	n := number{raw: map[uint32]uint32{}, value: map[uint32]uint32{}}
	for _, p := range pairs {
		for value, raw := range p {
			n.raw[value], n.value[raw] = raw, value
		}
	}
	return n
}

// toRaw returns a system's number; ok is false if it has none.
func (n number) toRaw(value, unknown uint32) (raw uint32, ok bool) {
	if raw, ok = n.raw[value]; ok {
		return raw, true
	}
	if value&unknown != 0 {
		return value &^ unknown, true
	}
	return 0, false
}

func (n number) fromRaw(raw, unknown uint32) uint32 {
	if v, ok := n.value[raw]; ok {
		return v
	}
	return unknown | raw
}

// same are values that a system numbers as this package does.
func same(first, last uint32) map[uint32]uint32 {
	m := map[uint32]uint32{}
	for v := first; v <= last; v++ {
		m[v] = v
	}
	return m
}

// row numbers values in order.
func row[T ~uint16 | ~uint32](first uint32, values ...T) map[uint32]uint32 {
	m := map[uint32]uint32{}
	for i, v := range values {
		m[uint32(v)] = first + uint32(i)
	}
	return m
}

var (
	linuxMsgs   = numbers(same(0, 24))
	freeBSDMsgs = numbers(same(0, 22))
	netBSDMsgs  = numbers(same(0, 23))
	macOSMsgs   = numbers(same(0, 22), row(23, MsgGetSAStat, MsgSPDEnable, MsgSPDDisable, MsgMigrateSA))
	openBSDMsgs = numbers(same(0, 11), row(12, MsgAddFlow, MsgDelFlow, MsgGrpSPIs, MsgAskPolicy, MsgSPDDump))

	kameSATypes    = numbers(row(0, SATypeUnspec), row(2, SATypeAH, SATypeESP), same(5, 11))
	openBSDSATypes = numbers(row(0, SATypeUnspec, SATypeAH, SATypeESP, SATypeRSVP, SATypeOSPFv2, SATypeRIPv2, SATypeMIP, SATypeIPIP,
		SATypeTCPSignature, SATypeIPComp))

	kameExts  = row(17, ExtKMPrivate, ExtPolicy, ExtSA2)
	nattExts  = row(20, ExtNATTType, ExtNATTSPort, ExtNATTDPort, ExtNATTOAI)
	linuxExts = numbers(same(1, 16), kameExts, nattExts, row(24, ExtSecCtx, ExtKMAddress, ExtFilter))

	freeBSDExts = numbers(same(1, 16), kameExts, nattExts, row(24, ExtNATTOAR, ExtNATTFrag, ExtSAReplay, ExtNewAddressSrc, ExtNewAddressDst))
	netBSDExts  = numbers(same(1, 16), kameExts, nattExts, row(24, ExtNATTOAR, ExtNATTFrag))
	macOSExts   = numbers(same(1, 16), kameExts, row(20, ExtSessionID, ExtSAStat, ExtIPsecIf, ExtRangeSrcStart, ExtRangeSrcEnd,
		ExtRangeDstStart, ExtRangeDstEnd, ExtMigrateSrc, ExtMigrateDst, ExtMigrateIPsecIf))
	openBSDExts = numbers(same(1, 16), row(17, ExtSrcMask, ExtDstMask, ExtProtocol, ExtFlowType, ExtSrcFlow, ExtDstFlow, ExtSecondSA,
		ExtDst2, ExtPolicySeq, ExtLocalCredentials, ExtRemoteCredentials, ExtLocalAuth, ExtRemoteAuth, ExtSupportedComp, ExtUDPEncap,
		ExtLifetimeLastUse, ExtTag, ExtTap, ExtSAType2, ExtCounter, ExtRDomain, ExtMTU, ExtReplay, ExtIface))
)
