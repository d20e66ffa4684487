package machines

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSliceUnit(t *testing.T) {
	for partition, want := range map[string]string{
		"/machine": "machine.slice", "/machine/production": "machine-production.slice", "/": "-.slice",
		"//machine//a/": "machine-a.slice", "/a-b/c": `a\x2db-c.slice`, "/.hidden/.b": `\x2ehidden-\x2eb.slice`,
		"/a b": `a\x20b.slice`, "/ä": `\xc3\xa4.slice`, "/a:b_c.d": "a:b_c.d.slice", `/a\b`: `a\x5cb.slice`,
		"machine": "", "": "", "/a/../b": "", "/./a": "", "/a\x00": "", "/" + strings.Repeat("x", 260): "",
	} {
		assert.Equal(t, want, sliceUnit(partition), partition)
	}
}

func TestScopeUnit(t *testing.T) {
	assert.Equal(t, `machine-lxc\x2d4711\x2dweb.scope`, scopeUnit("lxc-4711-web"))
	assert.Equal(t, `machine-lxc\x2d1\x2da.b.scope`, scopeUnit("lxc-1-a.b"))
}

func TestGroupOf(t *testing.T) {
	for _, row := range [][2]string{
		{"machine.slice", "/machine.slice/x.scope"},
		{"machine-a-b.slice", "/machine.slice/machine-a.slice/machine-a-b.slice/x.scope"},
		{"-.slice", "/x.scope"},
		{`a\x2db-c.slice`, `/a\x2db.slice/a\x2db-c.slice/x.scope`},
		{"memory-x.slice", "/_memory.slice/memory-x.slice/x.scope"},
		{"_a.slice", "/__a.slice/x.scope"},
		{"cgroup.slice", "/_cgroup.slice/x.scope"},
		{"cpu.x.slice", "/cpu.x.slice/x.scope"},
	} {
		assert.Equal(t, row[1], groupOf(row[0], "x.scope"))
	}
}

func TestObjectOf(t *testing.T) {
	assert.Equal(t, "/org/freedesktop/systemd1/unit/machine_2dlxc_5cx2d1_2escope", objectOf(`machine-lxc\x2d1.scope`))
	assert.Equal(t, "/org/freedesktop/systemd1/unit/_31a", objectOf("1a"))
}

func FuzzPlace(f *testing.F) {
	f.Add("/machine/production", "lxc-1-a")
	f.Add("/.a/-/\\", "lxc-1-a.b")
	f.Fuzz(func(t *testing.T, partition, name string) {
		slice := sliceUnit(partition)
		if slice == "" || name == "" {
			return
		}
		require.LessOrEqual(t, len(slice), maxUnit)
		place := groupOf(slice, scopeUnit(name))
		require.True(t, strings.HasPrefix(place, "/"))
		for part := range strings.SplitSeq(place[1:], "/") {
			require.NotContains(t, []string{"", ".", ".."}, part)
			require.Equal(t, -1, strings.IndexFunc(part, func(r rune) bool { return r <= ' ' || r > '~' || r == '\'' || r == '"' }), part)
		}
		require.NotContains(t, slice[1:], "--")
	})
}
