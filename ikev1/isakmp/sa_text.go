package isakmp

// String returns the payload as a trace shows it.
func (p SA) String() string { return string(p.appendText(nil)) }

func (p SA) appendText(b []byte) []byte {
	return append(b, "SA()"...)
}
