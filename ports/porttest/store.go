package porttest

import (
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/ports"
)

// StoreHarness is an empty store. Its codec must keep Name, UUID, Title, Memory and
// Init.Path of definitions and all of a status. The store is asked through its port for
// everything; the hooks stand for what happens to files behind its back.
type StoreHarness struct {
	Store ports.Store
	// Reopen returns a store of a new daemon over the same files. It has nothing in
	// memory, so what it loads was on disk.
	Reopen func(t *testing.T) ports.Store
	// StripUUID takes the uuid out of the stored definition of the name. Files that
	// were written by hand, or by old versions, need not have one.
	StripUUID func(t *testing.T, name string)
	// Damage makes the stored definition of the name unreadable. The file is there and
	// is not a document, as after a slip with an editor. May be nil.
	Damage func(t *testing.T, name string)
	// DamageStatus does so with the stored status.
	DamageStatus func(t *testing.T, name string)
	// Fill makes the disk full until undo is called. Feature "full disk". A fake
	// answers ENOSPC; a harness over real files has a filesystem that is small.
	Fill func(t *testing.T) (undo func())
	// NewBoot returns the store after the host was booted again. What lies in memory
	// (/run) is gone, the rest stays. May be nil.
	NewBoot func(t *testing.T) ports.Store

	Missing []string
}

// TestStore checks a Store. The names of files and their format are the adapter's.
func TestStore(t *testing.T, build func(t *testing.T) StoreHarness) {
	run(t, build, slices.Concat(storeEdges, []check[StoreHarness]{
		{"starts empty", storeEmpty},
		{"keeps definitions", storeKeepsDefinitions},
		{"replaces a definition", storeReplaces},
		{"keeps what was saved, not what it became", storeCopies},
		{"removes a definition with its mark, once or twice", storeRemoves},
		{"keeps the autostart mark", storeAutostart},
		{"keeps status", storeStatus},
		{"joins definition and status", storeJoins},
		{"status without definition", storeTransient},
		{"definition without uuid", storeNoUUID},
		{"skips a damaged definition", storeDamaged},
		{"skips a damaged status", storeDamagedStatus},
		{"full disk keeps the old file", storeFull},
		{"full disk keeps the old status", storeFullStatus},
		{"first start since boot, once", storeFirstStart},
		{"new boot", storeNewBoot},
	}))
}

// storeNoUUID: one is made up each time, until it is saved or a status tells. Each Load
// that draws another would give a container a new identity with each restart of the
// daemon, so Drawn says that it should be saved. A status has the uuid under which the
// container runs, which is the one to take.
func storeNoUUID(t *testing.T, h StoreHarness) {
	require.NoError(t, h.Store.SaveDefinition(t.Context(), definition("web", 1)))
	require.NoError(t, h.Store.SaveDefinition(t.Context(), definition("mail", 2)))
	require.NoError(t, h.Store.SaveStatus(t.Context(), status("mail", 2)))
	h.StripUUID(t, "web")
	h.StripUUID(t, "mail")
	first, second := load(t, h.Store), load(t, h.Store)
	for _, found := range []map[string]ports.Stored{first, second} {
		assert.True(t, found["web"].Drawn.UUID)
		assert.NotZero(t, found["web"].Config.UUID)
		assert.True(t, found["mail"].Drawn.UUID)
		assert.Equal(t, definition("mail", 2).UUID, found["mail"].Config.UUID, "that of what runs")
	}
	assert.NotEqual(t, first["web"].Config.UUID, second["web"].Config.UUID)
	require.NoError(t, h.Store.SaveDefinition(t.Context(), first["web"].Config))
	saved := load(t, h.Store)
	assert.Zero(t, saved["web"].Drawn)
	assert.Equal(t, first["web"].Config.UUID, saved["web"].Config.UUID)
}

// definition has what every codec of a harness keeps, and a UUID with the last byte.
func definition(name string, last byte) *container.Definition {
	uuid := container.UUID{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, last}
	return &container.Definition{
		Name: name, UUID: uuid, Title: "title of " + name, Memory: 65536, CurrentMemory: 65536, VCPUs: 1, OnlineVCPUs: 1,
		Arch: "x86_64", Init: container.Init{Path: "/sbin/init"},
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
	}
}

