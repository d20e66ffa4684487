// Package bustest gives tests a bus of their own.
package bustest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
)

// configuration lets everybody do everything, on a socket in the test's folder.
const configuration = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=@SOCKET@</listen>
  <auth>EXTERNAL</auth>
  <servicedir>@SERVICES@</servicedir>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// Daemon is a message bus that lives in a test. Methods are for the test's
// goroutine.
type Daemon struct {
	Address  string
	Services string // folder for .service files
	config   string
	process  *exec.Cmd
}

// Start runs a bus until the test ends; it skips the test where there is no
// dbus-daemon. activatable names appear as such, though nothing would start.
func Start(t testing.TB, activatable ...string) *Daemon {
	t.Helper()
	d := Prepare(t, activatable...)
	d.Run(t)
	return d
}

// Prepare is Start without a running bus.
func Prepare(t testing.TB, activatable ...string) *Daemon {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("needs dbus-daemon: runs a message bus of its own")
	}
	dir, err := os.MkdirTemp("", "vlxbus") // a socket's path has to be short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Daemon{Address: "unix:path=" + dir + "/bus", Services: dir + "/services", config: dir + "/conf"}
	must(t, os.Mkdir(d.Services, 0o755))
	for _, name := range activatable {
		d.Activatable(t, name)
	}
	text := strings.NewReplacer("@SOCKET@", dir+"/bus", "@SERVICES@", d.Services).Replace(configuration)
	must(t, os.WriteFile(d.config, []byte(text), 0o600))
	t.Cleanup(func() { d.Stop(t) })
	return d
}

// Activatable makes a name look as if it could be started.
func (d *Daemon) Activatable(t testing.TB, name string) {
	t.Helper()
	text := "[D-BUS Service]\nName=" + name + "\nExec=/bin/false\nUser=root\n"
	must(t, os.WriteFile(filepath.Join(d.Services, name+".service"), []byte(text), 0o600))
}

// Run starts the bus and returns when it listens.
// It prints its address when it listens, which is what is waited for. The process dies
// with the test (PR_SET_PDEATHSIG), should that crash.
func (d *Daemon) Run(t testing.TB) {
	t.Helper()
	_ = os.Remove(strings.TrimPrefix(d.Address, "unix:path="))
	d.process = exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--print-address", "--config-file="+d.config)
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.process.StdoutPipe()
	must(t, err)
	must(t, d.process.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	must(t, err)
}

// Stop ends the bus. Stopping it twice is fine.
// Clients see the connection end, as when a bus crashes.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	if d.process == nil {
		return
	}
	_ = d.process.Process.Kill()
	_ = d.process.Wait()
	d.process = nil
}

// Signal sends the bus's process a signal.
func (d *Daemon) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	must(t, d.process.Process.Signal(signal))
}

// Connect returns a connection for the test itself, closed in the end.
func (d *Daemon) Connect(t testing.TB) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(d.Address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Own takes a name for conn.
// It fails the test if somebody has the name: nobody queues for it.
func Own(t testing.TB, conn *dbus.Conn, name string) {
	t.Helper()
	reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue)
	must(t, err)
	if reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("somebody owns %s already", name)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("a bus for the test: %v", err)
	}
}
