package container_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/policy"
)

func TestParseUUID(t *testing.T) {
	const canonical = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
	for _, text := range []string{
		canonical, "C7A5FDBDEDAF9455926AD65C16DB1809", " c7a5fdbd-edaf-9455-926a-d65c16db1809\n",
		"c7a5 fdbd edaf 9455 926a d65c 16db 1809", "\r\n\t-" + canonical, "c7-a5--fd bdedaf9455926ad65c16db1809",
	} {
		uuid, err := container.ParseUUID(text)
		require.NoError(t, err, text)
		assert.Equal(t, canonical, uuid.String())
	}
	for _, text := range []string{
		"", " ", "c7a5", canonical + "0", canonical + "00", canonical[:35], strings.Replace(canonical, "c", "g", 1), "€" + canonical[1:],
		"c-7a5fdbd-edaf-9455-926a-d65c16db1809", // within a byte
		canonical + "-", "{" + canonical + "}", "urn:uuid:" + canonical, canonical + "\x00", strings.Replace(canonical, "-", "_", 1),
	} {
		uuid, err := container.ParseUUID(text)
		assert.ErrorIs(t, err, container.ErrBadUUID, text)
		assert.Zero(t, uuid, "not the half of one")
	}
}

func FuzzParseUUID(f *testing.F) {
	f.Add("c7a5fdbd-edaf-9455-926a-d65c16db1809")
	f.Add("--------------------------------")
	f.Add("c7a5fdbdedaf9455926ad65c16db1809 \n")
	f.Fuzz(func(t *testing.T, text string) {
		uuid, err := container.ParseUUID(text)
		digits := strings.ToLower(strings.NewReplacer("-", "", " ", "", "\t", "", "\r", "", "\n", "").Replace(text))
		if err != nil {
			assert.Zero(t, uuid)
			return
		}
		assert.Equal(t, digits, strings.ReplaceAll(uuid.String(), "-", ""), "digits alone count")
		again, err := container.ParseUUID(uuid.String())
		require.NoError(t, err)
		assert.Equal(t, uuid, again)
	})
}

// TestCloneSharesNothingThatChanges changes every element of every slice of a
// clone, whatever fields come later.
func TestCloneSharesNothingThatChanges(t *testing.T) {
	original := &container.Definition{
		Name: "web", Metadata: []container.Metadata{{Namespace: "urn:x"}},
		Init:        container.Init{Args: []string{"a"}, Env: []container.EnvVar{{Name: "A"}}},
		Filesystems: []device.Filesystem{{Target: "/"}},
		Links:       []device.Link{{HostName: "vnet0"}}, Consoles: []device.Console{{Kind: "pty"}},
		IDMap:        policy.IDMap{Users: []policy.IDRange{{Start: 0, Target: 1, Count: 2}}, Groups: []policy.IDRange{{Start: 0, Target: 1, Count: 2}}},
		Capabilities: policy.Capabilities{States: map[string]bool{"kill": true}},
		Unserved:     []string{"disk"}, Leftovers: []device.Leftover{{Place: "p"}},
	}
	clone := original.Clone()
	require.Equal(t, original, clone)
	sharedSlices(t, reflect.ValueOf(*original), reflect.ValueOf(*clone), "definition")
	clone.Filesystems[0].Target = "/changed"
	assert.Equal(t, "/", original.Root().Target)
	assert.Nil(t, clone.Root())
}

func sharedSlices(t *testing.T, a, b reflect.Value, path string) {
	for i := range a.NumField() {
		x, y, name := a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name
		switch {
		case (x.Kind() == reflect.Slice || x.Kind() == reflect.Map) && x.Len() > 0:
			assert.NotEqual(t, x.Pointer(), y.Pointer(), name)
		case x.Kind() == reflect.Struct && strings.HasPrefix(x.Type().PkgPath(), "virtlxcd/domain/"):
			sharedSlices(t, x, y, name)
		}
	}
}

func TestRootIsTheFirstOne(t *testing.T) {
	d := &container.Definition{}
	assert.Nil(t, d.Root())
	d.Filesystems = []device.Filesystem{{Target: "/srv"}, {Target: "/", Source: "/a"}, {Target: "/", Source: "/b"}}
	assert.Equal(t, "/a", d.Root().Source)
}

func TestNeedsNet(t *testing.T) {
	assert.False(t, (&container.Definition{}).NeedsNet())
	assert.True(t, (&container.Definition{PrivateNet: true}).NeedsNet())
	assert.True(t, (&container.Definition{Links: []device.Link{{}}}).NeedsNet())
}

