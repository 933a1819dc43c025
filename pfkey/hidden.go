package pfkey

import (
	"context"
	"crypto/rand"

	"github.com/racoon3/racoon/spd"
)

// NetBSD keeps the SAs between two addresses under heads, one for each request
// ID. GET and DELETE look under the first head alone, since a version between 7 and
// 9: they answer ENOENT for the SAs of any other Child SA between the same hosts.
// DUMP shows them all, and UPDATE, which names the request ID, finds each.

// hidden looks for an SA in a dump, nil if it is not there. Its keys are the
// caller's.
func (c *Client) hidden(ctx context.Context, k SAKey) *SAEntry {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	for e, err := range c.Dump(ctx, k.Type) {
		if err != nil {
			return nil
		}
		if e.SPI == k.SPI && e.Dst == k.Dst && e.Src == k.Src {
			found := *e
			found.AuthKey, found.EncryptKey = e.AuthKey.Clone(), e.EncryptKey.Clone()
			return &found
		}
	}
	return nil
}

// deleteHidden ends an SA that DELETE does not find: it gets other keys and the
// time that it has had already. A larval one ends by itself.
func (c *Client) deleteHidden(ctx context.Context, k SAKey, refused error) error {
	e := c.hidden(ctx, k)
	if e == nil {
		return refused
	}
	defer e.Wipe()
	if e.State == StateLarval {
		return refused
	}
	for _, key := range []spd.Key{e.AuthKey, e.EncryptKey} {
		_, _ = rand.Read(key)
	}
	if e.Type == SATypeESP && len(e.AuthKey) == 0 {
		e.Auth = 0 // of a combined mode the kernel shows one that it does not take
	}
	e.SrcID, e.DstID, e.SecCtx, e.Sensitivity = nil, nil, nil, nil
	e.Hard, e.Soft = &Lifetime{AddTime: 1}, &Lifetime{AddTime: 1}
	return c.Update(ctx, e)
}
