package ikev1

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/quickmode"
	"github.com/racoon3/racoon/spd"
)

// respondTo feeds a datagram to B and returns what B sends for it, jobs done.
func (p *pair) respondTo(b []byte) (answers [][]byte) {
	p.b.HandleDatagram(p.now, reverse(pathAB()), b)
	p.work(p.b)
	for {
		tx, ok := p.b.PollTransmit()
		if !ok {
			return answers
		}
		answers = append(answers, tx.Packet)
	}
}

// sortedOut are the events of B so far.
func (p *pair) eventsB() []ike.Event {
	for {
		ev, ok := p.b.PollEvent()
		if !ok {
			return p.evB
		}
		p.evB = append(p.evB, ev)
	}
}

// inClear are how many messages of a mode are not encrypted.
var inClear = map[Mode]int{MainMode: 4, AggressiveMode: 2, BaseMode: 4}

// Each payload of each message in clear is left out, and sent twice, in a copy
// that arrives before the genuine message.
func TestA05_PayloadsMissingOrTwice(t *testing.T) {
	for _, mode := range allModes {
		for n := 1; n <= inClear[mode]; n++ {
			for _, twice := range []bool{false, true} {
				for at := range 16 {
					p := modePair(t, mode, nil)
					count, done := 0, false
					p.filter = func(from *Endpoint, tx ike.Transmit) bool {
						if count++; count != n {
							return true
						}
						h, err := isakmp.ParseHeader(tx.Packet)
						require.NoError(t, err)
						chain, err := isakmp.ParseChain(h.NextPayload, tx.Packet[isakmp.HeaderLen:])
						require.NoError(t, err)
						if at >= len(chain) {
							done = true
							return true
						}
						to := p.b
						if from == p.b {
							to = p.a
						}
						var changed isakmp.Chain
						changed = append(changed, chain[:at]...)
						if twice {
							changed = append(changed, chain[at], chain[at])
						}
						changed = append(changed, chain[at+1:]...)
						to.HandleDatagram(p.now, reverse(tx.Path), rebuild(h, changed))
						p.work(to)
						return true
					}
					id := p.initiate()
					p.advance(30 * time.Second)
					s, ok := p.a.Session(id)
					require.True(t, ok && s.Up, "%v, message %d, payload %d, twice %v", mode, n, at, twice)
					if done {
						break
					}
				}
			}
		}
	}
}

// rebuild writes a message in clear of raw payloads.
func rebuild(h isakmp.Header, chain isakmp.Chain) []byte {
	b := make([]byte, isakmp.HeaderLen)
	h.NextPayload = isakmp.PayloadNone
	if len(chain) > 0 {
		h.NextPayload = chain[0].Type
	}
	for i, r := range chain {
		next := isakmp.PayloadNone
		if i+1 < len(chain) {
			next = chain[i+1].Type
		}
		b = binary.BigEndian.AppendUint16(append(b, byte(next), 0), uint16(4+len(r.Body)))
		b = append(b, r.Body...)
	}
	h.Length = uint32(len(b))
	out, err := h.AppendBinary(b[:0])
	if err != nil {
		panic(err)
	}
	return out[:len(b)]
}

// Payload types of IKEv2, and those of IKEv1 that have no place in phase 1.
func TestA07_ForeignPayloadTypes(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		for _, foreign := range []isakmp.PayloadType{33, 34, 35, 36, 41, 46, 48, isakmp.PayloadAttributes, isakmp.PayloadNATOA, 99, 127} {
			first := p.first(mode, 1, &isakmp.Unknown{Type: foreign, Body: make([]byte, 16)})
			require.Empty(t, p.respondTo(first), "%v %v", mode, foreign)
		}
		require.Empty(t, p.b.sas)
		require.Zero(t, p.b.HalfOpen())
	}
}

