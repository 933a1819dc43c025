package isakmp

// A Payload is one payload of a message: a pointer to one of this package's
// payload structs.
type Payload interface {
	// PayloadType returns the payload's type number.
	PayloadType() PayloadType
	// AppendBody appends the payload without its generic header. It does not
	// check that the fields fit the wire; Builder.Add does.
	AppendBody(dst []byte) []byte
	// String returns the payload as a trace shows it, without secrets.
	String() string

	appendText(b []byte) []byte
	fault() string // why it has no wire form, or ""
}
