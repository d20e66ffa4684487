package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

var (
	one = [16]byte{1}
	two = [16]byte{2}
)

// bench is a controller in a world of its own.
type bench struct {
	*Controller
	*world
	t *testing.T
}

func newBench(t *testing.T) *bench {
	w := newWorld()
	b := &bench{Controller: New(w, w, w), world: w, t: t}
	t.Cleanup(func() { assert.Empty(t, w.wrong) })
	return b
}

func (b *bench) request(kind hold.Kind, uuid [16]byte) hold.Message {
	b.Handle(&hold.Message{Kind: kind, UUID: uuid, Files: hold.NoFiles()})
	return b.lastSent()
}

// begun starts one console's container up to its wait.
func (b *bench) begun(uuid [16]byte, change ...func(*step.Script)) *held {
	script := &step.Script{UUID: uuid, Terminals: []int{0}, Slots: 1, Enter: make(step.List, 5)}
	script.Namespaces.Net = true
	for _, do := range change {
		do(script)
	}
	m := &hold.Message{Kind: hold.Begin, UUID: uuid, Files: hold.NoFiles()}
	m.Files.Plan, m.Files.Image, m.Files.Unified = b.fd("plan"), b.fd("image"), b.fd("cgroup")
	m.Files.Hosts, m.Files.Tasks = []hold.FD{b.fd("host terminal")}, []hold.FD{b.fd("tasks")}
	b.scripts[m.Files.Plan] = script
	b.Handle(m)
	return b.Controller.held[uuid]
}

// executed lets the stage become init.
func (b *bench) executed(h *held) {
	b.progress[h.born.Outcome] = []news{{progress: hold.Executing}, {progress: hold.Gone}}
	outcome := h.born.Outcome
	b.Ready(outcome, hold.Happening{Readable: true})
	b.Ready(outcome, hold.Happening{Readable: true})
}

func (b *bench) started(uuid [16]byte, change ...func(*step.Script)) *held {
	h := b.begun(uuid, change...)
	require.NotNil(b.t, h)
	b.request(hold.Proceed, uuid)
	b.executed(h)
	require.Equal(b.t, hold.Running, b.lastSent().Kind)
	return h
}

// dies ends a first process with a wait status.
func (b *bench) dies(h *held, status int) {
	b.alive[h.born.PID], b.status[h.born.PID] = false, status
	b.Ready(h.born.Process, hold.Happening{Readable: true})
}

func TestALifeWithoutIncident(t *testing.T) {
	b := newBench(t)
	assert.False(t, b.Finished(), "nothing was ever held")
	h := b.begun(one)
	reply := b.lastSent()
	assert.Equal(t, hold.Begun, reply.Kind)
	assert.Equal(t, h.born.PID, reply.PID)
	assert.Len(t, reply.Files.Terminals, 1)
	assert.NotEqual(t, hold.None, reply.Files.Network)

	assert.Equal(t, hold.Begun, b.request(hold.Proceed, one).Kind, "no answer before init is executed")
	b.executed(h)
	assert.Equal(t, hold.Running, b.lastSent().Kind)

	b.dies(h, 3<<8)
	report := b.lastSent()
	assert.Equal(t, hold.Exited, report.Kind)
	assert.Equal(t, 3<<8, report.Exit)
	assert.Empty(t, b.leaks())
	assert.False(t, b.Finished(), "the report is not acknowledged")
	b.Handle(&hold.Message{Kind: hold.Acknowledge, Number: report.Number, Files: hold.NoFiles()})
	assert.True(t, b.Finished())
}

func TestANetworkThatIsHandedOverIsJoined(t *testing.T) {
	b := newBench(t)
	m := &hold.Message{Kind: hold.Begin, UUID: one, Files: hold.NoFiles()}
	m.Files.Plan, m.Files.Network = b.fd("plan"), b.fd("network")
	network := m.Files.Network
	b.scripts[m.Files.Plan] = &step.Script{UUID: one, Namespaces: step.Namespaces{Net: true}}
	b.Handle(m)
	assert.Equal(t, network, b.networks[0])
	b.request(hold.Abandon, one)
	assert.Empty(t, b.leaks())
}

