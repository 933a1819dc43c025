package ikev1

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/racoon3/racoon/dh"
	"github.com/racoon3/racoon/ike"
	"github.com/racoon3/racoon/ikev1/isakmp"
	"github.com/racoon3/racoon/internal/secret"
	"github.com/racoon3/racoon/spd"
)

// Safe primes of openssl prime -generate -safe -bits 1024. They serve tests only.
var safePrimes = [2]string{
	"CA03BE819750946B5FF0740621C666E32285A2D302645E61CF498D60AD747D142C2439AEB27D64E2D293D0D7B3C86708490A04DB679F37D14E4716FEF7A29CF5" +
		"305E3CB8315FD50ADE959B2D09E380658623D58F5CA22E6E374CDA495D210CF9FAB3F4231499A21D2D16CA83A85A2DEF5C8FE5397B8C55CDFCDB44E13EE6BA17",
	"D4C8249AC8F86EAAF9064CA165DFF27C732FBC5D028596D8789954A57EDB190430660C1A2FDE4F111E8D01E9D19E23BE4B726BDECC111EEF8DB0DCBFA6E42201" +
		"3E41159356ABE0EFE12EFD3AB2D7CE665D4C36734EB9E8469BF41735B82CDEF42A057683FA65300F3918E1BD0126C92F32F2CD0433F8F7F89EFAF1E3FB23200F",
}

// madeGroups are kept: it takes long to check one, and the simulation wants
// many.
var madeGroups sync.Map

func privateGroup(t testing.TB, id dh.ID, which int) *dh.PrivateGroup {
	t.Helper()
	key := [2]int{int(id), which}
	if g, ok := madeGroups.Load(key); ok {
		return g.(*dh.PrivateGroup)
	}
	p, err := hex.DecodeString(safePrimes[which])
	require.NoError(t, err)
	g, err := dh.NewPrivateGroup(id, p, []byte{2})
	require.NoError(t, err)
	madeGroups.Store(key, g)
	return g
}

// groupPair is a pair whose Children want a private group for perfect forward
// secrecy: the same one, which the sides number differently.
func groupPair(t *testing.T, edit func(a, b *Peer)) *pair {
	return childPair(t, func(a, b *Peer) {
		a.PrivateGroups = []*dh.PrivateGroup{privateGroup(t, 32768, 0)}
		b.PrivateGroups = []*dh.PrivateGroup{privateGroup(t, 40000, 0)}
		a.Children[0].Proposals = espProposals("aes128gcm16-group32768")
		b.Children[0].Proposals = espProposals("aes128gcm16-group40000")
		if edit != nil {
			edit(a, b)
		}
	})
}

// exchanges counts the messages of a kind.
func (p *pair) exchanges(kind isakmp.ExchangeType) *int {
	n, next := new(int), p.filter
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if isakmp.ExchangeType(tx.Packet[18]) == kind {
			*n++
		}
		return next == nil || next(from, tx)
	}
	return n
}

func TestNewGroupMode(t *testing.T) {
	p := groupPair(t, nil)
	n := p.exchanges(isakmp.ExchangeNewGroupMode)
	p.initiate()
	require.Equal(t, 2, *n, "one exchange, before Quick Mode")
	p.agree(1)
	p.delivers(inner)
	up := find[ike.ChildUp](p.evA)[0]
	require.Equal(t, "aes128gcm16-group32768", up.Child.Proposal.String())
	a, b := only(t, p.a), only(t, p.b)
	require.NoError(t, p.a.RekeyChild(p.now, a.ID, up.Child.ID))
	p.advance(time.Minute)
	require.Equal(t, 2, *n, "what has been agreed on is not asked again")
	p.agree(1)
	p.delivers(inner)
	// The other side's number is another one, so it has to propose it.
	require.NoError(t, p.b.RekeyChild(p.now, b.ID, b.Children.All()[0].Info.ID))
	p.advance(time.Minute)
	require.Equal(t, 4, *n)
	require.Equal(t, "aes128gcm16-group40000", find[ike.ChildRekeyed](p.evB)[1].Child.Proposal.String())
	p.agree(1)
	p.delivers(inner)
	require.Empty(t, find[ike.Warning](append(p.evA, p.evB...)))
	// A group ends with its ISAKMP SA (RFC 2409 5.6).
	require.NoError(t, p.a.RekeyIKE(p.now, a.ID))
	p.advance(time.Minute)
	require.NoError(t, p.a.RekeyChild(p.now, a.ID, up.Child.ID))
	p.advance(time.Minute)
	require.Equal(t, 6, *n)
	p.agree(1)
	p.delivers(inner)
	require.NoError(t, p.a.Delete(p.now, a.ID, ike.DownLocal))
	p.advance(3 * time.Minute)
	p.requireNothingLeft()
}

