package ikev1

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/core"
	"github.com/racoon3/racoon/internal/pcap"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// recordedKey is a private key of which only the outcome was logged.
type recordedKey struct{ public, shared []byte }

func (k *recordedKey) Public() []byte                { return k.public }
func (k *recordedKey) Finish([]byte) ([]byte, error) { return secret.Bytes(k.shared).Clone(), nil }
func (k *recordedKey) Wipe()                         {}

var _ dh.PrivateKey = (*recordedKey)(nil)

// TestRacoonReplay puts one side of a recorded handshake between two racoons in
// the place of our peer, in either role, with the cookies, nonces and public
// values that our side had in the recording. We must accept racoon's proof,
// make the same one as the racoon in our place, and derive the same keys.
func TestRacoonReplay(t *testing.T) {
	for name, c := range map[string]struct {
		mode     Mode
		proposal string
	}{
		"psk-main":       {MainMode, "aes128-sha1-prfsha1-modp2048"},
		"psk-aggressive": {AggressiveMode, "aes256-sha256-prfsha256-modp2048"},
		"psk-base":       {BaseMode, "aes256-sha256-prfsha256-modp2048"},
	} {
		for _, initiator := range []bool{true, false} {
			t.Run(name+map[bool]string{true: " as initiator", false: " as responder"}[initiator], func(t *testing.T) {
				r := newReplay(t, name, c.mode, c.proposal, initiator)
				r.run()
			})
		}
	}
}

type replay struct {
	*testing.T
	pair     *pair
	e        *Endpoint
	peer     *Peer
	path     ike.Path
	mode     Mode
	initiate bool
	messages [][]byte // of phase 1
	secrets  racoonSecrets

	cookie   isakmp.Cookie // our side's
	ni, nr   []byte
	gxi, gxr []byte
	sai      []byte
	sa       *isakmpSA
	sent     [][]byte
	proved   bool
}

func newReplay(t *testing.T, name string, mode Mode, proposal string, initiator bool) *replay {
	r := &replay{T: t, mode: mode, initiate: initiator}
	readJSON(t, "testdata/racoon/"+name+".keys.json", &r.secrets)
	packets, err := pcap.ReadFile("testdata/racoon/" + name + ".pcap")
	require.NoError(t, err)
	for d := range pcap.UDP(packets) {
		if h, err := isakmp.ParseHeader(d.Payload); err != nil || h.MessageID != 0 {
			continue
		}
		r.messages = append(r.messages, d.Payload)
		if len(r.messages) == 1 {
			r.path = ike.Path{Local: d.Src, Remote: d.Dst}
		}
	}
	h := r.header(1)
	r.cookie = h.CookieI
	if !initiator {
		r.cookie, r.path = h.CookieR, reverse(r.path)
	}
	for i := range r.messages {
		if h := r.header(i); h.Encrypted() {
			continue
		}
		chain := r.chain(i)
		if b := chain.Body(isakmp.PayloadSA); b != nil && i == 0 {
			r.sai = b
		}
		for t, to := range map[isakmp.PayloadType][2]*[]byte{isakmp.PayloadNonce: {&r.ni, &r.nr}, isakmp.PayloadKE: {&r.gxi, &r.gxr}} {
			if b := chain.Body(t); b != nil {
				*to[i%2] = b
			}
		}
	}
	p := pskPeer("racoon", "x", "x")
	p.Modes = []Mode{mode}
	p.Local.ID, p.Remote.ID = ike.Identity{}, ike.IdentityPattern{}
	p.Remote.Credential = pskSource(string(r.secrets.PSK[0]))
	p.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, proposal)}
	p.Timing.Lifetime, p.Check = 3600e9, ike.CheckObey
	p.Children = nil
	r.pair = newPair(t, p, p, nil)
	r.e, r.peer = r.pair.a, p
	return r
}

func (r *replay) header(i int) isakmp.Header {
	h, err := isakmp.ParseHeader(r.messages[i])
	require.NoError(r, err)
	return h
}

func (r *replay) chain(i int) isakmp.Chain {
	c, err := isakmp.ParseChain(r.header(i).NextPayload, r.messages[i][isakmp.HeaderLen:])
	require.NoError(r, err)
	return c
}

