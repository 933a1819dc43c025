package krb

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// An Issue is what a KDC puts into a ticket, and how it seals it.
type Issue struct {
	Client, Server Principal
	Session        *Key
	Flags          Flags
	AuthTime       time.Time
	StartTime      time.Time
	EndTime        time.Time
	RenewTill      time.Time    // zero: not renewable
	Addresses      []netip.Addr // from where it may be used; none: from everywhere
	Transited      []byte       // DOMAIN-X500-COMPRESS
	Seal           *Key         // the server's key, or for user-to-user the session key of its TGT
	KVNO           uint32       // version of Seal; 0: none is written
	UserToUser     bool
}

// Ticket makes the ticket: the part of a KDC that tests and simulations need to
// do without one. The error is that of random.
func (i *Issue) Ticket(random io.Reader) (*Ticket, error) {
	var in cryptobyte.Builder
	addApplication(&in, msgEncTicketPart, func(b *cryptobyte.Builder) {
		addFlags(b, 0, i.Flags)
		addKey(b, 1, i.Session)
		addString(b, 2, i.Client.Realm)
		addName(b, 3, i.Client)
		addSequence(b, 4, func(b *cryptobyte.Builder) {
			addInt(b, 0, 1)
			addOctets(b, 1, i.Transited)
		})
		addTime(b, 5, i.AuthTime)
		addTime(b, 6, i.StartTime)
		addTime(b, 7, i.EndTime)
		if !i.RenewTill.IsZero() {
			addTime(b, 8, i.RenewTill)
		}
		if len(i.Addresses) > 0 {
			addSequence(b, 9, func(b *cryptobyte.Builder) {
				for _, a := range i.Addresses {
					kind := int64(24)
					if a.Is4() {
						kind = 2
					}
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						addInt(b, 0, kind)
						addOctets(b, 1, a.AsSlice())
					})
				}
			})
		}
	})
	plain, err := in.Bytes()
	if err != nil {
		return nil, fmt.Errorf("krb: ticket: %w", err)
	}
	sealed, err := i.Seal.Encrypt(nil, usageTicket, plain, random)
	clear(plain)
	if err != nil {
		return nil, err
	}
	var out cryptobyte.Builder
	addTicket(&out, i.Server, encryptedData{etype: i.Seal.etype, kvno: i.KVNO, cipher: sealed})
	raw, err := out.Bytes()
	if err != nil {
		return nil, fmt.Errorf("krb: ticket: %w", err)
	}
	return &Ticket{
		Client: i.Client, Server: i.Server, Raw: raw, Key: i.Session, Flags: i.Flags, AuthTime: i.AuthTime, StartTime: i.StartTime,
		EndTime: i.EndTime, RenewTill: i.RenewTill, UserToUser: i.UserToUser,
	}, nil
}

func addTicket(b *cryptobyte.Builder, server Principal, e encryptedData) {
	addApplication(b, msgTicket, func(b *cryptobyte.Builder) {
		addInt(b, 0, pvno)
		addString(b, 1, server.Realm)
		addName(b, 2, server)
		addEncrypted(b, 3, e)
	})
}

func addKey(b *cryptobyte.Builder, n uint8, k *Key) {
	addSequence(b, n, func(b *cryptobyte.Builder) {
		addInt(b, 0, int64(k.etype))
		addOctets(b, 1, k.raw)
	})
}

// RandomKey makes a key from random octets. The error is [ErrEType] or that of
// random.
func RandomKey(e EType, random io.Reader) (*Key, error) {
	p := profiles[e]
	if p == nil {
		return nil, fmt.Errorf("%w %d", ErrEType, int32(e))
	}
	raw := make([]byte, p.keyLen)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, fmt.Errorf("krb: key: %w", err)
	}
	defer clear(raw)
	if e == DES3SHA1 {
		return NewKey(e, des3Key(raw[:21]))
	}
	return NewKey(e, raw)
}
