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
	if slots == 0 && op.usesSlot() {
		op.Code = MakePrivate
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
		"first of none":     {Prepare: List{{Code: OpenTree}}},
		"last of Prepare":   {Prepare: List{{Code: Owner}}},
		"root of none":      {Enter: List{{Code: Pivot}}},
		"attached of none":  {Enter: List{{Code: Attach}}},
		"unused, but said":  {Slots: 1, Enter: List{{Code: Hostname, Slot: 1}}},
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

func TestOperationsWithoutASlotNeedNone(t *testing.T) {
	script := &Script{Enter: List{{Code: Join}, {Code: Hostname, Path: "vlx"}, {Code: Exec, Path: "/init"}}}
	decoded, err := Decode(script.Append(nil))
	require.NoError(t, err)
	assert.Equal(t, script, decoded)
}

// TestDecodeRefusesOtherForms: one script has one form. A number in a longer form
// than it needs, or too large for its field, is not what Append wrote.
func TestDecodeRefusesOtherForms(t *testing.T) {
	script := &Script{Name: "vlx", Slots: 1, Prepare: List{{Code: MakeDir}}, Users: []Range{{1, 2, 3}}, Groups: []Range{{4, 5, 6}}}
	whole := script.Append(nil)
	// the end: flags 0, one range of users, one of groups
	at := len(whole) - 1 - 4 - 4
	op := 1 + 4 + 16 + 1 // version, name, UUID, length of Prepare
	require.Equal(t, byte(MakeDir), whole[op])
	large := []byte{0x80, 0x80, 0x80, 0x80, 0x10} // 1<<32
	for name, row := range map[string]struct {
		offset int
		with   []byte
	}{
		"a version in two bytes":   {0, []byte{0x80 | version, 0}},
		"another version":          {0, []byte{version + 1}},
		"an unknown flag":          {at, []byte{32}},
		"a flag in two bytes":      {at, []byte{0x80, 0}},
		"more than 64 bits":        {at, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3}},
		"no end of a number":       {at, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0}},
		"a user above 32 bits":     {at + 2, large},
		"a mapping above 32 bits":  {at + 3, large},
		"a count above 32 bits":    {at + 4, large},
		"a group above 32 bits":    {at + 6, large},
		"a mode above 32 bits":     {op + 3, large},
		"an owner above 32 bits":   {op + 6, large},
		"an owner's group as well": {op + 7, large},
	} {
		_, err := Decode(with(whole, row.offset, row.with))
		assert.ErrorIs(t, err, ErrDamaged, name)
	}
	decoded, err := Decode(with(whole, op+4, large)) // Major has 64 bits
	require.NoError(t, err)
	assert.EqualValues(t, 1<<32, decoded.Prepare[0].Major)
}

// with replaces the byte at offset.
func with(b []byte, offset int, replacement []byte) []byte {
	return append(append(append([]byte(nil), b[:offset]...), replacement...), b[offset+1:]...)
}

func TestLargestValuesTravel(t *testing.T) {
	most := ^uint32(0)
	script := &Script{Slots: maxSlots, Terminals: []int{maxSlots - 1}, Users: []Range{{most, most, most}}, Enter: List{{
		Code: Attach, Slot: maxSlots - 1, Flags: ^uint64(0), Mode: most, Major: ^uint64(0), Minor: 1 << 63,
		UID: most, GID: most, Value: ^uint64(0), Value2: ^uint64(0),
	}}}
	decoded, err := Decode(script.Append(nil))
	require.NoError(t, err)
	assert.Equal(t, script, decoded)
}

// TestDecodeKeepsNothingOfItsInput: the controller reads into a buffer of its own.
func TestDecodeKeepsNothingOfItsInput(t *testing.T) {
	script := &Script{Name: "vlx", Enter: List{{Code: Exec, Path: "/init", Words: []string{"a"}}}}
	encoded := script.Append(nil)
	decoded, err := Decode(encoded)
	require.NoError(t, err)
	clear(encoded)
	assert.Equal(t, script, decoded)
}

func TestSubjectsStayAtHome(t *testing.T) {
	script := &Script{Enter: List{{Code: Hostname, Path: "vlx", Subject: "secret"}}}
	assert.NotContains(t, string(script.Append(nil)), "secret")
}

func TestAppendAddsToWhatIsThere(t *testing.T) {
	script := &Script{Name: "vlx"}
	got := script.Append([]byte("before"))
	assert.Equal(t, "before", string(got[:6]))
	assert.Equal(t, script.Append(nil), got[6:])
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
	f.Add((&Script{Slots: 2, Prepare: List{{Code: OpenTerminal, Slot: 1}}, Terminals: []int{1}, Users: []Range{{0, 1, 2}}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		script, err := Decode(b)
		if err != nil {
			assert.ErrorIs(t, err, ErrDamaged)
			return
		}
		assert.Equal(t, b, script.Append(nil), "one script has one form")
		for _, list := range []List{script.Prepare, script.Enter} {
			for i := range list {
				assert.True(t, list[i].Slot < script.Slots || !list[i].usesSlot(), "slots exist")
			}
		}
	})
}
