package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// subject is a daemon to be measured.
// Both daemons are used through what they have in common: a socket and its protocol.
type subject struct {
	socket     string    // where clients of full rights connect
	command    *exec.Cmd // started once
	log        string    // what it says; shown if it does not come up
	controller string    // a part of the command line of its controllers
}

// newOurs is virtlxcd as built beside this program.
// --prefix moves every path of it below dir.
func newOurs(dir string) *subject {
	self, _ := os.Readlink("/proc/self/exe")
	program := filepath.Join(filepath.Dir(self), "virtlxcd")
	return &subject{
		socket:  filepath.Join(dir, "run/libvirt/virtlxcd-sock"),
		command: exec.Command(program, "--prefix", dir), log: filepath.Join(dir, "ours.log"),
		controller: "--name vlx",
	}
}

// newOriginal is libvirtd with its LXC driver, nil if it is not installed. Nobody has to
// authenticate: there is no polkit in here, and it is not what is measured.
// LXC support is a package of its own in distributions, hence the second look.
func newOriginal(dir string) *subject {
	program, err := exec.LookPath("libvirtd")
	if err != nil {
		return nil
	}
	if _, err := os.Stat("/usr/lib/libvirt/libvirt_lxc"); err != nil {
		return nil
	}
	config := filepath.Join(dir, "libvirtd.conf")
	os.WriteFile(config, []byte("auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n"), 0o600)
	return &subject{
		socket: "/run/libvirt/libvirt-sock", command: exec.Command(program, "-f", config),
		log: filepath.Join(dir, "original.log"), controller: "--name vlx",
	}
}

// start runs the daemon until it answers. It tries to connect every 20 ms: the original
// gives no sign that can be waited for. A daemon dies with this process.
// What the daemon logs goes into a file; the error shows it all when it does not come.
// It may be called once, as its command can be started once.
func (s *subject) start() error {
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	s.command.Stdout, s.command.Stderr = log, log
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.command.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", s.socket)
		if err == nil {
			return conn.Close()
		}
	}
	text, _ := os.ReadFile(s.log)
	return fmt.Errorf("%s does not answer: %s", s.command.Path, text)
}

// stop waits for the daemon. Containers it leaves end with the pid namespace.
// It is asked to end in good order. Its exit status is no figure.
func (s *subject) stop() {
	s.command.Process.Signal(syscall.SIGTERM)
	s.command.Wait()
}

// controllers lists the processes that hold containers, by the command lines that both
// daemons give them.
// It looks at all processes, which are those of this pid namespace.
func (s *subject) controllers() (pids []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, entry := range entries {
		line, _ := os.ReadFile(entry)
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if strings.Contains(text, "libvirt_lxc") && strings.Contains(text, s.controller) {
			pids = append(pids, filepath.Base(filepath.Dir(entry)))
		}
	}
	return pids
}

// memory is the proportional set size of a process in KiB (proc(5), smaps_rollup).
// 0 is also for a process that is gone or a kernel that has no such file.
func memory(pid string) (kib float64) {
	file, err := os.Open("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return 0
	}
	defer file.Close()
	text, _ := io.ReadAll(file)
	for line := range strings.Lines(string(text)) {
		if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kib); n == 1 {
			return kib
		}
	}
	return 0
}
