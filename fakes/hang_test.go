package fakes

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// TestHangLastsAsLongAsTheContext: then the call fails for that, without effect, and
// others were served meanwhile.
func TestHangLastsAsLongAsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHost()
		groups := NewCgroups(h)
		h.Hang("Cgroups.Create", 2)
		_, err := groups.Create(t.Context(), "/machine", "first")
		require.NoError(t, err, "only the second hangs")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun, done := time.Now(), make(chan error, 1)
		go func() {
			_, err := groups.Create(ctx, "/machine", "second")
			done <- err
		}()
		synctest.Wait()
		_, err = groups.Create(t.Context(), "/machine", "third")
		require.NoError(t, err, "the host is not locked meanwhile")
		assert.ErrorIs(t, <-done, fault.Timeout)
		assert.Equal(t, time.Minute, time.Since(begun))
		_, err = groups.Open(t.Context(), "/machine/second")
		assert.ErrorIs(t, err, fault.NotFound)
		assert.Empty(t, h.Pending())
	})
}

func TestHangEndsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHost()
		h.Hang("Store.Load", 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := NewStore(h).Load(ctx, nil)
			done <- err
		}()
		synctest.Wait()
		cancel()
		assert.ErrorIs(t, <-done, fault.Aborted)
	})
}

// TestHangingForEverIsAMistake of the test, which is told at once.
func TestHangingForEverIsAMistake(t *testing.T) {
	h := NewHost()
	h.Hang("Entropy.NewMAC", 1)
	assert.PanicsWithValue(t, "fakes: Entropy.NewMAC was told to hang and has no context that could end it",
		func() { _, _ = NewEntropy(h).NewMAC() })
	_, err := NewEntropy(h).NewMAC()
	assert.NoError(t, err, "the host still works")
}