// first is a valid first message for B, with payloads behind it.
func (p *pair) first(mode Mode, cookie isakmp.Cookie, extra ...isakmp.Payload) []byte {
	var payloads []isakmp.Payload
	id := idPayload(mustID("a.example"))
	switch mode {
	case AggressiveMode:
		g, _ := dh.ByID(dh.ID(spd.KEECP256))
		k, err := g.Generate(bytes.Repeat([]byte{7}, g.SeedSize()))
		require.NoError(p.t, err)
		payloads = append(payloads, &isakmp.KE{Data: k.Public()}, &isakmp.Nonce{Data: make([]byte, 16)}, id)
	case BaseMode:
		payloads = append(payloads, id, &isakmp.Nonce{Data: make([]byte, 16)})
	}
	return firstOf(p.t, p.a.peers.index.All()[0], mode, cookie, append(payloads, extra...)...)
}

// DOI and situation of the SA payload.
func TestA09_DOIAndSituation(t *testing.T) {
	for _, mode := range allModes {
		for name, change := range map[string]func(sa *isakmp.SA){
			"DOI 2":            func(sa *isakmp.SA) { sa.DOI = 2 },
			"DOI 2^32-1":       func(sa *isakmp.SA) { sa.DOI = 0xffffffff },
			"no situation bit": func(sa *isakmp.SA) { sa.Situation = 0 },
			"unknown bit":      func(sa *isakmp.SA) { sa.Situation = 1<<31 | 1 },
		} {
			p := modePair(t, mode, nil)
			m := p.first(mode, 1)
			h, err := isakmp.ParseHeader(m)
			require.NoError(t, err)
			payloads, err := isakmp.ParsePayloads(h.NextPayload, m[isakmp.HeaderLen:])
			require.NoError(t, err)
			sa := payloads.SA()
			body := sa.AppendBody(nil)
			changed := *sa
			change(&changed)
			binary.BigEndian.PutUint32(body, uint32(changed.DOI))
			binary.BigEndian.PutUint32(body[4:], uint32(changed.Situation))
			chain, err := isakmp.ParseChain(h.NextPayload, m[isakmp.HeaderLen:])
			require.NoError(t, err)
			chain[0].Body = body
			require.LessOrEqual(t, len(p.respondTo(rebuild(h, chain))), 1, "%v %s", mode, name)
			require.Empty(t, p.b.sas, "%v %s", mode, name)
			require.Zero(t, p.b.HalfOpen())
		}
	}
}

// badPublicValues are values that no honest side sends.
func badPublicValues(g dh.Group, p []byte) map[string][]byte {
	size := g.InitiatorSize()
	value := func(last byte) []byte { b := make([]byte, size); b[size-1] = last; return b }
	bad := map[string][]byte{
		"empty": {}, "short": make([]byte, size-1), "long": make([]byte, size+1), "0": value(0), "all ones": bytes.Repeat([]byte{0xff}, size),
		"twice as long": make([]byte, 2*size),
	}
	if p != nil {
		minus := bytes.Clone(p)
		minus[size-1]--
		bad["1"], bad["p"], bad["p-1"] = value(1), p, minus
	}
	return bad
}

func testPublicValues(t *testing.T, group uint16, name string, prime []byte) {
	g, ok := dh.ByID(dh.ID(group))
	require.True(t, ok)
	for _, mode := range []Mode{MainMode, AggressiveMode} {
		for what, bad := range badPublicValues(g, prime) {
			p := modePair(t, mode, func(a, b *Peer) {
				for _, q := range []*Peer{a, b} {
					q.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes128-sha256-prfsha256-"+name)}
				}
			})
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				h, err := isakmp.ParseHeader(tx.Packet)
				require.NoError(t, err)
				if from != p.a || h.Encrypted() {
					return true
				}
				chain, err := isakmp.ParseChain(h.NextPayload, tx.Packet[isakmp.HeaderLen:])
				require.NoError(t, err)
				for i := range chain {
					if chain[i].Type == isakmp.PayloadKE {
						chain[i].Body = bad
						p.b.HandleDatagram(p.now, reverse(tx.Path), rebuild(h, chain))
						return false
					}
				}
				return true
			}
			p.initiate()
			for _, sa := range p.b.sas {
				require.Nil(t, sa.keys, "%v %s %s: keys of a bad public value", mode, name, what)
			}
			p.advance(10 * time.Minute)
			require.Empty(t, find[ike.SessionUp](append(p.evA, p.evB...)), "%v %s %s", mode, name, what)
			p.requireNothingLeft()
		}
	}
}

