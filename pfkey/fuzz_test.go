package pfkey

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/spd"
)

// FuzzParse: any octets are a message or an error, in each dialect and both
// byte orders; what decodes also encodes, and decodes to the same again.
func FuzzParse(f *testing.F) {
	for i, r := range recordings(f) {
		if i%7 == 0 {
			f.Add(r.octets, uint8(2))
		}
	}
	for i := range uint8(8) {
		f.Add([]byte{2, 10, 0, 3, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}, i)
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		d := Dialects()[int(which)%len(Dialects())].WithByteOrder(binary.LittleEndian)
		if which >= 128 {
			d = d.WithByteOrder(binary.BigEndian)
		}
		m, err := d.Parse(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMessage)
			return
		}
		again, err := d.Append(nil, m)
		if err != nil {
			// An unterminated name takes an octet more; the largest message has no room.
			require.ErrorIs(t, err, ErrMessage)
			return
		}
		n, err := d.Parse(again)
		require.NoError(t, err)
		twice, err := d.Append(nil, n)
		require.NoError(t, err)
		require.Equal(t, again, twice)
	})
}

// FuzzParsePolicy: the value of a socket option, as FuzzParse.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte{2, 0, 18, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		d := Dialects()[int(which)%4]
		p, err := d.ParsePolicy(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMessage)
			return
		}
		again, err := d.AppendPolicy(nil, p)
		require.NoError(t, err)
		q, err := d.ParsePolicy(again)
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
}

// FuzzNotifications: whatever a kernel writes, the data plane goes on.
func FuzzNotifications(f *testing.F) {
	for i, r := range recordings(f) {
		if i%5 == 0 {
			f.Add(r.octets, uint8(2))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8) {
		d := Dialects()[int(which)%4].WithByteOrder(binary.LittleEndian)
		c := &Client{d: d, cfg: ClientConfig{PID: 4242, Broadcasts: which >= 128}, calls: map[callKey]*call{}}
		c.notes.init(4)
		dump, get := &call{dump: newDumpQueue()}, &call{reply: make(chan reply, 1)}
		c.calls[callKey{MsgDump, 0}] = dump
		c.calls[callKey{MsgGet, 70}] = get
		id := spd.SAID{Direction: spd.In, Protocol: spd.ProtoESP, SPI: 0xa0001, Dst: netip.MustParseAddr("10.9.0.2")}
		p := &DataPlane{d: d, c: c, sas: map[spd.SAID]*installed{id: {id: id}}, dying: map[spd.SAID]bool{}, acquires: map[spd.AcquireID]*acquire{},
			cfg: DataPlaneConfig{Now: time.Now}}
		p.policies.init()
		p.out = spd.NewEventQueue(4)
		c.handle(b)
		for len(c.notes.ch) > 0 {
			n := <-c.notes.ch
			if n.Message != nil && n.Message.Type != MsgAcquire {
				p.handle(t.Context(), n.Message)
			}
		}
		batch, _, _ := dump.dump.next()
		for _, x := range batch {
			if m, err := d.Parse(x); err == nil {
				_, _ = d.SAEntry(m)
			}
		}
	})
}
