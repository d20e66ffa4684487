package process

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

const stat = "4711 (a) b) (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20 21\n"

func TestStartTime(t *testing.T) {
	start, err := startTime([]byte(stat))
	require.NoError(t, err)
	assert.EqualValues(t, 424242, start)
	for _, bad := range []string{"", "1 (x)", "1 (x) S 1 2", "1 (x S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19",
		"1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20"} {
		_, err := startTime([]byte(bad))
		assert.ErrorIs(t, err, fault.System, "%q", bad)
	}
}

func TestSignalMasks(t *testing.T) {
	// The masks of a systemd that is pid 1: it reads its signals from a descriptor.
	m, err := signalMasks([]byte("Name:\tsystemd\nSigQ:\t0/1\nSigPnd:\t0\nShdPnd:\t0\n" +
		"SigBlk:\t7be3c0fe28014a03\nSigIgn:\t0000000000001000\nSigCgt:\t00000000000004ec\nCapInh:\t0\n"))
	require.NoError(t, err)
	handled := func(signum int) bool { return m.handled()&(1<<(signum-1)) != 0 }
	assert.True(t, handled(15), "blocked, to be read")
	assert.True(t, handled(3), "caught")
	assert.False(t, handled(13), "ignored")
	assert.False(t, handled(9))

	blockedAndIgnored := masks{blocked: 1, ignored: 1}
	assert.Zero(t, blockedAndIgnored.handled())
	for _, bad := range []string{"", "SigBlk:\t0\nSigIgn:\t0\n", "SigBlk:\tx\nSigIgn:\t0\nSigCgt:\t0\n", "SigBlk:\t11112222333344445\nSigIgn:\t0\nSigCgt:\t0\n"} {
		_, err := signalMasks([]byte(bad))
		assert.ErrorIs(t, err, fault.System, "%q", bad)
	}
}

func TestFuseIsKeptAwayFrom(t *testing.T) {
	fuse := func(points ...string) (mounts []*mountinfo.Info) {
		for _, point := range points {
			mounts = append(mounts, &mountinfo.Info{Mountpoint: point})
		}
		return mounts
	}
	assert.False(t, answeredByProcess(nil, "/run"))
	assert.False(t, answeredByProcess(fuse("/proc/meminfo", "/running", "/run/user/1"), "/run"))
	assert.True(t, answeredByProcess(fuse("/"), "/run"))
	assert.True(t, answeredByProcess(fuse("/x", "/run"), "/run"))
	assert.True(t, answeredByProcess(fuse("/run"), "/run/deeper"))
}

func FuzzStartTime(f *testing.F) {
	f.Add([]byte(stat))
	if own, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(own)
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		start, err := startTime(name)
		if err != nil {
			assert.ErrorIs(t, err, fault.System)
			assert.Zero(t, start)
		}
		// Whatever a program calls itself, the field is found behind it.
		line := fmt.Appendf(nil, "1 (%s) S%s 77 5 6\n", name, strings.Repeat(" 4", 18))
		start, err = startTime(line)
		require.NoError(t, err)
		assert.EqualValues(t, 77, start)
	})
}

func FuzzSignalMasks(f *testing.F) {
	if own, err := os.ReadFile("/proc/self/status"); err == nil {
		f.Add(own)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := signalMasks(b)
		if err != nil {
			assert.ErrorIs(t, err, fault.System)
			assert.Zero(t, m)
			return
		}
		again, err := signalMasks(fmt.Appendf(nil, "Name:\tx\nSigBlk:\t%016x\nSigIgn:\t%016x\nSigCgt:\t%016x\n", m.blocked, m.ignored, m.caught))
		require.NoError(t, err)
		assert.Equal(t, m, again)
	})
}

func TestRequest(t *testing.T) {
	for _, level := range []byte{'0', '6'} {
		b := request(level)
		require.Len(t, b, 384)
		assert.Less(t, len(b), 512, "the least PIPE_BUF: requests are not mixed")
		assert.EqualValues(t, 0x03091969, binary.NativeEndian.Uint32(b))
		assert.EqualValues(t, level, binary.NativeEndian.Uint32(b[8:]))
	}
}
