package pfkeytest

import (
	"slices"

	"github.com/racoon3/racoon/pfkey"
)

// errno is an answer; noAnswer is none at all.
type errno = pfkey.Errno

const noAnswer errno = 255

// request handles what was written; it returns the error of write().
func (k *Kernel) request(c *conn, b []byte) errno {
	m, err := k.d.Parse(b)
	if err != nil {
		h, herr := k.d.ParseHeader(b)
		if k.linux() && herr == nil {
			// Once the header is accepted, errors are messages.
			k.answerError(c, &pfkey.Message{Header: h}, pfkey.EINVAL)
			return 0
		}
		return pfkey.EINVAL
	}
	for _, e := range m.Exts {
		if !k.linux() && !k.d.KnowsExt(e.Ext()) {
			return pfkey.EINVAL // Linux skips them
		}
	}
	k.requests[m.Type]++
	for _, o := range k.conns {
		if o.promisc {
			if k.is(pfkey.NetBSD) {
				o.put(k.encode(&pfkey.Message{Header: pfkey.Header{Type: pfkey.MsgPromisc}, Inner: slices.Clone(b)}))
			} else {
				o.put(slices.Clone(b))
			}
		}
	}
	if k.silent[m.Type] > 0 {
		k.silent[m.Type]--
		return 0
	}
	if k.failing != nil {
		if e := k.failing(m.Type); e != 0 {
			k.answerError(c, m, e)
			return 0
		}
	}
	if q := k.fail[m.Type]; len(q) > 0 {
		k.fail[m.Type] = q[1:]
		if q[0] == pfkey.ENOBUFS {
			return q[0] // only ever from write()
		}
		if q[0] != 0 {
			k.answerError(c, m, q[0])
			return 0
		}
	}
	switch e := k.dispatch(c, m); e {
	case 0, noAnswer:
	default:
		k.answerError(c, m, e)
	}
	return 0
}

// answerError answers the requester: Linux with a header, the others with the
// whole request.
func (k *Kernel) answerError(c *conn, m *pfkey.Message, e errno) {
	r := *m
	r.Errno = k.d.Code(e)
	if k.linux() {
		r.Exts, r.Inner = nil, nil
	}
	c.put(k.encode(&r))
}

func (k *Kernel) dispatch(c *conn, m *pfkey.Message) errno {
	if m.Version != 2 || !k.d.Knows(m.Type) {
		return pfkey.EINVAL
	}
	switch m.Type {
	case pfkey.MsgRegister:
		return k.register(c, m)
	case pfkey.MsgGetSPI:
		return k.getSPI(c, m)
	case pfkey.MsgAdd:
		return k.add(m)
	case pfkey.MsgUpdate:
		return k.update(m)
	case pfkey.MsgDelete:
		return k.delete(m)
	case pfkey.MsgGet:
		return k.get(c, m)
	case pfkey.MsgDump:
		return k.dump(c, m)
	case pfkey.MsgFlush:
		return k.flush(c, m)
	case pfkey.MsgAcquire:
		return k.answerAcquire(m)
	case pfkey.MsgPromisc:
		c.promisc = m.SAType == 1
		k.toAll(&pfkey.Message{Header: m.Header})
		return 0
	case pfkey.MsgSPDAdd, pfkey.MsgSPDUpdate, pfkey.MsgSPDSetIdx:
		return k.spdAdd(m)
	case pfkey.MsgSPDDelete:
		return k.spdDelete(m)
	case pfkey.MsgSPDDelete2:
		return k.spdDeleteID(m)
	case pfkey.MsgSPDGet:
		return k.spdGet(c, m)
	case pfkey.MsgSPDDump:
		return k.spdDump(c, m)
	case pfkey.MsgSPDFlush:
		clear(k.policies)
		clear(k.byID)
		k.toAll(&pfkey.Message{Header: m.Header})
		return 0
	case pfkey.MsgMigrate:
		return k.migrate(m)
	case pfkey.MsgMigrateSA:
		return k.migrateSA(m)
	case pfkey.MsgExpire:
		if k.linux() {
			return pfkey.EOPNOTSUPP
		}
	}
	return pfkey.EINVAL
}

func (k *Kernel) register(c *conn, m *pfkey.Message) errno {
	switch m.SAType {
	case pfkey.SATypeUnspec, pfkey.SATypeAH, pfkey.SATypeESP:
	case pfkey.SATypeIPComp:
		if k.is(pfkey.MacOS) {
			return pfkey.EINVAL
		}
	default:
		return pfkey.EINVAL
	}
	if c.registered[m.SAType] {
		return pfkey.EEXIST
	}
	if m.SAType != pfkey.SATypeUnspec {
		c.registered[m.SAType] = true
	}
	r := &pfkey.Message{Header: m.Header, Exts: []pfkey.Extension{
		&pfkey.Supported{Type: pfkey.ExtSupportedAuth, Algs: k.auth}, &pfkey.Supported{Type: pfkey.ExtSupportedEncrypt, Algs: k.encrypt},
	}}
	if m.SAType == pfkey.SATypeUnspec {
		c.put(k.encode(r))
		return 0
	}
	k.toRegistered(m.SAType, r)
	return 0
}
