package real

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestScripts runs testdata/*.txt, each against a daemon of its own. Beyond the
// commands of testscript there are:
//
//	virsh ARG...         stock virsh on the daemon ($URI, $URI_RO)
//	guest NAME [K=V...]  writes NAME.xml; keys: init, program, os, features, body, devices, root, rootTag
//	restart [-9]         ends the daemon and starts it again
//	clean                fails if anything is left of any container
//	mode FILE OCTAL      compares permissions
func TestScripts(t *testing.T) {
	need(t)
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			m := newMachine(t)
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					m.tellScript(env)
					return nil
				},
				Cmds: m.scriptCommands(), ContinueOnError: true,
			})
		})
	}
}

// tellScript says where the daemon is.
func (m *machine) tellScript(env *testscript.Env) {
	env.Setenv("LIBVIRT_DEFAULT_URI", m.uri(false))
	env.Setenv("URI", m.uri(false))
	env.Setenv("URI_RO", m.uri(true))
	env.Setenv("PREFIX", m.prefix)
	env.Setenv("ROOT", m.root)
	env.Setenv("LC_ALL", "C")
}

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

func (m *machine) scriptCommands() map[string]scriptCommand {
	return map[string]scriptCommand{
		"virsh": func(ts *testscript.TestScript, neg bool, args []string) {
			err := ts.Exec("virsh", args...)
			if (err != nil) != neg {
				ts.Fatalf("virsh %s: %v", strings.Join(args, " "), err)
			}
		},
		"guest":   writeGuest(m),
		"restart": restart(m),
		"clean": func(ts *testscript.TestScript, _ bool, _ []string) {
			m.clean()
		},
		"mode": checkMode,
	}
}

func writeGuest(m *machine) scriptCommand {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		g := guest{name: args[0]}
		fields := map[string]*string{
			"init": &g.init, "program": &g.program, "os": &g.os, "features": &g.features, "body": &g.body,
			"devices": &g.devices, "root": &g.root, "rootTag": &g.rootTag,
		}
		for _, arg := range args[1:] {
			key, value, _ := strings.Cut(arg, "=")
			if fields[key] == nil {
				ts.Fatalf("guest has no %q", key)
			}
			*fields[key] = value
		}
		ts.Check(os.WriteFile(ts.MkAbs(g.name+".xml"), []byte(m.xml(g)), 0o644))
	}
}

func restart(m *machine) scriptCommand {
	return func(_ *testscript.TestScript, _ bool, args []string) {
		if len(args) > 0 {
			m.kill()
		} else {
			m.stop()
		}
		m.start()
	}
}

func checkMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := octal(info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

func octal(mode os.FileMode) string {
	const digits = "01234567"
	return string([]byte{'0', digits[mode>>6&7], digits[mode>>3&7], digits[mode&7]})
}
