package launch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
)

// anyDefinition draws what New accepts.
func anyDefinition(t *rapid.T) *container.Definition {
	d := definition()
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	if flag("map") {
		mapped(d)
	}
	d.PrivateNet = flag("net")
	if flag("links") {
		d.Links = make([]device.Link, 1)
	}
	for range rapid.IntRange(0, 3).Draw(t, "consoles") {
		d.Consoles = append(d.Consoles, device.Console{Kind: "pty"})
	}
	for range rapid.IntRange(0, 4).Draw(t, "filesystems") {
		kind := rapid.SampledFrom([]device.FilesystemKind{device.HostDir, device.GuestDir, device.Memory}).Draw(t, "kind")
		d.Filesystems = append(d.Filesystems, device.Filesystem{
			Kind: kind, Source: "/srv/x", Target: rapid.SampledFrom([]string{"/a", "a/b", "/c/../d"}).Draw(t, "target"),
			Usage: 64, ReadOnly: flag("read-only"),
		})
	}
	return d
}

// TestPlansKeepTheirOrder states what executors and the kernel rely on, for
// every definition: see packages step and stage.
func TestPlansKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyDefinition(t)
		request := Request{Definition: d, Facts: facts(), Cgroups: rapid.SampledFrom([][]CgroupDir{nil, hybrid, hybrid[3:]}).Draw(t, "cgroups")}
		plan, err := New(request)
		require.NoError(t, err)
		filled := checkPrepare(t, &plan)
		at := positions(plan.Enter)
		require.Equal(t, len(plan.Enter)-1, at[step.Exec], "exec is last")
		for _, order := range [][2]step.Code{
			{step.Join, step.NewCgroupView}, {step.MakePrivate, step.Pivot}, {step.Pivot, step.Forget}, {step.Pivot, step.Mount},
			{step.Forget, step.Link}, {step.Wait, step.Session}, {step.Session, step.Become}, {step.Become, step.Files}, {step.Files, step.Exec},
		} {
			if second, there := at[order[1]]; there {
				assert.Less(t, at[order[0]], second, "%s before %s", order[0], order[1])
			}
		}
		used := map[int]bool{}
		for _, op := range plan.Enter {
			if op.Code == step.Attach || op.Code == step.Pivot {
				assert.True(t, filled[op.Slot], "slot %d of %s is filled", op.Slot, op.Code)
				assert.False(t, used[op.Slot], "a detached mount can be attached once")
				used[op.Slot] = true
			}
			assert.False(t, strings.Contains(op.Path, ".."), op.Path)
			assert.NotEmpty(t, op.Subject, "an error can name what %s was about", op.Code)
		}
		assert.Len(t, used, plan.Slots-len(plan.Terminals), "all that is prepared is used")
		assert.Len(t, plan.Terminals, len(d.Consoles))
		encoded := (&step.Script{Prepare: plan.Prepare, Enter: plan.Enter, Slots: plan.Slots, Terminals: plan.Terminals}).Append(nil)
		_, err = step.Decode(encoded)
		assert.NoError(t, err, "it can travel")
	})
}

// checkPrepare: each slot is filled once, before anything works on it.
func checkPrepare(t *rapid.T, plan *Plan) map[int]bool {
	filled := map[int]bool{}
	for _, op := range plan.Prepare {
		switch op.Code {
		case step.OpenTree, step.NewMount, step.OpenTerminal:
			assert.False(t, filled[op.Slot], "slot %d is filled twice", op.Slot)
			if op.Code == step.OpenTerminal {
				assert.True(t, filled[int(op.Value)], "the devpts is there")
			}
			filled[op.Slot] = true
		default:
			assert.True(t, filled[op.Slot], "%s works on what is there", op.Code)
		}
		assert.NotEmpty(t, op.Subject)
	}
	assert.Len(t, filled, plan.Slots)
	return filled
}

// positions are where each code comes first.
func positions(list step.List) map[step.Code]int {
	at := map[step.Code]int{}
	for i, op := range list {
		if _, known := at[op.Code]; !known {
			at[op.Code] = i
		}
	}
	return at
}

func TestTheSameRequestGivesTheSamePlan(t *testing.T) {
	request := Request{Definition: definition(mapped), Facts: facts(), Cgroups: hybrid}
	one, err := New(request)
	require.NoError(t, err)
	two, err := New(request)
	require.NoError(t, err)
	assert.Equal(t, one, two)
}

// TestAMapWithoutTheTerminalGroup: terminals then belong to root's group.
func TestAMapWithoutTheTerminalGroup(t *testing.T) {
	plan, err := New(Request{Facts: facts(), Definition: definition(mapped, func(d *container.Definition) {
		d.IDMap.Groups = []policy.IDRange{{Start: 0, Target: 200000, Count: ttyGroup}}
	})})
	require.NoError(t, err)
	for _, op := range plan.Prepare {
		if op.Code == step.OpenTerminal {
			assert.EqualValues(t, 100000, op.UID)
			assert.EqualValues(t, 200000, op.GID)
		}
		if op.Source == "devpts" {
			assert.Contains(t, op.Data, "gid=200000")
		}
	}
}

func TestWhoIsNamed(t *testing.T) {
	for want, init := range map[string]container.Init{
		"root": {}, "bob": {User: "bob"}, "bob:staff": {User: "bob", Group: "staff"}, ":staff": {Group: "staff"},
	} {
		assert.Equal(t, want, who(init))
	}
}

func TestPersonality(t *testing.T) {
	for _, row := range []struct {
		arch, host string
		want       uint64
	}{
		{"i686", "x86_64", per32Linux}, {"armv7l", "aarch64", per32Linux}, {"x86_64", "x86_64", 0},
		{"i686", "aarch64", 0}, {"vax", "", 0}, {"", "", 0}, {"i686", "", 0},
	} {
		assert.Equal(t, row.want, personality(row.arch, row.host), "%s on %s", row.arch, row.host)
	}
}

// TestInitDecidesItsEnvironment: what the definition sets comes last, and wins.
func TestInitDecidesItsEnvironment(t *testing.T) {
	d := definition(func(d *container.Definition) {
		d.Init.Env = []container.EnvVar{{Name: "PATH", Value: "/opt"}, {Name: "EMPTY"}}
	})
	env := environment(d)
	assert.Equal(t, []string{"PATH=/opt", "EMPTY="}, env[len(env)-2:])
	assert.NotContains(t, strings.Join(env, " "), "container_ttys", "one console needs no login besides")
	assert.NotContains(t, strings.Join(env, " "), "CMDLINE")
}
