package porttest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/domain/fault"
)

// over is a context that has ended. It has ended by cancel, so a port that looks says
// Aborted; Timeout is for a time that is over.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// refused says whether a call with an ended context was given up. It may also have been
// done all the same: what needs not wait need not look at the context. But one that is
// given up says so by its kind (see package ports). A check goes on accordingly: after
// a refusal nothing may have changed, else the call's effect is there in full and has
// to be undone.
func refused(t *testing.T, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	kind := fault.KindOf(err)
	assert.True(t, kind == fault.Aborted || kind == fault.Timeout, "kind %s of: %v", kind, err)
	return true
}