// HASH(1) and HASH(2) are prf(SKEYID_a, M-ID | SA), and the SA is as appendix A
// of RFC 2409 has it.
func TestNewGroupModeOnTheWire(t *testing.T) {
	p := groupPair(t, nil)
	var messages [][]byte
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		if isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeNewGroupMode {
			messages = append(messages, slices.Clone(tx.Packet))
		}
		return true
	}
	p.initiate()
	require.Len(t, messages, 2)
	sa := only(t, p.a).current
	prime, err := hex.DecodeString(safePrimes[0])
	require.NoError(t, err)
	want := []byte{0, 0, 0, 172, 0, 0, 0, 1, 0, 0, 0, 1} // SA: IPsec DOI, SIT_IDENTITY_ONLY
	want = append(want, 0, 0, 0, 160, 1, 1, 0, 1)        // proposal 1: ISAKMP, one transform
	want = append(want, 0, 0, 0, 152, 1, 1, 0, 0)        // transform 1: KEY_IKE
	want = append(want, 0x80, 4, 0x80, 0)                // Group-Description 32768
	want = append(want, 0x80, 5, 0, 1)                   // Group-Type MODP
	want = append(append(want, 0, 6, 0, 128), prime...)  // Group-Prime
	want = append(want, 0, 7, 0, 1, 2)                   // Group-Generator-One
	want[3], want[15], want[23] = byte(len(want)), byte(len(want)-12), byte(len(want)-20)
	iv := sa.keys.hash.phase2IV(sa.blockSize(), sa.lastBlock, binary.BigEndian.Uint32(messages[0][20:]))
	for i, m := range messages {
		h, err := isakmp.ParseHeader(m)
		require.NoError(t, err)
		require.True(t, h.Encrypted())
		require.Equal(t, isakmp.PayloadHASH, h.NextPayload)
		c, err := sa.cipher()
		require.NoError(t, err)
		body := m[isakmp.HeaderLen:]
		iv, err = c.open(iv, body)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(isakmp.PayloadSA), 0, 0, 36}, body[:4])
		require.Equal(t, want, body[36:36+len(want)], "message %d", i+1)
		f := hmac.New(sha256.New, sa.keys.a)
		f.Write(m[20:24])
		f.Write(want)
		require.Equal(t, f.Sum(nil), body[4:36], "message %d", i+1)
	}
}

// rawGroup sends a New Group Mode message with these payloads and returns the
// answer.
func (p *pair) rawGroup(payloads ...isakmp.Payload) *inbound {
	r := &rawAnswer{}
	x, err := only(p.t, p.a).current.newExchange(isakmp.ExchangeNewGroupMode, r)
	require.NoError(p.t, err)
	x.send(p.now, x.messageHash, payloads...)
	p.run()
	x.fail(p.now, errGone)
	return r.got
}

type rawAnswer struct{ got *inbound }

func (*rawAnswer) hash(x *exchange, covered []byte) secret.Bytes  { return x.messageHash(covered) }
func (r *rawAnswer) receive(_ time.Time, _ *exchange, m *inbound) { r.got = m }
func (*rawAnswer) abort(now time.Time, x *exchange, err error)    {}

func withGroup(sa *isakmp.SA, a ...isakmp.Attribute) *isakmp.SA { return withTransform(sa, 1, a...) }
func withTransform(sa *isakmp.SA, id uint8, a ...isakmp.Attribute) *isakmp.SA {
	sa.Proposals[0].Transforms = append(sa.Proposals[0].Transforms, isakmp.Transform{Num: uint8(len(sa.Proposals[0].Transforms) + 1), ID: id, Attributes: a})
	return sa
}

