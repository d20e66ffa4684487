package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/wiring/harness"
)

// patience bounds every wait: running into it is a failure.
const patience = 30 * time.Second

// nobody is who the programs run as if the test is root.
const nobody = 65534

// rig is the program as an ordinary user has it.
type rig struct {
	t       *testing.T
	ctx     context.Context
	dir     string // everybody may read
	prefix  string // the user's own
	program string
}

// built is the program, made once for all tests.
func built(t *testing.T) string {
	t.Helper()
	program, err := build()
	require.NoError(t, err)
	return program
}

var build = sync.OnceValues(func() (string, error) {
	program := filepath.Join(builds, "virtlxcd-fake")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
})

// builds is a directory that everybody may read.
var builds string

func TestMain(m *testing.M) {
	var err error
	if builds, err = os.MkdirTemp("/tmp", "vlx"); err == nil {
		err = os.Chmod(builds, 0o755)
	}
	status := 1
	if err == nil {
		status = m.Run()
	}
	if err = errors.Join(err, os.RemoveAll(builds)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vlx") // not t.TempDir: socket paths are short
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, dir: dir, prefix: filepath.Join(dir, "a prefix"), program: built(t)}
	require.NoError(t, os.Mkdir(r.prefix, 0o700))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(r.prefix, nobody, nobody))
	}
	return r
}

// command prepares a program, as another user if the test is root.
func (r *rig) command(program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(r.ctx, program, args...)
	c.Dir = r.prefix
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.prefix, "XDG_RUNTIME_DIR=" + r.prefix, "XDG_CACHE_HOME=" + r.prefix, "LC_ALL=C", "TERM=dumb"}
	if os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return c
}

// daemon is a running program.
type daemon struct {
	r       *rig
	command *exec.Cmd
	uri     string
	stderr  bytes.Buffer
}

// start returns when the program has said where clients are served.
func (r *rig) start(args ...string) *daemon {
	r.t.Helper()
	d := &daemon{r: r, command: r.command(r.program, append([]string{"--prefix", r.prefix}, args...)...)}
	d.command.Stderr = &d.stderr
	out, err := d.command.StdoutPipe()
	require.NoError(r.t, err)
	require.NoError(r.t, d.command.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(r.t, err, "it did not start")
	d.uri = strings.TrimSpace(line)
	return d
}

// stop interrupts it and expects it to clear up.
func (d *daemon) stop(by os.Signal) {
	require.NoError(d.r.t, d.command.Process.Signal(by))
	assert.NoError(d.r.t, d.command.Wait(), d.stderr.String())
	assert.Empty(d.r.t, d.stderr.String())
	_ = filepath.WalkDir(d.r.prefix, func(path string, entry fs.DirEntry, err error) error {
		assert.NoError(d.r.t, err)
		assert.NotEqual(d.r.t, fs.ModeSocket, entry.Type(), path)
		return nil
	})
}

func (d *daemon) virsh(args ...string) string {
	d.r.t.Helper()
	out, err := d.r.command("virsh", append([]string{"-c", d.uri}, args...)...).CombinedOutput()
	require.NoError(d.r.t, err, "virsh %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// needs skips where a program is not installed.
func needs(t *testing.T, programs map[string]string) {
	t.Helper()
	for program, from := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s (Debian: %s)", program, from)
		}
	}
}

const document = `<domain type='lxc'>
  <name>web</name>
  <memory>65536</memory>
  <os><type>exe</type><init>/sbin/init</init></os>
  <devices>
    <filesystem><source dir='/srv/web'/><target dir='/'/></filesystem>
    <interface type='bridge'><source bridge='br7'/></interface>
    <console type='pty'/>
  </devices>
</domain>`

// TestServesAnOrdinaryUser is what somebody does who tries a client.
func TestServesAnOrdinaryUser(t *testing.T) {
	needs(t, map[string]string{"virsh": "libvirt-clients", "script": "bsdutils"})
	r := newRig(t)
	file := filepath.Join(r.dir, "web.xml")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o644))
	d := r.start("--root", "/srv/web", "--bridge", "br7")
	assert.Equal(t, "Domain 'web' defined from "+file, d.virsh("define", file))
	assert.FileExists(t, filepath.Join(r.prefix, "etc/libvirt/lxc/web.xml"))
	assert.Equal(t, "Domain 'web' started", d.virsh("start", "web"))
	assert.Equal(t, "web", d.virsh("list", "--name"))
	assert.Contains(t, d.talk("web", "hello"), "got hello")
	assert.Equal(t, "Domain 'web' marked as autostarted", d.virsh("autostart", "web"))
	uuid := d.virsh("domuuid", "web")
	d.stop(syscall.SIGTERM)

	// The machine was switched off with the program; definitions stay.
	d = r.start("--root", "/srv/web", "--bridge", "br7")
	assert.Equal(t, uuid, d.virsh("domuuid", "web"))
	assert.Equal(t, "running (booted)", d.virsh("domstate", "web", "--reason"))
	assert.Equal(t, "Domain 'web' destroyed", d.virsh("destroy", "web"))
	assert.Equal(t, "shut off (destroyed)", d.virsh("domstate", "web", "--reason"))
	assert.Equal(t, "Domain 'web' has been undefined", d.virsh("undefine", "web"))
	assert.Empty(t, d.virsh("list", "--all", "--name"))
	assert.NoFileExists(t, filepath.Join(r.prefix, "etc/libvirt/lxc/web.xml"))
	d.stop(os.Interrupt)
}

