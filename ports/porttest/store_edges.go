package porttest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// storeEdges are the checks of what is rare: odd names, damage, ends and crowds.
var storeEdges = []check[StoreHarness]{
	{"takes odd names", storeOddNames},
	{"saving mends a damaged definition", storeMends},
	{"removes what is damaged", storeRemovesDamaged},
	{"keeps status apart from definitions", storeApart},
	{"is used for many at once", storeMany},
	{"an ended context keeps the old file", storeEnded},
	{"an absent mark is cleared", storeUnmark},
}

// oddNames are names of containers that mean something as names of files, or to a
// shell. No name has a slash, a line's end or a zero byte. Most of them look like
// something that a store makes itself: its temporary files, its directory of marks, its
// suffix.
var oddNames = []string{
	"vlx web", "vlx.xml", "vlx.xml.new", ".vlx", "..vlx", "-vlx", "autostart", "vlx'\"$(x)", "vlx%d", "vlx&<>", "übervlx", "vlx\\",
	"vlx.new", "vlx.tmp", "vlx~", "vlx*", "vlx?[a]",
}

// storeOddNames: all of them are there at once, with every file that a container can
// have, so that two which share a file are found. They are then removed one by one,
// since a name that is a pattern might take others along.
func storeOddNames(t *testing.T, h StoreHarness) {
	for i, name := range oddNames {
		require.NoError(t, h.Store.SaveDefinition(soon(t), definition(name, byte(i))), name)
		require.NoError(t, h.Store.SetAutostart(soon(t), name, i%2 == 0), name)
		require.NoError(t, h.Store.SaveStatus(soon(t), status(name, byte(i))), name)
	}
	found := load(t, h.Reopen(t))
	assert.Len(t, found, len(oddNames))
	for i, name := range oddNames {
		require.Contains(t, found, name)
		sameDefinition(t, definition(name, byte(i)), found[name].Config)
		sameStatus(t, status(name, byte(i)), found[name].Status)
		assert.Equal(t, i%2 == 0, found[name].Autostart, name)
	}
	for i, name := range oddNames {
		require.NoError(t, h.Store.RemoveDefinition(soon(t), name), name)
		require.NoError(t, h.Store.RemoveStatus(soon(t), name), name)
		assert.Len(t, load(t, h.Store), len(oddNames)-i-1, "one by one: %s", name)
	}
}

// storeMends: the user who defines a container anew does not know that its file is
// broken. To save must not read what was there.
func storeMends(t *testing.T, h StoreHarness) {
	needHook(t, h.Damage != nil, "Damage")
	needHook(t, h.DamageStatus != nil, "DamageStatus")
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))
	h.Damage(t, "vlxweb")
	h.DamageStatus(t, "vlxweb")
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))
	found := load(t, h.Reopen(t))
	sameDefinition(t, definition("vlxweb", 1), found["vlxweb"].Config)
	sameStatus(t, status("vlxweb", 1), found["vlxweb"].Status)
}

// storeRemovesDamaged: what cannot be read can still be removed, or a broken file would
// be reported for ever.
func storeRemovesDamaged(t *testing.T, h StoreHarness) {
	needHook(t, h.Damage != nil, "Damage")
	needHook(t, h.DamageStatus != nil, "DamageStatus")
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))
	h.Damage(t, "vlxweb")
	h.DamageStatus(t, "vlxweb")
	require.NoError(t, h.Store.RemoveDefinition(soon(t), "vlxweb"))
	require.NoError(t, h.Store.RemoveStatus(soon(t), "vlxweb"))
	assert.Empty(t, load(t, h.Reopen(t)))
}

// storeApart: removing the one leaves the other, and the mark goes with the definition
// alone. A store that removes "all files of a container" fails here, and one that
// leaves the mark.
func storeApart(t *testing.T, h StoreHarness) {
	for _, name := range []string{"vlxa", "vlxb"} {
		require.NoError(t, h.Store.SaveDefinition(soon(t), definition(name, name[3])))
		require.NoError(t, h.Store.SetAutostart(soon(t), name, true))
		require.NoError(t, h.Store.SaveStatus(soon(t), status(name, name[3])))
	}
	require.NoError(t, h.Store.RemoveDefinition(soon(t), "vlxa"))
	require.NoError(t, h.Store.RemoveStatus(soon(t), "vlxb"))
	found := load(t, h.Reopen(t))
	assert.Nil(t, found["vlxa"].Config)
	assert.False(t, found["vlxa"].Autostart)
	sameStatus(t, status("vlxa", 'a'), found["vlxa"].Status)
	sameDefinition(t, definition("vlxb", 'b'), found["vlxb"].Config)
	assert.True(t, found["vlxb"].Autostart)
	assert.Nil(t, found["vlxb"].Status)
}

// storeMany: jobs of different containers do not wait for each other, and a reload
// reads while they write: it sees whole files only. The number of rounds is such that
// all end with a definition, a mark and a status. Without locks between them they share
// directories only, where each must find its own files.
func storeMany(t *testing.T, h StoreHarness) {
	ctx := soon(t)
	var writers sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprintf("vlx%d", i)
		writers.Go(func() {
			for round := range 10 {
				d, s := definition(name, byte(i)), status(name, byte(i))
				d.Title = fmt.Sprint("round ", round)
				assert.NoError(t, h.Store.SaveDefinition(ctx, d))
				assert.NoError(t, h.Store.SetAutostart(ctx, name, round%2 == 1))
				assert.NoError(t, h.Store.SaveStatus(ctx, s))
				if round < 9 && round%3 == 0 {
					assert.NoError(t, h.Store.RemoveStatus(ctx, name))
				}
			}
		})
	}
	for range 10 {
		_, err := h.Store.Load(ctx, func(path string, err error) { assert.NoError(t, err, path) })
		assert.NoError(t, err)
	}
	writers.Wait()
	found := load(t, h.Reopen(t))
	assert.Len(t, found, 8)
	for name, one := range found {
		assert.Equal(t, "round 9", one.Config.Title, name)
		assert.True(t, one.Autostart, name)
		assert.NotNil(t, one.Status, name)
	}
}

// storeEnded: the file is the old one or the new one, and which it is must agree with
// what was returned. A Load that was given up returns no part of what there is:
// containers that are missing from it would be taken for undefined.
func storeEnded(t *testing.T, h StoreHarness) {
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	changed := definition("vlxweb", 1)
	changed.Title = "changed"
	want := changed
	if refused(t, h.Store.SaveDefinition(over(), changed)) {
		want = definition("vlxweb", 1)
	}
	found := load(t, h.Reopen(t))
	require.Len(t, found, 1)
	sameDefinition(t, want, found["vlxweb"].Config)
	all, err := h.Store.Load(over(), func(path string, err error) { assert.NoError(t, err, path) })
	if refused(t, err) {
		assert.Empty(t, all)
	}
}

// storeUnmark: what is wished for is there already, also before the store has written
// anything.
func storeUnmark(t *testing.T, h StoreHarness) {
	require.NoError(t, h.Store.SetAutostart(soon(t), "vlxnever", false))
	require.NoError(t, h.Store.RemoveStatus(soon(t), "vlxnever"))
	assert.Empty(t, load(t, h.Reopen(t)))
}