func TestA10_BadPublicValuesMODP(t *testing.T) {
	for group, name := range map[uint16]string{spd.KEMODP2048: "modp2048", spd.KEMODP3072: "modp3072"} {
		testPublicValues(t, group, name, nil)
	}
}

func TestA11_BadPoints(t *testing.T) {
	for group, name := range map[uint16]string{spd.KEECP256: "ecp256", spd.KEECP384: "ecp384", spd.KEECP521: "ecp521"} {
		g, _ := dh.ByID(dh.ID(group))
		off := bytes.Repeat([]byte{1}, g.InitiatorSize()) // no point of the curve
		testPublicValues(t, group, name, off)
	}
}

// Exchanges that need keys, before there are any, and phase 1 out of order.
func TestA20_BeforeKeys(t *testing.T) {
	exchanges := []isakmp.ExchangeType{isakmp.ExchangeInformational, isakmp.ExchangeQuickMode, isakmp.ExchangeTransaction, isakmp.ExchangeNewGroupMode,
		isakmp.ExchangeIdentityProtection, isakmp.ExchangeAggressive, isakmp.ExchangeBase, 3, 0, 99}
	for _, mode := range allModes {
		for step := 1; step <= 5; step++ {
			p := modePair(t, mode, nil)
			count := 0
			p.filter = func(from *Endpoint, tx ike.Transmit) bool {
				if count++; count != step {
					return true
				}
				for _, e := range []*Endpoint{p.a, p.b} {
					path := pathAB()
					if e == p.b {
						path = reverse(path)
					}
					for _, sa := range e.sas {
						i, r := sa.cookiePair()
						for _, x := range exchanges {
							for _, id := range []uint32{0, 1} {
								for _, flags := range []isakmp.Flags{0, isakmp.FlagEncryption, isakmp.FlagCommit, isakmp.FlagEncryption | isakmp.FlagAuthOnly} {
									for _, next := range []isakmp.PayloadType{isakmp.PayloadHASH, isakmp.PayloadSA, isakmp.PayloadKE} {
										h := isakmp.Header{CookieI: i, CookieR: r, NextPayload: next, Version: isakmp.Version1, Exchange: x, MessageID: id, Flags: flags, Length: 28 + 32}
										b, err := h.AppendBinary(nil)
										require.NoError(t, err)
										e.HandleDatagram(p.now, path, append(b, make([]byte, 32)...))
									}
								}
							}
						}
					}
				}
				return true
			}
			id := p.initiate()
			p.advance(30 * time.Second)
			p.requireUp(id)
		}
	}
}

// Nothing in clear changes a live SA, and nothing is said to strangers.
func TestA21_ClearMessagesToLiveSA(t *testing.T) {
	for _, mode := range allModes {
		p := modePair(t, mode, nil)
		id := p.initiate()
		before, _ := p.requireUp(id)
		var cookies [2]isakmp.Cookie
		for _, sa := range p.b.sas {
			cookies[0], cookies[1] = sa.cookiePair()
		}
		both := isakmp.AppendCookies(nil, cookies[0], cookies[1])
		child := quickmode.AppendSPI(nil, before.Children[0].Out)
		hostile := []isakmp.Payload{
			&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPISize: 16, SPIs: both},
			&isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPISize: 4, SPIs: child},
			&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: both, Type: isakmp.NotifyInitialContact},
			&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: both, Type: isakmp.NotifyAuthenticationFailed},
			&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoIKE, SPI: both, Type: isakmp.NotifyRUThere, Data: []byte{0, 0, 0, 1}},
			&isakmp.Notify{DOI: isakmp.DOIIPsec, Protocol: spd.ProtoESP, SPI: child, Type: isakmp.NotifyInvalidSPI},
		}
		sent := p.b.Stats().Sent
		for _, h := range []isakmp.Header{
			{CookieI: cookies[0], CookieR: cookies[1]}, {CookieI: cookies[0]}, {CookieI: cookies[1], CookieR: cookies[0]},
			{CookieI: 1, CookieR: 2}, {CookieI: 3}, {CookieI: cookies[0], CookieR: 4},
		} {
			for _, x := range []isakmp.ExchangeType{isakmp.ExchangeInformational, isakmp.ExchangeQuickMode, isakmp.ExchangeTransaction, mode.exchange()} {
				for _, messageID := range []uint32{0, 77} {
					h.Version, h.Exchange, h.MessageID = isakmp.Version1, x, messageID
					for _, pl := range hostile {
						p.b.HandleDatagram(p.now, reverse(pathAB()), build(t, h, pl))
						p.b.HandleDatagram(p.now, reverse(pathAB()), build(t, h, &isakmp.HASH{Data: make([]byte, 32)}, pl))
						p.a.HandleDatagram(p.now, pathAB(), build(t, h, pl))
					}
				}
			}
		}
		require.Equal(t, sent, p.b.Stats().Sent, "%v: a stranger was answered", mode)
		p.run()
		after, _ := p.requireUp(id)
		require.Equal(t, before.Children[0].ChildSPIs, after.Children[0].ChildSPIs)
		require.Empty(t, find[ike.SessionDown](append(p.evA, p.evB...)))
		require.NotZero(t, p.b.Stats().Unprotected)
		require.Len(t, p.b.sas, 1)
	}
}

