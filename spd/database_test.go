package spd

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// memoryStore is a PolicyStore that outlives databases, and fails when told.
type memoryStore struct {
	has  map[Policy]StoredPolicy
	fail error
}

func (s *memoryStore) Load() ([]StoredPolicy, error) {
	var r []StoredPolicy
	for _, p := range s.has {
		r = append(r, p)
	}
	return r, s.fail
}

func (s *memoryStore) Add(list []StoredPolicy) error {
	if s.fail != nil {
		return s.fail
	}
	if s.has == nil {
		s.has = map[Policy]StoredPolicy{}
	}
	for _, p := range list {
		s.has[p.Policy] = p
	}
	return nil
}

func (s *memoryStore) Remove(list []Policy) error {
	if s.fail != nil {
		return s.fail
	}
	for _, p := range list {
		delete(s.has, p)
	}
	return nil
}

func site(name string) Rule {
	return Rule{Name: name, Local: netA, Remote: netB, Action: ActionProtect, Priority: 1000, LocalAddr: hostA.Addr(), RemoteAddr: hostB.Addr()}
}

func discard(name, remote string) Rule {
	return Rule{Name: name, Local: netA, Remote: set(remote), Priority: 500}
}

func TestRulePolicies(t *testing.T) {
	v6 := set("2001:db8:1::/48")
	r := Rule{Name: "x", Local: append(slices.Clone(netA), v6...), Remote: append(slices.Clone(netB), set("2001:db8:2::/48")...), Action: ActionProtect, Priority: 7,
		Protocols: []Protocol{ProtoIPComp, ProtoESP, ProtoAH}, Mode: ModeTransport, Level: LevelUse, ReqID: 5, Mark: Mark{1, 1}, InterfaceID: 2}
	ps, err := r.Policies()
	require.NoError(t, err)
	require.Len(t, ps, 4, "two families, two directions")
	base := Policy{Selector: Selector{Local: netA[0], Remote: netB[0]}, Priority: 7, ReqID: 5, Protocol: ProtoAH,
		Inner: [2]Protocol{ProtoIPComp, ProtoESP}, Mode: ModeTransport, Mark: Mark{1, 1}, InterfaceID: 2}
	out, in := base, base
	out.Direction, out.Action = Out, ActionTrap
	in.Direction, in.Action, in.OptionalInbound = In, ActionProtect, true
	require.Equal(t, []Policy{out, in}, ps[:2])

	r = Rule{Local: netA, Remote: netB, Action: ActionBypass, Direction: OnlyForward, ReqID: 5}
	ps, err = r.Policies()
	require.NoError(t, err)
	require.Equal(t, []Policy{{Direction: Forward, Action: ActionBypass, Selector: Selector{netA[0], netB[0]}}}, ps, "nothing of protection")

	for want, r := range map[string]Rule{
		"Local is empty":               {Remote: netB},
		"Remote: ":                     {Local: netA, Remote: []TrafficSelector{{}}},
		"none of one fits":             {Local: netA, Remote: v6},
		"Direction 9":                  {Local: netA, Remote: netB, Direction: 9},
		"Action 9":                     {Local: netA, Remote: netB, Action: 9},
		"Mode 9":                       {Local: netA, Remote: netB, Action: ActionProtect, Mode: 9},
		"Level 9":                      {Local: netA, Remote: netB, Action: ActionProtect, Level: 9},
		"ReqID 5":                      {Local: netA, Remote: netB, Action: ActionProtect, Level: LevelRequire, ReqID: 5},
		"RemoteAddr: tunnel mode":      {Local: netA, Remote: netB, Action: ActionProtect},
		"of different families":        {Local: netA, Remote: netB, Action: ActionProtect, LocalAddr: hostA.Addr(), RemoteAddr: netip.IPv6Loopback()},
		"Protocols[1]: ESP is not one": {Local: netA, Remote: netB, Action: ActionProtect, Mode: ModeTransport, Protocols: []Protocol{ProtoESP, ProtoESP}},
		"Protocols[1]: IPCOMP":         {Local: netA, Remote: netB, Action: ActionProtect, Mode: ModeTransport, Protocols: []Protocol{ProtoESP, ProtoIPComp}},
	} {
		_, err := r.Policies()
		require.ErrorIs(t, err, ErrRule, want)
		require.ErrorContains(t, err, want)
	}
}