// Whatever is not the configured group is refused, and said why.
func TestNewGroupModeRefused(t *testing.T) {
	p := groupPair(t, func(a, b *Peer) {
		a.Children[0].Proposals, b.Children[0].Proposals = espProposals("aes128gcm16"), espProposals("aes128gcm16")
	})
	p.initiate()
	own := only(t, p.a).peer.PrivateGroups[0]
	empty := func() *isakmp.SA {
		sa := groupSA(own)
		sa.Proposals[0].Transforms = nil
		return sa
	}
	number, kind := isakmp.Basic(isakmp.Phase1Group, uint16(32768)), isakmp.Basic(isakmp.Phase1GroupType, isakmp.GroupMODP)
	prime, generator := isakmp.Variable(isakmp.Phase1GroupPrime, own.Prime()), isakmp.Variable(isakmp.Phase1GroupGeneratorOne, own.Generator())
	attributes, proposal := isakmp.NotifyAttributesNotSupported, isakmp.NotifyNoProposalChosen
	esp := groupSA(own)
	esp.Proposals[0].Protocol, esp.Proposals[0].SPI = spd.ProtoESP, []byte{1, 2, 3, 4}
	for name, c := range map[string]struct {
		payloads []isakmp.Payload
		want     isakmp.NotifyType
		text     string
	}{
		"another prime":       {[]isakmp.Payload{groupSA(privateGroup(t, 32768, 1))}, attributes, "wanted: group(40000) (MODP, 1024 bits"},
		"another generator":   {[]isakmp.Payload{withGroup(empty(), number, kind, prime, isakmp.Variable(isakmp.Phase1GroupGeneratorOne, []byte{3}))}, attributes, "configured"},
		"prime cut short":     {[]isakmp.Payload{withGroup(empty(), number, kind, isakmp.Variable(isakmp.Phase1GroupPrime, own.Prime()[:127]), generator)}, attributes, "127 octets"},
		"number of IANA's":    {[]isakmp.Payload{withGroup(empty(), isakmp.Basic(isakmp.Phase1Group, uint16(14)), kind, prime, generator)}, attributes, "a private number"},
		"elliptic curve":      {[]isakmp.Payload{withGroup(empty(), number, isakmp.Basic(isakmp.Phase1GroupType, isakmp.GroupEC2N), prime, generator)}, attributes, "wanted MODP"},
		"no number":           {[]isakmp.Payload{withGroup(empty(), kind, prime, generator)}, attributes, "Group-Description: offered none"},
		"no type":             {[]isakmp.Payload{withGroup(empty(), number, prime, generator)}, attributes, "Group-Type: offered none"},
		"no prime":            {[]isakmp.Payload{withGroup(empty(), number, kind, generator)}, attributes, "Group-Prime: offered none"},
		"no generator":        {[]isakmp.Payload{withGroup(empty(), number, kind, prime)}, attributes, "Group-Generator-One: offered none"},
		"two primes":          {[]isakmp.Payload{withGroup(empty(), number, kind, prime, prime, generator)}, attributes, "twice"},
		"second generator":    {[]isakmp.Payload{withGroup(empty(), number, kind, prime, generator, isakmp.Variable(isakmp.Phase1GroupGeneratorTwo, []byte{2}))}, attributes, "Group-Generator-Two"},
		"other transform":     {[]isakmp.Payload{withTransform(empty(), 2, number, kind, prime, generator)}, attributes, "KEY_IKE"},
		"for ESP":             {[]isakmp.Payload{esp}, proposal, "offered: nothing"},
		"no SA":               {[]isakmp.Payload{&isakmp.Nonce{Data: make([]byte, 16)}}, proposal, "0 SA payloads"},
		"two SAs":             {[]isakmp.Payload{groupSA(own), groupSA(own)}, proposal, "2 SA payloads"},
		"beyond the examined": {[]isakmp.Payload{withGroup(unusable(own), number, kind, prime, generator)}, attributes, "Group-Type"},
	} {
		t.Run(name, func(t *testing.T) {
			p.evB = nil
			m := p.rawGroup(c.payloads...)
			require.NotNil(t, m)
			require.Nil(t, m.SA())
			require.Equal(t, c.want, m.ErrorNotify().Type)
			w := find[ike.Warning](p.evB)
			require.Len(t, w, 1)
			var refused *RefusedError
			require.ErrorAs(t, w[0].Err, &refused)
			require.Equal(t, c.want, refused.Type)
			require.ErrorContains(t, refused, c.text)
			require.Less(t, len(refused.Error()), 2000)
			require.Nil(t, only(t, p.b).current.group(32768, false))
		})
	}
	// The first one that is configured is chosen, and answered as it came.
	mixed := groupSA(privateGroup(t, 32769, 1))
	withGroup(mixed, generator, isakmp.Variable(isakmp.Phase1GroupPrime, append([]byte{0}, own.Prime()...)), kind, isakmp.Basic(isakmp.Phase1Group, uint16(50000)))
	m := p.rawGroup(mixed)
	require.Len(t, m.SA().Proposals, 1)
	require.Equal(t, mixed.Proposals[0].Transforms[1:], m.SA().Proposals[0].Transforms)
	require.NotNil(t, only(t, p.b).current.group(50000, false))
	p.agree(1)
}