func (r *replay) run() {
	if r.initiate {
		_, err := r.e.Initiate(r.pair.now, Initiation{Peer: r.peer, Path: r.path})
		require.NoError(r, err)
		r.work()
	}
	for i := range r.messages {
		if r.initiate == (i%2 == 0) { // ours
			if h := r.header(i); i > 0 && h.Encrypted() && r.sa != nil && r.sa.p1 != nil {
				// What racoon puts beside the proof is not what we do, so the
				// vector of the next message is another.
				copy(r.sa.p1.iv[:], r.messages[i][len(r.messages[i])-r.sa.blockSize():])
			}
			continue
		}
		r.e.HandleDatagram(r.pair.now, r.path, r.messages[i])
		r.work()
	}
	require.NotNil(r, r.sa)
	if r.sa.state != stateEstablished {
		r.Logf("%+v", r.e.Stats())
		for {
			ev, ok := r.e.PollEvent()
			if !ok {
				break
			}
			r.Logf("%+v", ev)
		}
	}
	require.Equal(r, stateEstablished, r.sa.state)
	require.True(r, r.proved, "our proof is the recorded one")
	require.EqualValues(r, r.secrets.D[0], r.sa.keys.d)
	require.EqualValues(r, r.secrets.A[0], r.sa.keys.a)
	require.EqualValues(r, r.secrets.E[0], r.sa.keys.e)
	require.EqualValues(r, r.secrets.CipherKey[0], r.sa.keys.cipherKey)
}

// work runs jobs, with the recorded key exchange in the place of a real one, and
// gives our side what the racoon in its place had drawn.
func (r *replay) work() {
	now := r.pair.now
	r.become()
	for {
		j, ok := r.e.PollJob()
		if !ok {
			break
		}
		result := ike.Result{ID: j.ID}
		if j.Kind == ike.JobKeyExchange {
			k := core.KeyExchange{Public: r.gxr, Secret: secret.Bytes(r.secrets.Shared[0]).Clone()}
			if r.initiate {
				k.Public, k.Private = r.gxi, &recordedKey{r.gxi, r.secrets.Shared[0]}
			}
			result.Value = k
		} else {
			result = j.Do(r.Context())
		}
		if j.Kind == ike.JobSign {
			r.compareProof(result.Value.(proof))
		}
		r.e.HandleResult(now, result)
		r.become()
	}
	for {
		tx, ok := r.e.PollTransmit()
		if !ok {
			return
		}
		r.sent = append(r.sent, tx.Packet)
	}
}

// become gives our SA the cookie and the nonce of the recording.
func (r *replay) become() {
	if r.sa == nil {
		for c, sa := range r.e.sas {
			r.sa = sa
			delete(r.e.sas, c)
		}
		if r.sa == nil {
			return
		}
		r.sa.local = r.cookie
		r.e.sas[r.cookie] = r.sa
		require.Equal(r, r.sai, r.sa.p1.hashed.sai, "we offer what racoon does, octet by octet")
	}
	p := r.sa.p1
	if p == nil {
		return
	}
	if r.initiate {
		p.ni = r.ni
	} else {
		p.nr = r.nr
	}
	// racoon's identities name UDP and port 500, ours leave that away.
	own := isakmp.ID{Type: isakmp.IDIPv4Addr, Protocol: 17, Port: 500, Data: r.path.Local.Addr().AsSlice()}
	r.sa.setOwnID(own.AppendBody(nil))
}

// compareProof looks for our HASH in the message that racoon sent.
func (r *replay) compareProof(p proof) {
	last := p.payloads[len(p.payloads)-1].(*isakmp.HASH)
	for i := range r.messages {
		if r.initiate != (i%2 == 0) {
			continue
		}
		h := r.header(i)
		if !h.Encrypted() {
			if b := r.chain(i).Body(isakmp.PayloadHASH); b != nil {
				require.EqualValues(r, b, last.Data)
				r.proved = true
			}
			continue
		}
		m, _, err := r.sa.open(r.pair.now, h, r.messages[i], r.sa.p1.iv, nil)
		require.NoError(r, err)
		require.EqualValues(r, m.HASH().Data, last.Data)
		r.proved = true
	}
}