func TestDatabaseDeclares(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	db := NewDatabase(DatabaseConfig{DataPlane: m})
	require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("b", "10.9.0.0/16")}))
	require.Len(t, m.Policies(), 4)
	require.EqualValues(t, 8192, db.Rules()[0].ReqID)
	before := m.Policies()

	c := site("c")
	c.Local = set("10.3.0.0/16")
	require.NoError(t, db.Declare(ctx, []Rule{discard("b", "10.9.0.0/16"), c, site("a")}))
	require.Subset(t, m.Policies(), before, "a and b stay as they were")
	require.EqualValues(t, 8193, db.Rules()[1].ReqID, "another than a's")

	require.ErrorIs(t, db.Declare(ctx, []Rule{site("a"), site("a")}), ErrDuplicateRule)
	require.ErrorIs(t, db.Declare(ctx, []Rule{site("a"), {Name: "bad"}}), ErrRule)
	require.Len(t, m.Policies(), 6, "an error changes nothing")
	require.NoError(t, db.Declare(ctx, nil))
	require.Empty(t, m.Leaks())
	require.Empty(t, db.about)
	require.Empty(t, db.serials)
	require.Empty(t, db.reqIDs.uses)
	require.Empty(t, db.reqIDs.named)
}

// Every step that a change takes fails once: then nothing has changed, and a
// packet that was protected before never went in clear.
func TestC20_DatabaseRollback(t *testing.T) {
	boom := errors.New("boom")
	for _, where := range []string{"store", "data plane"} {
		m, s := NewMemory(MemoryConfig{}), &memoryStore{}
		db := NewDatabase(DatabaseConfig{DataPlane: m, Store: s})
		require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
		g, err := db.Generate(ctx, discard("g", "10.8.0.0/16"))
		require.NoError(t, err)
		before, rules := m.Policies(), db.Rules()
		fail := func() {
			if where == "store" {
				s.fail = boom
			} else {
				m.FailNext(OpSetPolicies, boom)
			}
		}
		moved := site("a")
		moved.RemoteAddr = netip.MustParseAddr("192.0.2.3")
		for name, f := range map[string]func() error{
			"Declare":  func() error { return db.Declare(ctx, []Rule{moved, discard("b", "10.9.0.0/16")}) },
			"Generate": func() error { _, err := db.Generate(ctx, discard("h", "10.7.0.0/16")); return err },
			"Set":      func() error { return g.Set(ctx, discard("h", "10.7.0.0/16")) },
			"Move": func() error {
				_, err := db.Move(ctx, "a", AddrPair{hostA.Addr(), hostB.Addr()}, AddrPair{hostA.Addr(), moved.RemoteAddr})
				return err
			},
		} {
			fail()
			require.ErrorIs(t, f(), boom, "%s, %s", name, where)
			s.fail = nil
			require.Equal(t, before, m.Policies(), "%s, %s", name, where)
			require.Equal(t, rules, db.Rules())
			require.Len(t, db.generated, 1)
			require.Equal(t, 2, len(db.reqIDs.uses)+len(db.reqIDs.named), "%s, %s: of a", name, where)
		}
		if where == "data plane" {
			fail()
			require.ErrorIs(t, g.Remove(ctx), boom)
			require.Equal(t, before, m.Policies(), "it is still there")
		}
		require.NoError(t, g.Remove(ctx))
		require.NoError(t, g.Remove(ctx), "twice is no error")
		require.ErrorIs(t, g.Set(ctx, site("g")), ErrClosed)
		require.NoError(t, db.Close(ctx, false))
		require.Empty(t, m.Leaks())
		require.ErrorIs(t, db.Declare(ctx, nil), ErrClosed)
	}
}

