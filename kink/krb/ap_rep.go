package krb

import (
	"io"
	"time"
)

// AppendAPRep appends an AP-REP to dst (RFC 4120 5.5.2): the answer to the
// authenticator with the stamp, under the session key. It has neither subkey
// nor sequence number. The error is that of random.
func AppendAPRep(dst []byte, k *Key, s Stamp, random io.Reader) ([]byte, error) {
	w := newBackward(128)
	end := w.at
	w.int(1, s.micro())
	w.time(0, s.seconds())
	w.application(msgEncAPRepPart, end)
	sealed, err := k.Encrypt(nil, usageAPRep, w.written(), random)
	if err != nil {
		return dst, err
	}
	w = newBackward(128 + len(sealed))
	end = w.at
	w.encrypted(2, k.etype, sealed)
	w.int(1, msgAPRep)
	w.int(0, pvno)
	w.application(msgAPRep, end)
	return append(dst, w.written()...), nil
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