// status is that of a running container with everything set. A field that is lost comes
// back as zero and is seen by that.
func status(name string, last byte) *container.Status {
	return &container.Status{
		ID: 4711, State: lifecycle.Running, Reason: lifecycle.Booted, Definition: definition(name, last),
		Persistent: true, BootID: "9e9e9e9e-0000-4000-8000-000000000001", CgroupPath: "/machine/lxc-4711-" + name,
		Controller: container.Controller{PID: 4711, Start: 900, Socket: "/run/vlxtest/" + name + ".sock"},
		InitPID:    4712, InitStart: 901,
	}
}

// load reads everything and fails if anything is damaged. Names are the keys, as a
// container comes once.
func load(t *testing.T, store ports.Store) map[string]ports.Stored {
	t.Helper()
	found, damaged := loadDamaged(t, store)
	require.Empty(t, damaged)
	return found
}

// loadDamaged collects the paths that the store reports. It must report them before it
// returns.
func loadDamaged(t *testing.T, store ports.Store) (found map[string]ports.Stored, damaged []string) {
	t.Helper()
	all, err := store.Load(soon(t), func(path string, err error) {
		assert.Error(t, err)
		damaged = append(damaged, path)
	})
	require.NoError(t, err)
	found = map[string]ports.Stored{}
	for _, one := range all {
		name := storedName(t, one)
		require.NotContains(t, found, name, "a container comes once")
		found[name] = one
	}
	return found, damaged
}

// storedName takes the name from whichever part there is.
func storedName(t *testing.T, one ports.Stored) string {
	t.Helper()
	if one.Config != nil {
		return one.Config.Name
	}
	require.NotNil(t, one.Status, "neither definition nor status")
	return one.Status.Definition.Name
}

// sameDefinition compares what the harness promised to keep. Others may be filled in or
// left out by a codec that is not the daemon's.
func sameDefinition(t *testing.T, want, got *container.Definition) {
	t.Helper()
	require.NotNil(t, got)
	assert.Equal(t, want.Name, got.Name)
	assert.Equal(t, want.UUID, got.UUID)
	assert.Equal(t, want.Title, got.Title)
	assert.Equal(t, want.Memory, got.Memory)
	assert.Equal(t, want.Init.Path, got.Init.Path)
}

// sameStatus compares all fields but the definition as they are.
func sameStatus(t *testing.T, want, got *container.Status) {
	t.Helper()
	require.NotNil(t, got)
	sameDefinition(t, want.Definition, got.Definition)
	a, b := *want, *got
	a.Definition, b.Definition = nil, nil
	assert.Equal(t, a, b)
}

// storeEmpty: a host on which nothing was ever defined need not even have the
// directories.
func storeEmpty(t *testing.T, h StoreHarness) {
	assert.Empty(t, load(t, h.Store))
}

// storeKeepsDefinitions: two of them, which a store with one file, or one that mixes
// names up, would not keep apart. Nothing else is made up for them.
func storeKeepsDefinitions(t *testing.T, h StoreHarness) {
	web, mail := definition("vlxweb", 1), definition("vlxmail", 2)
	require.NoError(t, h.Store.SaveDefinition(soon(t), web))
	require.NoError(t, h.Store.SaveDefinition(soon(t), mail))

	found := load(t, h.Reopen(t))
	require.Len(t, found, 2)
	sameDefinition(t, web, found["vlxweb"].Config)
	sameDefinition(t, mail, found["vlxmail"].Config)
	assert.Nil(t, found["vlxweb"].Status)
	assert.False(t, found["vlxweb"].Autostart)
}

// storeReplaces: a definition that is defined again replaces the file, and the
// container still starts with the host.
func storeReplaces(t *testing.T, h StoreHarness) {
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SetAutostart(soon(t), "vlxweb", true))
	changed := definition("vlxweb", 1)
	changed.Title = "another title"
	require.NoError(t, h.Store.SaveDefinition(soon(t), changed))

	found := load(t, h.Reopen(t))
	require.Len(t, found, 1)
	sameDefinition(t, changed, found["vlxweb"].Config)
	assert.True(t, found["vlxweb"].Autostart, "a new definition keeps the mark")
}

