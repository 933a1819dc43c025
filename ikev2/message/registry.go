package message

import "strconv"

// nameOf returns names[i], or "kind(i)" if the table has no name for i. With
// an empty kind it returns an empty string instead.
func nameOf(names []string, i int, kind string) string {
	if i >= 0 && i < len(names) && names[i] != "" {
		return names[i]
	}
	if kind == "" {
		return ""
	}
	return kind + "(" + strconv.Itoa(i) + ")"
}
