package settings

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("VLX_PIDFILE"); path != "" {
		holdPIDFile(path)
		return
	}
	os.Exit(m.Run())
}

// holdPIDFile is the other daemon: it holds the file until its input ends.
func holdPIDFile(path string) {
	p, err := AcquirePIDFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin)
	p.Close()
}

func TestPathsOfTheHost(t *testing.T) {
	p := PathsBelow("")
	assert.Equal(t, "/etc/libvirt/virtlxcd.conf", p.DaemonConfig)
	assert.Equal(t, "/etc/libvirt/lxc", p.Definitions)
	assert.Equal(t, "/etc/libvirt/lxc/autostart", p.Autostart)
	assert.Equal(t, "/run/libvirt/virtlxcd-sock", p.Socket)
	assert.Equal(t, "/run/libvirt/virtlxcd-sock-ro", p.ReadOnly)
	assert.Equal(t, "/run/libvirt/virtlxcd-admin-sock", p.Admin)
	assert.Equal(t, "/run/virtlxcd.pid", p.PIDFile)
	assert.Equal(t, "/run/libvirt/lxc", p.State)
	assert.Equal(t, "/var/log/libvirt/lxc", p.Log)
	assert.Equal(t, "/var/log/libvirt/virtlxcd.log", p.DaemonLog)
}

func TestEveryPathIsBelowThePrefix(t *testing.T) {
	host, moved := reflect.ValueOf(PathsBelow("")), reflect.ValueOf(PathsBelow("/tmp/vlx/"))
	seen := map[string]bool{}
	for i := range host.NumField() {
		path := host.Field(i).String()
		assert.True(t, filepath.IsAbs(path), path)
		assert.Equal(t, "/tmp/vlx"+path, moved.Field(i).String())
		assert.False(t, seen[path], "%s stands for two things", path)
		seen[path] = true
	}
}

func TestPIDFile(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "run", "vlx.pid")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("12345678901234567890\n"), 0o600))
	p, err := AcquirePIDFile(path)
	require.NoError(t, err, "a leftover is taken over")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(os.Getpid()), string(text))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 0o644, info.Mode())
	require.NoError(t, p.Close())
	assert.NoFileExists(t, path)
}

func TestSecondDaemonIsToldWhoRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vlx.pid")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "VLX_PIDFILE="+path)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked", strings.TrimSpace(line))

	_, err = AcquirePIDFile(path)
	require.ErrorIs(t, err, fault.Busy)
	assert.ErrorContains(t, err, "process "+strconv.Itoa(cmd.Process.Pid))
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	p, err := AcquirePIDFile(path)
	require.NoError(t, err)
	require.NoError(t, p.Close())
}

func TestPIDFileThatLostItsNameIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vlx.pid")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Remove(path))
	current, err := (&PIDFile{file: f, path: path}).take()
	require.NoError(t, err)
	assert.False(t, current)
}

func TestPIDFileInTheWay(t *testing.T) {
	dir := t.TempDir()
	_, err := AcquirePIDFile(dir)
	require.ErrorIs(t, err, fault.System)
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("/nowhere", link))
	_, err = AcquirePIDFile(link)
	require.ErrorIs(t, err, fault.System)
}
