package ikev1

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
)

var allModes = []Mode{MainMode, AggressiveMode, BaseMode}

func pskSource(key string) ike.CredentialSource {
	return (&ike.Credential{PSK: ike.Secret(key)}).Source()
}

// TestMainModeSeveralKeys: several peers may come from anywhere, each with a
// key of its own. Which one it is, the responder finds out by trying.
func TestMainModeSeveralKeys(t *testing.T) {
	for i := range 5 {
		a, b := pskPeer("gw", fmt.Sprintf("host%d.example", i), "b.example"), []*Peer{}
		a.Remote.Credential = pskSource(fmt.Sprintf("secret %d", i/2)) // two share one
		for k := range 5 {
			q := pskPeer(fmt.Sprint(k), "b.example", fmt.Sprintf("host%d.example", k))
			q.Remote.Credential = pskSource(fmt.Sprintf("secret %d", k/2))
			q.Children[0].Local, q.Children[0].Remote = q.Children[0].Remote, q.Children[0].Local
			b = append(b, q)
		}
		p := newPair(t, a, b[0], nil)
		ps, err := NewPeerSet(b)
		require.NoError(t, err)
		p.b.SetPeers(ps)
		_, sb := p.requireUp(p.initiate())
		require.Equal(t, fmt.Sprint(i), sb.Peer)
	}
}

// TestMainModeKeyOfAnother: the key of one peer and the identity of another.
func TestMainModeKeyOfAnother(t *testing.T) {
	a := pskPeer("gw", "host1.example", "b.example")
	a.Remote.Credential = pskSource("secret 2")
	var b []*Peer
	for k := range 3 {
		q := pskPeer(fmt.Sprint(k), "b.example", fmt.Sprintf("host%d.example", k))
		q.Remote.Credential = pskSource(fmt.Sprintf("secret %d", k))
		b = append(b, q)
	}
	p := newPair(t, a, b[0], nil)
	ps, err := NewPeerSet(b)
	require.NoError(t, err)
	p.b.SetPeers(ps)
	p.initiate()
	require.Empty(t, find[ike.SessionUp](p.evB))
	require.ErrorContains(t, find[ike.SessionFailed](p.evB)[0].Err, `belongs to peer "1", and the pre-shared key to "2"`)
}

// TestMainModeWrongKey: neither side can read the other, and both say what is
// probably wrong.
func TestMainModeWrongKey(t *testing.T) {
	for _, several := range []bool{false, true} {
		p := modePair(t, MainMode, func(a, _ *Peer) { a.Remote.Credential = pskSource("not that") })
		if several {
			other := pskPeer("c", "b.example", "c.example")
			other.Remote.Credential = pskSource("nor that")
			ps, err := NewPeerSet(append(p.b.peers.index.All(), other))
			require.NoError(t, err)
			p.b.SetPeers(ps)
		}
		p.initiate()
		require.Empty(t, p.evA)
		require.Empty(t, p.evB, "a message that nobody can read ends nothing")
		p.advance(5 * time.Minute)
		for _, events := range [][]ike.Event{p.evA, p.evB} {
			failed := find[ike.SessionFailed](events)
			require.Len(t, failed, 1)
			require.ErrorContains(t, failed[0].Err, "the pre-shared keys probably differ")
		}
		p.requireNothingLeft()
	}
}