// storeCopies: the caller may go on changing what it has saved, and a store in memory
// that keeps the pointer would change along.
func storeCopies(t *testing.T, h StoreHarness) {
	saved := definition("vlxweb", 1)
	require.NoError(t, h.Store.SaveDefinition(soon(t), saved))
	saved.Title = "changed after saving"
	sameDefinition(t, definition("vlxweb", 1), load(t, h.Store)["vlxweb"].Config)
}

// storeRemoves: the mark is a file of its own, and is looked at by the next definition
// of that name: a mark that stays would start the next container of that name with the
// host, which nobody asked for.
func storeRemoves(t *testing.T, h StoreHarness) {
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SetAutostart(soon(t), "vlxweb", true))
	require.NoError(t, h.Store.RemoveDefinition(soon(t), "vlxweb"))
	require.NoError(t, h.Store.RemoveDefinition(soon(t), "vlxweb"))
	assert.Empty(t, load(t, h.Reopen(t)))

	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	assert.False(t, load(t, h.Reopen(t))["vlxweb"].Autostart, "the mark went with the definition")
}

// storeAutostart: each wish twice, since the mark is a link on disk and making one that
// exists is an error of the kernel.
func storeAutostart(t *testing.T, h StoreHarness) {
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	for _, on := range []bool{true, true, false, false, true} {
		require.NoError(t, h.Store.SetAutostart(soon(t), "vlxweb", on))
		assert.Equal(t, on, load(t, h.Reopen(t))["vlxweb"].Autostart)
	}
}

// storeStatus: a status of each state that is ever written. Starting is written before
// there is an init, so that a daemon that dies in between leaves a trace.
func storeStatus(t *testing.T, h StoreHarness) {
	for _, state := range []lifecycle.State{lifecycle.Starting, lifecycle.Running, lifecycle.Paused} {
		want := status("vlxweb", 1)
		want.State = state
		require.NoError(t, h.Store.SaveStatus(soon(t), want))
		sameStatus(t, want, load(t, h.Reopen(t))["vlxweb"].Status)
	}
}

// storeJoins: the two files of a container are one entry, and each has its own
// definition: that of the next start and that of what runs. Removing the status leaves
// the other.
func storeJoins(t *testing.T, h StoreHarness) {
	config := definition("vlxweb", 1)
	config.Title = "for the next start"
	require.NoError(t, h.Store.SaveDefinition(soon(t), config))
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))

	found := load(t, h.Reopen(t))
	require.Len(t, found, 1)
	sameDefinition(t, config, found["vlxweb"].Config)
	sameStatus(t, status("vlxweb", 1), found["vlxweb"].Status)

	require.NoError(t, h.Store.RemoveStatus(soon(t), "vlxweb"))
	found = load(t, h.Reopen(t))
	sameDefinition(t, config, found["vlxweb"].Config)
	assert.Nil(t, found["vlxweb"].Status)
}

// storeTransient: a container that was never defined is known by its status alone.
// Without it nothing is left of it, and to remove that twice is fine.
func storeTransient(t *testing.T, h StoreHarness) {
	transient := status("vlxweb", 1)
	transient.Persistent = false
	require.NoError(t, h.Store.SaveStatus(soon(t), transient))
	found := load(t, h.Reopen(t))
	require.Len(t, found, 1)
	assert.Nil(t, found["vlxweb"].Config)
	sameStatus(t, transient, found["vlxweb"].Status)

	require.NoError(t, h.Store.RemoveStatus(soon(t), "vlxweb"))
	require.NoError(t, h.Store.RemoveStatus(soon(t), "vlxweb"))
	assert.Empty(t, load(t, h.Reopen(t)))
}

// storeDamaged: one bad file must not keep the daemon from its other containers, and is
// somebody's work, so it stays to be mended.
func storeDamaged(t *testing.T, h StoreHarness) {
	needHook(t, h.Damage != nil, "Damage")
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxmail", 2)))
	h.Damage(t, "vlxweb")
	for range 2 { // the second time shows that the file was not deleted
		found, damaged := loadDamaged(t, h.Reopen(t))
		assert.Contains(t, found, "vlxmail")
		assert.NotContains(t, found, "vlxweb")
		require.Len(t, damaged, 1)
		assert.NotEmpty(t, damaged[0])
	}
}

