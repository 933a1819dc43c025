package ikev1

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// racoonSecrets is what the log of one side says, in the order in which it was
// computed.
type racoonSecrets struct {
	PSK       []hexBytes
	Shared    []hexBytes // of phase 1, then of Quick Mode
	SKEYID    []hexBytes
	D         []hexBytes `json:"skeyid_d"`
	A         []hexBytes `json:"skeyid_a"`
	E         []hexBytes `json:"skeyid_e"`
	CipherKey []hexBytes `json:"cipher_key"`
	Phase1IV  []hexBytes `json:"phase1_iv"`
	Phase2IV  []hexBytes `json:"phase2_iv"`
	SAD       []struct {
		SPI  uint32
		E, A hexBytes
	}
}

// Real traffic from the first octet to the keys in the kernel: every hash of
// every message is computed from the messages before it and compared, every
// message is decrypted and encrypted again, and the Child SA's keys are those
// that racoon gave to the kernel.
func TestRacoonCaptures(t *testing.T) {
	for name, c := range map[string]struct {
		prf  uint16
		bits uint16
		base bool
	}{
		"psk-main":       {spd.PRFHMACSHA1, 128, false},
		"psk-aggressive": {spd.PRFHMACSHA256, 256, false},
		"psk-base":       {spd.PRFHMACSHA256, 256, true},
	} {
		t.Run(name, func(t *testing.T) {
			var s racoonSecrets
			readJSON(t, "testdata/racoon/"+name+".keys.json", &s)
			packets, err := pcap.ReadFile("testdata/racoon/" + name + ".pcap")
			require.NoError(t, err)
			w := &wiretap{TB: t, secrets: s, hash: hashOf(t, c.prf), encr: aesCBC(c.bits), base: c.base, exchanges: map[uint32]*tappedExchange{}}
			for d := range pcap.UDP(packets) {
				if d.Dst.Port() == 500 {
					w.message(d.Payload)
				}
			}
			require.Equal(t, 2, w.authenticated, "HASH_I and HASH_R")
			require.Equal(t, 3, w.quick, "HASH(1) to HASH(3)")
			require.GreaterOrEqual(t, w.informational, 2)
			require.Equal(t, 2, w.children, "both directions")
			require.Subset(t, w.phase2IVs, s.Phase2IV)
		})
	}
}

// wiretap follows the messages of one capture.
type wiretap struct {
	testing.TB
	secrets racoonSecrets
	hash    hashAlgorithm
	encr    spd.Transform
	base    bool

	in     phase1Hash
	ni, nr []byte
	keys   *phase1Keys
	cipher *messageCipher
	iv     initVector // of phase 1
	sent   int        // messages of phase 1

	exchanges                                     map[uint32]*tappedExchange
	phase2IVs                                     []hexBytes
	authenticated, quick, informational, children int
}

type tappedExchange struct {
	iv       initVector
	ni, nr   []byte
	messages int
}

func (w *wiretap) message(b []byte) {
	h, err := isakmp.ParseHeader(b)
	require.NoError(w, err)
	body := append([]byte(nil), b[isakmp.HeaderLen:]...)
	if h.MessageID == 0 {
		w.phase1(h, body)
		return
	}
	x := w.exchanges[h.MessageID]
	if x == nil {
		x = &tappedExchange{iv: w.hash.phase2IV(w.cipher.blockSize(), w.iv, h.MessageID)}
		w.exchanges[h.MessageID] = x
		w.phase2IVs = append(w.phase2IVs, append([]byte(nil), x.iv[:]...))
	}
	x.iv = w.open(x.iv, body)
	chain, err := isakmp.ParsePaddedChain(h.NextPayload, body)
	require.NoError(w, err)
	hash, covered, err := chain.Hashed(body)
	require.NoError(w, err)
	if h.Exchange != isakmp.ExchangeQuickMode {
		require.EqualValues(w, hash, w.keys.messageHash(h.MessageID, covered), "%v", h)
		w.informational++
		return
	}
	w.quick++
	switch x.messages++; x.messages {
	case 1:
		require.EqualValues(w, hash, w.keys.messageHash(h.MessageID, covered))
		x.ni = chain.Body(isakmp.PayloadNonce)
	case 2:
		require.EqualValues(w, hash, w.keys.quickHash2(h.MessageID, x.ni, covered))
		x.nr = chain.Body(isakmp.PayloadNonce)
	case 3:
		require.EqualValues(w, hash, w.keys.quickHash3(h.MessageID, x.ni, x.nr))
		esp := spd.MustParseProposal(spd.ProtoESP, "aes256-sha256")
		if w.encr.KeyLen == 128 {
			esp = spd.MustParseProposal(spd.ProtoESP, "aes128-sha1")
		}
		for _, kernel := range w.secrets.SAD {
			sa := quickmode.NewSA(esp, spd.SPI(kernel.SPI), w.keys.keymatOf(w.secrets.Shared[1], x.ni, x.nr))
			require.EqualValues(w, kernel.E, sa.EncrKey)
			require.EqualValues(w, kernel.A, sa.IntegKey)
			w.children++
		}
	}
}

