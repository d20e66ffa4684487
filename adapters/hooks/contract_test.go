package hooks

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

// TestContract is about what any Hooks does.
func TestContract(t *testing.T) {
	porttest.TestHooks(t, func(t *testing.T) porttest.HooksHarness {
		s := newSite(t)
		h := s.hooks()
		return porttest.HooksHarness{
			Hooks: h,
			Install: func(t *testing.T, program porttest.HookProgram) func() []ports.HookCall {
				wait := ""
				if program.Hang {
					wait = "sleep 600"
				}
				// A directory for each call, with a file for each thing.
				s.script("lxc", fmt.Sprintf(`n=$D/call$(ls $D | wc -l); mkdir $n
i=0; for a; do i=$((i+1)); printf %%s "$a" >$n/$i; done; cat >$n/document
echo '%s' >&2; %s
exit %d`, program.Stderr, wait, program.Exit))
				require.NoError(t, h.Refresh())
				return func() (calls []ports.HookCall) {
					directories, err := filepath.Glob(s.dir + "/call*")
					require.NoError(t, err)
					for _, directory := range directories {
						part := func(name string) string {
							text, err := os.ReadFile(filepath.Join(directory, name))
							require.NoError(t, err)
							return string(text)
						}
						calls = append(calls, ports.HookCall{
							Container: part("1"), Operation: part("2"), Phase: part("3"), Extra: part("4"), Document: part("document"),
						})
					}
					return calls
				}
			},
		}
	})
}
