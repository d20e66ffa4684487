package stage

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// prepared runs a list that must succeed and closes its slots with the test.
func prepared(t *testing.T, slots int, list ...step.Op) []int {
	t.Helper()
	needRoot(t)
	filled, failure := prepare(&step.Script{Slots: slots, Prepare: list})
	require.Equal(t, hold.Failure{}, failure)
	t.Cleanup(func() { closeAll(filled) })
	return filled
}

func statAt(t *testing.T, dir int, name string) (status unix.Stat_t) {
	t.Helper()
	require.NoError(t, unix.Fstatat(dir, name, &status, unix.AT_SYMLINK_NOFOLLOW|unix.AT_EMPTY_PATH))
	return status
}

// zeroMask gives this test's thread the umask of a controller.
func zeroMask(t *testing.T) {
	private(t) // a umask is shared with the root and the working directory (CLONE_FS)
	unix.Umask(0)
}

func TestADeviceDirectory(t *testing.T) {
	zeroMask(t)
	dev := prepared(t, 1,
		step.Op{Code: step.NewMount, Source: "tmpfs", Data: "mode=755,size=65536", Flags: step.NoSUID},
		step.Op{Code: step.MakeNode, Path: "null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3, UID: 7, GID: 8},
		step.Op{Code: step.MakeNode, Path: "console", Mode: unix.S_IFREG | 0o600},
		step.Op{Code: step.MakeDir, Path: "shm", Mode: 0o1777, UID: 9},
		step.Op{Code: step.MakeLink, Path: "fd", Source: "/proc/self/fd"},
		step.Op{Code: step.Owner, UID: 5, GID: 6, Words: []string{"fd", "missing"}})[0]
	null := statAt(t, dev, "null")
	assert.EqualValues(t, unix.S_IFCHR|0o666, null.Mode)
	assert.Equal(t, unix.Mkdev(1, 3), null.Rdev)
	assert.Equal(t, []uint32{7, 8}, []uint32{null.Uid, null.Gid})
	console := statAt(t, dev, "console")
	assert.EqualValues(t, unix.S_IFREG|0o600, console.Mode)
	assert.Zero(t, console.Uid)
	shm := statAt(t, dev, "shm")
	assert.EqualValues(t, unix.S_IFDIR|0o1777, shm.Mode)
	assert.EqualValues(t, 9, shm.Uid)
	link, root := statAt(t, dev, "fd"), statAt(t, dev, "")
	assert.Equal(t, []uint32{5, 6}, []uint32{link.Uid, link.Gid}, "the link, not what it leads to")
	assert.Equal(t, []uint32{5, 6}, []uint32{root.Uid, root.Gid})
	assert.EqualValues(t, unix.S_IFDIR|0o755, root.Mode)
}

// TestOptions: a flag is not a key with an empty value.
func TestOptions(t *testing.T) {
	needRoot(t)
	for options, want := range map[string]error{
		"": nil, "mode=0620,ptmxmode=0666,gid=5": nil, "newinstance,mode=0620": nil, "mode=0620,newinstance": nil,
		"mode=": unix.EINVAL, "mode": unix.EINVAL, "newinstance=1": unix.EINVAL, "vlx=1": unix.EINVAL, "gid=x": unix.EINVAL,
	} {
		before := descriptors(t)
		mount, err := newMount("devpts", options, 0)
		assert.Equal(t, want, err, "%q", options)
		if err == nil {
			unix.Close(mount)
		}
		assert.Equal(t, before, descriptors(t), "%q", options)
	}
	_, err := newMount("vlxfs", "", 0)
	assert.Equal(t, unix.ENODEV, err)
}

func TestTerminals(t *testing.T) {
	slots := prepared(t, 3,
		step.Op{Code: step.NewMount, Source: "devpts", Data: "mode=0620,ptmxmode=0666,gid=5"},
		step.Op{Code: step.OpenTerminal, Slot: 1, Value: 0, Mode: 0o600, UID: 7, GID: 8},
		step.Op{Code: step.OpenTerminal, Slot: 2, Value: 0, Mode: 0o620, GID: 5})
	first, second := statAt(t, slots[0], "0"), statAt(t, slots[0], "1")
	assert.EqualValues(t, unix.S_IFCHR|0o600, first.Mode)
	assert.Equal(t, []uint32{7, 8}, []uint32{first.Uid, first.Gid})
	assert.EqualValues(t, unix.S_IFCHR|0o620, second.Mode)

	slave, err := unix.Openat(slots[0], "0", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	require.NoError(t, err, "it is unlocked")
	defer unix.Close(slave)
	_, err = unix.Write(slave, []byte("x"))
	require.NoError(t, err)
	one := make([]byte, 8)
	n, err := unix.Read(slots[1], one)
	require.NoError(t, err)
	assert.Equal(t, "x", string(one[:n]))
	_, err = unix.Read(slots[1], one)
	assert.Equal(t, unix.EAGAIN, err, "a controller never blocks on it")
}

func TestAClonedTree(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.MkdirAll(dir+"/from/below", 0o755))
	require.NoError(t, attach(tree(t), dir+"/from/below"))
	slots := prepared(t, 2,
		step.Op{Code: step.OpenTree, Path: dir + "/from"},
		step.Op{Code: step.OpenTree, Path: dir + "/from", Slot: 1, Flags: step.Recursive},
		step.Op{Code: step.SetAttributes, Slot: 1, Flags: step.ReadOnly | step.Recursive})
	_, err := unix.Openat(slots[0], "below/here", unix.O_RDONLY, 0)
	assert.Equal(t, unix.ENOENT, err, "only the top mount")
	assert.EqualValues(t, unix.S_IFREG|0o644, statAt(t, slots[1], "below/here").Mode)
	assert.Equal(t, unix.EROFS, unix.Mkdirat(slots[1], "below/new", 0o755), "read-only to the bottom")
	assert.NoError(t, unix.Mkdirat(slots[0], "new", 0o755))
	assert.NoError(t, unix.Mkdir(dir+"/from/below/new", 0o755), "the original is as it was")
	assert.NoError(t, setAttributes(slots[1], step.Recursive), "nothing to set")
}

// TestPrepareThatFails names the operation and leaves nothing open.
func TestPrepareThatFails(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o644))
	require.NoError(t, os.Symlink("loop", dir+"/loop"))
	root := step.Op{Code: step.OpenTree, Path: dir}
	dev := step.Op{Code: step.NewMount, Source: "tmpfs", Slot: 1}
	for name, row := range map[string]struct {
		op   step.Op
		want unix.Errno
	}{
		"missing source":            {step.Op{Code: step.OpenTree, Path: dir + "/missing", Slot: 2}, unix.ENOENT},
		"source below a file":       {step.Op{Code: step.OpenTree, Path: dir + "/file/x", Slot: 2}, unix.ENOTDIR},
		"a link to itself":          {step.Op{Code: step.OpenTree, Path: dir + "/loop", Slot: 2}, unix.ELOOP},
		"unknown filesystem":        {step.Op{Code: step.NewMount, Source: "vlxfs", Slot: 2}, unix.ENODEV},
		"unknown option":            {step.Op{Code: step.NewMount, Source: "tmpfs", Data: "vlx=1", Slot: 2}, unix.EINVAL},
		"bad option":                {step.Op{Code: step.NewMount, Source: "tmpfs", Data: "size=many", Slot: 2}, unix.EINVAL},
		"attributes of nothing":     {step.Op{Code: step.SetAttributes, Flags: step.ReadOnly, Slot: 2}, unix.EBADF},
		"a slot that is full":       {step.Op{Code: step.OpenTree, Path: dir, Slot: 1}, unix.EEXIST},
		"a full one, from nothing":  {step.Op{Code: step.OpenTree, Path: dir + "/missing"}, unix.EEXIST},
		"node in nothing":           {step.Op{Code: step.MakeNode, Path: "null", Mode: unix.S_IFCHR, Slot: 2}, unix.EBADF},
		"node that is there":        {step.Op{Code: step.MakeNode, Path: "file", Mode: unix.S_IFREG}, unix.EEXIST},
		"node of no kind":           {step.Op{Code: step.MakeNode, Path: "odd", Mode: unix.S_IFDIR, Slot: 1}, unix.EPERM},
		"directory in a missing":    {step.Op{Code: step.MakeDir, Path: "a/b", Slot: 1}, unix.ENOENT},
		"directory that is there":   {step.Op{Code: step.MakeDir, Path: "file"}, unix.EEXIST},
		"link that is there":        {step.Op{Code: step.MakeLink, Path: "file", Source: "x"}, unix.EEXIST},
		"terminal without devpts":   {step.Op{Code: step.OpenTerminal, Slot: 2, Value: 1}, unix.ENOENT},
		"terminal in nothing":       {step.Op{Code: step.OpenTerminal, Slot: 2, Value: 2}, unix.EBADF},
		"owner of nothing":          {step.Op{Code: step.Owner, Slot: 2}, unix.EBADF},
		"name that cannot be":       {step.Op{Code: step.Owner, Words: []string{"file/x"}}, unix.ENOTDIR},
		"an operation of Enter":     {step.Op{Code: step.Exec, Path: "/bin/sh"}, unix.ENOSYS},
		"an operation yet to be":    {step.Op{Code: step.Code(200)}, unix.ENOSYS},
		"no operation":              {step.Op{}, unix.ENOSYS},
		"a path with a zero in it":  {step.Op{Code: step.OpenTree, Path: "/\x00", Slot: 2}, unix.EINVAL},
		"an owner that none can be": {step.Op{Code: step.MakeDir, Path: "x", Mode: 0o755, UID: math.MaxUint32 - 1, Slot: 1}, 0},
	} {
		before := descriptors(t)
		slots, failure := prepare(&step.Script{Slots: 3, Prepare: step.List{root, dev, row.op, {Code: step.Exec}}})
		want := hold.Failure{Index: 2, Errno: uint32(row.want)}
		if row.want == 0 {
			want = hold.Failure{Index: 3, Errno: uint32(unix.ENOSYS)} // this one went well
		}
		assert.Equal(t, want, failure, name)
		assert.Nil(t, slots, name)
		assert.Equal(t, before, descriptors(t), name)
	}
}
