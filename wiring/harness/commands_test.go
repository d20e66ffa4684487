package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/fakes"
)

// patience bounds every wait: running into it is a failure.
const patience = 30 * time.Second

// speaker is how a script talks to the daemon.
type speaker interface {
	name() string
	config() Config
	// say runs a virsh command line and returns what it prints, both outputs
	// together. File names are below dir.
	say(m *Machine, dir string, words []string) string
	// console types text on the first console and returns what comes back.
	console(m *Machine, name, text string) string
	// settle returns when what clients left behind is dealt with, if it can tell.
	settle()
}

// stage is what a script plays on.
type stage struct {
	t       *testing.T
	ctx     context.Context
	speaker speaker
	dir     string
	machine *Machine
	ear     *ear
	watcher *watcher
	noted   string // the host as of "remember"
}

func newStage(t *testing.T, with speaker) *stage {
	s := &stage{t: t, ctx: context.Background(), speaker: with, dir: t.TempDir(), machine: New(with.config())}
	s.up()
	return s
}

// close ends everything and looks for what is left.
func (s *stage) close() {
	if s.watcher != nil {
		s.watcher.stop()
	}
	if s.machine.daemon != nil {
		s.down()
	}
	assert.Empty(s.t, s.machine.Host.OpenFiles(), "left open by the daemon")
	assert.Empty(s.t, s.machine.Host.Pending(), "faults that never struck")
}

func (s *stage) up() {
	require.NoError(s.t, s.machine.Start(s.ctx))
	s.ear = listenTo(s.t, s.machine)
}

func (s *stage) down() {
	s.ear.close()
	require.NoError(s.t, s.machine.Stop(s.ctx))
}

// run runs the commands of a block.
func (s *stage) run(lines []string) string {
	if name, ok := strings.CutPrefix(lines[0], "file "); ok {
		text := strings.Join(lines[1:], "\n") + "\n"
		require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644))
		return ""
	}
	var out strings.Builder
	for _, line := range lines {
		s.speaker.settle()
		out.WriteString(s.command(line))
	}
	return out.String()
}

func (s *stage) command(line string) string {
	words := strings.Fields(line)
	if words[0] == "virsh" {
		return s.speaker.say(s.machine, s.dir, quoted(words[1:]))
	}
	known, ok := commands[words[0]]
	require.True(s.t, ok, "unknown command: %s", line)
	require.GreaterOrEqual(s.t, len(words)-1, known.words, "%s wants more words", line)
	return known.run(s, words[1:])
}

// quoted joins words between apostrophes.
func quoted(words []string) (joined []string) {
	open := false
	for _, word := range words {
		begins, ends := strings.HasPrefix(word, "'"), strings.HasSuffix(word, "'")
		if open {
			joined[len(joined)-1] += " " + strings.TrimSuffix(word, "'")
			open = !ends
			continue
		}
		joined = append(joined, strings.Trim(word, "'"))
		open = begins && !ends
	}
	return joined
}

type command struct {
	words int // at least
	run   func(s *stage, words []string) string
}

var commands map[string]command

