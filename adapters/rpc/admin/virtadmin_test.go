package admin

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/domain/fault"
)

// listen serves a server on a socket of its own until the test ends.
func listen(t testing.TB, server *rpc.Server, name string) string {
	path := filepath.Join(t.TempDir(), name)
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener, rpc.Socket{}) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close(context.Background()))
		require.NoError(t, <-done)
	})
	return path
}

// virtAdmin is the real client, talking to a stage.
type virtAdmin struct {
	t      *testing.T
	path   string
	socket string
	*stage
}

func newVirtAdmin(t *testing.T) *virtAdmin {
	path, err := exec.LookPath("virt-admin")
	if err != nil {
		t.Skip("needs virt-admin")
	}
	s := newStage(t)
	return &virtAdmin{t: t, path: path, stage: s, socket: listen(t, s.admin, "admin-sock")}
}

// run runs one command and returns what it printed, without trailing blanks.
func (v *virtAdmin) run(args ...string) (output string, err error) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, v.path,
		append([]string{"-c", "virtlxcd:///system?socket=" + v.socket}, args...)...)
	command.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "HOME="+v.t.TempDir())
	printed, err := command.CombinedOutput()
	return strings.TrimSpace(regexp.MustCompile(` +\n`).ReplaceAllString(string(printed), "\n")), err
}

// prints checks what a command prints when it succeeds.
func (v *virtAdmin) prints(want string, args ...string) {
	v.t.Helper()
	printed, err := v.run(args...)
	require.NoError(v.t, err, printed)
	assert.Equal(v.t, strings.TrimSpace(want), printed, args)
}

// fails checks what a command prints when it does not.
func (v *virtAdmin) fails(want string, args ...string) {
	v.t.Helper()
	printed, err := v.run(args...)
	require.Error(v.t, err, printed)
	assert.Equal(v.t, strings.TrimSpace(want), printed, args)
}

func TestVirtAdminServers(t *testing.T) {
	v := newVirtAdmin(t)
	v.prints("virtlxcd:///system?socket="+v.socket, "uri")
	printed, err := v.run("version")
	require.NoError(t, err, printed)
	assert.Contains(t, printed, "Running against daemon: 9.0.0")
	v.prints(`
 Id   Name
----------------
 0    virtlxcd
 1    admin`, "server-list")
	v.fails("error: Server not found: No server named 'nobody'", "server-threadpool-info", "nobody")
	v.fails("error: Unable to update server's tls related files.\n"+
		"error: internal error: no tls service found, unable to update tls files", "server-update-tls", "virtlxcd")
}

func TestVirtAdminWorkers(t *testing.T) {
	v := newVirtAdmin(t)
	info := func(low, high, now, free, prio int) string {
		return fmt.Sprintf(`
minWorkers     : %d
maxWorkers     : %d
nWorkers       : %d
freeWorkers    : %d
prioWorkers    : %d
jobQueueDepth  : 0`, low, high, now, free, prio)
	}
	v.prints(info(5, 20, 5, 5, 5), "server-threadpool-info", "virtlxcd")
	v.prints(info(5, 20, 5, 5, 0), "server-threadpool-info", "admin")
	v.prints("", "server-threadpool-set", "virtlxcd", "--max-workers", "30", "--priority-workers", "7")
	v.prints("", "server-threadpool-set", "virtlxcd", "--min-workers", "6")
	v.prints(info(6, 30, 6, 6, 7), "server-threadpool-info", "virtlxcd")
	v.fails("error: Unable to change server workerpool parameters\n"+
		"error: invalid argument: minWorkers cannot be larger than maxWorkers",
		"server-threadpool-set", "virtlxcd", "--min-workers", "31")
	assert.Contains(t, v.log.String(), `msg="workers changed" server=virtlxcd min=6 max=30 prio=7 uid=`)
}

