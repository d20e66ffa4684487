package stage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestFindLine(t *testing.T) {
	text := "root:x:0:0:root:/:/bin/sh\n\nbroken\nbob:x:1000:100::/home/bob:\n#0:x:7\nlast:x:8:8"
	for key, want := range map[string]string{
		"root": "0", "bob": "1000", "1000": "1000", "last": "8", "broken": "", "nobody": "", "": "", "ro": "", "x": "", "100": "",
	} {
		fields := findLine(text, 3, key)
		if want == "" {
			assert.Nil(t, fields, key)
			continue
		}
		require.NotNil(t, fields, key)
		assert.Equal(t, want, fields[2], key)
	}
	assert.Nil(t, findLine("", 3, "root"))
	assert.Nil(t, findLine(text, 4, "7"), "too few fields to be a user")
}

func TestMembership(t *testing.T) {
	text := "a:x:1:bob\nb:x:2:eve,bob\nc:x:3:bobby,bo\nd:x:4:\ne:x:5\nf:x:bad:bob\ng:x:6:bob,bob\nh:x:7:,bob"
	assert.Equal(t, []uint32{1, 2, 6, 7}, membership(text, "bob"))
	assert.Nil(t, membership(text, "nobody"))
}

func TestAUserDatabaseIsNotReadWithoutEnd(t *testing.T) {
	assert.LessOrEqual(t, len(readFile("/dev/zero")), databaseLimit+64<<10)
}

// TestReadingDoesNotWait: the container decides what its files are.
func TestReadingDoesNotWait(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	assert.Empty(t, readFile(fifo))
	assert.Empty(t, readFile(filepath.Dir(fifo)), "a directory")
	assert.Empty(t, readFile(fifo+" is not there"))
}

func TestDecimal(t *testing.T) {
	for text, want := range map[string]uint32{"0": 0, "1000": 1000, "007": 7, "4294967294": 1<<32 - 2} {
		got, ok := decimal(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "-1", "+1", "x", "1x", "4294967295", "4294967296", "9999999999", "99999999999", " 1"} { // 4294967295 is "no change" to the kernel
		_, ok := decimal(text)
		assert.False(t, ok, text)
	}
}

func TestLookUp(t *testing.T) {
	dir := private(t)
	require.NoError(t, os.Mkdir(dir+"/etc", 0o755))
	passwd := "root:x:0:0::/:\nbob:x:1000:100::/:\nbad:x:many:100::/:\nmost:x:4294967295:100::/:\nlost:x:7:-1::/:\nempty:x:::/:\nshort:x:9\n"
	group := "root:x:0:\nstaff:x:50:bob\nwheel:x:10:eve,bob\nbad:x:many:\nmost:x:4294967295:\n"
	require.NoError(t, os.WriteFile(dir+"/etc/passwd", []byte(passwd), 0o644))
	require.NoError(t, os.WriteFile(dir+"/etc/group", []byte(group), 0o644))
	bob := identity{uid: 1000, gid: 100, groups: []uint32{50, 10, 100}}
	for _, row := range []struct {
		user, group string
		want        identity
		err         error
	}{
		{"", "", identity{}, nil},
		{"root", "", identity{groups: []uint32{0}}, nil},
		{"bob", "", bob, nil},
		{"1000", "", bob, nil}, // a number with a line is as good as its name
		{"bob", "staff", identity{1000, 50, bob.groups}, nil},
		{"bob", "50", identity{1000, 50, bob.groups}, nil},
		{"bob", "77", identity{1000, 77, bob.groups}, nil},
		{"2000", "", identity{uid: 2000}, nil},
		{"9", "", identity{uid: 9}, nil}, // its line is too short to count
		{"", "wheel", identity{gid: 10}, nil},
		{"nobody", "", identity{}, unix.ENOENT},
		{"short", "", identity{}, unix.ENOENT},
		{"4294967295", "", identity{}, unix.EINVAL}, // the number of "most"
		{"4294967296", "", identity{}, unix.ENOENT},
		{"", "nobody", identity{}, unix.ENOENT},
		// a line without a usable number must not mean root or "unchanged"
		{"bad", "", identity{}, unix.EINVAL},
		{"most", "", identity{}, unix.EINVAL},
		{"empty", "", identity{}, unix.EINVAL},
		{"lost", "", identity{uid: 7}, unix.EINVAL},
		{"", "bad", identity{}, unix.EINVAL},
		{"", "most", identity{}, unix.EINVAL},
	} {
		var who identity
		var err error
		inside(t, dir, func() { who, err = lookUp(row.user, row.group) })
		assert.Equal(t, row.err, err, "%s:%s", row.user, row.group)
		if err == nil {
			assert.Equal(t, row.want, who, "%s:%s", row.user, row.group)
		}
	}
}

func TestLookUpWithoutFiles(t *testing.T) {
	dir := private(t)
	inside(t, dir, func() {
		who, err := lookUp("5", "6")
		assert.NoError(t, err)
		assert.Equal(t, identity{uid: 5, gid: 6}, who, "numbers need none")
		_, err = lookUp("root", "")
		assert.Equal(t, unix.ENOENT, err)
	})
}

// FuzzFindLine compares with package strings, which the controller does not link.
func FuzzFindLine(f *testing.F) {
	f.Add("root:x:0:0:root:/:/bin/sh\nbob:x:1:1::\n", "bob")
	f.Add("a:b:c", "c")
	f.Add(":\n::::", "")
	f.Fuzz(func(t *testing.T, text, key string) {
		var want []string
		for line := range strings.SplitSeq(text, "\n") {
			if fields := strings.Split(line, ":"); len(fields) >= 3 && (fields[0] == key || fields[2] == key) {
				want = fields
				break
			}
		}
		assert.Equal(t, want, findLine(text, 3, key))
	})
}

func FuzzMembership(f *testing.F) {
	f.Add("a:x:1:bob\nb:x:2:eve,bob", "bob")
	f.Add("a:x:4294967295:bob", "bob")
	f.Fuzz(func(t *testing.T, text, user string) {
		if strings.ContainsAny(user, ":,\n") || user == "" {
			return // no name
		}
		count := 0
		for line := range strings.SplitSeq(text, "\n") {
			fields := strings.Split(line, ":")
			if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), user) {
				continue
			}
			if _, ok := decimal(fields[2]); ok {
				count++
			}
		}
		assert.Len(t, membership(text, user), count)
	})
}
