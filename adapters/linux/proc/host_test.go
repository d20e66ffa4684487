package proc

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/ports/porttest"
)

// tree lays out the files of an archive below a new directory. A file called
// "link X" becomes the link X, "want" stays out. Files of one line lose its end
// where the kernel's would have none; nothing here minds.
func tree(t *testing.T, archive *txtar.Archive) (root, want string) {
	t.Helper()
	root = t.TempDir()
	for _, file := range archive.Files {
		if file.Name == "want" {
			want = string(file.Data)
			continue
		}
		name, isLink := strings.CutPrefix(file.Name, "link ")
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if isLink {
			require.NoError(t, os.Symlink(strings.TrimSuffix(string(file.Data), "\n"), path))
		} else {
			require.NoError(t, os.WriteFile(path, file.Data, 0o644))
		}
	}
	return root, want
}

func TestFactsOfMachines(t *testing.T) {
	machines, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, machines)
	for _, machine := range machines {
		t.Run(filepath.Base(machine), func(t *testing.T) {
			archive, err := txtar.ParseFile(machine)
			require.NoError(t, err)
			root, text := tree(t, archive)
			want := new(host.Facts)
			require.NoError(t, json.Unmarshal([]byte(text), want))
			want.PageSizes[0].KiB = uint64(os.Getpagesize()) >> 10
			want.PageSizes[0].Count = want.Memory / want.PageSizes[0].KiB
			h := New(root)
			for range 2 {
				facts, err := h.Facts(context.Background())
				require.NoError(t, err)
				assert.Equal(t, strings.Split(normal(want), "\n"), strings.Split(normal(facts), "\n"))
			}
		})
	}
}

// normal prints facts so that empty and missing lists are alike.
func normal(facts *host.Facts) string {
	text, err := json.MarshalIndent(facts, "", " ")
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(text), "[]", "null")
}

func TestContract(t *testing.T) {
	porttest.TestHostInfo(t, func(*testing.T) porttest.HostInfoHarness {
		return porttest.HostInfoHarness{HostInfo: New("/")}
	})
	porttest.TestEntropy(t, func(*testing.T) porttest.EntropyHarness {
		return porttest.EntropyHarness{Entropy: NewEntropy()}
	})
}

func TestThisMachine(t *testing.T) {
	facts, err := New("").Facts(context.Background())
	require.NoError(t, err)
	hostname, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, hostname, facts.Hostname)
	assert.GreaterOrEqual(t, facts.Nodes*facts.Sockets*facts.Cores*facts.Threads, facts.CPUs)
	assert.NotEmpty(t, facts.Cells)
	names := map[string]bool{}
	for _, mount := range facts.Cgroups {
		assert.False(t, names[mount.Name], "%s is named twice", mount.Name)
		names[mount.Name] = true
	}
	for _, path := range facts.InitPaths {
		assert.FileExists(t, path)
	}
	if os.Geteuid() == 0 {
		assert.NotZero(t, facts.Capabilities)
	}
}

func TestNothingToRead(t *testing.T) {
	h := New(t.TempDir())
	facts, err := h.Facts(context.Background())
	require.NoError(t, err)
	assert.NotZero(t, facts.UUID, "a uuid there is always")
	assert.Zero(t, facts.Memory)
	assert.False(t, facts.NetNamespaces)
	assert.False(t, facts.UserNamespaces)
	assert.Empty(t, facts.Cgroups)
	assert.Empty(t, facts.InitPaths)
}

func TestChangesAreSeen(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/numa.txt")
	require.NoError(t, err)
	root, _ := tree(t, archive)
	h := New(root)
	first, err := h.Facts(context.Background())
	require.NoError(t, err)
	write := func(path, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	write("proc/sys/kernel/hostname", "renamed\n")
	write("sys/devices/system/cpu/online", "0-6\n")
	write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "7\n")
	write("sbin/telinit", "")
	second, err := h.Facts(context.Background())
	require.NoError(t, err)
	assert.Equal(t, "renamed", second.Hostname)
	assert.Equal(t, 7, second.CPUs)
	assert.Len(t, second.Cells[1].CPUs, 3)
	assert.EqualValues(t, 7, second.PageSizes[1].Count)
	assert.Contains(t, second.InitPaths, "/sbin/telinit")
	assert.Equal(t, 8, first.CPUs, "what was handed out stays")
}

func TestFactsAreShared(t *testing.T) {
	h := New("")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			facts, err := h.Facts(context.Background())
			if assert.NoError(t, err) && len(facts.Cells) > 0 {
				facts.Cells[0].Memory = 0
				facts.Cells[0].CPUs = append(facts.Cells[0].CPUs[:0], host.CPU{ID: 99})
			}
		})
	}
	group.Wait()
	facts, err := h.Facts(context.Background())
	require.NoError(t, err)
	assert.NotZero(t, facts.Cells[0].Memory)
	assert.NotEqual(t, 99, facts.Cells[0].CPUs[0].ID)
}

func TestEndedContext(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for ctx, kind := range map[context.Context]fault.Kind{cancelled: fault.Aborted, late: fault.Timeout} {
		_, err := New("").Facts(ctx)
		require.ErrorIs(t, err, kind)
	}
}

func BenchmarkFacts(b *testing.B) {
	h := New("")
	for b.Loop() {
		if _, err := h.Facts(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhoseUUID(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"sys/class/dmi/id/product_uuid": "11111111-2222-4333-8444-555555555555\n",
		"etc/machine-id":                "aaaaaaaabbbb4ccc8dddeeeeeeeeeeee\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), []byte(text), 0o644))
	}
	first := func(set [16]byte, installation bool) byte {
		h := New(root)
		h.SetUUID(set, installation)
		facts, err := h.Facts(context.Background())
		require.NoError(t, err)
		return facts.UUID[0]
	}
	assert.EqualValues(t, 0x11, first([16]byte{}, false), "the firmware's")
	assert.EqualValues(t, 0xaa, first([16]byte{}, true), "the installation's")
	assert.EqualValues(t, 0x77, first([16]byte{0x77}, true), "the administrator's")
}