// After a refused proposal there is nothing that the same or any other
// responder cookie could belong to.
func TestA22_CookieAfterFailedProposal(t *testing.T) {
	p := modePair(t, AggressiveMode, func(_, b *Peer) {
		b.Proposals = []spd.Proposal{spd.MustParseProposal(spd.ProtoIKE, "aes256-sha512-prfsha512-ecp521")}
	})
	answers := p.respondTo(p.first(AggressiveMode, 1))
	require.Len(t, answers, 1)
	refusal, err := isakmp.ParseHeader(answers[0])
	require.NoError(t, err)
	good := pskPeer("a", "b.example", "a.example")
	good.Modes = []Mode{AggressiveMode}
	ps, err := NewPeerSet([]*Peer{good})
	require.NoError(t, err)
	p.b.SetPeers(ps)
	live := p.respondTo(p.first(AggressiveMode, 2)) // another one, which is on its way
	require.Len(t, live, 1)
	liveHeader, err := isakmp.ParseHeader(live[0])
	require.NoError(t, err)
	for _, r := range []isakmp.Cookie{refusal.CookieR, 1, liveHeader.CookieR} {
		for _, flags := range []isakmp.Flags{0, isakmp.FlagEncryption} {
			h := isakmp.Header{CookieI: 1, CookieR: r, Version: isakmp.Version1, Exchange: isakmp.ExchangeAggressive, Flags: flags}
			m := build(t, h, &isakmp.HASH{Data: make([]byte, 32)})
			require.Empty(t, p.respondTo(m), "%v %v", r, flags)
		}
	}
	require.Len(t, p.b.sas, 1)
	p.advance(time.Minute)
	require.Empty(t, p.b.sas)
}

// Identities that are none, and those that would like to be a command, a format
// or a line of the log.
func TestA24_HostileIdentities(t *testing.T) {
	ids := map[string]ike.Identity{
		"empty":           {Type: ike.IDFQDN},
		"type 0":          {Type: 0, Data: "x"},
		"type 99":         {Type: 99, Data: "x"},
		"IPv4 of 3":       {Type: ike.IDIPv4Addr, Data: "abc"},
		"IPv4 of 5":       {Type: ike.IDIPv4Addr, Data: "abcde"},
		"IPv6 of 4":       {Type: ike.IDIPv6Addr, Data: "abcd"},
		"subnet of 7":     {Type: 4, Data: "abcdefg"},
		"long":            {Type: ike.IDFQDN, Data: strings.Repeat("a", 60_000)},
		"NUL":             {Type: ike.IDFQDN, Data: "a.example\x00.evil"},
		"newline":         {Type: ike.IDFQDN, Data: "a\nWARNING: all is well"},
		"escape":          {Type: ike.IDRFC822Addr, Data: "\x1b[2J@example.org"},
		"format":          {Type: ike.IDKeyID, Data: "%s%n%x%!d"},
		"shell":           {Type: ike.IDKeyID, Data: "`reboot`;$(reboot)|reboot"},
		"path":            {Type: ike.IDKeyID, Data: "../../etc/passwd"},
		"DN cut short":    {Type: ike.IDDERASN1DN, Data: "\x30\x20\x31\x0b"},
		"DN, huge length": {Type: ike.IDDERASN1DN, Data: "\x30\x84\xff\xff\xff\xff"},
	}
	for _, mode := range allModes {
		for name, id := range ids {
			t.Run(fmt.Sprintf("%v/%s", mode, name), func(t *testing.T) {
				p := modePair(t, mode, nil)
				// The initiator says what it likes.
				evil := *p.a.peers.index.All()[0]
				evil.Local.ID = id
				_, err := p.a.Initiate(p.now, Initiation{Peer: &evil, Path: pathAB()})
				if err != nil {
					t.Skip("refused by the own side: ", err)
				}
				p.run()
				p.advance(time.Minute)
				require.Empty(t, find[ike.SessionUp](p.evB))
				for _, ev := range p.evB {
					text := fmt.Sprintf("%v", ev)
					require.False(t, strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), "%q", text)
					if f, ok := ev.(ike.SessionFailed); ok {
						require.Less(t, len(f.Err.Error()), 2000)
					}
				}
				require.Empty(t, p.b.sas)
			})
		}
	}
}