// TestKeyFile has psk.txt in all modes: which line counts when several might.
func TestKeyFile(t *testing.T) {
	const mine = "a shared secret"
	for name, c := range map[string]struct {
		file    string
		remote  string // whom the responder expects
		main    bool   // whether mine is the key that it takes
		say     bool   // the same, in the modes that say the identity first
		comment string
	}{
		"address":             {"192.0.2.1 " + mine, "*", true, true, ""},
		"address, anybody":    {"192.0.2.1 " + mine + "\n* other", "*", true, true, ""},
		"anybody":             {"192.0.2.9 other\n* " + mine, "*", true, true, ""},
		"name":                {"a.example " + mine, "*", false, true, "Main Mode does not know the name"},
		"name, expected":      {"a.example " + mine, "a.example", true, true, ""},
		"name and address":    {"a.example " + mine + "\n192.0.2.1 other", "*", false, true, ""},
		"address and name":    {"a.example other\n192.0.2.1 " + mine, "*", true, false, ""},
		"both, name expected": {"a.example " + mine + "\n192.0.2.1 other", "a.example", true, true, ""},
		"address, anybody, name expected": {"192.0.2.1 " + mine + "\n* other", "a.example", true, true,
			"the key of anybody does not hide that of the address"},
		"nobody": {"192.0.2.9 other", "*", false, false, ""},
	} {
		for _, mode := range allModes {
			t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "psk.txt")
				require.NoError(t, os.WriteFile(file, []byte(c.file+"\n"), 0o600))
				keys, err := ike.LoadPSKFile(file)
				require.NoError(t, err)
				p := modePair(t, mode, func(_, b *Peer) {
					b.Remote.Credential = keys.Credential
					b.Remote.ID, err = ike.ParseIdentityPattern(c.remote)
					require.NoError(t, err)
				})
				id := p.initiate()
				if mode == MainMode && c.main || mode != MainMode && c.say {
					p.requireUp(id)
					return
				}
				p.advance(5 * time.Minute)
				require.Empty(t, find[ike.SessionUp](p.evB))
				require.NotEmpty(t, find[ike.SessionFailed](p.evA))
			})
		}
	}
}

// TestPhase1Loss loses each datagram of a handshake once.
func TestPhase1Loss(t *testing.T) {
	for _, mode := range allModes {
		for lost := range 9 {
			t.Run(fmt.Sprintf("%v/%d", mode, lost), func(t *testing.T) {
				p := modePair(t, mode, nil)
				n := 0
				p.filter = func(*Endpoint, ike.Transmit) bool { n++; return n != lost+1 }
				id := p.initiate()
				p.advance(20 * time.Second)
				p.requireUp(id)
				require.Len(t, p.a.sas, 1)
				require.Len(t, p.b.sas, 1)
			})
		}
	}
}

// TestPhase1Duplicates delivers everything three times, and once more in the
// end: nobody loops, and nothing is made twice.
func TestPhase1Duplicates(t *testing.T) {
	for _, mode := range allModes {
		t.Run(mode.String(), func(t *testing.T) {
			p := modePair(t, mode, nil)
			var all []func()
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				to := p.b
				if from == p.b {
					to = p.a
				}
				again := func() { to.HandleDatagram(p.now, reverse(tx.Path), tx.Packet) }
				all = append(all, again)
				require.Less(t, len(all), 200)
				if len(all) < 20 {
					again()
					again()
				}
				return true
			}
			id := p.initiate()
			p.requireUp(id)
			p.filter = nil
			p.advance(3 * time.Minute)
			for _, again := range all {
				again()
			}
			require.Zero(t, p.b.HalfOpen(), "an old first message begins nothing")
			p.advance(2 * time.Minute)
			p.requireUp(id)
			require.Len(t, p.a.sas, 1)
			require.Len(t, p.b.sas, 1)
			require.Zero(t, p.b.HalfOpen())
		})
	}
}

// TestAggressiveThirdMessageLost: only the initiator can know that something is
// missing. With nothing else to say it repeats its last message.
func TestAggressiveThirdMessageLost(t *testing.T) {
	p := modePair(t, AggressiveMode, func(a, _ *Peer) { a.Children = nil })
	n := 0
	p.filter = func(from *Endpoint, _ ike.Transmit) bool {
		if from == p.a {
			n++
		}
		return from != p.a || n == 1 || n > 3
	}
	p.initiate()
	require.Empty(t, find[ike.SessionUp](p.evB))
	p.advance(20 * time.Second)
	require.Len(t, find[ike.SessionUp](p.evB), 1)
	require.NotZero(t, p.a.Stats().Retransmitted)
	p.filter = nil
	p.advance(4 * time.Minute)
	require.LessOrEqual(t, p.a.Stats().Retransmitted, uint64(6))
	require.Len(t, p.b.sas, 1)
}

