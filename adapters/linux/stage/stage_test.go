package stage

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

func TestReportsSurviveTheirEncoding(t *testing.T) {
	for _, failure := range []hold.Failure{
		{Entered: true}, {Entered: true, Index: 7, Errno: 2}, {Entered: true, Index: 1 << 20, Errno: 8, Interpreter: true},
	} {
		report := encode(failure)
		assert.Equal(t, failure, decode(report[:]))
	}
}

func TestSlotsTravelInOrder(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(ends[0]); unix.Close(ends[1]) })
	slots, wanted := make([]int, 2*slotsPerMessage+50), []bool{}
	for i := range slots { // every tenth stays behind, as the masters of terminals do
		slots[i] = -1
		if i%10 != 0 {
			slots[i], err = unix.MemfdCreate("slot "+strconv.Itoa(i), unix.MFD_CLOEXEC)
			require.NoError(t, err)
		}
		wanted = append(wanted, slots[i] >= 0)
	}
	require.NoError(t, sendSlots(ends[0], slots))
	closeAll(slots)
	received, err := receiveSlots(ends[1], wanted)
	require.NoError(t, err)
	defer closeAll(received)
	for i, fd := range received {
		if i%10 == 0 {
			assert.Equal(t, -1, fd)
			continue
		}
		name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		require.NoError(t, err)
		assert.Contains(t, name, "slot "+strconv.Itoa(i)+" ")
	}
}

func TestSlotsOfAControllerThatGaveUp(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(ends[1])
	unix.Close(ends[0])
	_, err = receiveSlots(ends[1], []bool{true})
	assert.Equal(t, unix.ECANCELED, err)
}

func TestFindLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	text := "root:x:0:0:root:/:/bin/sh\n\nbroken\nbob:x:1000:100::/home/bob:\n#0:x:7\nlast:x:8:8"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	for key, want := range map[string]string{"root": "0", "bob": "1000", "1000": "1000", "last": "8", "broken": "", "nobody": "", "": ""} {
		fields := findLine(path, key)
		if want == "" {
			assert.Nil(t, fields, key)
			continue
		}
		require.NotNil(t, fields, key)
		assert.Equal(t, want, fields[2], key)
	}
	assert.Nil(t, findLine(path+" is not there", "root"))
}

func TestAUserDatabaseIsNotReadWithoutEnd(t *testing.T) {
	assert.LessOrEqual(t, len(readFile("/dev/zero")), databaseLimit+64<<10)
}

func TestDecimal(t *testing.T) {
	for text, want := range map[string]uint32{"0": 0, "1000": 1000, "4294967294": 1<<32 - 2} {
		got, ok := decimal(text)
		assert.True(t, ok, text)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "-1", "x", "1x", "4294967295", "99999999999", " 1"} { // 4294967295 is "no change" to the kernel
		_, ok := decimal(text)
		assert.False(t, ok, text)
	}
}

func TestStartTimeIsThatOfStat(t *testing.T) {
	text, err := os.ReadFile("/proc/self/stat")
	require.NoError(t, err)
	fields := strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+2:])
	want, err := strconv.ParseUint(fields[19], 10, 64)
	require.NoError(t, err)
	assert.Equal(t, want, startTime(os.Getpid()))
	assert.Zero(t, startTime(1<<30), "nobody has that number")
}

func TestAfterName(t *testing.T) {
	assert.Equal(t, "S 1 2", afterName("7 (a) b) S 1 2"), "a name may hold anything")
	for _, text := range []string{"", "7 (a)", "no name"} {
		assert.Empty(t, afterName(text))
	}
}

func TestParent(t *testing.T) {
	for path, want := range map[string]string{"/a/b/c": "/a/b", "/a": "/", "/": "/"} {
		assert.Equal(t, want, parent(path))
	}
}

func TestMakeDirsLeavesWhatIsThere(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, makeDirs(root+"/a/b/c"))
	require.NoError(t, makeDirs(root+"/a/b/c"))
	require.NoError(t, os.WriteFile(root+"/file", nil, 0o600))
	assert.Error(t, makeDirs(root+"/file/below"))
}

// TestRoomForSlots: a large start gets its table before the stage has threads.
func TestRoomForSlots(t *testing.T) {
	k := &Kernel{Null: 9}
	assert.Len(t, k.withRoom(make([]uintptr, 20), 10), 20, "a small one needs nothing")
	large := k.withRoom(make([]uintptr, 20), 100)
	assert.Greater(t, len(large), 120)
	assert.Equal(t, uintptr(9), large[len(large)-1])
	assert.Equal(t, ^uintptr(0), large[20], "the room is left empty")
}

func FuzzReport(f *testing.F) {
	f.Add(make([]byte, reportSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != reportSize {
			return
		}
		failure := decode(b)
		again := encode(failure)
		assert.Equal(t, failure, decode(again[:]))
	})
}
