package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/launch/step"
	"virtlxcd/ports/hold"
)

func (b *bench) acknowledge(number uint64) {
	b.Handle(&hold.Message{Kind: hold.Acknowledge, Number: number, Files: hold.NoFiles()})
}

// kinds are those of the messages sent since last asked.
func (b *bench) kinds() (list []hold.Kind) {
	for i := range b.sent {
		list = append(list, b.sent[i].Kind)
	}
	b.sent = nil
	return list
}

// reboots ends a first process as reboot(2) does and lets its successor run.
func (b *bench) reboots(h *held) {
	b.dies(h, hangUp)
	b.executed(h)
}

// TestFailuresOfNoOperation must not blame the first one of a list.
func TestFailuresOfNoOperation(t *testing.T) {
	b := newBench(t)
	b.started(one)
	b.begun(one)
	assert.Equal(t, hold.Failure{Errno: errBusy, Index: noOperation}, b.lastSent().Failure)
	b.Handle(&hold.Message{Kind: hold.Begin, UUID: two, Files: hold.NoFiles()})
	assert.Equal(t, hold.Failure{Errno: errInvalid, Index: noOperation}, b.lastSent().Failure)

	h := b.begun(two)
	b.request(hold.Proceed, two)
	b.progress[h.born.Outcome] = []news{{progress: hold.Gone}}
	b.Ready(h.born.Outcome, hold.Happening{HungUp: true})
	assert.Equal(t, hold.NotRun, b.lastSent().Kind)
	assert.EqualValues(t, noOperation, b.lastSent().Failure.Index)
}

// TestANewStartForgetsTheOldFailure: Proceed is about the one that waits.
func TestANewStartForgetsTheOldFailure(t *testing.T) {
	b := newBench(t)
	h := b.begun(one)
	b.progress[h.born.Outcome] = []news{{hold.Stuck, hold.Failure{Errno: 2, Entered: true}}}
	b.Ready(h.born.Outcome, hold.Happening{Readable: true})
	require.Nil(t, b.Controller.held[one])

	h = b.begun(one)
	b.request(hold.Proceed, one)
	b.executed(h)
	assert.Equal(t, hold.Running, b.lastSent().Kind)
}

// TestEveryRequestIsAnswered, also one that another makes pointless.
func TestEveryRequestIsAnswered(t *testing.T) {
	b := newBench(t)
	b.begun(one)
	b.kinds()
	b.request(hold.Proceed, one)
	assert.Empty(t, b.kinds(), "not before init runs")
	b.request(hold.Abandon, one)
	assert.Equal(t, []hold.Kind{hold.NotRun, hold.Abandoned}, b.kinds())
	assert.Empty(t, b.leaks())

	b.begun(one)
	b.kinds()
	b.request(hold.Abandon, one)
	assert.Equal(t, []hold.Kind{hold.Abandoned}, b.kinds(), "nobody asked for more")
}

func TestRequestsThatBringDescriptors(t *testing.T) {
	b := newBench(t)
	b.started(one)
	open := len(b.open)
	for _, kind := range []hold.Kind{hold.Proceed, hold.Reclaim, hold.Acknowledge, hold.Kind(0), hold.Begun, hold.Exited, hold.Kind(999)} {
		m := &hold.Message{Kind: kind, UUID: one, Files: hold.NoFiles()}
		m.Files.Log, m.Files.Passed = b.fd("log"), []hold.FD{b.fd("passed"), b.fd("passed")}
		b.Handle(m)
		assert.Len(t, b.open, open, "kind %d: none was asked for", kind)
	}
	assert.Equal(t, []hold.Kind{hold.Unknown, hold.Unknown, hold.Unknown, hold.Unknown}, b.kinds()[4:], "the last four are no requests")
}

