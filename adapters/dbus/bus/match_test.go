package bus

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRules(t *testing.T) {
	cases := []struct {
		match Match
		want  []string
	}{
		{Match{}, []string{"type='signal'"}},
		{Match{Path: "/a", Member: "M"}, []string{"type='signal',path='/a',member='M'"}},
		{Match{Sender: ":1.7"}, []string{"type='signal',sender=':1.7'"}},
		{Match{Arg0: "it's"}, []string{`type='signal',arg0='it'\''s'`}},
		{Owner("a.b"), []string{"type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus'," +
			"interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='a.b'"}},
		{Match{Sender: "a.b", Interface: "a.b"}, append(Owner("a.b").rules(), "type='signal',sender='a.b',interface='a.b'")},
	}
	for _, c := range cases {
		assert.Equal(t, c.want, c.match.rules())
	}
}

// What a rule selects on the bus is selected here too: several watches share a
// connection, and each is offered what any of them has asked for.
func TestFits(t *testing.T) {
	signal := &dbus.Signal{Path: "/a", Name: "org.example.I.Rang", Body: []any{"x", uint32(1)}}
	for match, want := range map[Match]bool{
		{}:                           true,
		{Path: "/a"}:                 true,
		{Path: "/"}:                  false,
		{Path: "/a/b"}:               false,
		{Interface: "org.example.I"}: true,
		{Interface: "org.example"}:   false,
		{Member: "Rang"}:             true,
		{Member: "I.Rang"}:           false,
		{Interface: "org.example.I", Member: "R"}: false,
		{Arg0: "x"}: true,
		{Arg0: "y"}: false,
	} {
		assert.Equal(t, want, match.fits(signal), "%+v", match)
	}
	for _, odd := range []*dbus.Signal{
		{Path: "/a", Name: "no dot", Body: []any{"x"}}, {Path: "/a", Name: "", Body: []any{"x"}},
		{Path: "/a", Name: "i.m"}, {Path: "/a", Name: "i.m", Body: []any{uint32(1)}}, {Path: "/a", Name: "i.m", Body: []any{dbus.ObjectPath("x")}},
	} {
		assert.False(t, Match{Arg0: "x"}.fits(odd), "%+v", odd)
	}
}

func TestSentBy(t *testing.T) {
	cases := []struct {
		sender, owner, from string
		want                bool
	}{
		{"", "", ":1.1", true},
		{"", "", "", true},
		{":1.1", "", ":1.1", true},
		{":1.1", "", ":1.2", false},
		{Self, "", Self, true},
		{Self, "", ":1.1", false},
		{"a.b", ":1.1", ":1.1", true},
		{"a.b", ":1.1", ":1.2", false},
		{"a.b", ":1.1", "a.b", false}, // the bus says unique names, others lie
		{"a.b", "", "", false},        // nobody owns it, and nobody said who sends
	}
	for _, c := range cases {
		w := &watch{match: Match{Sender: c.sender}, owner: c.owner}
		assert.Equal(t, c.want, w.sentBy(c.from), "%+v", c)
	}
}

// A change of the owner that is heard while the bus is asked counts for more than the
// answer, which may be older.
func TestOwnerHeardBeforeTheAnswer(t *testing.T) {
	s := &session{}
	w := &watch{match: Match{Sender: "a.b", Member: "Rang"}, out: make(chan Signal, 4)}
	rang := func(from string) *dbus.Signal { return &dbus.Signal{Sender: from, Path: "/", Name: "i.Rang"} }
	w.begin(s)
	w.offer(s, &dbus.Signal{Sender: Self, Path: SelfPath, Name: Self + ".NameOwnerChanged", Body: []any{"a.b", ":1.1", ":1.2"}})
	w.setOwner(s, ":1.1")
	w.offer(s, rang(":1.1"))
	assert.Empty(t, w.out)
	w.offer(s, rang(":1.2"))
	assert.Len(t, w.out, 1)
	w.offer(&session{}, rang(":1.2"))
	assert.Len(t, w.out, 1, "of a connection that has been given up")
	w.setOwner(&session{}, ":1.9")
	w.offer(s, rang(":1.2"))
	assert.Len(t, w.out, 2, "an answer of another connection changes nothing")
}

// News of a loss counts once, and not if a later connection is there.
func TestLostIsToldOnce(t *testing.T) {
	w := &watch{out: make(chan Signal, 8)}
	w.lost(1)
	w.lost(2)
	require.Len(t, w.out, 1)
	assert.Equal(t, Disconnected, (<-w.out).Event)
	s := &session{age: 3}
	w.begin(s)
	require.True(t, w.ready(s))
	assert.Equal(t, Connected, (<-w.out).Event)
	w.lost(2)
	assert.Empty(t, w.out, "that was the one before")
	w.lost(3)
	assert.Equal(t, Disconnected, (<-w.out).Event)
	w.begin(&session{age: 5})
	w.lost(4)
	assert.Empty(t, w.out)
	w.close()
	w.lost(5)
	assert.False(t, w.ready(s), "nobody listens")
}

// push makes room for what counts: the newest signals and that some are missing.
func TestPushDropsTheOldest(t *testing.T) {
	w := &watch{out: make(chan Signal, 3)}
	for _, member := range []string{"a", "b", "c", "d"} {
		w.push(Signal{Name: member})
	}
	var got []Signal
	for len(w.out) > 0 {
		got = append(got, <-w.out)
	}
	assert.Equal(t, []Signal{{Name: "b"}, {Name: "c"}, {Event: Connected}}, got)
	for range 5 {
		w.push(Signal{Event: Disconnected})
	}
	assert.Len(t, w.out, 3)
}

// FuzzRules: whatever a match holds, each value comes out of the rule as it went in,
// and adds no key of its own.
func FuzzRules(f *testing.F) {
	f.Add("it's", "a',sender='evil", `\`, `'\''`)
	f.Add("", ",", "=", "'")
	f.Fuzz(func(t *testing.T, path, iface, member, arg0 string) {
		match := Match{Path: path, Interface: iface, Member: member, Arg0: arg0}
		want := map[string]string{"type": "signal"}
		for key, value := range map[string]string{"path": path, "interface": iface, "member": member, "arg0": arg0} {
			if value != "" {
				want[key] = value
			}
		}
		rules := match.rules()
		require.Len(t, rules, 1)
		require.Equal(t, want, unquote(t, rules[0]))
	})
}

// unquote reads a rule as the specification says: within '...' everything is itself,
// outside of it \' is a quote.
func unquote(t *testing.T, rule string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for rule != "" {
		key, rest, ok := strings.Cut(rule, "=")
		require.True(t, ok)
		var value strings.Builder
		quoted := false
		i := 0
		for ; i < len(rest) && (quoted || rest[i] != ','); i++ {
			switch {
			case rest[i] == '\'':
				quoted = !quoted
			case !quoted && rest[i] == '\\' && i+1 < len(rest) && rest[i+1] == '\'':
				i++
				value.WriteByte('\'')
			default:
				value.WriteByte(rest[i])
			}
		}
		require.False(t, quoted, "a quote is open")
		_, twice := found[key]
		require.False(t, twice, "%s comes twice", key)
		found[key] = value.String()
		rule = strings.TrimPrefix(rest[i:], ",")
	}
	return found
}