func TestGeneratedShareWithDeclared(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	db := NewDatabase(DatabaseConfig{DataPlane: m})
	g, err := db.Generate(ctx, site("a"))
	require.NoError(t, err)
	h, err := db.Generate(ctx, site("a"))
	require.NoError(t, err)
	require.Len(t, m.Policies(), 2, "the same name has the same ReqID, so they are the same")
	require.NoError(t, g.Remove(ctx))
	require.Len(t, m.Policies(), 2, "the other one's too")
	require.Equal(t, uint32(8192), h.Rules()[0].ReqID)
	require.NoError(t, h.Remove(ctx))
	require.Empty(t, m.Leaks())
}

// life is a database with its data plane, over a kernel that outlives both.
type life struct {
	*Database
	Restored
}

func restart(t *testing.T, m *Memory, s *memoryStore) life {
	t.Helper()
	m.Crash()
	db := NewDatabase(DatabaseConfig{DataPlane: m, Store: s})
	r, err := db.Restore(ctx)
	require.NoError(t, err)
	return life{db, r}
}

func TestDatabaseSurvivesRestart(t *testing.T) {
	m, s := NewMemory(MemoryConfig{}), &memoryStore{}
	foreign := protect(99, set("10.50.0.0/16"), set("10.60.0.0/16"))
	require.NoError(t, m.SetPolicies(ctx, 1, foreign))
	db := restart(t, m, s)
	require.Equal(t, Restored{}, db.Restored)
	require.NoError(t, db.Declare(ctx, []Rule{discard("first", "10.7.0.0/16"), site("a"), discard("stale", "10.9.0.0/16")}))
	_, err := db.Generate(ctx, discard("g", "10.8.0.0/16"))
	require.NoError(t, err)
	kept := site("kept")
	kept.Local = set("10.5.0.0/16")
	_, err = db.Generate(ctx, kept)
	require.NoError(t, err)
	before := m.Policies()

	db = restart(t, m, s)
	require.Equal(t, Restored{Declared: 6, Generated: 4}, db.Restored)
	require.Equal(t, before, m.Policies(), "nothing changes")
	calls := m.Calls(OpSetPolicies)
	require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("first", "10.7.0.0/16")}))
	require.Equal(t, 1, m.Calls(OpSetPolicies)-calls, "in one step")
	require.Len(t, m.Policies(), len(before)-2, "stale is gone, the generated ones wait")
	require.Equal(t, uint32(8192), db.Rules()[0].ReqID, "the same as before, though its place is another")
	again, err := db.Generate(ctx, kept)
	require.NoError(t, err)
	require.Equal(t, uint32(8193), again.Rules()[0].ReqID)
	require.Len(t, db.Orphans(), 4)
	require.NoError(t, db.DropOrphans(ctx))
	require.Len(t, m.Policies(), 2+4+2, "foreign, a and first, kept")
	require.Len(t, s.has, 6)

	require.NoError(t, db.Close(ctx, true))
	require.Len(t, m.Policies(), 8)
	db = restart(t, m, s)
	require.NoError(t, db.Declare(ctx, nil))
	require.NoError(t, db.Close(ctx, false))
	require.ElementsMatch(t, foreign, m.Policies(), "what is not ours stays")
	require.Empty(t, s.has)
}

// A rule that cannot be said yet keeps what it had.
func TestDeclareKeeps(t *testing.T) {
	m, s := NewMemory(MemoryConfig{}), &memoryStore{}
	db := restart(t, m, s)
	require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("b", "10.9.0.0/16")}))
	db = restart(t, m, s)
	require.NoError(t, db.Declare(ctx, []Rule{discard("b", "10.9.0.0/16")}, "a", "unknown"))
	require.Len(t, m.Policies(), 4)
	require.NoError(t, db.Declare(ctx, []Rule{discard("b", "10.9.0.0/16")}, "a"))
	require.Len(t, m.Policies(), 4, "again")
	require.NoError(t, db.Declare(ctx, []Rule{site("a")}, "a"))
	require.Len(t, m.Policies(), 2, "now it can")
	require.EqualValues(t, 8192, db.Rules()[0].ReqID)
	require.NoError(t, db.Declare(ctx, nil))
	require.Empty(t, m.Leaks())
	require.Empty(t, db.reqIDs.uses)
}