// TestADaemonThatDiesWhileItWaits: the answer turns into a report for the next.
func TestADaemonThatDiesWhileItWaits(t *testing.T) {
	failure := hold.Failure{Errno: 2, Index: 3, Entered: true}
	for name, row := range map[string]struct {
		then func(*bench, *held)
		want []hold.Kind
	}{
		"and init runs": {func(b *bench, h *held) { b.executed(h) }, []hold.Kind{hold.Restarted}},
		"and init is stuck": {func(b *bench, h *held) {
			b.progress[h.born.Outcome] = []news{{hold.Stuck, failure}}
			b.Ready(h.born.Outcome, hold.Happening{Readable: true})
		}, []hold.Kind{hold.NeedsLinks, hold.RestartFailed}},
		"and nothing happens": {func(*bench, *held) {}, []hold.Kind{hold.NeedsLinks}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			h := b.started(one, func(s *step.Script) { s.WaitLinks = true })
			b.dies(h, hangUp)
			b.request(hold.Proceed, one)
			b.connected = false
			b.DaemonLost()
			b.kinds()
			row.then(b, h)
			b.connected = true
			b.DaemonFound()
			assert.Equal(t, row.want, b.kinds())
		})
	}
}

// TestADaemonThatStopsReading gets what did not fit once it acknowledges, in order.
func TestADaemonThatStopsReading(t *testing.T) {
	b := newBench(t)
	first, second := b.started(one), b.started(two)
	b.reboots(first)
	report := b.lastSent()
	require.Equal(t, hold.Restarted, report.Kind)
	b.kinds()
	b.connected = false // its socket is full
	b.dies(second, 0)
	b.reboots(first)
	assert.Empty(t, b.kinds())
	b.connected = true
	b.acknowledge(report.Number)
	require.Len(t, b.sent, 2)
	assert.Equal(t, hold.Exited, b.sent[0].Kind)
	assert.Equal(t, hold.Restarted, b.sent[1].Kind)
	assert.Equal(t, first.born.PID, b.sent[1].PID)
	assert.Less(t, b.sent[0].Number, b.sent[1].Number)
	b.kinds()
	b.acknowledge(report.Number)
	assert.Empty(t, b.kinds(), "nothing is sent twice to one daemon")
}

// TestRestartsWithoutADaemon do not pile up: the last one says all.
func TestRestartsWithoutADaemon(t *testing.T) {
	b := newBench(t)
	first, second := b.started(one), b.started(two)
	b.connected = false
	b.DaemonLost()
	for range 100 {
		b.reboots(first)
	}
	b.reboots(second)
	b.dies(first, 9)
	assert.Len(t, b.reports.kept, 3)
	b.connected = true
	b.kinds()
	b.DaemonFound()
	require.Len(t, b.sent, 3)
	assert.Equal(t, one, b.sent[0].UUID)
	assert.Empty(t, b.sent[0].Files.Terminals, "it is over by now")
	assert.Equal(t, two, b.sent[1].UUID)
	assert.Equal(t, hold.Exited, b.sent[2].Kind)
	b.acknowledge(b.sent[2].Number)
	assert.True(t, b.reports.empty())
}

// TestAcknowledgements that are late, early or repeated.
func TestAcknowledgements(t *testing.T) {
	b := newBench(t)
	b.dies(b.started(one), 0)
	b.dies(b.started(two), 0)
	first, second := b.sent[len(b.sent)-4], b.lastSent()
	require.Equal(t, []hold.Kind{hold.Exited, hold.Exited}, []hold.Kind{first.Kind, second.Kind})
	b.acknowledge(0)
	assert.Len(t, b.reports.kept, 2)
	b.acknowledge(first.Number)
	b.acknowledge(first.Number)
	assert.Len(t, b.reports.kept, 1)
	assert.False(t, b.Finished())
	b.acknowledge(1 << 63)
	assert.True(t, b.Finished())
}

func TestEventsOnStrangers(t *testing.T) {
	b := newBench(t)
	b.watched[99] = hold.Interest{Read: true}
	b.Ready(99, hold.Happening{Readable: true})
	assert.NotContains(t, b.watched, hold.FD(99), "it would be told without end")
}

// TestNewsWithoutNews: a descriptor may be ready and have nothing.
func TestNewsWithoutNews(t *testing.T) {
	b := newBench(t)
	h := b.begun(one)
	b.Ready(h.born.Outcome, hold.Happening{Readable: true})
	b.Ready(h.born.Process, hold.Happening{Readable: true}) // and it lives
	assert.Same(t, h, b.Controller.held[one])
	assert.Equal(t, waiting, h.phase)
}
