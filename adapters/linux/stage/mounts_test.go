package stage

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/domain/launch/step"
)

// tree makes a detached mount of a tmpfs with a file "here" in it.
func tree(t *testing.T) int {
	t.Helper()
	mount, err := newMount("tmpfs", "mode=755", 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(mount) })
	fd, err := unix.Openat(mount, "here", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	require.NoError(t, err)
	require.NoError(t, unix.Close(fd))
	return mount
}

// fileTree is a detached mount of a file.
func fileTree(t *testing.T) int {
	t.Helper()
	path := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o644))
	mount, err := openTree(path, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(mount) })
	return mount
}

func TestParent(t *testing.T) {
	for path, want := range map[string]string{"/a/b/c": "/a/b", "/a": "/", "/": "/", "": "/", "a": "/"} {
		assert.Equal(t, want, parent(path))
	}
}

func TestMakeDirsLeavesWhatIsThere(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, makeDirs(root+"/a/b/c"))
	require.NoError(t, makeDirs(root+"/a/b/c"))
	require.NoError(t, makeDirs("/"))
	require.NoError(t, os.WriteFile(root+"/file", nil, 0o600))
	assert.Equal(t, unix.ENOTDIR, makeDirs(root+"/file/below"))
	assert.Equal(t, unix.ENOTDIR, makeDirs(root+"/file/below/further"))
}

func TestAttachMakesWhatIsMissing(t *testing.T) {
	dir := private(t)
	require.NoError(t, attach(tree(t), dir+"/a/b"))
	assert.FileExists(t, dir+"/a/b/here")
	require.NoError(t, attach(fileTree(t), dir+"/c/d/file"))
	content, err := os.ReadFile(dir + "/c/d/file")
	require.NoError(t, err)
	assert.Equal(t, "content", string(content))
}

// TestAttachFollowsLinks: /var/run is a link to /run in most images. A relative
// one and one that leads out of the root end inside of it.
func TestAttachFollowsLinks(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.MkdirAll(dir+"/var", 0o755))
	require.NoError(t, os.Mkdir(dir+"/run", 0o755))
	require.NoError(t, os.Mkdir(dir+"/etc", 0o755))
	for link, to := range map[string]string{"/var/run": "/run", "/var/etc": "../../../../etc", "/var/lost": "/nowhere"} {
		require.NoError(t, os.Symlink(to, dir+link))
	}
	file := fileTree(t)
	inside(t, dir, func() {
		assert.NoError(t, attach(tree(t), "/var/run"))
		assert.NoError(t, attach(tree(t), "/var/etc"))
		assert.Equal(t, unix.ENOENT, attach(tree(t), "/var/lost"), "it leads nowhere, and nothing is made")
		assert.Equal(t, unix.ENOENT, attach(file, "/var/lost/file"))
	})
	assert.FileExists(t, dir+"/run/here")
	assert.FileExists(t, dir+"/etc/here")
	assert.NoDirExists(t, dir+"/nowhere")
}

func TestAttachSaysWhatDoesNotFit(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o644))
	require.NoError(t, os.Mkdir(dir+"/sub", 0o755))
	assert.Equal(t, unix.ENOTDIR, attach(tree(t), dir+"/file"))
	assert.Equal(t, unix.ENOTDIR, attach(tree(t), dir+"/file/below"))
	assert.Equal(t, unix.EISDIR, attach(fileTree(t), dir+"/sub"))
	assert.Equal(t, unix.EBADF, attach(-1, dir+"/sub"))
}

func TestAttachOnAReadOnlyFilesystem(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.Mkdir(dir+"/there", 0o755))
	require.NoError(t, protect(&step.Op{Path: dir, Flags: step.ReadOnly}))
	assert.Equal(t, unix.EROFS, attach(tree(t), dir+"/missing"))
	assert.Equal(t, unix.EROFS, attach(fileTree(t), dir+"/file"))
	assert.NoError(t, attach(tree(t), dir+"/there"), "a mount point that exists needs no writing")
}

// TestLinksAreRefusedWhileTheOldRootIsThere: see step.Pivot.
func TestLinksAreRefusedWhileTheOldRootIsThere(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.Symlink("../proc", dir+"/proc"))
	require.NoError(t, os.Symlink("there", dir+"/link"))
	require.NoError(t, os.Mkdir(dir+"/there", 0o755))
	e := &entering{oldRoot: 1000}
	for _, op := range []step.Op{
		{Code: step.Mount, Source: "proc", Path: dir + "/proc"},
		{Code: step.Bind, Source: dir + "/there", Path: dir + "/link"},
		{Code: step.Attach, Path: dir + "/link"},
	} {
		assert.Equal(t, unix.ELOOP, e.one(&op), op.Code)
	}
	e.oldRoot = -1
	assert.NoError(t, e.one(&step.Op{Code: step.Bind, Source: dir + "/there", Path: dir + "/link"}))
}

