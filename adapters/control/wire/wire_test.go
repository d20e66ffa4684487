package wire

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

func message() *hold.Message {
	m := &hold.Message{
		Kind: hold.Begun, UUID: [16]byte{1, 2, 15: 3}, Number: 7, PID: 4321, Start: 1 << 40, Exit: 9,
		Failure: hold.Failure{Errno: 2, Index: 31, Entered: true, Interpreter: true}, Files: hold.NoFiles(),
	}
	m.Files.Process, m.Files.Network = 5, 6
	m.Files.Hosts, m.Files.Terminals = []hold.FD{7}, []hold.FD{8, 9}
	return m
}

func TestMessagesSurviveTheirEncoding(t *testing.T) {
	for _, m := range []*hold.Message{message(), {Kind: hold.Proceed, Files: hold.NoFiles()}} {
		packet, fds := Append(nil, nil, m)
		assert.Len(t, packet, Size)
		decoded, err := Decode(packet, fds)
		require.NoError(t, err)
		assert.Equal(t, m, decoded)
	}
}

func TestDecodeRefuses(t *testing.T) {
	packet, fds := Append(nil, nil, message())
	otherVersion := append([]byte(nil), packet...)
	order.PutUint32(otherVersion, Version+1)
	unknownBits := append([]byte(nil), packet...)
	unknownBits[64] |= 4
	seventh := append([]byte(nil), packet...)
	order.PutUint32(seventh[68:], 1<<6)
	tooMany := append([]byte(nil), packet...)
	order.PutUint32(tooMany[72:], MaxFiles+1)
	for name, row := range map[string]struct {
		packet []byte
		fds    []int
	}{
		"a short packet":         {packet[:Size-1], fds},
		"a long packet":          {append(packet[:Size:Size], 0), fds},
		"another version":        {otherVersion, fds},
		"missing descriptors":    {packet, fds[1:]},
		"surplus descriptors":    {packet, append(fds[:len(fds):len(fds)], 99)},
		"counts beyond a packet": {tooMany, fds},
		"unknown failure bits":   {unknownBits, fds},
		"a seventh descriptor":   {seventh, fds[:1]},
		"nothing":                {nil, nil},
		"only descriptors":       {nil, fds},
	} {
		_, err := Decode(row.packet, row.fds)
		assert.ErrorIs(t, err, ErrForeign, name)
	}
}

func TestDescriptorsTravel(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(ends[1])
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	m := &hold.Message{Kind: hold.Reclaimed, Files: hold.NoFiles()}
	m.Files.Plan = hold.FD(pipe[1])
	packet, fds := Append(nil, nil, m)
	require.NoError(t, Send(ends[0], packet, fds))
	unix.Close(pipe[1])

	buffer := make([]byte, Size+1)
	n, received, err := Receive(ends[1], buffer)
	require.NoError(t, err)
	got, err := Decode(buffer[:n], received)
	require.NoError(t, err)
	flags, err := unix.FcntlInt(uintptr(got.Files.Plan), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC)
	unix.Write(int(got.Files.Plan), []byte("x"))
	unix.Close(int(got.Files.Plan))
	n, err = unix.Read(pipe[0], buffer)
	assert.NoError(t, err)
	assert.Equal(t, 1, n, "it is the same pipe")
	unix.Close(pipe[0])

	_, _, err = Receive(ends[1], buffer)
	assert.True(t, errors.Is(err, unix.EAGAIN))
	unix.Close(ends[0])
	n, _, err = Receive(ends[1], buffer)
	assert.NoError(t, err)
	assert.Zero(t, n, "the end")
}

func FuzzDecode(f *testing.F) {
	packet, _ := Append(nil, nil, message())
	f.Add(packet, 5)
	f.Add(append([]byte(nil), packet[:Size-4]...), 0)
	none, _ := Append(nil, nil, &hold.Message{Kind: hold.Exited, PID: -1, Exit: -1, Files: hold.NoFiles()})
	f.Add(none, 0)
	f.Fuzz(func(t *testing.T, packet []byte, n int) {
		fds := make([]int, max(0, min(n, MaxFiles)))
		for i := range fds {
			fds[i] = 100 + i
		}
		m, err := Decode(packet, fds)
		if err != nil {
			return
		}
		again, sent := Append(nil, nil, m)
		assert.Equal(t, packet, again, "one message has one form")
		assert.Equal(t, fds, append([]int{}, sent...), "and every descriptor its place")
	})
}
