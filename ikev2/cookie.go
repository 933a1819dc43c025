package ikev2

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"time"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev2/message"
	"github.com/racoon3/racoon/internal/secret"
)

// A cookieJar makes and checks the stateless cookies of RFC 7296 2.6:
// version | HMAC(secret, Ni | IPi | port | SPIi). The secret changes every
// cookieLife; the one before it is still accepted.
type cookieJar struct {
	current, previous secret.Bytes
	version           uint8
	changed           time.Time
}

const (
	cookieLife = time.Minute
	cookieLen  = 1 + 24
)

func (j *cookieJar) rotate(rand io.Reader) error {
	next := make(secret.Bytes, 32)
	if _, err := io.ReadFull(rand, next); err != nil {
		return err
	}
	j.previous.Wipe()
	j.previous, j.current = j.current, next
	j.version++
	return nil
}

// refresh changes the secret when it is old.
func (j *cookieJar) refresh(now time.Time, rand io.Reader) error {
	if j.changed.IsZero() || now.Sub(j.changed) > cookieLife || now.Before(j.changed) {
		j.changed = now
		return j.rotate(rand)
	}
	return nil
}

func cookieMAC(key secret.Bytes, version uint8, path ike.Path, spi message.SPI, nonce []byte) []byte {
	mac := hmac.New(sha256.New, key)
	var b [10]byte
	binary.BigEndian.PutUint64(b[:], uint64(spi))
	binary.BigEndian.PutUint16(b[8:], path.Remote.Port())
	mac.Write(b[:])
	ip := path.Remote.Addr().As16()
	mac.Write(ip[:])
	mac.Write(nonce)
	return append([]byte{version}, mac.Sum(nil)[:cookieLen-1]...)
}

func (j *cookieJar) make(path ike.Path, spi message.SPI, nonce []byte) []byte {
	return cookieMAC(j.current, j.version, path, spi, nonce)
}

func (j *cookieJar) check(cookie []byte, path ike.Path, spi message.SPI, nonce []byte) bool {
	if len(cookie) != cookieLen {
		return false
	}
	key := j.current
	switch cookie[0] {
	case j.version:
	case j.version - 1:
		key = j.previous
	default:
		return false
	}
	return key != nil && hmac.Equal(cookie, cookieMAC(key, cookie[0], path, spi, nonce))
}
