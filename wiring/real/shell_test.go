package real

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestShell runs testdata/shell/*.txt: the daemon as its administrator sees it.
// Each has a prefix of its own, in which no daemon runs yet. Beyond the commands of
// testscript there are:
//
//	daemon [ARG...]     starts the daemon and waits until it is ready
//	! daemon [ARG...]   it ends by itself, with an exit status that is not 0, and never
//	                    became ready; what it printed is there for stdout and stderr
//	env NAME=VALUE      also for the daemons to come
//	signal NAME         sends the daemon a signal
//	ended [STATUS]      waits for the daemon's end
//	logged PATTERN      waits until the daemon, or an earlier one, printed a line
//	told PATTERN        waits until the daemon told the service manager so
//	virsh ARG...        stock virsh, and admin ARG...: stock virt-admin
//	guest, clean, mode  see TestScripts
func TestShell(t *testing.T) {
	need(t)
	files, err := filepath.Glob("testdata/shell/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			m := prepared(t)
			require.NoError(t, os.MkdirAll(filepath.Join(m.prefix, "etc/libvirt"), 0o755))
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					m.tellScript(env)
					env.Setenv("LIBVIRT_ADMIN_DEFAULT_URI", "virtlxcd:///system?socket="+filepath.Join(m.prefix, "run/libvirt/virtlxcd-admin-sock"))
					env.Setenv("ETC", filepath.Join(m.prefix, "etc/libvirt"))
					env.Setenv("RUN", filepath.Join(m.prefix, "run/libvirt"))
					env.Setenv("VIRTLXCD", program("virtlxcd"))
					return nil
				},
				Cmds: m.shellCommands(),
			})
		})
	}
}

func (m *machine) shellCommands() map[string]scriptCommand {
	commands := m.scriptCommands()
	delete(commands, "restart")
	commands["daemon"] = m.scriptDaemon
	commands["signal"] = m.scriptSignal
	commands["ended"] = m.scriptEnded
	commands["logged"] = m.scriptLogged
	commands["told"] = m.scriptTold
	commands["admin"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if err := ts.Exec("virt-admin", args...); (err != nil) != neg {
			ts.Fatalf("virt-admin %s: %v", strings.Join(args, " "), err)
		}
	}
	return commands
}

// scriptDaemon takes the script's directory as the daemon's.
func (m *machine) scriptDaemon(ts *testscript.TestScript, neg bool, args []string) {
	m.args, m.env, m.dir = append([]string{}, args...), nil, ts.MkAbs(".")
	for _, name := range []string{"LIBVIRT_DEBUG", "LIBVIRT_LOG_FILTERS", "LIBVIRT_LOG_OUTPUTS"} {
		if value := ts.Getenv(name); value != "" {
			m.env = append(m.env, name+"="+value)
		}
	}
	if !neg {
		m.start()
		return
	}
	command := m.prepare()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	m.inNetns(func() { err = command.Start() })
	ts.Check(err)
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Kill() })
	err = command.Wait()
	stop()
	ts.Check(os.WriteFile(ts.MkAbs("said"), append(stdout.Bytes(), stderr.Bytes()...), 0o644))
	if err == nil {
		ts.Fatalf("the daemon ended without an error:\n%s%s", &stdout, &stderr)
	}
	if word := m.notify.heard(); strings.Contains(word, "READY=1") {
		ts.Fatalf("the daemon that failed had said %q", word)
	}
}

func (m *machine) scriptTold(ts *testscript.TestScript, _ bool, args []string) {
	if !m.notify.await(args[0], m.gone) {
		ts.Fatalf("the service manager was never told %s", args[0])
	}
}

func (m *machine) scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	number := unix.SignalNum("SIG" + args[0])
	ts.Check(m.daemon.Process.Signal(syscall.Signal(number)))
}

func (m *machine) scriptEnded(ts *testscript.TestScript, _ bool, args []string) {
	wanted := 0
	if len(args) > 0 {
		var err error
		wanted, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	killer := time.AfterFunc(patience, func() { _ = m.daemon.Process.Kill() })
	err := m.daemon.Wait()
	killer.Stop()
	status := m.daemon.ProcessState.ExitCode()
	m.daemon = nil
	m.notify.heard() // what it said is of no interest to the next one
	if status != wanted {
		ts.Fatalf("the daemon ended with %d (%v)", status, err)
	}
}

func (m *machine) scriptLogged(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	if neg {
		if found := pattern.FindString(m.log.String()); found != "" {
			ts.Fatalf("the daemon said %q", found)
		}
		return
	}
	for end := time.Now().Add(patience); !pattern.MatchString(m.log.String()); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("the daemon did not say %s but\n%s", args[0], m.log)
		}
	}
}
