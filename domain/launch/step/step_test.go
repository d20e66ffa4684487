package step

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// anyOp draws operations that a valid script of slots may hold.
func anyOp(t *rapid.T, slots int) Op {
	text := rapid.StringN(0, 8, 16)
	texts := rapid.SliceOfN(text, 0, 3)
	op := Op{
		Code: Code(rapid.Uint8().Draw(t, "code")), Slot: rapid.IntRange(0, max(slots-1, 0)).Draw(t, "slot"),
		Flags: rapid.Uint64().Draw(t, "flags"), Path: text.Draw(t, "path"), Source: text.Draw(t, "source"),
		Data: text.Draw(t, "data"), Mode: rapid.Uint32().Draw(t, "mode"), Major: rapid.Uint64().Draw(t, "major"),
		Minor: rapid.Uint64().Draw(t, "minor"), UID: rapid.Uint32().Draw(t, "uid"), GID: rapid.Uint32().Draw(t, "gid"),
		Value: uint64(rapid.IntRange(0, max(slots-1, 0)).Draw(t, "value")), Value2: rapid.Uint64().Draw(t, "value2"),
	}
	if op.Code == OpenTerminal && slots == 0 {
		op.Code = MakeDir
	}
	if words := texts.Draw(t, "words"); len(words) > 0 {
		op.Words = words
	}
	if env := texts.Draw(t, "env"); len(env) > 0 {
		op.Env = env
	}
	return op
}

func anyScript(t *rapid.T) *Script {
	s := &Script{Name: rapid.String().Draw(t, "name"), Slots: rapid.IntRange(0, 9).Draw(t, "slots")}
	for range rapid.IntRange(0, 4).Draw(t, "ops") {
		s.Prepare = append(s.Prepare, anyOp(t, s.Slots))
		s.Enter = append(s.Enter, anyOp(t, s.Slots))
	}
	if s.Slots > 0 {
		s.Terminals = []int{s.Slots - 1}
	}
	bit := rapid.Bool()
	s.Namespaces = Namespaces{bit.Draw(t, "user"), bit.Draw(t, "net"), bit.Draw(t, "ipc"), bit.Draw(t, "uts")}
	s.WaitLinks = bit.Draw(t, "wait")
	if bit.Draw(t, "mapped") {
		s.Users, s.Groups = []Range{{0, 100000, 65536}}, []Range{{0, 1, 2}, {7, 8, 9}}
	}
	return s
}

func TestScriptsSurviveTheirEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		script := anyScript(t)
		decoded, err := Decode(script.Append(nil))
		require.NoError(t, err)
		assert.Equal(t, script, decoded)
	})
}

func TestDecodeRefusesDamage(t *testing.T) {
	whole := (&Script{Name: "vlx", Slots: 2, Terminals: []int{1}, Enter: List{{Code: Exec, Path: "/init"}}}).Append(nil)
	for cut := range whole {
		_, err := Decode(whole[:cut])
		assert.ErrorIs(t, err, ErrDamaged, "cut at %d", cut)
	}
	_, err := Decode(append(whole, 0))
	assert.ErrorIs(t, err, ErrDamaged, "something behind the end")
}

func TestDecodeRefusesSlotsThatAreNotThere(t *testing.T) {
	for name, script := range map[string]*Script{
		"operation":         {Slots: 1, Prepare: List{{Code: OpenTree, Slot: 1}}},
		"negative":          {Slots: 1, Enter: List{{Code: Attach, Slot: -1}}},
		"terminal of":       {Slots: 1, Prepare: List{{Code: OpenTerminal, Value: 1}}},
		"console":           {Slots: 1, Terminals: []int{1}},
		"more than allowed": {Slots: maxSlots + 1},
	} {
		_, err := Decode(script.Append(nil))
		assert.ErrorIs(t, err, ErrDamaged, name)
	}
}

// TestCountsAreCheckedBeforeMemoryIsTaken: a count of 2^62 items in a few bytes.
func TestCountsAreCheckedBeforeMemoryIsTaken(t *testing.T) {
	huge := append([]byte{version}, []byte(strings.Repeat("\xff", 8)+"\x7f")...)
	assert.Less(t, testing.AllocsPerRun(10, func() {
		_, err := Decode(huge)
		assert.ErrorIs(t, err, ErrDamaged)
	}), 50.0)
}

func TestEveryCodeHasAName(t *testing.T) {
	for code := OpenTree; code <= Owner; code++ {
		assert.NotEqual(t, "unknown operation", code.String())
	}
	for code := Join; code <= Exec; code++ {
		assert.NotEqual(t, "unknown operation", code.String())
	}
	assert.Equal(t, "unknown operation", Invalid.String())
}

func FuzzDecode(f *testing.F) {
	f.Add((&Script{Name: "vlx", Slots: 1, Enter: List{{Code: Exec, Words: []string{"a"}, Env: []string{"b"}}}}).Append(nil))
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, b []byte) {
		script, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(script.Append(nil))
		require.NoError(t, err)
		assert.Equal(t, script, again)
	})
}
