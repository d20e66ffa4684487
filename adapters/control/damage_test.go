package control

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
	"virtlxcd/ports/hold"
)

// TestPacketsThatCannotBeRead end the connection; who waits is told, and what came
// along is closed.
func TestPacketsThatCannotBeRead(t *testing.T) {
	whole := func(fds int) []byte {
		m := plain(hold.Reclaimed)
		m.UUID = uuid
		for range fds {
			m.Files.Terminals = append(m.Files.Terminals, 0)
		}
		packet, _ := wire.Append(nil, nil, m)
		return packet
	}
	version := whole(1)
	version[0]++
	for name, packet := range map[string][]byte{
		"cut":                  whole(1)[:wire.Size-1],
		"one byte":             {1},
		"empty":                {},
		"too long":             append(whole(1), 0),
		"much too long":        append(whole(1), make([]byte, 4000)...),
		"another version":      version,
		"descriptors missing":  whole(2),
		"descriptors too many": whole(0),
	} {
		t.Run(name, func(t *testing.T) {
			c, p := converse(t, true)
			end, abandoned := sendingEnd(t)
			meanwhile(t, func() {
				release(p.next())
				assert.NoError(t, wire.Send(p.fd, packet, []int{int(end)}))
				unix.Close(int(end))
			})
			_, err := c.Reclaim(t.Context(), uuid)
			assert.ErrorIs(t, err, fault.NotFound)
			_, open := <-c.Reports()
			assert.False(t, open)
			assert.True(t, abandoned())
			assert.FileExists(t, c.ref.Socket, "it lives, and another daemon may reach it")
		})
	}
}

func TestTheSocketOfADeadControllerIsRemoved(t *testing.T) {
	c, p := converse(t, false)
	p.hangUp()
	_, open := <-c.Reports()
	assert.False(t, open)
	require.NoError(t, c.Close())
	assert.NoFileExists(t, c.ref.Socket)
}

func TestHangingUpLeavesTheSocket(t *testing.T) {
	c, p := converse(t, false)
	require.NoError(t, c.Close())
	assert.FileExists(t, c.ref.Socket, "that is the next daemon's way to it")
	assert.NoError(t, c.Close(), "it is closed already")
	n, _, err := wire.Receive(p.fd, make([]byte, 1))
	assert.NoError(t, err)
	assert.Zero(t, n, "the end")
}

func TestReports(t *testing.T) {
	c, p := converse(t, true)
	pidfd, terminal := memory(t, "pidfd"), memory(t, "terminal")
	for i, kind := range []hold.Kind{hold.Exited, hold.Restarted, hold.NeedsLinks, hold.RestartFailed} {
		m := plain(kind)
		m.UUID, m.Number, m.PID, m.Start = uuid, uint64(i+1), 77, 5
		switch kind {
		case hold.Exited:
			m.Exit = 3 << 8
		case hold.RestartFailed:
			m.Failure = hold.Failure{Errno: uint32(unix.EMFILE), Index: 4}
		default:
			m.Files.Process, m.Files.Terminals = number(pidfd), []hold.FD{number(terminal)}
		}
		p.send(m)
	}
	for i, kind := range []ports.ReportKind{ports.ReportExited, ports.ReportRestarted, ports.ReportRestartNeedsLinks, ports.ReportRestartFailed} {
		report := <-c.Reports()
		assert.Equal(t, kind, report.Kind)
		assert.EqualValues(t, i+1, report.Number)
		assert.Equal(t, uuid, report.Container)
		assert.Equal(t, kind == ports.ReportExited, report.Exit == 3<<8)
		assert.Equal(t, kind == ports.ReportRestartFailed, report.Failure != nil)
		if report.Failure != nil {
			assert.ErrorIs(t, report.Failure, unix.EMFILE)
			assert.Equal(t, 4, report.Failure.Index)
		}
		if kind == ports.ReportRestarted {
			assert.Equal(t, 77, report.Held.PID)
			assert.Equal(t, inode(t, descriptor(pidfd)), inode(t, descriptor(report.Held.Process)))
			assert.Len(t, report.Held.Terminals, 1)
		}
		closeHeld(&report.Held)
	}
}

// TestAcknowledge is a message without an answer.
func TestAcknowledge(t *testing.T) {
	c, p := converse(t, true)
	require.NoError(t, c.Acknowledge(1<<63+1))
	m := p.next()
	assert.Equal(t, hold.Acknowledge, m.Kind)
	assert.Equal(t, uint64(1<<63+1), m.Number)
}

// TestClosingWhenNobodyReadsReports must not wait for room.
func TestClosingWhenNobodyReadsReports(t *testing.T) {
	c, p := converse(t, true)
	end, abandoned := sendingEnd(t)
	m := plain(hold.Restarted)
	for range pendingReports {
		c.reports <- ports.Report{}
	}
	m.Files.Process = end
	p.send(m) // this one has no room
	unix.Close(int(end))
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	select {
	case err := <-closed:
		assert.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "Close waits")
	}
	assert.True(t, abandoned())
}

// TestWhatAControllerHolds decides whether it is about to end when it is hung up on.
func TestWhatAControllerHolds(t *testing.T) {
	for _, row := range []struct {
		kinds []hold.Kind
		want  bool
	}{
		{[]hold.Kind{hold.Begun}, true}, {[]hold.Kind{hold.Begun, hold.Running}, true}, {[]hold.Kind{hold.Restored}, true},
		{[]hold.Kind{hold.Begun, hold.NotRun}, false}, {[]hold.Kind{hold.Begun, hold.Abandoned}, false},
		{[]hold.Kind{hold.Reclaimed, hold.Restarted, hold.Exited}, false}, {[]hold.Kind{hold.Reclaimed, hold.RestartFailed}, false},
		{[]hold.Kind{hold.NotBegun}, false}, {[]hold.Kind{hold.Unknown}, false},
	} {
		c, _ := converse(t, true)
		for _, kind := range row.kinds {
			c.count(plain(kind))
		}
		assert.Equal(t, row.want, len(c.held) > 0, "%v", row.kinds)
	}
}
