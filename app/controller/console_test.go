package controller

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/ports/hold"
)

func TestOutputWaitsForAClient(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	b.input[c.guest] = []byte("booting\n")
	b.Ready(c.guest, hold.Happening{Readable: true})
	assert.Empty(t, b.output[c.host], "nobody is there")
	b.attached[c.host] = true
	b.Ready(c.host, hold.Happening{Opened: true})
	assert.Equal(t, "booting\n", b.output[c.host].String())
}

func TestInitNeverBlocksOnAnUnreadConsole(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	flood := strings.Repeat("0123456789abcdef", 4*ringSize/16)
	b.input[c.guest] = []byte(flood + "the end")
	for range 3 * len(flood) / budget {
		b.Ready(c.guest, hold.Happening{Readable: true})
	}
	assert.Empty(t, b.input[c.guest], "all was taken")
	b.attached[c.host] = true
	b.Ready(c.host, hold.Happening{Opened: true})
	got := b.output[c.host].String()
	assert.Len(t, got, ringSize)
	assert.True(t, strings.HasSuffix(got, "the end"), "the tail is kept")
}

func TestOneEventMovesAtMostItsBudget(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	b.input[c.guest] = make([]byte, 10*budget)
	b.Ready(c.guest, hold.Happening{Readable: true})
	assert.Len(t, b.input[c.guest], 9*budget)
}

func TestTypingReachesTheGuest(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	b.input[c.host], b.full[c.guest] = []byte("ls\n"), true
	b.Ready(c.host, hold.Happening{Readable: true})
	assert.True(t, b.watched[c.guest].Write, "waits until the guest takes it")
	assert.False(t, b.watched[c.host].Read, "and listens no further until then")
	b.full[c.guest] = false
	b.Ready(c.guest, hold.Happening{Writable: true})
	assert.Equal(t, "ls\n", b.output[c.guest].String())
	assert.True(t, b.watched[c.host].Read)
}

func TestAHangUpIsToldOnce(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	b.hungUp[c.guest], b.hungUp[c.host] = true, true
	b.Ready(c.guest, hold.Happening{HungUp: true})
	b.Ready(c.host, hold.Happening{HungUp: true})
	assert.True(t, b.watched[c.guest].Edge)
	assert.True(t, b.watched[c.host].Edge)
}

func TestTheLastWordsAreKept(t *testing.T) {
	b := newBench(t)
	h := b.started(one)
	c := h.consoles[0]
	b.attached[c.host] = true
	b.input[c.guest] = []byte("panic!")
	b.dies(h, 1<<8)
	assert.Equal(t, "panic!", b.output[c.host].String())
}

// TestAClientThatTakesLittle: what it does not take stays, and it is asked to say
// when there is room.
func TestAClientThatTakesLittle(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	b.attached[c.host], b.full[c.host] = true, true
	b.input[c.guest] = []byte("booting\n")
	b.Ready(c.guest, hold.Happening{Readable: true})
	assert.True(t, b.watched[c.host].Write)
	b.full[c.host] = false
	b.Ready(c.host, hold.Happening{Writable: true})
	assert.Equal(t, "booting\n", b.output[c.host].String())
	assert.False(t, b.watched[c.host].Write, "or it would be told without end")
}

// TestAClientThatLeaves: the terminal tells a hang-up until somebody opens it
// again, and what is typed before counts.
func TestAClientThatLeaves(t *testing.T) {
	b := newBench(t)
	c := b.started(one).consoles[0]
	b.input[c.host], b.hungUp[c.host] = []byte("exit\n"), true
	b.Ready(c.host, hold.Happening{Readable: true, HungUp: true})
	assert.Equal(t, "exit\n", b.output[c.guest].String())
	b.Ready(c.host, hold.Happening{Readable: true, HungUp: true})
	assert.True(t, b.watched[c.host].Edge)
	b.hungUp[c.host] = false
	b.input[c.host] = []byte("again\n")
	b.Ready(c.host, hold.Happening{Readable: true})
	assert.Equal(t, "exit\nagain\n", b.output[c.guest].String())
	assert.False(t, b.watched[c.host].Edge)
}

// TestConsolesDoNotMix: each guest terminal has its host terminal.
func TestConsolesDoNotMix(t *testing.T) {
	b := newBench(t)
	first, second := b.started(one).consoles[0], b.started(two).consoles[0]
	b.attached[first.host], b.attached[second.host] = true, true
	b.input[first.guest], b.input[second.guest] = []byte("first"), []byte("second")
	b.Ready(second.guest, hold.Happening{Readable: true})
	b.Ready(first.guest, hold.Happening{Readable: true})
	assert.Equal(t, "first", b.output[first.host].String())
	assert.Equal(t, "second", b.output[second.host].String())
}

// TestTypingForADeadGuest is dropped, not kept for the next init.
func TestTypingForADeadGuest(t *testing.T) {
	b := newBench(t)
	h := b.started(one)
	c := h.consoles[0]
	b.full[c.guest], b.input[c.host] = true, []byte("reboot\n")
	b.Ready(c.host, hold.Happening{Readable: true})
	b.dies(h, hangUp)
	b.executed(h)
	b.Ready(c.guest, hold.Happening{Writable: true})
	assert.Nil(t, b.output[c.guest])
	b.input[c.host] = []byte("hello\n")
	b.Ready(c.host, hold.Happening{Readable: true})
	assert.Equal(t, "hello\n", b.output[c.guest].String())
}
