package message

import (
	"encoding/binary"
	"time"
)

// Ticket decodes TICKET_LT_OPAQUE (RFC 5723 7.1): a session resumption ticket
// and how long it can be used. TICKET_OPAQUE has the ticket alone as its Data.
func (p *Notify) Ticket() (ticket []byte, lifetime time.Duration, err error) {
	if len(p.Data) < 5 {
		return nil, 0, p.dataError()
	}
	return p.Data[4:], time.Duration(binary.BigEndian.Uint32(p.Data)) * time.Second, nil
}

// AppendTicketData appends the data of TICKET_LT_OPAQUE.
func AppendTicketData(dst, ticket []byte, lifetime time.Duration) []byte {
	return append(appendSeconds(dst, lifetime), ticket...)
}