// unusable is an offer of as many unusable groups as are looked at.
func unusable(g *dh.PrivateGroup) *isakmp.SA {
	sa := groupSA(g)
	sa.Proposals[0].Transforms = nil
	for range maxGroupsExamined {
		withGroup(sa, isakmp.Basic(isakmp.Phase1Group, uint16(32768)))
	}
	return sa
}

// A refusal is told, and the next group of the Child is tried.
func TestNewGroupModeNextGroup(t *testing.T) {
	p := groupPair(t, func(a, b *Peer) {
		a.Children[0].Proposals = espProposals("aes128gcm16-group32768-ecp256")
		b.PrivateGroups, b.Children[0].Proposals = nil, espProposals("aes128gcm16-ecp256")
	})
	p.initiate()
	p.agree(1)
	p.delivers(inner)
	require.Equal(t, "aes128gcm16-ecp256", find[ike.ChildUp](p.evA)[0].Child.Proposal.String())
	w := find[ike.Warning](p.evA)
	require.Len(t, w, 1)
	require.ErrorContains(t, w[0].Err, "ATTRIBUTES-NOT-SUPPORTED")
	require.ErrorContains(t, w[0].Err, "we proposed group(32768)")
	require.ErrorIs(t, find[ike.Warning](p.evB)[0].Err, errPrivateGroup)

	// Without another one the Child fails, and the session stays.
	p = groupPair(t, func(a, b *Peer) { b.PrivateGroups = []*dh.PrivateGroup{privateGroup(t, 40000, 1)} })
	p.initiate()
	failed := find[ike.ChildFailed](p.evA)
	require.Len(t, failed, 1)
	var refusal *NotifyError
	require.ErrorAs(t, failed[0].Err, &refusal)
	require.Equal(t, isakmp.NotifyAttributesNotSupported, refusal.Type)
	p.agree(0)
	require.Empty(t, p.a.Held().SAs)
}

// A peer that refuses by a message of its own, as RFC 2409 5.7 allows, is
// believed too.
func TestNewGroupModeRefusedAside(t *testing.T) {
	p := groupPair(t, nil)
	n := 0
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if isakmp.ExchangeType(tx.Packet[18]) == isakmp.ExchangeNewGroupMode {
			if n++; n == 1 {
				sb := only(t, p.b).current
				sb.sendInformational(p.now, sb.notify(isakmp.NotifyAttributesNotSupported, nil))
			}
			return false
		}
		return true
	}
	p.initiate()
	require.Len(t, find[ike.ChildFailed](p.evA), 1)
	require.ErrorContains(t, find[ike.ChildFailed](p.evA)[0].Err, "we proposed")
}