func init() {
	commands = map[string]command{
		"only":          {2, func(*stage, []string) string { return "" }},
		"console":       {2, func(s *stage, w []string) string { return s.speaker.console(s.machine, w[0], strings.Join(w[1:], " ")) }},
		"host":          {0, func(s *stage, w []string) string { return hostState(s.machine, w) }},
		"remember":      {0, remember},
		"unchanged":     {0, unchanged},
		"root":          {1, quiet(func(s *stage, w []string) { s.machine.Host.AddRoot(w[0]) })},
		"no-path":       {1, quiet(func(s *stage, w []string) { s.machine.Host.RemovePath(w[0]) })},
		"no-bridge":     {1, quiet(func(s *stage, w []string) { s.machine.Host.RemoveBridge(w[0]) })},
		"disk":          {1, quiet(func(s *stage, w []string) { s.machine.Host.FillDisk(w[0] == "full") })},
		"no-controller": {1, quiet(func(s *stage, w []string) { s.machine.Host.MissController(w[0]) })},
		"damage":        {1, quiet(func(s *stage, w []string) { s.machine.Host.DamageDefinition(w[0]) })},
		"deny":          {1, deny},
		"allow":         {1, allow},
		"fail":          {2, fail},
		"exit":          {2, exit},
		"guest-reboot":  {1, failing(func(s *stage, w []string) error { return s.machine.Host.RebootInit(w[0]) })},
		"guest-writes": {2, failing(func(s *stage, w []string) error {
			return s.machine.Host.GuestWrites(w[0], 0, strings.Join(w[1:], " ")+"\r\n")
		})},
		"oom":             {1, failing(func(s *stage, w []string) error { return s.machine.Host.OOMKill(w[0]) })},
		"kill-controller": {1, failing(func(s *stage, w []string) error { return s.machine.Host.KillController(w[0]) })},
		"signals":         {1, signals},
		"stop":            {0, quiet(func(s *stage, _ []string) { s.down() })},
		"up":              {0, quiet(func(s *stage, _ []string) { s.up() })},
		"restart":         {0, quiet(func(s *stage, _ []string) { s.down(); s.up() })},
		"kill":            {0, quiet(func(s *stage, _ []string) { require.NoError(s.t, s.machine.Kill()); s.ear.close() })},
		"boot":            {0, quiet(func(s *stage, _ []string) { require.NoError(s.t, s.machine.Boot()); s.ear.close(); s.up() })},
		"await":           {2, quiet(func(s *stage, w []string) { s.ear.await(strings.Join(w, " ")) })},
		"events":          {0, func(s *stage, _ []string) string { return s.ear.take() }},
		"watch":           {0, func(s *stage, w []string) string { s.watcher = watchEvents(s.t, s.machine, w); return "" }},
		"watched":         {1, func(s *stage, w []string) string { return s.watcher.take(atoi(s.t, w[0])) }},
	}
}

func quiet(do func(s *stage, words []string)) func(*stage, []string) string {
	return func(s *stage, words []string) string {
		do(s, words)
		return ""
	}
}

func failing(do func(s *stage, words []string) error) func(*stage, []string) string {
	return func(s *stage, words []string) string {
		require.NoError(s.t, do(s, words))
		return ""
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// hostState prints the host, or its lines that begin with one of the words.
// What is open is left out: a client that has just ended may not be gone yet,
// and the end of every script looks for it anyway.
func hostState(m *Machine, words []string) string {
	var out strings.Builder
	for line := range strings.Lines(m.Host.String()) {
		kind, _, _ := strings.Cut(line, ":")
		wanted := len(words) == 0
		for _, word := range words {
			wanted = wanted || word == kind
		}
		if wanted && kind != "open" {
			out.WriteString(line)
		}
	}
	return out.String()
}

func remember(s *stage, _ []string) string {
	s.noted = hostState(s.machine, nil)
	return ""
}

func unchanged(s *stage, _ []string) string {
	assert.Equal(s.t, s.noted, hostState(s.machine, nil))
	return ""
}

var errnos = map[string]syscall.Errno{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "ENODEV": syscall.ENODEV, "EPERM": syscall.EPERM}

// fail injects an errno into the next call of a port.
func fail(s *stage, words []string) string {
	errno, ok := errnos[words[1]]
	require.True(s.t, ok, "unknown errno %s", words[1])
	s.machine.Host.Fail(words[0], fault.Wrap(errno, fault.System, "cannot do %s", words[0]))
	return ""
}

// exit ends init: "exit web 3" with a status, "exit web signal 11" by a signal.
func exit(s *stage, words []string) string {
	status := fakes.Exited
	if words[1] == "signal" {
		status = fakes.Killed
	}
	number := atoi(s.t, words[len(words)-1])
	require.NoError(s.t, s.machine.Host.ExitInit(words[0], status(number)))
	return ""
}

func deny(s *stage, words []string) string {
	s.machine.Host.Deny(access.Permission(words[0]))
	return ""
}

func allow(s *stage, words []string) string {
	s.machine.Host.Allow(access.Permission(words[0]))
	return ""
}

func signals(s *stage, words []string) string {
	got, err := s.machine.Host.Signals(words[0])
	require.NoError(s.t, err)
	return fmt.Sprintln(got)
}
