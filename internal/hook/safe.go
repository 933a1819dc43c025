package hook

import (
	"encoding/hex"
	"strings"
)

// maxText bounds a text of a peer, in octets, maxList a list of them.
const (
	maxText = 1024
	maxList = 8192
)

// hexMark begins the texts that are not passed on as they are.
const hexMark = "hex:"

// safe returns a text of a peer if nothing in it means anything to a shell, to
// the programs that it calls, or to the environment; else its octets in
// hexadecimal. A text that is too long is cut there.
func safe(s string) string {
	if isSafe(s) {
		return s
	}
	return hexMark + hex.EncodeToString([]byte(s[:min(len(s), maxText)]))
}

func isSafe(s string) bool {
	if len(s) > maxText || strings.HasPrefix(s, hexMark) || strings.Contains(s, "..") || strings.HasSuffix(s, " ") {
		return false
	}
	word := true // a word begins here
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("._:@=,+", c) >= 0:
		case (c == '-' || c == '/' || c == ' ') && !word:
		default:
			return false
		}
		word = c == ' '
	}
	return true
}

// safeAll is safe for each element of a list, with spaces between, and in them
// none: an element that has one is passed on in hexadecimal.
func safeAll(list []string) string {
	var b strings.Builder
	for _, s := range list {
		t := safe(s)
		if strings.Contains(t, " ") {
			t = hexMark + hex.EncodeToString([]byte(s))
		}
		if t == "" || b.Len()+len(t)+1 > maxList {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t)
	}
	return b.String()
}

// isDomain reports whether s is a domain name in the form of host names: labels
// of letters, digits, hyphens and underscores.
func isDomain(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// domains returns those of a list that are domains.
func domains(list []string) (out []string) {
	for _, s := range list {
		if isDomain(s) {
			out = append(out, strings.TrimSuffix(s, "."))
		}
	}
	return out
}