func TestShownHidesAStartUnderWay(t *testing.T) {
	for state, shown := range map[lifecycle.State]lifecycle.State{
		lifecycle.Off: lifecycle.Off, lifecycle.Starting: lifecycle.Off,
		lifecycle.Running: lifecycle.Running, lifecycle.Paused: lifecycle.Paused,
	} {
		assert.Equal(t, shown, (&container.Snapshot{State: state}).Shown())
	}
	config, live := &container.Definition{Name: "config"}, &container.Definition{Name: "live"}
	assert.Same(t, config, (&container.Snapshot{Config: config}).Current())
	assert.Same(t, live, (&container.Snapshot{Config: config, Live: live}).Current())
}

func TestFilters(t *testing.T) {
	of := func(state lifecycle.State, persistent, autostart bool) *container.Snapshot {
		return &container.Snapshot{State: state, Persistent: persistent, Autostart: autostart}
	}
	all := map[string]*container.Snapshot{
		"running": of(lifecycle.Running, true, true), "paused": of(lifecycle.Paused, true, false),
		"off": of(lifecycle.Off, true, false), "transient": of(lifecycle.Running, false, false),
		"starting": of(lifecycle.Starting, true, false),
	}
	for _, test := range []struct {
		filter container.Filter
		want   string
	}{
		{container.Filter{}, "off paused running starting transient"},
		{container.Filter{Active: true}, "paused running transient"},
		{container.Filter{Inactive: true}, "off starting"},
		{container.Filter{Active: true, Inactive: true}, "off paused running starting transient"},
		{container.Filter{Transient: true}, "transient"},
		{container.Filter{Persistent: true, Active: true}, "paused running"},
		{container.Filter{Running: true}, "running transient"},
		{container.Filter{Paused: true, Off: true}, "off paused starting"},
		{container.Filter{OtherState: true}, ""},
		{container.Filter{OtherState: true, Paused: true}, "paused"},
		{container.Filter{Autostart: true}, "running"},
		{container.Filter{NoAutostart: true, Running: true}, "transient"},
		{container.Filter{ManagedSave: true}, ""},
		{container.Filter{NoManaged: true, NoSnapshots: true, NoCheckpoint: true, Off: true}, "off starting"},
		{container.Filter{Snapshots: true}, ""},
		{container.Filter{Checkpoint: true}, ""},
		{container.Filter{Snapshots: true, NoSnapshots: true, Paused: true}, "paused"},
	} {
		var got []string
		for _, name := range []string{"off", "paused", "running", "starting", "transient"} {
			if test.filter.Match(all[name]) {
				got = append(got, name)
			}
		}
		assert.Equal(t, test.want, strings.Join(got, " "), "%+v", test.filter)
	}
}

// TestCloneOfNothing: what is absent stays absent, or two definitions that say
// the same would differ.
func TestCloneOfNothing(t *testing.T) {
	empty := &container.Definition{}
	assert.Equal(t, empty, empty.Clone())
	assert.NotSame(t, empty, empty.Clone())
}

// TestRootIsSpelledOut: other spellings of the same path are other targets.
func TestRootIsSpelledOut(t *testing.T) {
	for _, target := range []string{"", "//", "/.", "/srv/..", " /"} {
		d := &container.Definition{Filesystems: []device.Filesystem{{Target: target}}}
		assert.Nil(t, d.Root(), target)
	}
}

// TestFilterGroups: asking for both of a pair is asking for neither, and what
// no container ever has lets nothing pass, whatever else is asked for.
func TestFilterGroups(t *testing.T) {
	running := &container.Snapshot{State: lifecycle.Running, Persistent: true, Autostart: true}
	for _, never := range []container.Filter{{ManagedSave: true}, {Snapshots: true}, {Checkpoint: true}, {OtherState: true}} {
		assert.False(t, never.Match(running))
		never.Active, never.Persistent, never.Autostart = true, true, true
		assert.False(t, never.Match(running))
	}
	for _, both := range []container.Filter{
		{Active: true, Inactive: true}, {Persistent: true, Transient: true}, {Autostart: true, NoAutostart: true},
		{ManagedSave: true, NoManaged: true}, {Checkpoint: true, NoCheckpoint: true}, {Running: true, Paused: true, Off: true, OtherState: true},
	} {
		assert.True(t, both.Match(running))
		assert.True(t, both.Match(&container.Snapshot{}), "nor does it matter that it is off")
	}
}
