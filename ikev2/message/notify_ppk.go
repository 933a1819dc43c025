package message

// PPKIdentity decodes PPK_IDENTITY (RFC 8784 5.1): which postquantum preshared
// key is meant.
func (p *Notify) PPKIdentity() (t PPKIDType, id []byte, err error) {
	if len(p.Data) < 2 {
		return 0, nil, p.dataError()
	}
	return PPKIDType(p.Data[0]), p.Data[1:], nil
}

// AppendPPKIdentityData appends the data of PPK_IDENTITY.
func AppendPPKIdentityData(dst []byte, t PPKIDType, id []byte) []byte {
	return append(append(dst, byte(t)), id...)
}
