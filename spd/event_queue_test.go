package spd

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventQueue(t *testing.T) {
	first := func(id uint32) Event { return FirstPacketEvent{ID: SAID{SPI: SPI(id)}} }
	q := NewEventQueue(4)
	for i := range uint32(3) {
		require.True(t, q.Emit(first(i)))
	}
	require.False(t, q.Emit(first(3)), "the last place is the OverflowEvent's")
	require.False(t, q.Emit(first(4)))
	for i := range uint32(3) {
		require.Equal(t, first(i), <-q.Events())
	}
	require.True(t, q.Emit(first(5)))
	q.Close()
	q.Close()
	require.False(t, q.Emit(first(6)))
	var rest []Event
	for ev := range q.Events() {
		rest = append(rest, ev)
	}
	require.Equal(t, []Event{OverflowEvent{Lost: 1}, OverflowEvent{Lost: 1}, first(5)}, rest)
}
