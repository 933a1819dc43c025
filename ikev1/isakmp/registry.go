package isakmp

import "strconv"

// nameOf returns names[i], or "kind(i)" if the table has no name for i.
func nameOf(names []string, i int, kind string) string {
	if i >= 0 && i < len(names) && names[i] != "" {
		return names[i]
	}
	return kind + "(" + strconv.Itoa(i) + ")"
}

// nameIn is nameOf for a registry with gaps.
func nameIn[T ~uint8 | ~uint16 | ~uint32](names map[T]string, i T, kind string) string {
	if s := names[i]; s != "" {
		return s
	}
	return kind + "(" + strconv.Itoa(int(i)) + ")"
}