func TestTheFirstContainerGivesTheName(t *testing.T) {
	b := newBench(t)
	b.begun(one, func(s *step.Script) { s.Name = "vlxa" })
	b.begun(two, func(s *step.Script) { s.Name = "vlxb" })
	assert.Equal(t, []string{"vlxa"}, b.names)
}

func TestStartsThatFail(t *testing.T) {
	failure := hold.Failure{Errno: 2, Index: 3, Entered: true}
	for name, row := range map[string]struct {
		run  func(b *bench)
		want hold.Kind
	}{
		"in Prepare": {func(b *bench) {
			b.failBegin = failure
			b.begun(one)
		}, hold.NotBegun},
		"before Proceed": {func(b *bench) {
			h := b.begun(one)
			b.progress[h.born.Outcome] = []news{{hold.Stuck, failure}}
			b.Ready(h.born.Outcome, hold.Happening{Readable: true})
			b.request(hold.Proceed, one)
		}, hold.NotRun},
		"after Proceed": {func(b *bench) {
			h := b.begun(one)
			b.request(hold.Proceed, one)
			b.progress[h.born.Outcome] = []news{{hold.Stuck, failure}}
			b.Ready(h.born.Outcome, hold.Happening{Readable: true})
		}, hold.NotRun},
		"told by its death": {func(b *bench) {
			h := b.begun(one)
			b.request(hold.Proceed, one)
			b.progress[h.born.Outcome] = []news{{hold.Stuck, failure}}
			b.dies(h, 1<<8)
		}, hold.NotRun},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			row.run(b)
			assert.Equal(t, row.want, b.lastSent().Kind)
			assert.Equal(t, failure, b.lastSent().Failure)
			assert.Empty(t, b.leaks())
			assert.True(t, b.Idle())
		})
	}
}

func TestAStageThatDiesIsAFailure(t *testing.T) {
	b := newBench(t)
	h := b.begun(one)
	b.request(hold.Proceed, one)
	b.progress[h.born.Outcome] = []news{{progress: hold.Gone}}
	b.dies(h, 9)
	assert.Equal(t, hold.NotRun, b.lastSent().Kind)
	assert.EqualValues(t, errNoChild, b.lastSent().Failure.Errno)
	assert.Empty(t, b.leaks())
}

func TestAnInitThatEndsAtOnceDidRun(t *testing.T) {
	b := newBench(t)
	h := b.begun(one)
	b.request(hold.Proceed, one)
	b.progress[h.born.Outcome] = []news{{progress: hold.Executing}, {progress: hold.Gone}}
	b.dies(h, 3<<8)
	require.GreaterOrEqual(t, len(b.sent), 2)
	assert.Equal(t, hold.Running, b.sent[len(b.sent)-2].Kind)
	assert.Equal(t, hold.Exited, b.lastSent().Kind)
	assert.Equal(t, 3<<8, b.lastSent().Exit)
	assert.Empty(t, b.leaks())
}

func TestBeginRefusesWhatItCannotUse(t *testing.T) {
	b := newBench(t)
	b.started(one)
	files := len(b.open)
	b.begun(one)
	assert.Equal(t, hold.NotBegun, b.lastSent().Kind, "held already")
	assert.Len(t, b.open, files, "what came with the request is closed")

	m := &hold.Message{Kind: hold.Begin, UUID: two, Files: hold.NoFiles()}
	m.Files.Plan = b.fd("no plan at all")
	b.Handle(m)
	assert.Equal(t, hold.NotBegun, b.lastSent().Kind)
	assert.Len(t, b.open, files)
}

func TestRequestsForStrangers(t *testing.T) {
	b := newBench(t)
	assert.Equal(t, hold.Unknown, b.request(hold.Proceed, two).Kind)
	assert.Equal(t, hold.Unknown, b.request(hold.Reclaim, two).Kind)
	assert.Equal(t, hold.Abandoned, b.request(hold.Abandon, two).Kind)
	assert.Equal(t, hold.Unknown, b.request(hold.Kind(999), two).Kind)
}

