package ike

import "time"

// TraceRecord is a decrypted message as it was sent or received.
type TraceRecord struct {
	Time     time.Time
	Session  SessionID
	Path     Path
	Outbound bool
	Message  []byte // header and payloads in clear, as IKEv2 would look without its SK payload
}
