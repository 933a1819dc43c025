package spd

import "fmt"

// Options are per-Child settings. Not every data plane has them all: what one
// lacks is refused at installation, see [Capabilities.Check]. Sizes are in
// octets of an IP packet.
type Options struct {
	MTU         int    // tunnel MTU before encapsulation; 0 for the data plane's default
	Fragment    int    // fragment inner IPv4 packets to this size before encapsulation; 0 for never
	DF          DFMode // the outer DF bit
	NoECN       bool   // do not propagate ECN (RFC 6040 compatibility mode)
	NoDSCP      bool   // do not copy DSCP to the outer header
	TFCPadding  int    // tunnel mode: pad every packet to this size where it fits (RFC 4303 2.7); 0 for none
	MarkIn      Mark
	MarkOut     Mark
	OutputMark  Mark   // mark given to the encapsulated packet
	InterfaceID uint32 // XFRM interface (if_id), 0 for none
	Offload     string // NIC offload device, empty for none
	SecurityCtx string // labelled IPsec, empty for none
	PerCPU      uint32 // CPU of a per-resource Child SA plus one, 0 for none (RFC 9611)
}

// Bounds of the sizes in [Options]: what every IPv4 host forwards (RFC 791
// 3.2), and what a length field holds.
const (
	leastSize = 68
	mostSize  = 65535
)

// Valid returns nil if the options make sense, whatever the data plane, else
// an error that wraps [ErrBundle] and names the field.
func (o *Options) Valid() error {
	for _, f := range []struct {
		name        string
		size, least int
	}{{"MTU", o.MTU, leastSize}, {"Fragment", o.Fragment, leastSize}, {"TFCPadding", o.TFCPadding, 1}} {
		if f.size != 0 && (f.size < f.least || f.size > mostSize) {
			return fmt.Errorf("%w: %s %d is not 0 or %d to %d", ErrBundle, f.name, f.size, f.least, mostSize)
		}
	}
	if o.DF > DFClear {
		return fmt.Errorf("%w: DF %d is unknown", ErrBundle, o.DF)
	}
	return nil
}

// DFMode says what an encapsulator does with the outer DF bit (RFC 4301 8.1).
type DFMode uint8

// DF modes. Copying, the default, treats an inner IPv6 packet as one with the
// bit set.
const (
	DFCopy DFMode = iota
	DFSet
	DFClear
)

// Mark is a packet mark with its mask; a zero mask means no mark.
type Mark struct{ Value, Mask uint32 }