// A crash comes between any two steps of a change. The next life knows all that
// is ours.
func TestDatabaseCrashAtEachStep(t *testing.T) {
	boom := errors.New("killed")
	for _, at := range []string{"before the store", "before the data plane", "before the store is cleaned"} {
		m, s := NewMemory(MemoryConfig{}), &memoryStore{}
		db := restart(t, m, s)
		require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("b", "10.9.0.0/16")}))
		next := []Rule{site("a"), discard("c", "10.8.0.0/16")}
		switch at {
		case "before the store":
			s.fail = boom
			require.Error(t, db.Declare(ctx, next))
		case "before the data plane":
			m.FailNext(OpSetPolicies, boom)
			require.Error(t, db.Declare(ctx, next))
		default:
			cleaned := &failRemove{memoryStore: s}
			db.cfg.Store = cleaned
			require.NoError(t, db.Declare(ctx, next), "the change itself has succeeded")
		}
		s.fail = nil
		db = restart(t, m, s)
		require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
		require.Len(t, m.Policies(), 2, at)
		require.Len(t, s.has, 2, at)
		require.NoError(t, db.Close(ctx, false))
		require.Empty(t, m.Leaks(), at)
	}
}

type failRemove struct{ *memoryStore }

func (failRemove) Remove([]Policy) error { return errors.New("killed") }

func TestDatabaseRestoreFails(t *testing.T) {
	m, s := NewMemory(MemoryConfig{}), &memoryStore{}
	db := restart(t, m, s)
	require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
	m.Crash()
	for range 2 {
		other := NewDatabase(DatabaseConfig{DataPlane: m, Store: s})
		m.FailNext(OpAdoptPolicies, errors.New("boom"))
		_, err := other.Restore(ctx)
		require.ErrorContains(t, err, "boom")
		require.Len(t, m.Policies(), 2)
		require.Len(t, s.has, 2, "nothing is forgotten")
		_, err = other.Restore(ctx)
		require.NoError(t, err, "it may be tried again")
		require.NoError(t, other.Declare(ctx, []Rule{site("a")}))
		_, err = other.Restore(ctx)
		require.ErrorContains(t, err, "before any rule")
		m.Crash()
	}
}

func TestDatabaseNames(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	db := NewDatabase(DatabaseConfig{DataPlane: m})
	require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("b", "10.9.0.0/16")}))
	list, err := db.Installed(ctx)
	require.NoError(t, err)
	require.Len(t, list, 4)
	for _, p := range list {
		name, ok, err := db.NameOf(ctx, p.ID)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, p.Name, name)
	}
	_, ok, err := db.NameOf(ctx, 4711)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, db.Declare(ctx, nil))
	_, ok, err = db.NameOf(ctx, list[0].ID)
	require.NoError(t, err)
	require.False(t, ok)

	// A data plane of the program itself numbers nothing.
	db = NewDatabase(DatabaseConfig{DataPlane: struct{ DataPlane }{NewMemory(MemoryConfig{})}, Store: &memoryStore{}})
	require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
	list, err = db.Installed(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	name, ok, err := db.NameOf(ctx, list[1].ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "a", name)
}

