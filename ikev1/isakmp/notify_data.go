package isakmp

func (p *Notify) appendData(b []byte) []byte {
	return appendHex(b, p.Data)
}
