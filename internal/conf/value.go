package conf

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/racoon3/racoon/spd"
)

// Duration is a time span. It is written with units, "8h", "1d12h", "1.5s",
// or as a word where it can be switched off.
type Duration time.Duration

// Never is the Duration of what is switched off: "never" or "off".
const Never Duration = -1

// D returns the time.Duration; Never is negative.
func (d Duration) D() time.Duration { return time.Duration(d) }

var errDuration = errors.New("is not a time span")

const day = 24 * time.Hour

// ParseDuration reads a Duration.
func ParseDuration(s string) (Duration, error) {
	rest, days := s, time.Duration(0)
	if n, after, ok := strings.Cut(s, "d"); ok {
		v, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, errDuration
		}
		days, rest = time.Duration(v)*day, after
		if rest == "" {
			return Duration(days), nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d+days < 0 {
		return 0, errDuration
	}
	return Duration(d + days), nil
}

// String returns the form that ParseDuration reads, "never" for Never.
func (d Duration) String() string {
	switch {
	case d < 0:
		return "never"
	case d == 0:
		return "0s"
	}
	s := ""
	v := time.Duration(d)
	if v >= day && v%time.Minute == 0 && v/day < math.MaxUint16 {
		s, v = fmt.Sprintf("%dd", v/day), v%day
		if v == 0 {
			return s
		}
	}
	t := v.String()
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return s + t
}

// Size is a number of octets: "4GiB", "512KiB", "1500B".
type Size uint64

var sizeUnits = []struct {
	unit  string
	shift uint
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}}

var errSize = errors.New("is not a size")

// ParseSize reads a Size.
func ParseSize(s string) (Size, error) {
	for _, u := range sizeUnits {
		n, ok := strings.CutSuffix(s, u.unit)
		if !ok {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimSpace(n), 10, 64)
		if err != nil || v > math.MaxUint64>>u.shift {
			return 0, errSize
		}
		return Size(v << u.shift), nil
	}
	return 0, errSize
}

// String returns the form that ParseSize reads.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s&(1<<u.shift-1) == 0 {
			return strconv.FormatUint(uint64(s)>>u.shift, 10) + u.unit
		}
	}
	return strconv.FormatUint(uint64(s), 10) + "B"
}

// Mark is a packet mark with its mask; a zero mask means no mark.
type Mark spd.Mark

// ParseMark reads "0x10" or "0x10/0xff"; without a mask all bits count.
func ParseMark(s string) (Mark, error) {
	value, mask, masked := strings.Cut(s, "/")
	v, err1 := strconv.ParseUint(value, 0, 32)
	m, err2 := uint64(math.MaxUint32), error(nil)
	if masked {
		m, err2 = strconv.ParseUint(mask, 0, 32)
	}
	switch {
	case err1 != nil || err2 != nil:
		return Mark{}, errors.New("is not a mark")
	case m == 0:
		return Mark{}, errors.New("has an empty mask")
	case v&^m != 0:
		return Mark{}, errors.New("has bits outside its mask")
	}
	return Mark{uint32(v), uint32(m)}, nil
}

// String returns the form that ParseMark reads, "" for no mark.
func (m Mark) String() string {
	switch m.Mask {
	case 0:
		return ""
	case math.MaxUint32:
		return fmt.Sprintf("%#x", m.Value)
	}
	return fmt.Sprintf("%#x/%#x", m.Value, m.Mask)
}