// An answer that is not what was proposed is no agreement.
func TestNewGroupModeWrongAnswer(t *testing.T) {
	p := groupPair(t, nil)
	f := &groupProposal{group: privateGroup(t, 32768, 0)}
	p.initiate()
	x := &exchange{sa: only(t, p.a).current, kind: isakmp.ExchangeNewGroupMode}
	check := func(payloads ...isakmp.Payload) error { return f.check(x, &inbound{Payloads: payloads}) }
	good := groupSA(f.group)
	require.NoError(t, check(good))
	two := groupSA(f.group)
	two.Proposals[0].Transforms = append(two.Proposals[0].Transforms, two.Proposals[0].Transforms[0])
	for _, bad := range [][]isakmp.Payload{nil, {good, good}, {two}, {groupSA(privateGroup(t, 32769, 0))}, {groupSA(privateGroup(t, 32768, 1))}} {
		var protocol *ProtocolError
		require.ErrorAs(t, check(bad...), &protocol)
	}
}

// A private number means nothing before New Group Mode has given it a meaning.
func TestPrivateGroupNotAgreed(t *testing.T) {
	p := groupPair(t, nil)
	id := p.initiateBare()
	s := only(t, p.a)
	s.current.groups = &agreedGroups{ours: map[dh.ID]*dh.PrivateGroup{32768: s.peer.PrivateGroups[0]}} // so it believes
	require.NoError(t, p.a.CreateChild(p.now, id, "net", 0, nil))
	p.run()
	failed := find[ike.ChildFailed](p.evB)
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed[0].Err, "no New Group Mode has agreed")
	require.ErrorContains(t, find[ike.ChildFailed](p.evA)[0].Err, "NO-PROPOSAL-CHOSEN")
	p.agree(0)
}

// initiateBare makes a session without a Child SA.
func (p *pair) initiateBare() ike.SessionID {
	id, err := p.a.Initiate(p.now, Initiation{Peer: p.a.peers.index.All()[0], Path: pathAB(), Children: []string{}})
	require.NoError(p.t, err)
	p.run()
	return id
}

// Lost and repeated messages: each is answered again with the same octets, and
// taken once.
func TestNewGroupModeLoss(t *testing.T) {
	p := groupPair(t, nil)
	seen := map[*Endpoint]int{}
	var replies [][]byte
	p.filter = func(from *Endpoint, tx ike.Transmit) bool {
		if isakmp.ExchangeType(tx.Packet[18]) != isakmp.ExchangeNewGroupMode {
			return true
		}
		seen[from]++
		if from == p.b {
			replies = append(replies, slices.Clone(tx.Packet))
		}
		return seen[from] > 1 // the first of each side is lost
	}
	p.initiate()
	p.advance(time.Minute)
	p.agree(1)
	p.delivers(inner)
	require.Equal(t, 3, seen[p.a])
	require.Len(t, replies, 2)
	require.Equal(t, replies[0], replies[1])
}

// Both sides may have one number for different groups, and propose them at the
// same time.
func TestNewGroupModeSameNumber(t *testing.T) {
	p := groupPair(t, func(a, b *Peer) {
		a.PrivateGroups = []*dh.PrivateGroup{privateGroup(t, 32768, 0), privateGroup(t, 32769, 1)}
		b.PrivateGroups = []*dh.PrivateGroup{privateGroup(t, 32768, 1), privateGroup(t, 32769, 0)}
		second := *a.Children[0]
		second.Name, second.Local, second.Remote = "second", selectors("10.5.0.0/16"), selectors("10.6.0.0/16")
		mirror := second
		mirror.Local, mirror.Remote = second.Remote, second.Local
		second.Proposals, mirror.Proposals = espProposals("aes128gcm16-group32769"), espProposals("aes128gcm16-group32768")
		b.Children[0].Proposals = espProposals("aes128gcm16-group32769")
		a.Children, b.Children = append(a.Children, &second), append(b.Children, &mirror)
	})
	id := p.initiateBare()
	require.NoError(t, p.a.CreateChild(p.now, id, "net", 0, nil))
	require.NoError(t, p.b.CreateChild(p.now, only(t, p.b).ID, "second", 0, nil))
	p.run()
	p.agree(2)
	p.delivers(inner)
	p.delivers(flow("10.5.0.1", "10.6.0.1"))
	sa := only(t, p.b).current
	require.True(t, sameGroup(sa.groups.ours[32768], privateGroup(t, 1<<15, 1)))
	require.True(t, sameGroup(sa.groups.theirs[32768], privateGroup(t, 1<<15, 0)))
}

