package porttest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// HooksHarness is a site with or without programs. The programs are those of one site:
// that several run one after the other is the adapter's to test.
type HooksHarness struct {
	Hooks ports.Hooks // nothing is installed
	// Install gives the site one program, lets the port know of it and returns what it
	// was called for so far. Checks call it once. The calls are those of the whole
	// check, with the documents as they were read.
	Install func(t *testing.T, program HookProgram) (calls func() []ports.HookCall)
}

// HookProgram is how a program behaves after it has read its document. The zero value
// reads its document and succeeds without a word.
type HookProgram struct {
	Exit   int
	Stderr string
	Hang   bool // it does not end by itself
}

// TestHooks checks a Hooks. The arguments and the document are as in the original
// (hooks.html), and sites have programs that count on them.
func TestHooks(t *testing.T, build func(t *testing.T) HooksHarness) {
	run(t, build, []check[HooksHarness]{
		{"does without", hooksAbsent},
		{"calls", hooksCall},
		{"takes documents of any length", hooksLongDocument},
		{"tells what a program that failed has said", hooksFail},
		{"does not wait for ever", hooksHang},
	})
}

// occasion has a name with a blank, which must arrive as one argument.
func occasion(document string) ports.HookCall {
	return ports.HookCall{Container: "vlx web", Operation: "start", Phase: "begin", Extra: "-", Document: document}
}

// hooksAbsent: most sites have none. To run nothing is a success, or no container would
// start.
func hooksAbsent(t *testing.T, h HooksHarness) {
	assert.False(t, h.Hooks.Present())
	assert.NoError(t, h.Hooks.Run(soon(t), occasion("")))
}

// hooksCall: what is written to standard error is no failure by itself, as only the
// status counts. An empty document is passed on too: the program must see the end of
// its input and not wait for it.
func hooksCall(t *testing.T, h HooksHarness) {
	calls := h.Install(t, HookProgram{Stderr: "all is well"})
	assert.True(t, h.Hooks.Present())
	first, second := occasion("<a/>\n"), occasion("")
	second.Operation, second.Phase = "release", "end"
	require.NoError(t, h.Hooks.Run(soon(t), first))
	require.NoError(t, h.Hooks.Run(soon(t), second))
	assert.Equal(t, []ports.HookCall{first, second}, calls())
}

// hooksLongDocument: a pipe takes 64 KiB by default (pipe(7)). A port that writes all
// before it waits for the program, or that writes only once, stops or loses the rest
// here.
func hooksLongDocument(t *testing.T, h HooksHarness) {
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	calls := h.Install(t, HookProgram{})
	require.NoError(t, h.Hooks.Run(soon(t), occasion(string(long))))
	require.Len(t, calls(), 1)
	assert.True(t, calls()[0].Document == string(long), "the document arrives whole")
}

// hooksFail: a hook may refuse a start, and its words are all that the user learns of
// the reason.
func hooksFail(t *testing.T, h HooksHarness) {
	calls := h.Install(t, HookProgram{Exit: 3, Stderr: "not on my watch"})
	err := h.Hooks.Run(soon(t), occasion("<a/>\n"))
	assert.ErrorIs(t, err, fault.HookFailed)
	assert.ErrorContains(t, err, "not on my watch")
	assert.Len(t, calls(), 1)
}

// hooksHang: the caller holds the container's job. When its context ends the call does
// too, by killing the program or by leaving it.
func hooksHang(t *testing.T, h HooksHarness) {
	h.Install(t, HookProgram{Hang: true})
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	begun := time.Now()
	assert.ErrorIs(t, h.Hooks.Run(ctx, occasion("<a/>\n")), fault.Timeout)
	assert.Less(t, time.Since(begun), patience)
}
