// Package real tests the daemon as users meet it: its own binaries, the stock
// virsh, and a kernel. Every test has a daemon of its own below a short prefix,
// in a network namespace of its own, and fails if anything is left behind.
package real

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries is the directory of the programs under test, empty if they were not
// built because the tests cannot run.
var binaries string

// missing says what this host lacks, empty if nothing.
var missing = lacks()

func lacks() string {
	if os.Geteuid() != 0 {
		return "root: makes namespaces, mounts and control groups"
	}
	for program, pack := range map[string]string{"virsh": "libvirt-clients", "busybox": "busybox-static", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("%s (package %s)", program, pack)
		}
	}
	return ""
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if missing != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "vlx")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	command := exec.Command("go", "build", "-trimpath", "-o", dir, "virtlxcd/cmd/virtlxcd", "virtlxcd/cmd/libvirt_lxc")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	binaries = dir
	return m.Run()
}

// need skips a test that cannot run here.
func need(t *testing.T) {
	t.Helper()
	if missing != "" {
		t.Skip("needs " + missing)
	}
}

func program(name string) string { return filepath.Join(binaries, name) }