// storeDamagedStatus: the definition is as good as before, so the container is known,
// as one that may or may not run.
func storeDamagedStatus(t *testing.T, h StoreHarness) {
	needHook(t, h.DamageStatus != nil, "DamageStatus")
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))
	h.DamageStatus(t, "vlxweb")
	for range 2 {
		found, damaged := loadDamaged(t, h.Reopen(t))
		require.Contains(t, found, "vlxweb", "the definition is another file")
		assert.Nil(t, found["vlxweb"].Status)
		assert.Len(t, damaged, 1)
	}
}

// assertSystem checks for kind System with an errno inside. Clients are shown the
// errno's text, by which a full disk is known.
func assertSystem(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	assert.ErrorIs(t, err, fault.System)
	var errno syscall.Errno
	assert.ErrorAs(t, err, &errno, "the errno is kept")
}

// storeFull: both a file that is replaced and one that is new. A store that writes into
// the file truncates it first and loses the old definition; one that leaves its
// temporary file behind has another container, or a damaged one, at the next Load.
func storeFull(t *testing.T, h StoreHarness) {
	need(t, h.Missing, "full disk")
	needHook(t, h.Fill != nil, "Fill")
	old := definition("vlxweb", 1)
	require.NoError(t, h.Store.SaveDefinition(soon(t), old))
	undo := h.Fill(t)
	changed := definition("vlxweb", 1)
	changed.Title = "does not fit"
	assertSystem(t, h.Store.SaveDefinition(soon(t), changed))
	assertSystem(t, h.Store.SaveDefinition(soon(t), definition("vlxnew", 2)))
	undo()

	found := load(t, h.Reopen(t))
	require.Len(t, found, 1)
	sameDefinition(t, old, found["vlxweb"].Config)
	require.NoError(t, h.Store.SaveDefinition(soon(t), changed), "there is room again")
}

// storeFullStatus: the old status still leads to the container, though its state is out
// of date. Without it the container would be lost with the daemon.
func storeFullStatus(t *testing.T, h StoreHarness) {
	need(t, h.Missing, "full disk")
	needHook(t, h.Fill != nil, "Fill")
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))
	undo := h.Fill(t)
	paused := status("vlxweb", 1)
	paused.State = lifecycle.Paused
	assertSystem(t, h.Store.SaveStatus(soon(t), paused))
	undo()
	sameStatus(t, status("vlxweb", 1), load(t, h.Reopen(t))["vlxweb"].Status)
}

// storeFirstStart: the daemon may be restarted many times, and containers that were
// stopped meanwhile must not come up again by it. So it is asked of the host and not of
// the daemon.
func storeFirstStart(t *testing.T, h StoreHarness) {
	for i, store := range []ports.Store{h.Store, h.Store, h.Reopen(t)} {
		first, err := store.FirstStartSinceBoot(soon(t))
		require.NoError(t, err)
		assert.Equal(t, i == 0, first, "call %d", i)
	}
}

// storeNewBoot: nothing runs after a boot, so no status may say so, and autostart is
// due again. Definitions and marks stay.
func storeNewBoot(t *testing.T, h StoreHarness) {
	needHook(t, h.NewBoot != nil, "NewBoot")
	_, err := h.Store.FirstStartSinceBoot(soon(t))
	require.NoError(t, err)
	require.NoError(t, h.Store.SaveDefinition(soon(t), definition("vlxweb", 1)))
	require.NoError(t, h.Store.SetAutostart(soon(t), "vlxweb", true))
	require.NoError(t, h.Store.SaveStatus(soon(t), status("vlxweb", 1)))

	store := h.NewBoot(t)
	first, err := store.FirstStartSinceBoot(soon(t))
	require.NoError(t, err)
	assert.True(t, first)
	found := load(t, store)
	require.Contains(t, found, "vlxweb")
	assert.True(t, found["vlxweb"].Autostart)
	assert.Nil(t, found["vlxweb"].Status, "status does not survive the host")
}
