package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/ports/hold"
)

func connected(t *testing.T) (one, other int) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(ends[0]); unix.Close(ends[1]) })
	return ends[0], ends[1]
}

// lengths are of the lists of descriptors, in their order; single is Log.
func carrying(fd int, single bool, lengths ...int) *hold.Message {
	m := &hold.Message{Kind: hold.Begin, Files: hold.NoFiles()}
	if single {
		m.Files.Log = hold.FD(fd)
	}
	for i, n := range lengths {
		for range n {
			list := lists(&m.Files)[i]
			*list = append(*list, hold.FD(fd))
		}
	}
	return m
}

// TestAsManyDescriptorsAsTheKernelCarries, and one more.
func TestAsManyDescriptorsAsTheKernelCarries(t *testing.T) {
	one, other := connected(t)
	m := carrying(one, true, 1, 64, 100, MaxFiles-166)
	packet, fds := Append(nil, nil, m)
	require.Len(t, fds, MaxFiles)
	require.NoError(t, Send(one, packet, fds))
	buffer := make([]byte, Size+1)
	n, received, err := Receive(other, buffer)
	require.NoError(t, err)
	got, err := Decode(buffer[:n], received)
	require.NoError(t, err)
	for i, list := range lists(&got.Files) {
		assert.Len(t, *list, len(*lists(&m.Files)[i]))
	}
	got.Files.Each(func(fd hold.FD) { assert.NoError(t, unix.Close(int(fd))) })

	packet, fds = Append(nil, nil, carrying(one, true, 0, 0, MaxFiles, 0))
	assert.Equal(t, unix.EINVAL, Send(one, packet, fds))
	_, _, err = Receive(other, buffer)
	assert.Equal(t, unix.EAGAIN, err, "nothing was sent")
}

// TestSendDoesNotWait for one that does not read.
func TestSendDoesNotWait(t *testing.T) {
	one, other := connected(t)
	packet, _ := Append(nil, nil, carrying(0, false))
	sent := 0
	var err error
	for ; err == nil; sent++ {
		err = Send(one, packet, nil)
	}
	assert.Equal(t, unix.EAGAIN, err)
	buffer := make([]byte, Size+1)
	for range sent - 1 {
		n, _, err := Receive(other, buffer)
		require.NoError(t, err)
		require.Equal(t, Size, n, "what was sent is whole")
	}
}

func TestSendToNobody(t *testing.T) {
	one, other := connected(t)
	require.NoError(t, unix.Shutdown(other, unix.SHUT_RDWR))
	packet, _ := Append(nil, nil, carrying(0, false))
	assert.Equal(t, unix.EPIPE, Send(one, packet, nil), "and no signal")
	assert.Equal(t, unix.EBADF, Send(one, packet, []int{-1}))
}

// TestPacketsThatAreTooLong are cut by the kernel, which says so. What they bring
// is the receiver's all the same.
func TestPacketsThatAreTooLong(t *testing.T) {
	one, other := connected(t)
	require.NoError(t, Send(one, make([]byte, 4096), []int{one}))
	n, fds, err := Receive(other, make([]byte, Size+1))
	assert.ErrorIs(t, err, ErrForeign)
	assert.Equal(t, Size+1, n)
	require.Len(t, fds, 1)
	assert.NoError(t, unix.Close(fds[0]))
}