// A tampered copy of a message, in whatever way, arrives before the genuine
// one. What no proof covers can be spoilt by whoever sees it (Main Mode's first
// four messages, NAT-D, the padding), but a bad proof is no reason to give up.
func TestForgedProofs(t *testing.T) {
	for _, mode := range allModes {
		for _, method := range []AuthMethod{AuthPSK, AuthRSA} {
			first := map[Mode]int{MainMode: 5, AggressiveMode: 2, BaseMode: 3}[mode]
			last := map[Mode]int{MainMode: 6, AggressiveMode: 3, BaseMode: 4}[mode]
			for n := first; n <= last; n++ {
				encrypted := mode == MainMode || mode == AggressiveMode && n == 3
				for name, tamper := range map[string]func(b []byte) []byte{
					"first block": func(b []byte) []byte { b[isakmp.HeaderLen+3] ^= 0x80; return b },
					"proof":       func(b []byte) []byte { spoilProof(b); return b },
					"garbage": func(b []byte) []byte {
						copy(b[isakmp.HeaderLen:], bytes.Repeat([]byte{0xa5}, len(b)))
						return b
					},
				} {
					if encrypted && method == AuthRSA && name == "proof" {
						continue // a signature that does not verify under the keys is told at once
					}
					t.Run(fmt.Sprintf("%v/%v/%d/%s", mode, method, n, name), func(t *testing.T) {
						a, b := methodPeers(t, mode, method)
						a.Fragmentation, b.Fragmentation = FragmentOff, FragmentOff
						p := newPairNow(t, a, b)
						count := 0
						p.filter = func(from *Endpoint, tx ike.Transmit) bool {
							if count++; count == n {
								to := p.b
								if from == p.b {
									to = p.a
								}
								to.HandleDatagram(p.now, reverse(tx.Path), tamper(bytes.Clone(tx.Packet)))
								p.work(to)
							}
							return true
						}
						id := p.initiate()
						p.advance(20 * time.Second)
						p.requireUp(id)
					})
				}
			}
		}
	}
}

// spoilProof changes the HASH or SIG payload of a message in clear.
func spoilProof(b []byte) {
	h, err := isakmp.ParseHeader(b)
	if err != nil || h.Encrypted() {
		b[len(b)/2] ^= 1
		return
	}
	chain, err := isakmp.ParseChain(h.NextPayload, b[isakmp.HeaderLen:])
	if err != nil {
		return
	}
	for _, r := range chain {
		if r.Type == isakmp.PayloadHASH || r.Type == isakmp.PayloadSIG {
			r.Body[len(r.Body)/2] ^= 1
		}
	}
}

// TestForgedProofsOnly: the genuine message never comes. The handshake ends in
// time, and says that there was a bad proof.
func TestForgedProofsOnly(t *testing.T) {
	for mode, bad := range map[Mode][]int{AggressiveMode: {2, 3}, BaseMode: {3, 4}} {
		for _, n := range bad {
			p := modePair(t, mode, nil)
			count := 0
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				if count++; count < n {
					return true
				}
				to := p.b
				if from == p.b {
					to = p.a
				}
				forged := bytes.Clone(tx.Packet)
				spoilProof(forged)
				to.HandleDatagram(p.now, reverse(tx.Path), forged)
				return false
			}
			p.initiate()
			p.advance(10 * time.Minute)
			if n == bad[1] {
				// The other has had its proof, and finds out that nobody is there.
				require.NotEmpty(t, append(find[ike.SessionFailed](p.evA), find[ike.SessionFailed](p.evB)...))
			} else {
				require.Empty(t, find[ike.SessionUp](append(p.evA, p.evB...)))
			}
			p.requireNothingLeft()
		}
	}
}

// work runs an endpoint's jobs and leaves its datagrams.
func (p *pair) work(e *Endpoint) {
	for {
		j, ok := e.PollJob()
		if !ok {
			return
		}
		e.HandleResult(p.now, j.Do(p.t.Context()))
	}
}

// TestInitialContact: said in the first session with a peer, and by no other
// one; not in clear, where anybody could say it.
func TestInitialContact(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		asked := 0
		p.b.cfg.Authorize = func(_ context.Context, r ike.AuthorizeRequest) error {
			asked++
			require.Equal(t, asked == 1 && mode != BaseMode, r.InitialContact, "%v", mode)
			return nil
		}
		id := p.initiate()
		p.requireUp(id)
		p.advance(time.Minute)
		require.NoError(t, p.a.RekeyIKE(p.now, id))
		p.advance(time.Minute)
		require.Equal(t, 2, asked)
	}
}

