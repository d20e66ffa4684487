package stage

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// FuzzAfterName: whatever a process calls itself, its numbers are found.
func FuzzAfterName(f *testing.F) {
	f.Add("a) b", "S 1 2")
	f.Add("", "R")
	f.Add("7 (x) Z 0", "S 1")
	f.Fuzz(func(t *testing.T, name, rest string) {
		if strings.ContainsRune(rest, ')') {
			return // the kernel writes none behind the name
		}
		assert.Equal(t, rest, afterName("7 ("+name+") "+rest))
	})
}
