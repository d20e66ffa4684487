package hooks

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// TestWhatCannotBeLookedAt: a link that leads in a circle is no reason to go on without
// the programs that were known.
func TestWhatCannotBeLookedAt(t *testing.T) {
	for _, name := range []string{"lxc", "daemon", "lxc.d/more"} {
		s := newSite(t)
		s.script("lxc.d/first", `exit 0`)
		h := s.hooks()
		require.True(t, h.Present())
		require.NoError(t, os.Symlink(s.dir+"/"+name, s.dir+"/"+name))
		err := h.Refresh()
		require.ErrorIs(t, err, fault.System, name)
		require.ErrorContains(t, err, s.dir+"/"+name)
		assert.True(t, h.Present(), name)
		require.NoError(t, h.Run(t.Context(), call), name)
	}
}

// TestProgramsThatDieOrAreLoud: what clients are told is one text they can be sent, with
// the beginning of the complaint, however the program ended.
func TestProgramsThatDieOrAreLoud(t *testing.T) {
	for body, want := range map[string]string{
		`kill -SEGV $$`:                      "unexpected fatal signal 11: ",
		`echo no >&2; kill -KILL $$`:         "unexpected fatal signal 9: no",
		`printf 'a\377\0b' >&2; exit 255`:    "unexpected exit status 255: a\uFFFD\uFFFDb",
		`yes | head -c 1000000; exit 1`:      "unexpected exit status 1: ", // nobody reads standard output
		`printf '  \n\n' >&2; exit 1`:        "unexpected exit status 1: ",
		`yes long | head -c 70000 >&2; exit`: "",
	} {
		s := newSite(t)
		s.script("lxc", body)
		err := s.hooks().Run(t.Context(), call)
		if want == "" {
			require.NoError(t, err, body)
			continue
		}
		require.ErrorIs(t, err, fault.HookFailed, body)
		assert.True(t, strings.HasSuffix(err.Error(), want), "%s: %s", body, err)
	}
}