// TestVendorsNamed: the session tells what the peer's vendor IDs name.
func TestVendorsNamed(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		sa, sb := p.requireUp(p.initiate())
		require.Contains(t, sa.Info.Vendors, "dead peer detection")
		require.Contains(t, sb.Info.Vendors, "NAT traversal (RFC 3947)")
		require.LessOrEqual(t, len(sb.Info.Vendors), maxVendors)
	}
}

// TestHalfOpenEviction: above the limit the oldest responder that has seen only
// a first message goes, so that a flood from invented addresses does not keep
// an honest initiator out.
func TestHalfOpenEviction(t *testing.T) {
	a, b := pskPeer("b", "a.example", "b.example"), pskPeer("a", "b.example", "a.example")
	b.Children[0].Local, b.Children[0].Remote = b.Children[0].Remote, b.Children[0].Local
	p := newPair(t, a, b, func(_, cb *Config) { cb.Limits = ike.Limits{HalfOpen: 10, HalfOpenPerIP: 4} })
	flood := func(n int, from func(i int) netip.AddrPort) {
		for i := range n {
			m := firstOf(t, a, MainMode, isakmp.Cookie(i+1))
			p.b.HandleDatagram(p.now, ike.Path{Local: addrB, Remote: from(i)}, m)
		}
	}
	flood(1000, func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 500)
	})
	require.Equal(t, 10, p.b.HalfOpen())
	require.Len(t, p.b.sas, 10)
	require.LessOrEqual(t, len(p.b.waiting.sas), 2*10+64)
	p.run()
	require.Empty(t, p.evB, "a flood is no news")
	require.Equal(t, uint64(990), p.b.Stats().Limited)

	// One address has its share and takes no other's place.
	one := netip.MustParseAddrPort("198.51.100.1:500")
	flood(100, func(int) netip.AddrPort { return one })
	here := 0
	for k := range p.b.initial {
		if k.remote == one {
			here++
		}
	}
	require.Equal(t, 4, here)

	id := p.initiate()
	p.requireUp(id)
	p.advance(time.Minute)
	require.Zero(t, p.b.HalfOpen())
	require.Len(t, p.b.sas, 1)
}

// firstOf is a peer's first message.
func firstOf(t testing.TB, peer *Peer, mode Mode, cookie isakmp.Cookie, extra ...isakmp.Payload) []byte {
	policy := peer.policy(true)
	if mode == AggressiveMode {
		policy = policy.withGroup(policy.groups()[0])
	}
	return build(t, isakmp.Header{CookieI: cookie, Version: isakmp.Version1, Exchange: mode.exchange()}, append([]isakmp.Payload{policy.offer()}, extra...)...)
}

func build(t testing.TB, h isakmp.Header, payloads ...isakmp.Payload) []byte {
	b := isakmp.NewBuilder(nil, h)
	for _, p := range payloads {
		b.Add(p)
	}
	m, err := b.Finish()
	require.NoError(t, err)
	return m
}

// TestInitialContactAfterBaseMode: nothing of Base Mode is encrypted, so the
// notification follows it. Of what the peer had before its restart nothing is
// left.
func TestInitialContactAfterBaseMode(t *testing.T) {
	p := modePair(t, BaseMode, nil)
	p.initiate()
	require.Len(t, find[ike.SessionUp](p.evB), 1)
	p.advance(time.Minute)
	peers := p.a.peers
	var err error
	p.a, err = NewEndpoint(Config{Rand: p.b.Rand(), DataPlane: p.pa, Tag: 0xa})
	require.NoError(t, err)
	p.a.SetPeers(peers)
	p.evA = nil
	id := p.initiate()
	p.requireUp(id)
	down := find[ike.ChildDown](p.evB)
	require.Len(t, down, 1)
	require.Equal(t, ike.DownReplaced, down[0].Reason)
	require.Len(t, p.b.sessions, 1)
	require.Len(t, p.b.sas, 1)
}