// open decrypts, and encrypts again to the same octets.
func (w *wiretap) open(iv initVector, body []byte) initVector {
	wire := append([]byte(nil), body...)
	next, err := w.cipher.open(iv, body)
	require.NoError(w, err)
	again := append([]byte(nil), body...)
	next2, err := w.cipher.seal(iv, again)
	require.NoError(w, err)
	require.Equal(w, next, next2)
	require.Equal(w, wire, again)
	return next
}

func (w *wiretap) phase1(h isakmp.Header, body []byte) {
	var chain isakmp.Chain
	var err error
	if h.Encrypted() {
		w.iv = w.open(w.iv, body)
		chain, err = isakmp.ParsePaddedChain(h.NextPayload, body)
	} else {
		chain, err = isakmp.ParseChain(h.NextPayload, body)
	}
	require.NoError(w, err)
	// The two sides alternate.
	initiator := w.sent%2 == 0
	w.sent++
	binary.BigEndian.PutUint64(w.in.cookies[:], uint64(h.CookieI))
	binary.BigEndian.PutUint64(w.in.cookies[8:], uint64(h.CookieR))
	if w.in.sai == nil {
		w.in.sai = chain.Body(isakmp.PayloadSA)
	}
	keep := func(i, r *[]byte, t isakmp.PayloadType) {
		if b := chain.Body(t); b != nil && initiator {
			*i = b
		} else if b != nil {
			*r = b
		}
	}
	keep(&w.in.gxi, &w.in.gxr, isakmp.PayloadKE)
	keep(&w.ni, &w.nr, isakmp.PayloadNonce)
	keep(&w.in.idi, &w.in.idr, isakmp.PayloadID)
	if w.keys == nil && w.nr != nil && w.in.gxr != nil {
		w.derive()
	}
	hash := chain.Body(isakmp.PayloadHASH)
	if hash == nil {
		return
	}
	w.authenticated++
	skeyid := w.hash.skeyidPSK(w.secrets.PSK[0], w.ni, w.nr)
	switch {
	case initiator && w.base:
		require.EqualValues(w, hash, w.in.baseHashI(w.hash, skeyid))
	case initiator:
		require.EqualValues(w, hash, w.in.hashI(w.hash, skeyid))
	default:
		require.EqualValues(w, hash, w.in.hashR(w.hash, skeyid))
	}
}

func (w *wiretap) derive() {
	s := &w.secrets
	skeyid := w.hash.skeyidPSK(s.PSK[0], w.ni, w.nr)
	require.EqualValues(w, s.SKEYID[0], skeyid)
	var err error
	w.keys, err = derivePhase1Keys(w.hash, w.encr, skeyid, s.Shared[0], w.in.cookies)
	require.NoError(w, err)
	require.EqualValues(w, s.D[0], w.keys.d)
	require.EqualValues(w, s.A[0], w.keys.a)
	require.EqualValues(w, s.E[0], w.keys.e)
	require.EqualValues(w, s.CipherKey[0], w.keys.cipherKey)
	w.cipher, err = newMessageCipher(w.encr, w.keys.cipherKey)
	require.NoError(w, err)
	w.iv = w.hash.phase1IV(w.cipher.blockSize(), w.in.gxi, w.in.gxr)
	require.EqualValues(w, s.Phase1IV[0], w.iv[:])
}