func TestDatabaseMove(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	db := NewDatabase(DatabaseConfig{DataPlane: m})
	require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("b", "10.9.0.0/16")}))
	g, err := db.Generate(ctx, site("a"))
	require.NoError(t, err)
	from, to := AddrPair{hostA.Addr(), hostB.Addr()}, AddrPair{netip.MustParseAddr("198.51.100.1"), hostB.Addr()}
	n, err := db.Move(ctx, "a", from, to)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for _, p := range m.Policies() {
		if p.ReqID != 0 {
			require.Equal(t, to.Local, p.Local)
		}
	}
	require.Len(t, m.Policies(), 4)
	require.Equal(t, to.Local, g.Rules()[0].LocalAddr)
	n, err = db.Move(ctx, "a", from, to)
	require.NoError(t, err)
	require.Zero(t, n, "nothing is there any more")

	// Declared again as it was, it stays where it is.
	outer := func() AddrPair { r := db.Rules()[0]; return AddrPair{r.LocalAddr, r.RemoteAddr} }
	require.NoError(t, g.Remove(ctx))
	require.NoError(t, db.Declare(ctx, []Rule{site("a"), discard("c", "10.8.0.0/16")}))
	require.Equal(t, to, outer())
	next := AddrPair{netip.MustParseAddr("198.51.100.2"), hostB.Addr()}
	_, err = db.Move(ctx, "a", to, next)
	require.NoError(t, err)
	require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
	require.Equal(t, next, outer())
	// Declared elsewhere it is there, and the move is forgotten.
	other := site("a")
	other.RemoteAddr = netip.MustParseAddr("203.0.113.7")
	require.NoError(t, db.Declare(ctx, []Rule{other}))
	require.Equal(t, AddrPair{other.LocalAddr, other.RemoteAddr}, outer())
	require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
	require.Equal(t, from, outer())
	// Moved back, it is as declared.
	_, err = db.Move(ctx, "a", from, to)
	require.NoError(t, err)
	_, err = db.Move(ctx, "a", to, from)
	require.NoError(t, err)
	require.Empty(t, db.moves)
	require.NoError(t, db.Declare(ctx, []Rule{site("a")}))
	require.Equal(t, from, outer())
}

func TestDatabaseHonoursContext(t *testing.T) {
	db := NewDatabase(DatabaseConfig{DataPlane: NewMemory(MemoryConfig{})})
	<-db.token // a change is under way
	c, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, db.Declare(c, nil), context.Canceled)
	_, err := db.Generate(c)
	require.ErrorIs(t, err, context.Canceled)
}

func TestRuleReqIDsRunOut(t *testing.T) {
	m := NewMemory(MemoryConfig{})
	db := NewDatabase(DatabaseConfig{DataPlane: m, FirstReqID: 5, LastReqID: 6})
	rule := func(name string) Rule { r := site(name); r.Mode = ModeTransport; return r }
	require.NoError(t, db.Declare(ctx, []Rule{rule("a"), rule("b")}))
	require.ErrorContains(t, db.Declare(ctx, []Rule{rule("a"), rule("b"), rule("c")}), "no ReqID from 5 to 6 is free")
	require.NoError(t, db.Declare(ctx, []Rule{rule("b")}))
	require.NoError(t, db.Declare(ctx, []Rule{rule("b"), rule("c")}))
	require.EqualValues(t, 5, db.Rules()[1].ReqID)
}

// A change of one among many generated rules, and a declaration of many of
// which one differs.
func BenchmarkDatabase(b *testing.B) {
	const n = 50_000
	db := NewDatabase(DatabaseConfig{DataPlane: NewMemory(MemoryConfig{}), Store: &memoryStore{}})
	host := func(name string, i int) Rule {
		r := discard(name, "10.9.0.0/16")
		r.Remote = []TrafficSelector{FromAddr(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))}
		return r
	}
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = host(strconv.Itoa(i), i)
	}
	require.NoError(b, db.Declare(ctx, rules))
	b.Run("generate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g, err := db.Generate(ctx, host("g", 1<<20))
			require.NoError(b, err)
			require.NoError(b, g.Remove(ctx))
		}
	})
	b.Run("declare", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			rules[7] = host("7", 1<<20+i&1)
			require.NoError(b, db.Declare(ctx, rules))
		}
	})
}
