package real

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

const groupRoot = "/sys/fs/cgroup"

// hierarchies are the directories below which control groups are.
func hierarchies() (dirs []string) {
	if _, err := os.Stat(filepath.Join(groupRoot, "cgroup.controllers")); err == nil {
		return []string{groupRoot}
	}
	entries, _ := os.ReadDir(groupRoot)
	for _, entry := range entries {
		if entry.IsDir() {
			dirs = append(dirs, filepath.Join(groupRoot, entry.Name()))
		}
	}
	return dirs
}

// groups are all control groups of the machine, deepest last.
func (m *machine) groups() (paths []string) {
	for _, dir := range hierarchies() {
		_ = filepath.WalkDir(filepath.Join(dir, m.groupBase()), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				paths = append(paths, path)
			}
			return nil // groups vanish while one looks
		})
	}
	return paths
}

// containerGroups are those made for containers.
func (m *machine) containerGroups() []string {
	return slices.DeleteFunc(m.groups(), func(path string) bool { return !strings.Contains(path, ".libvirt-lxc") })
}

// members are the processes in all groups of the machine.
func (m *machine) members() (pids []int) {
	for _, group := range m.groups() {
		content, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for _, field := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil && !slices.Contains(pids, pid) {
				pids = append(pids, pid)
			}
		}
	}
	return slices.DeleteFunc(pids, func(pid int) bool { return m.daemon != nil && pid == m.daemon.Process.Pid })
}

// holder is a controller process of the machine.
type holder struct {
	pid    int
	socket string
	spare  bool // holds nothing yet
}

// holders are found by their control socket below the prefix. One that holds a
// container has its name on the command line.
func (m *machine) holders() (found []holder) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		line, _ := os.ReadFile(path)
		_, rest, ours := strings.Cut(string(line), "--socket\x00"+m.prefix+"/")
		if !ours {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		socket, _, _ := strings.Cut(rest, "\x00")
		found = append(found, holder{pid, "/" + socket, !strings.Contains(string(line), "--name\x00")})
	}
	return found
}

// controllers are the processes that hold containers.
func (m *machine) controllers() (pids []int) {
	for _, h := range m.holders() {
		if !h.spare {
			pids = append(pids, h.pid)
		}
	}
	return pids
}

// mounts are those of the test's own mount namespace below the prefix.
func (m *machine) mounts() (found []string) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.Contains(lines.Text(), m.prefix) {
			found = append(found, lines.Text())
		}
	}
	return found
}

// runtimeFiles are the traces of running containers below the state directory.
func (m *machine) runtimeFiles() (found []string) {
	state := filepath.Join(m.prefix, "run/libvirt/lxc")
	_ = filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err == nil && !entry.IsDir() && name != "autostarted" && name != "driver.pid" {
			found = append(found, strings.TrimPrefix(path, m.prefix))
		}
		return nil
	})
	return found
}

// links are the names of links in the machine's network namespace, less lo.
func (m *machine) links() (names []string) {
	for _, line := range strings.Split(m.ip("-o", "link"), "\n") {
		if fields := strings.SplitN(line, ": ", 3); len(fields) == 3 && fields[1] != "lo" {
			name, _, _ := strings.Cut(fields[1], "@")
			names = append(names, name)
		}
	}
	return names
}

// leftovers says what of containers is left, one line each. A daemon may keep
// one controller in reserve.
func (m *machine) leftovers() (found []string) {
	var spare holder
	for _, h := range m.holders() {
		if h.spare && spare.pid == 0 && m.daemon != nil {
			spare = h
			continue
		}
		found = append(found, fmt.Sprintf("controller %d: %s", h.pid, describe(h.pid)))
	}
	found = append(found, m.containerGroups()...)
	for _, pid := range m.members() {
		if pid != spare.pid {
			found = append(found, fmt.Sprintf("process %d in a control group: %s", pid, describe(pid)))
		}
	}
	found = append(found, m.mounts()...)
	for _, file := range m.runtimeFiles() {
		if file != spare.socket {
			found = append(found, file)
		}
	}
	for _, name := range m.links() {
		if strings.HasPrefix(name, "vnet") {
			found = append(found, "link "+name)
		}
	}
	return found
}

func describe(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(line), "\x00", " ")
}

// clean asserts that nothing is left of any container. Controllers end and
// network namespaces go a moment after the daemon has answered.
func (m *machine) clean() {
	m.t.Helper()
	var left []string
	if !assert.Eventually(m.t, func() bool { left = m.leftovers(); return len(left) == 0 }, patience, 5e6) {
		m.t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// end takes the machine down; everything that is then left is a failure.
func (m *machine) end() {
	if m.daemon != nil && !m.t.Failed() {
		m.destroyAll()
		m.clean()
		m.stop()
		m.clean()
		for _, name := range []string{"run/virtlxcd.pid", "run/libvirt/virtlxcd-sock", "run/libvirt/virtlxcd-sock-ro"} {
			assert.NoFileExists(m.t, filepath.Join(m.prefix, name))
		}
	}
	if m.daemon != nil {
		_ = m.daemon.Process.Kill()
		_ = m.daemon.Wait()
		m.daemon = nil
	}
	m.sweep()
}

func (m *machine) destroyAll() {
	for _, name := range strings.Fields(m.virsh("list", "--name")) {
		out, err := m.try("destroy", name)
		assert.NoError(m.t, err, out)
	}
}

// sweep ends what a failed test left running, and removes the control groups.
func (m *machine) sweep() {
	left := m.members()
	for _, h := range m.holders() {
		left = append(left, h.pid)
	}
	for _, pid := range left {
		assert.True(m.t, m.t.Failed(), "process %d (%s) is left", pid, describe(pid))
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	m.eventually("the control groups to go", func() bool {
		groups := m.groups()
		for _, group := range slices.Backward(groups) {
			_ = unix.Rmdir(group)
		}
		return len(groups) == 0
	})
}