func TestAbandon(t *testing.T) {
	b := newBench(t)
	b.begun(one)
	assert.Equal(t, hold.Abandoned, b.request(hold.Abandon, one).Kind)
	assert.Empty(t, b.leaks())
}

func TestRebootKeepsConsolesAndNetwork(t *testing.T) {
	b := newBench(t)
	h := b.started(one)
	host, network, before := h.consoles[0].host, h.born.Network, h.born.PID
	b.dies(h, hangUp)
	require.Equal(t, network, b.networks[1], "the kept namespace is joined")
	b.executed(h)
	report := b.lastSent()
	assert.Equal(t, hold.Restarted, report.Kind)
	assert.NotEqual(t, before, report.PID)
	assert.Equal(t, host, h.consoles[0].host)
	assert.Equal(t, h.consoles[0].guest, report.Files.Terminals[0])

	b.dies(h, 0)
	assert.Equal(t, hold.Exited, b.lastSent().Kind)
	assert.Empty(t, b.leaks())
}

func TestRebootOfAnIDMappedContainerAsksForLinks(t *testing.T) {
	b := newBench(t)
	h := b.started(one, func(s *step.Script) { s.WaitLinks, s.Namespaces.User = true, true })
	b.dies(h, hangUp)
	assert.Equal(t, hold.None, b.networks[1], "its namespace died with the user namespace")
	assert.Equal(t, hold.NeedsLinks, b.lastSent().Kind)
	b.request(hold.Proceed, one)
	b.executed(h)
	assert.Equal(t, hold.Running, b.lastSent().Kind)
	assert.Equal(t, hold.Running, b.request(hold.Proceed, one).Kind, "asked again by a new daemon")
}

func TestRebootThatFails(t *testing.T) {
	b := newBench(t)
	h := b.started(one)
	b.failBegin = hold.Failure{Errno: 12}
	b.dies(h, hangUp)
	assert.Equal(t, hold.RestartFailed, b.lastSent().Kind)
	assert.Empty(t, b.leaks())
}

func TestReportsWaitForADaemon(t *testing.T) {
	b := newBench(t)
	first, second := b.started(one), b.started(two)
	b.connected = false
	b.DaemonLost()
	b.dies(first, hangUp)
	b.executed(first)
	b.dies(second, 1<<8)
	b.connected, b.sent = true, nil
	b.DaemonFound()
	require.Len(t, b.sent, 2)
	assert.Equal(t, hold.Restarted, b.sent[0].Kind)
	assert.Len(t, b.sent[0].Files.Terminals, 1, "with fresh descriptors")
	assert.Equal(t, hold.Exited, b.sent[1].Kind)
	assert.Less(t, b.sent[0].Number, b.sent[1].Number)
	b.Handle(&hold.Message{Kind: hold.Acknowledge, Number: b.sent[1].Number, Files: hold.NoFiles()})
	b.sent = nil
	b.DaemonFound()
	assert.Empty(t, b.sent)
}

func TestADaemonThatIsLostTakesItsStartsAlong(t *testing.T) {
	b := newBench(t)
	b.begun(one)
	b.started(two)
	b.DaemonLost()
	assert.Nil(t, b.Controller.held[one])
	assert.NotNil(t, b.Controller.held[two], "what runs runs on")
}

func TestRestoreHoldsWhatAnotherHeld(t *testing.T) {
	b := newBench(t)
	m := &hold.Message{Kind: hold.Restore, UUID: one, PID: 77, Start: 5, Files: hold.NoFiles()}
	m.Files.Plan, m.Files.Process = b.fd("plan"), b.fd("pidfd")
	m.Files.Hosts, m.Files.Terminals = []hold.FD{b.fd("host terminal"), b.fd("host terminal")}, []hold.FD{b.fd("guest terminal")}
	b.scripts[m.Files.Plan] = &step.Script{UUID: one}
	b.alive[77] = true
	b.Handle(m)
	assert.Equal(t, hold.Restored, b.lastSent().Kind)
	b.alive[77] = false
	b.Ready(b.Controller.held[one].born.Process, hold.Happening{Readable: true})
	assert.Equal(t, hold.Exited, b.lastSent().Kind)
	assert.Empty(t, b.leaks())
}
