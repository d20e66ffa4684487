package proc

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/host"
)

// replace changes a file as the kernel does: readers see the old or the new text.
func replace(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
}

// TestFactsWhileProcessorsComeAndGo: each answer is of one moment.
func TestFactsWhileProcessorsComeAndGo(t *testing.T) {
	const online = "sys/devices/system/cpu/online"
	root := lay(t, map[string]string{online: "0\n", "sys/devices/system/cpu/present": "0-3\n", "proc/meminfo": "MemTotal: 8 kB\n"})
	h := New(root)
	over := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				found, err := h.Facts(context.Background())
				if !assert.NoError(t, err) {
					return
				}
				assert.Len(t, found.Cells[0].CPUs, found.CPUs)
				assert.Contains(t, []int{1, 4}, found.CPUs)
				assert.Equal(t, 4, found.Nodes*found.Sockets*found.Cores*found.Threads, "as many as are plugged in")
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	for range 100 {
		replace(t, filepath.Join(root, online), "0-3\n")
		replace(t, filepath.Join(root, online), "0\n")
	}
	close(over)
	group.Wait()
	found, err := h.Facts(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 1, found.CPUs, "the last change is seen")
}

// TestWhatIsReadOnceStays, though the files say something else by now.
func TestWhatIsReadOnceStays(t *testing.T) {
	const id, table = "proc/sys/kernel/random/boot_id", "proc/self/mountinfo"
	root := lay(t, map[string]string{id: "first\n", table: "30 23 0:30 / /sys/fs/cgroup rw - cgroup2 none rw\n"})
	h := New(root)
	for range 2 {
		found, err := h.Facts(context.Background())
		require.NoError(t, err)
		assert.Equal(t, "first", found.BootID)
		require.Len(t, found.Cgroups, 1)
		found.Cgroups[0].Name = "changed by whoever got it"
		replace(t, filepath.Join(root, id), "second\n")
		replace(t, filepath.Join(root, table), "")
	}
	found, err := h.Facts(context.Background())
	require.NoError(t, err)
	assert.Empty(t, found.Cgroups[0].Name)
}

// TestNodes: with processors only, with memory only, and with what is not online.
func TestNodes(t *testing.T) {
	const node, cpus = "sys/devices/system/node/", "sys/devices/system/cpu/"
	found := facts(t, lay(t, map[string]string{
		cpus + "online": "0-2\n", cpus + "present": "0-3\n", node + "online": "0,2-3\n", "proc/meminfo": "MemTotal: 99 kB\n",
		node + "node0/cpulist": "0-3\n", node + "node0/meminfo": "Node 0 MemTotal:       64 kB\nNode 0 MemFree: 1 kB\n", node + "node0/distance": "10 21 x\n",
		node + "node2/cpulist": "\n", node + "node2/meminfo": "Node 2 MemTotal:       35 kB\n", node + "node2/distance": "21 10 31\n",
	}))
	one := func(id int) host.CPU { return host.CPU{ID: id, Siblings: string(rune('0' + id))} }
	assert.Equal(t, []host.Cell{
		{ID: 0, Memory: 64, CPUs: []host.CPU{one(0), one(1), one(2)}}, // what is offline is in no cell; half a list of distances is none
		{ID: 2, Memory: 35, CPUs: []host.CPU{}, Distances: []int{21, 10, 31}},
		{ID: 3, CPUs: []host.CPU{}}, // gone between the list and the look
	}, found.Cells)
	assert.Equal(t, []int{1, 1, 4, 1}, []int{found.Nodes, found.Sockets, found.Cores, found.Threads}, "irregular")
}

// FuzzInitLinks: wherever links lead, what is found is below the root, and a file.
func FuzzInitLinks(f *testing.F) {
	f.Add("../etc/real", "/sbin")
	f.Add("/bin/init", "usr/bin")
	f.Add("../../../../../etc/real", ".")
	f.Add("init", "..")
	f.Fuzz(func(t *testing.T, init, bin string) {
		root := lay(t, map[string]string{"etc/real": "", "usr/sbin/init": "", "usr/bin/init": ""})
		require.NoError(t, os.Mkdir(filepath.Join(root, "sbin"), 0o755))
		if os.Symlink(init, filepath.Join(root, "sbin/init")) != nil || os.Symlink(bin, filepath.Join(root, "bin")) != nil {
			return // no link can be made of it
		}
		h := New(root)
		paths := h.initPaths()
		assert.Contains(t, paths, "/usr/sbin/init", "a bad link is no reason to miss the rest")
		for _, found := range paths {
			assert.True(t, strings.HasPrefix(found, "/") && path.Clean(found) == found, "%q", found)
			dir, ok := h.resolve(path.Dir(found))
			require.True(t, ok, "%q", found)
			_, err := os.Lstat(root + path.Join(dir, path.Base(found)))
			assert.NoError(t, err, "%q", found)
		}
	})
}
