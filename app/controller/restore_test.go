package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

// restoring is the request to hold a container whose script has so many
// terminals, with so many of each end left.
func (b *bench) restoring(terminals, hosts, guests int) *hold.Message {
	m := &hold.Message{Kind: hold.Restore, UUID: one, PID: 77, Start: 5, Files: hold.NoFiles()}
	m.Files.Plan, m.Files.Process, m.Files.Network = b.fd("plan"), b.fd("pidfd"), b.fd("network")
	m.Files.Image, m.Files.Tasks = b.fd("image"), []hold.FD{b.fd("tasks")}
	for range hosts {
		m.Files.Hosts = append(m.Files.Hosts, b.fd("host terminal"))
	}
	for range guests {
		m.Files.Terminals = append(m.Files.Terminals, b.fd("guest terminal"))
	}
	script := &step.Script{UUID: one, Slots: terminals}
	script.Namespaces.Net = true
	for i := range terminals {
		script.Terminals = append(script.Terminals, i)
	}
	b.scripts[m.Files.Plan] = script
	b.alive[77] = true
	return m
}

// TestRestoreWithWhatIsLeft: terminals of either side may be lost. The container
// is held all the same, and a reboot of it must not bring the process down that
// holds others as well.
func TestRestoreWithWhatIsLeft(t *testing.T) {
	for _, row := range []struct{ terminals, hosts, guests int }{
		{1, 1, 1}, {2, 0, 0}, {2, 0, 2}, {2, 1, 2}, {2, 2, 0}, {2, 2, 1}, {1, 2, 2}, {0, 0, 0},
	} {
		b := newBench(t)
		b.Handle(b.restoring(row.terminals, row.hosts, row.guests))
		assert.Equal(t, hold.Restored, b.lastSent().Kind, "%+v", row)
		h := b.Controller.held[one]
		require.NotNil(t, h)
		assert.Len(t, h.consoles, row.hosts)
		assert.Equal(t, 77, b.request(hold.Reclaim, one).PID)

		b.alive[77], b.status[77] = false, hangUp
		b.Ready(h.born.Process, hold.Happening{Readable: true})
		b.executed(h)
		assert.Equal(t, hold.Restarted, b.lastSent().Kind, "%+v", row)
		b.dies(h, 0)
		assert.Equal(t, hold.Exited, b.lastSent().Kind)
		assert.Empty(t, b.leaks(), "%+v", row)
	}
}

func TestRestoreRefuses(t *testing.T) {
	for name, change := range map[string]func(*bench, *hold.Message){
		"a plan that is none": func(b *bench, m *hold.Message) { delete(b.scripts, m.Files.Plan) },
		"no process":          func(b *bench, m *hold.Message) { b.Close(m.Files.Process); m.Files.Process = hold.None },
		"what is held":        func(b *bench, m *hold.Message) { b.Handle(b.restoring(1, 1, 1)) },
	} {
		b := newBench(t)
		m := b.restoring(1, 1, 1)
		change(b, m)
		open := len(b.open)
		brought := 0
		m.Files.Each(func(hold.FD) { brought++ })
		b.Handle(m)
		assert.Equal(t, hold.Unknown, b.lastSent().Kind, name)
		assert.Len(t, b.open, open-brought, "%s: what came is closed", name)
	}
}

// TestRestoreOfADeadProcess: its end is told, with what the kernel remembers.
func TestRestoreOfADeadProcess(t *testing.T) {
	b := newBench(t)
	m := b.restoring(1, 1, 1)
	b.alive[77], b.status[77] = false, 9
	b.Handle(m)
	require.Equal(t, hold.Restored, b.lastSent().Kind)
	b.Ready(m.Files.Process, hold.Happening{Readable: true})
	assert.Equal(t, hold.Exited, b.lastSent().Kind)
	assert.Equal(t, 9, b.lastSent().Exit)
	assert.Empty(t, b.leaks())
}

// TestADaemonThatIsLostLeavesRestoredOnesAlone: they run.
func TestADaemonThatIsLostLeavesRestoredOnesAlone(t *testing.T) {
	b := newBench(t)
	b.Handle(b.restoring(1, 1, 1))
	b.DaemonLost()
	assert.NotNil(t, b.Controller.held[one])
	assert.True(t, b.alive[77])
}

// TestADeathThatTakesItsTime: a process that was killed is reaped when it is dead.
func TestADeathThatTakesItsTime(t *testing.T) {
	b := newBench(t)
	b.slowToDie = true
	h := b.begun(one)
	pid, process := h.born.PID, h.born.Process
	b.request(hold.Abandon, one)
	assert.Equal(t, hold.Abandoned, b.lastSent().Kind)
	assert.False(t, b.Idle(), "its zombie would be left to nobody")
	b.Ready(process, hold.Happening{Readable: true})
	assert.False(t, b.Idle(), "told too early")
	b.alive[pid] = false
	b.Ready(process, hold.Happening{Readable: true})
	assert.True(t, b.Idle())
	assert.Empty(t, b.leaks())
}