func TestMountOfAKernelFilesystem(t *testing.T) {
	dir := private(t)
	op := step.Op{Source: "tmpfs", Data: "mode=1777", Path: dir + "/a/shm", Flags: step.NoSUID | step.NoDev | step.Recursive}
	require.NoError(t, mount(&op))
	assert.ElementsMatch(t, []string{"rw", "nosuid", "nodev", "relatime"}, attributesOf(t, op.Path))
	info, err := os.Stat(op.Path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeDir|os.ModeSticky|0o777, info.Mode())

	unknown := step.Op{Source: "vlxfs", Path: dir + "/unknown"}
	assert.Equal(t, unix.ENODEV, mount(&unknown))
	unknown.Flags = step.Optional
	assert.NoError(t, mount(&unknown))
	bad := step.Op{Source: "tmpfs", Data: "vlx=1", Path: dir + "/bad", Flags: step.Optional}
	assert.Equal(t, unix.EINVAL, mount(&bad), "optional is about the type alone")
}

// attributesOf are those of the topmost mount at path (proc(5), mountinfo).
func attributesOf(t *testing.T, path string) (found []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[4] == path {
			found = strings.Split(fields[5], ",")
		}
	}
	return found
}

func TestBind(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.MkdirAll(dir+"/from/below", 0o755))
	require.NoError(t, attach(tree(t), dir+"/from/below"))

	plain := step.Op{Source: dir + "/from", Path: dir + "/plain", Flags: step.ReadOnly | step.NoExec}
	require.NoError(t, bind(&plain))
	assert.NoFileExists(t, dir+"/plain/below/here", "not what is mounted below")
	assert.ElementsMatch(t, []string{"ro", "noexec", "relatime"}, attributesOf(t, plain.Path))
	assert.Equal(t, unix.EROFS, unix.Mkdir(dir+"/plain/new", 0o755))
	assert.NoError(t, unix.Mkdir(dir+"/from/new", 0o755), "the original is as it was")

	deep := step.Op{Source: dir + "/from", Path: dir + "/deep", Flags: step.Recursive}
	require.NoError(t, bind(&deep))
	assert.FileExists(t, dir+"/deep/below/here")

	again := step.Op{Source: dir + "/plain", Path: dir + "/again", Flags: step.Writable}
	require.NoError(t, bind(&again))
	assert.NotContains(t, attributesOf(t, again.Path), "ro")
}

func TestBindOfWhatIsMissing(t *testing.T) {
	dir := private(t)
	before := descriptors(t)
	op := step.Op{Source: dir + "/missing", Path: dir + "/at"}
	assert.Equal(t, unix.ENOENT, bind(&op))
	op.Flags = step.Optional
	assert.NoError(t, bind(&op))
	assert.NoDirExists(t, op.Path)
	require.NoError(t, os.Mkdir(op.Source, 0o755))
	require.NoError(t, os.Symlink("/vlx/nowhere", dir+"/lost"))
	op.Path = dir + "/lost"
	assert.Equal(t, unix.ENOENT, bind(&op), "optional is about the source alone")
	assert.Equal(t, before, descriptors(t))
}

func TestProtectWantsAMountPoint(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.Mkdir(dir+"/sub", 0o755))
	assert.Equal(t, unix.EINVAL, protect(&step.Op{Path: dir + "/sub", Flags: step.ReadOnly}))
	assert.Equal(t, unix.ENOENT, protect(&step.Op{Path: dir + "/missing", Flags: step.ReadOnly}))
}

func TestUnmountTakesAllAway(t *testing.T) {
	dir := private(t)
	for range 3 {
		require.NoError(t, attach(tree(t), dir+"/stack"))
	}
	require.NoError(t, attach(tree(t), dir+"/stack/below"))
	require.NoError(t, unmount(dir+"/stack"))
	assert.NoFileExists(t, dir+"/stack/here")
	assert.NoError(t, unmount(dir+"/stack"), "a plain directory")
	assert.NoError(t, unmount(dir+"/missing"))

	require.NoError(t, attach(tree(t), dir+"/kept"))
	require.NoError(t, os.Symlink("kept", dir+"/link"))
	require.NoError(t, unmount(dir+"/link"))
	assert.FileExists(t, dir+"/kept/here", "links are not followed")
}

func TestSymlinkLeavesWhatIsThere(t *testing.T) {
	path := t.TempDir() + "/link"
	require.NoError(t, symlink("one", path))
	require.NoError(t, symlink("two", path))
	to, err := os.Readlink(path)
	require.NoError(t, err)
	assert.Equal(t, "one", to)
	assert.Equal(t, unix.ENOENT, symlink("x", path+"/../missing/link"))
}
