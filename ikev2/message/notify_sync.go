package message

import "encoding/binary"

// MessageIDSync is the data of IKEV2_MESSAGE_ID_SYNC (RFC 6311 6.3).
type MessageIDSync struct {
	Nonce   [4]byte
	Send    uint32 // ID of the next request that the sender will send
	Receive uint32 // ID of the next request that the sender expects
}

// MessageIDSync decodes IKEV2_MESSAGE_ID_SYNC.
func (p *Notify) MessageIDSync() (MessageIDSync, error) {
	d, err := p.sized(12)
	if err != nil {
		return MessageIDSync{}, err
	}
	return MessageIDSync{Nonce: [4]byte(d), Send: binary.BigEndian.Uint32(d[4:]), Receive: binary.BigEndian.Uint32(d[8:])}, nil
}

// AppendMessageIDSyncData appends the data of IKEV2_MESSAGE_ID_SYNC.
func AppendMessageIDSyncData(dst []byte, s MessageIDSync) []byte {
	dst = append(dst, s.Nonce[:]...)
	dst = binary.BigEndian.AppendUint32(dst, s.Send)
	return binary.BigEndian.AppendUint32(dst, s.Receive)
}