// Numbers are bounded, and keep their meaning.
func TestNewGroupModeBounds(t *testing.T) {
	p := groupPair(t, func(a, b *Peer) {
		a.Children[0].Proposals, b.Children[0].Proposals = espProposals("aes128gcm16"), espProposals("aes128gcm16")
		b.PrivateGroups = append(b.PrivateGroups, privateGroup(t, 40001, 1))
	})
	p.initiate()
	for i := range maxPrivateGroups {
		require.NotNil(t, p.rawGroup(groupSA(privateGroup(t, dh.ID(32768+i), 0))).SA())
	}
	require.NotNil(t, p.rawGroup(groupSA(privateGroup(t, 32768, 0))).SA(), "said again")
	require.Equal(t, isakmp.NotifyAttributesNotSupported, p.rawGroup(groupSA(privateGroup(t, 60000, 0))).ErrorNotify().Type)
	require.Equal(t, isakmp.NotifyAttributesNotSupported, p.rawGroup(groupSA(privateGroup(t, 32768, 1))).ErrorNotify().Type, "another meaning")
	require.Len(t, only(t, p.b).current.groups.theirs, maxPrivateGroups)
}

func TestPrivateGroupsOfAPeer(t *testing.T) {
	g := privateGroup(t, 32768, 0)
	for want, edit := range map[string]func(p *Peer){
		"":                            func(p *Peer) {},
		"is there twice":              func(p *Peer) { p.PrivateGroups = append(p.PrivateGroups, privateGroup(t, 32769, 0)) },
		"is nil":                      func(p *Peer) { p.PrivateGroups = append(p.PrivateGroups, nil) },
		"the limit is 16":             func(p *Peer) { p.PrivateGroups = slices.Repeat(p.PrivateGroups, 17) },
		"that the peer does not have": func(p *Peer) { p.Children[0].Proposals = espProposals("aes128gcm16-group33000") },
		"no proposals":                func(p *Peer) { p.Proposals = proposals(spd.ProtoIKE, "aes128-sha256-group32768") },
		"group(32769) is a private":   func(p *Peer) { p.Proposals = proposals(spd.ProtoIKE, "aes128-sha256-modp2048-group32769") },
		"group(25) is not supported, but modp768, modp1024": func(p *Peer) { p.Proposals[0] = p.Proposals[0].WithKE(19, 25) },
	} {
		p := pskPeer("b", "a.example", "b.example")
		p.PrivateGroups = []*dh.PrivateGroup{g}
		p.Children[0].Proposals = espProposals("aes128gcm16-group32768")
		edit(p)
		_, err := NewPeerSet([]*Peer{p})
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

// An ISAKMP SA is renewed with a private group, which New Group Mode hides under
// the one before: by either side, in each mode.
func TestRenewWithPrivateGroup(t *testing.T) {
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		t.Run(mode.String(), func(t *testing.T) {
			p := groupPair(t, func(a, b *Peer) {
				a.Modes, b.Modes = []Mode{mode}, []Mode{mode}
				a.Proposals = proposals(spd.ProtoIKE, "aes128-sha256-group32768", "aes128-sha256-ecp256")
				b.Proposals = proposals(spd.ProtoIKE, "aes128-sha256-group40000-ecp256")
			})
			n := p.exchanges(isakmp.ExchangeNewGroupMode)
			p.initiate()
			a, b := only(t, p.a), only(t, p.b)
			require.Equal(t, dh.ECP256, a.current.negotiated.group)
			require.Equal(t, 2, *n, "for the Child")
			require.NoError(t, p.a.RekeyIKE(p.now, a.ID))
			require.NoError(t, p.a.RekeyIKE(p.now, a.ID), "it is under way")
			p.advance(time.Minute)
			require.Equal(t, 4, *n)
			require.Equal(t, dh.ID(32768), a.current.negotiated.group)
			require.Equal(t, dh.ID(32768), b.current.negotiated.group)
			require.Len(t, a.sas, 1)
			require.NoError(t, p.b.RekeyIKE(p.now, b.ID))
			p.advance(time.Minute)
			require.Equal(t, 6, *n)
			require.Equal(t, dh.ID(40000), a.current.negotiated.group)
			require.NoError(t, p.a.RekeyChild(p.now, a.ID, a.Children.All()[0].Info.ID))
			p.advance(time.Minute)
			p.agree(1)
			p.delivers(inner)
			require.Empty(t, find[ike.RekeyFailed](append(p.evA, p.evB...)))
			require.NoError(t, p.a.Delete(p.now, a.ID, ike.DownLocal))
			p.advance(3 * time.Minute)
			p.requireNothingLeft()
			require.Empty(t, p.a.grouped)
			require.Empty(t, p.b.grouped)
		})
	}
}

// Without the peer's agreement it is renewed with a group that needs none; with
// an ISAKMP SA that dies over the question too.
func TestRenewWithoutPrivateGroup(t *testing.T) {
	edit := func(a, b *Peer) {
		a.Children[0].Proposals, b.Children[0].Proposals = espProposals("aes128gcm16"), espProposals("aes128gcm16")
		a.Proposals, b.PrivateGroups = proposals(spd.ProtoIKE, "aes128-sha256-group32768-ecp256"), nil
	}
	p := groupPair(t, edit)
	p.initiate()
	a, first := only(t, p.a), only(t, p.a).current
	require.NoError(t, p.a.RekeyIKE(p.now, a.ID))
	p.advance(time.Minute)
	require.NotSame(t, first, a.current)
	require.Equal(t, dh.ECP256, a.current.negotiated.group)
	require.ErrorContains(t, find[ike.Warning](p.evA)[0].Err, "without a private group")
	p.agree(1)

	p = groupPair(t, edit)
	p.initiate()
	a = only(t, p.a)
	p.filter = func(_ *Endpoint, tx ike.Transmit) bool {
		return isakmp.ExchangeType(tx.Packet[18]) != isakmp.ExchangeNewGroupMode
	}
	require.NoError(t, p.a.RekeyIKE(p.now, a.ID))
	a.current.kill(p.now, errGone)
	p.advance(time.Minute)
	require.NotNil(t, a.current)
	require.False(t, a.preparing)
	p.agree(1)
	p.delivers(inner)
}

// A private group in the first message of phase 1 means nothing that has not
// been agreed on, or not from there.
func TestPrivateGroupInAFirstMessage(t *testing.T) {
	for _, mode := range []Mode{MainMode, AggressiveMode, BaseMode} {
		p := groupPair(t, func(a, b *Peer) {
			a.Modes, b.Modes = []Mode{mode}, []Mode{mode}
			a.Proposals = proposals(spd.ProtoIKE, "aes128-sha256-group32768", "aes128-sha256-ecp256")
			b.Proposals = proposals(spd.ProtoIKE, "aes128-sha256-group40000", "aes128-sha256-ecp256")
		})
		p.initiateBare()
		a, b := only(t, p.a), only(t, p.b)
		first, n := a.current, p.exchanges(isakmp.ExchangeNewGroupMode)
		believed := privateGroups{32768: a.peer.PrivateGroups[0]}
		renew := func() {
			require.NoError(t, a.renewWith(p.now, believed))
			p.advance(2 * time.Minute)
		}
		renew()
		if mode == AggressiveMode { // which offers one group only
			require.Same(t, first, a.current)
			require.Len(t, find[ike.RekeyFailed](p.evA), 1)
		} else {
			require.NotSame(t, first, a.current)
			require.Equal(t, dh.ECP256, a.current.negotiated.group)
		}
		require.Zero(t, *n)
		// Agreed on, but heard of at another place.
		b.current.takeGroup(offeredGroup{32768, isakmp.GroupMODP, believed[32768].Prime(), []byte{2}})
		delete(p.b.grouped, addrA)
		p.b.grouped[addrB] = b.current
		renew()
		require.NotEqual(t, dh.ID(32768), a.current.negotiated.group)
	}
}
