package stage

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

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

// TestGoAheadInsteadOfSlots: a controller that sent fewer slots than the script
// has must not be taken for one that sent them.
func TestGoAheadInsteadOfSlots(t *testing.T) {
	ends := socketPair(t)
	_, err := unix.Write(ends[0], []byte{1})
	require.NoError(t, err)
	_, err = receiveSlots(ends[1], []bool{true})
	assert.Equal(t, unix.EBADMSG, err)
}

func TestNoSlotsNeedNoMessage(t *testing.T) {
	ends := socketPair(t)
	require.NoError(t, sendSlots(ends[0], []int{-1, -1}))
	slots, err := receiveSlots(ends[1], []bool{false, false})
	require.NoError(t, err, "and nothing is waited for")
	assert.Equal(t, []int{-1, -1}, slots)
}

func TestSlotsForADeadStage(t *testing.T) {
	ends := socketPair(t)
	require.NoError(t, unix.Shutdown(ends[1], unix.SHUT_RDWR))
	assert.Equal(t, unix.EPIPE, sendSlots(ends[0], []int{ends[0]}))
}

// socketPair is the channel between controller and stage.
func socketPair(t *testing.T) [2]int {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(ends[0]); unix.Close(ends[1]) })
	return ends
}
