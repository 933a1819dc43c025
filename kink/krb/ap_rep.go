package krb

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// AppendAPRep appends an AP-REP to dst (RFC 4120 5.5.2): the answer to the
// authenticator with the stamp, under the session key. It has neither subkey
// nor sequence number. The error is that of random.
func AppendAPRep(dst []byte, k *Key, s Stamp, random io.Reader) ([]byte, error) {
	var in cryptobyte.Builder
	addApplication(&in, msgEncAPRepPart, func(b *cryptobyte.Builder) {
		addTime(b, 0, s.seconds())
		addInt(b, 1, s.micro())
	})
	plain, err := in.Bytes()
	if err != nil {
		return dst, fmt.Errorf("krb: AP-REP: %w", err)
	}
	sealed, err := k.Encrypt(nil, usageAPRep, plain, random)
	if err != nil {
		return dst, err
	}
	b := cryptobyte.NewBuilder(dst)
	addApplication(b, msgAPRep, func(b *cryptobyte.Builder) {
		addInt(b, 0, pvno)
		addInt(b, 1, msgAPRep)
		addEncrypted(b, 2, encryptedData{etype: k.etype, cipher: sealed})
	})
	return b.Bytes()
}

// OpenAPRep decodes and decrypts an AP-REP and returns the stamp of the
// authenticator that it answers: the caller compares it with those that are
// outstanding. A subkey in it is ignored (RFC 4430 7). The error wraps
// [ErrSyntax], is [APErrBadVersion] or [APErrMsgType], or is [ErrDecrypt].
func OpenAPRep(b []byte, k *Key) (Stamp, error) {
	r := sequence(b, msgAPRep)
	version, kind := r.int(0), r.int(1)
	if !r.bad && version != pvno {
		return 0, APErrBadVersion
	}
	if !r.bad && kind != msgAPRep {
		return 0, APErrMsgType
	}
	enc := r.encrypted(2)
	if r.bad {
		return 0, syntax("AP-REP")
	}
	text, err := enc.open(k, usageAPRep)
	if err != nil {
		return 0, err
	}
	r = sequence(text, msgEncAPRepPart)
	seconds, micro := r.time(0), r.int(1)
	if r.bad || micro < 0 || micro > 999999 {
		return 0, syntax("EncAPRepPart")
	}
	return StampOf(seconds.Add(time.Duration(micro) * time.Microsecond)), nil
}