// More certificates, or larger ones, than there is reason for.
func TestA27_CertificateFlood(t *testing.T) {
	junk := func(n, size int) (out []isakmp.Payload) {
		for range n {
			out = append(out, &isakmp.CERT{Encoding: isakmp.CertX509Signature, Data: make([]byte, size)})
		}
		return out
	}
	for name, certs := range map[string][]isakmp.Payload{
		"60 small":     junk(60, 100),
		"one of 60000": junk(1, 60_000),
		"PKCS #7 junk": {&isakmp.CERT{Encoding: isakmp.CertPKCS7, Data: bytes.Repeat([]byte{0x30, 0x80}, 5000)}},
		"unknown kind": {&isakmp.CERT{Encoding: 99, Data: make([]byte, 100)}},
		"empty":        junk(1, 0),
	} {
		a, b := methodPeers(t, BaseMode, AuthRSA)
		a.Fragmentation, b.Fragmentation = FragmentOff, FragmentOff
		p := newPairNow(t, a, b)
		verified := 0
		p.filter = func(from *Endpoint, tx ike.Transmit) bool {
			h, err := isakmp.ParseHeader(tx.Packet)
			require.NoError(t, err)
			if from == p.a && h.Exchange == isakmp.ExchangeBase && h.CookieR != 0 && h.NextPayload == isakmp.PayloadKE {
				payloads, err := isakmp.ParsePayloads(h.NextPayload, tx.Packet[isakmp.HeaderLen:])
				require.NoError(t, err)
				evil := append([]isakmp.Payload{payloads.KE()}, certs...)
				for range 50 {
					sig := &isakmp.SIG{Data: []byte{byte(verified)}}
					p.b.HandleDatagram(p.now, reverse(tx.Path), build(t, h, append(evil, sig)...))
					for {
						j, ok := p.b.PollJob()
						if !ok {
							break
						}
						if j.Kind == ike.JobVerify {
							verified++
						}
						p.b.HandleResult(p.now, j.Do(t.Context()))
					}
				}
				return false
			}
			return true
		}
		p.initiate()
		require.LessOrEqual(t, verified, maxDoubts, name)
		p.advance(5 * time.Minute)
		require.NotEmpty(t, find[ike.SessionFailed](p.evB), name)
		p.requireNothingLeft()
	}
}