func TestVirtAdminLimits(t *testing.T) {
	v := newVirtAdmin(t)
	info := func(most, now, anonymous int) string {
		return fmt.Sprintf(`
nclients_max        : %d
nclients            : %d
nclients_unauth_max : %d
nclients_unauth     : 0`, most, now, anonymous)
	}
	v.prints(info(5000, 0, 20), "server-clients-info", "virtlxcd")
	v.prints(info(5000, 1, 0), "server-clients-info", "admin")
	v.prints("", "server-clients-set", "virtlxcd", "--max-clients", "7", "--max-unauth-clients", "7")
	v.prints(info(7, 0, 7), "server-clients-info", "virtlxcd")
	v.fails("error: Unable to change server's client-related configuration limits\n"+
		"error: invalid argument: nclients_unauth_max cannot be larger than nclients_max",
		"server-clients-set", "virtlxcd", "--max-clients", "6")
	assert.Equal(t, rpc.Clients{Max: 7, MaxAnonymous: 7}, v.main.Clients())
}

func TestVirtAdminClients(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, whose name is known")
	}
	v := newVirtAdmin(t)
	conn, err := net.Dial("unix", listen(t, v.main, "sock"))
	require.NoError(t, err)
	defer conn.Close()
	require.Eventually(t, func() bool { return v.main.Session(1) != nil }, patience, time.Millisecond)
	since := v.main.Session(1).Since().UTC().Format("2006-01-02 15:04:05-0700")
	v.prints(`
 Id   Transport   Connected since
--------------------------------------------
 1    unix        `+since, "client-list", "virtlxcd")
	v.prints(fmt.Sprintf(`
id             : 1
connection_time: %s
transport      : unix
readonly       : no
unix_user_id   : 0
unix_user_name : root
unix_group_id  : 0
unix_group_name: root
unix_process_id: %d`, since, os.Getpid()), "client-info", "virtlxcd", "1")
	v.fails("error: Client not found: No client with matching ID '2'", "client-info", "virtlxcd", "2")
	v.prints("Client '1' disconnected", "client-disconnect", "virtlxcd", "1")
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = conn.Read(make([]byte, 1))
	require.EqualError(t, err, "EOF")
	require.Eventually(t, func() bool { return v.main.Session(1) == nil }, patience, time.Millisecond)
	v.fails("error: Client not found: No client with matching ID '1'", "client-disconnect", "virtlxcd", "1")
	v.prints(`
 Id   Transport   Connected since
-----------------------------------`, "client-list", "virtlxcd")
}

func TestVirtAdminDaemon(t *testing.T) {
	v := newVirtAdmin(t)
	v.prints("Logging outputs: 2:stderr", "daemon-log-outputs")
	v.prints("Logging filters:", "daemon-log-filters")
	v.prints("", "daemon-log-filters", "--filters", "1:rpc 4:*")
	v.prints("Logging filters: 1:rpc 4:*", "daemon-log-filters")
	v.prints("", "daemon-log-outputs", "--outputs", "3:file:/tmp/x")
	v.prints("Logging outputs: 3:file:/tmp/x", "daemon-log-outputs")
	v.prints("", "daemon-log-filters", "--filters", "")
	v.prints("Logging filters:", "daemon-log-filters")
	v.daemon.refuse(fault.New(fault.InvalidArgument, fault.Host, "Invalid priority '9' for filter '9:x'"))
	v.fails("error: Unable to change daemon logging settings\n"+
		"error: invalid argument: Invalid priority '9' for filter '9:x'", "daemon-log-filters", "--filters", "9:x")
	v.prints("", "daemon-timeout", "--timeout", "77")
	assert.EqualValues(t, 77, *v.daemon.idle())
}

// TestVirtAdminDaemonShutdown uses a command that older clients lack.
func TestVirtAdminDaemonShutdown(t *testing.T) {
	v := newVirtAdmin(t)
	if printed, err := v.run("help", "daemon-shutdown"); err != nil {
		t.Skip("needs a virt-admin that has daemon-shutdown: ", printed)
	}
	v.prints("", "daemon-shutdown", "--preserve")
	assert.True(t, <-v.daemon.shutdown)
}
