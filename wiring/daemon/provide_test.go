package daemon

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/systemd"
	"virtlxcd/app/idle"
	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
)

// below is what the injector gets for a daemon below a prefix of its own, with the
// texts as its configuration files.
func below(t *testing.T, daemon, driver string) *inputs {
	t.Helper()
	config := Config{Prefix: t.TempDir(), Stderr: io.Discard}
	paths := config.paths()
	require.NoError(t, os.MkdirAll(filepath.Dir(paths.DaemonConfig), 0o755))
	require.NoError(t, os.WriteFile(paths.DaemonConfig, []byte(daemon), 0o600))
	require.NoError(t, os.WriteFile(paths.DriverConfig, []byte(driver), 0o600))
	in, err := load(config)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, in.out.Close()) })
	return in
}

func TestControllersShareTheDaemonsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a:b.log")
	in := below(t, `log_outputs = "3:stderr 1:file:`+path+` 4:syslog:x"`, "log_with_libvirtd = 1")
	open := in.sharedLog(newConfiguration(in))
	file, err := open()
	require.NoError(t, err)
	_, err = file.WriteString("from a controller\n")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	slog.New(in.out).Error("from the daemon")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(text), "from a controller\n"), "appended, not overwritten")
	assert.Contains(t, string(text), "from the daemon")

	require.NoError(t, os.Rename(path, path+".1"))
	file, err = open()
	require.NoError(t, err, "a start does not fail because the log was moved away")
	require.NoError(t, file.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
}

func TestControllersHaveTheirOwnLogUnlessTold(t *testing.T) {
	in := below(t, "", "log_with_libvirtd = 0")
	file, err := in.sharedLog(newConfiguration(in))()
	require.NoError(t, err)
	assert.Nil(t, file)
}

// TestStandardErrorThatIsASocket: under a service manager it is one, and no path leads
// to what is behind a socket.
func TestStandardErrorThatIsASocket(t *testing.T) {
	in := below(t, `log_outputs = "1:stderr"`, "log_with_libvirtd = 1")
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(ends[0])
	before, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	require.NoError(t, err)
	require.NoError(t, unix.Dup3(ends[1], 2, 0))
	require.NoError(t, unix.Close(ends[1]))
	file, err := in.sharedLog(newConfiguration(in))()
	require.NoError(t, errors.Join(unix.Dup3(before, 2, 0), unix.Close(before)))
	require.NoError(t, err)
	_, err = file.WriteString("complaint")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	said := make([]byte, 100)
	n, err := unix.Read(ends[0], said)
	require.NoError(t, err)
	assert.Equal(t, "complaint", string(said[:n]))
	n, err = unix.Read(ends[0], said)
	require.NoError(t, err)
	assert.Zero(t, n, "nothing of it is left open")
}

func TestUUIDOfTheHost(t *testing.T) {
	const uuid = "aaaaaaaa-0000-1111-2222-333333333333"
	host, err := newHost(below(t, `host_uuid = "`+strings.ToUpper(uuid)+`"`, ""))
	require.NoError(t, err)
	facts, err := host.Facts(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uuid, container.UUID(facts.UUID).String())

	in := below(t, "", "")
	in.daemon.HostUUID = "nonsense"
	_, err = newHost(in)
	require.Error(t, err)
}

// TestAPrefixKeepsTheHostsServicesOut: neither the registry of machines nor the lock
// against the host's going down is touched.
func TestAPrefixKeepsTheHostsServicesOut(t *testing.T) {
	in := below(t, "", "machined = 1")
	b := bus.New(bus.Options{Address: "unix:path=/nowhere/at/all"}, in.log)
	defer b.Close()
	lock, release := newInhibitor(in, b)
	defer release()
	assert.Nil(t, lock)
	delay, err := newHostPatience(lock).MaxDelay(t.Context())
	require.NoError(t, err)
	assert.Zero(t, delay, "the host waits as long as it takes")
	machines, release := newMachines(in, b, nil)
	defer release()
	assert.Empty(t, machines.Place(t.Context(), "machine", "vlxweb"), "no unit is made")
}

func TestWhoDecidesAboutRights(t *testing.T) {
	assert.False(t, below(t, "", "").fineGrained())
	assert.False(t, below(t, `access_drivers = ["none"]`, "").fineGrained())
	assert.True(t, below(t, `access_drivers = ["none", "polkit"]`, "").fineGrained())
}

// TestGroupsOfPrefixes: two daemons below different prefixes never share a control
// group, and a daemon finds its own again.
func TestGroupsOfPrefixes(t *testing.T) {
	assert.Empty(t, groupBase(""), "the host's own")
	one, other := groupBase("/srv/one"), groupBase("/srv/other")
	assert.Regexp(t, `^/vlx-[0-9a-f]{8}$`, one)
	assert.NotEqual(t, one, other)
	assert.Equal(t, one, groupBase("/srv/one"))
}

type stubborn struct{ err error }

func (s stubborn) Close() error { return s.err }

func TestWhatDoesNotCloseIsNamed(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	closing(log, "links", stubborn{})()
	assert.Empty(t, said.String())
	closing(log, "links", stubborn{errors.New("stuck")})()
	assert.Contains(t, said.String(), "what=links error=stuck")
}

// TestPresence: the service manager sees how many containers run, and the daemon is
// idle when none does.
func TestPresence(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", address)
	watch := idle.New(time.Nanosecond)
	watch.Occupied(1)
	change := newOptions(watch, nil, systemd.NewNotifier(slog.New(slog.DiscardHandler))).Occupied
	status := func() string {
		text := make([]byte, 100)
		n, err := socket.Read(text)
		require.NoError(t, err)
		return string(text[:n])
	}
	change(1)
	assert.Equal(t, "STATUS=1 container runs", status())
	watch.Occupied(-1)
	change(2)
	assert.Equal(t, "STATUS=3 containers run", status())
	select {
	case <-watch.Expired():
		t.Fatal("containers run")
	default:
	}
	change(-3)
	assert.Equal(t, "STATUS=0 containers run", status())
	<-watch.Expired()
}

func TestObeyTurnsTheRepetitionOfAuditRecordsOn(t *testing.T) {
	in := below(t, "audit_level = 0", "")
	var said bytes.Buffer
	in.log = slog.New(slog.NewTextHandler(&said, nil))
	trail, release, err := newAudit(in)
	require.NoError(t, err)
	defer release()
	obey := newObey(trail)
	for _, on := range []bool{false, true, false} {
		said.Reset()
		obey(settings.Daemon{AuditLogging: on})
		trail.Record(audit.Record{Success: true})
		assert.Equal(t, on, strings.Contains(said.String(), "success=yes"))
	}
}