// Signatures that are none.
func TestB01_BadSignaturesInHandshake(t *testing.T) {
	for _, mode := range []Mode{AggressiveMode, BaseMode} {
		for _, method := range []AuthMethod{AuthRSA, AuthECDSA256, AuthDSS} {
			for name, spoil := range map[string]func(sig []byte) []byte{
				"empty":  func([]byte) []byte { return nil },
				"zeros":  func(s []byte) []byte { return make([]byte, len(s)) },
				"ones":   func(s []byte) []byte { return bytes.Repeat([]byte{0xff}, len(s)) },
				"short":  func(s []byte) []byte { return s[:len(s)-1] },
				"long":   func(s []byte) []byte { return append(s, 0) },
				"padded": func(s []byte) []byte { return append([]byte{0}, s...) },
				"huge":   func(s []byte) []byte { return make([]byte, 20_000) },
			} {
				a, b := methodPeers(t, mode, method)
				a.Fragmentation, b.Fragmentation = FragmentOff, FragmentOff
				p := newPairNow(t, a, b)
				p.filter = func(from *Endpoint, tx ike.Transmit) bool {
					h, err := isakmp.ParseHeader(tx.Packet)
					require.NoError(t, err)
					if h.Encrypted() || from == p.b && mode == BaseMode {
						return true
					}
					chain, err := isakmp.ParseChain(h.NextPayload, tx.Packet[isakmp.HeaderLen:])
					require.NoError(t, err)
					found := false
					for i := range chain {
						if chain[i].Type == isakmp.PayloadSIG {
							chain[i].Body, found = spoil(bytes.Clone(chain[i].Body)), true
						}
					}
					if !found {
						return true
					}
					to := p.b
					if from == p.b {
						to = p.a
					}
					to.HandleDatagram(p.now, reverse(tx.Path), rebuild(h, chain))
					return false
				}
				p.initiate()
				p.advance(5 * time.Minute)
				require.Empty(t, find[ike.SessionUp](append(p.evA, p.evB...)), "%v %v %s", mode, method, name)
				p.requireNothingLeft()
			}
		}
	}
}

// A responder with a pre-shared key does Aggressive Mode only where it is told
// to, and then says what that means.
func TestB15_AggressivePSK(t *testing.T) {
	p := modePair(t, AggressiveMode, func(_, b *Peer) { b.Modes = []Mode{MainMode} })
	p.initiate()
	p.advance(time.Minute)
	require.Empty(t, find[ike.SessionUp](append(p.evA, p.evB...)))

	p = modePair(t, AggressiveMode, nil)
	p.requireUp(p.initiate())
	warnings := find[ike.Warning](p.evB)
	require.Len(t, warnings, 1)
	require.ErrorContains(t, warnings[0].Err, "CVE-2018-5389")
	require.Empty(t, find[ike.Warning](p.evA), "the initiator gives its hash to nobody who has not shown that he knows the key")
	notes := p.b.peers.index.All()[0].Warnings()
	require.Len(t, notes, 1)
	require.ErrorContains(t, notes[0], "CVE-2018-5389")
	main := pskPeer("x", "x", "y")
	require.Empty(t, main.Warnings())

	// An unknown identity gets no hash.
	b := pskPeer("a", "b.example", "someone.example")
	b.Modes = []Mode{AggressiveMode}
	ps, err := NewPeerSet([]*Peer{b})
	require.NoError(t, err)
	p = modePair(t, AggressiveMode, nil)
	p.b.SetPeers(ps)
	answers := p.respondTo(p.first(AggressiveMode, 9))
	require.Len(t, answers, 1)
	h, err := isakmp.ParseHeader(answers[0])
	require.NoError(t, err)
	require.Equal(t, isakmp.ExchangeInformational, h.Exchange)
}

// The methods with public-key encryption are refused, whoever asks for them.
func TestB16_NoPublicKeyEncryption(t *testing.T) {
	for _, m := range []isakmp.AuthMethod{4, 5, 65007, 65008, 65009, 65010} {
		require.False(t, AuthMethod(m).Supported())
		peer := pskPeer("x", "x", "y")
		peer.Methods = []AuthMethod{AuthMethod(m)}
		_, err := NewPeerSet([]*Peer{peer})
		require.ErrorContains(t, err, "not supported")
		for _, mode := range allModes {
			p := modePair(t, mode, nil)
			q := *p.a.peers.index.All()[0]
			q.Methods = []AuthMethod{AuthMethod(m)}
			ps := &PeerSet{}
			ps.index = p.a.peers.index
			offer := p.first(mode, 1)
			chain, err := isakmp.ParseChain(isakmp.PayloadSA, offer[isakmp.HeaderLen:])
			require.NoError(t, err)
			policy := q.policy(true)
			chain[0].Body = policy.offer().AppendBody(nil)
			h, err := isakmp.ParseHeader(offer)
			require.NoError(t, err)
			answers := p.respondTo(rebuild(h, chain))
			require.Len(t, answers, 1)
			require.Empty(t, p.b.sas)
		}
	}
}