// talk opens the console of a container, types a line when the guest has greeted
// (before that the terminal is not ready), and leaves when it has answered.
func (d *daemon) talk(name, text string) string {
	t := d.r.t
	line := "virsh -c '" + d.uri + "' console " + name
	command := d.r.command("script", "-qec", line, "/dev/null")
	in, err := command.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	reader := bufio.NewReader(out)
	said := lineWith(t, reader, harness.Greeting)
	_, err = io.WriteString(in, text+"\r")
	require.NoError(t, err)
	said += lineWith(t, reader, "got ")
	_, err = io.WriteString(in, "\x1d")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, reader) // the end is told by Wait
	require.NoError(t, command.Wait())
	return said
}

// lineWith reads up to the line that has a text.
func lineWith(t *testing.T, from *bufio.Reader, text string) (read string) {
	t.Helper()
	for {
		line, err := from.ReadString('\n')
		read += line
		require.NoError(t, err, read)
		if strings.Contains(line, text) {
			return read
		}
	}
}

func TestRefusesWhatItCannotDo(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no prefix":    {nil, "error: --prefix is missing"},
		"an argument":  {[]string{"--prefix", r.prefix, "more"}, "error: unexpected argument 'more'"},
		"a flag":       {[]string{"--prefiks", r.prefix}, "error: unknown flag: --prefiks"},
		"a deep path":  {[]string{"--prefix", filepath.Join(r.prefix, strings.Repeat("x", 100))}, "more than the 107 a socket can have"},
		"not writable": {[]string{"--prefix", "/proc/nowhere"}, "error: cannot make"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := r.command(r.program, c.args...).CombinedOutput()
			var status *exec.ExitError
			require.ErrorAs(t, err, &status)
			assert.Equal(t, 1, status.ExitCode())
			assert.Contains(t, string(out), c.want)
		})
	}
}

func TestOnlyOneBelowAPrefix(t *testing.T) {
	r := newRig(t)
	d := r.start()
	out, err := r.command(r.program, "--prefix", r.prefix).CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), "another daemon")
	d.stop(syscall.SIGTERM)
}

// TestStartsAfterACrash finds a socket and a pid file that nobody has any more.
func TestStartsAfterACrash(t *testing.T) {
	r := newRig(t)
	d := r.start()
	require.NoError(t, d.command.Process.Kill())
	require.Error(t, d.command.Wait())
	r.start().stop(syscall.SIGTERM)
}

func TestHelpAndVersion(t *testing.T) {
	r := newRig(t)
	out, err := r.command(r.program, "--help").Output()
	require.NoError(t, err)
	for _, flag := range []string{"--prefix DIR", "--root DIR", "--bridge NAME", "--version"} {
		assert.Contains(t, string(out), flag)
	}
	out, err = r.command(r.program, "--version").Output()
	require.NoError(t, err)
	assert.Equal(t, "virtlxcd-fake (libvirt) "+harness.Version()+"\n", string(out))
}
