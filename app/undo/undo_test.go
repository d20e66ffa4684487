package undo_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/app/undo"
)

func TestRunGoesBackwardsPastFailures(t *testing.T) {
	first, third := errors.New("stuck"), errors.New("gone")
	var order []string
	step := func(name string, err error) func(context.Context) error {
		return func(context.Context) error {
			order = append(order, name)
			return err
		}
	}
	var s undo.Stack
	s.Push("one", step("one", first))
	s.Push("two", step("two", nil))
	s.Push("three", step("three", third))
	var printed strings.Builder
	err := s.Run(t.Context(), slog.New(slog.NewTextHandler(&printed, nil)))
	assert.Equal(t, []string{"three", "two", "one"}, order)
	assert.ErrorIs(t, err, first)
	assert.ErrorIs(t, err, third)
	assert.Contains(t, printed.String(), "step=one")
	assert.NotContains(t, printed.String(), "step=two")

	assert.NoError(t, s.Run(t.Context(), slog.New(slog.DiscardHandler)), "a second run has nothing to do")
	assert.Len(t, order, 3)
}

func TestReleaseForgets(t *testing.T) {
	var s undo.Stack
	s.Push("never", func(context.Context) error {
		t.Error("a released step was taken back")
		return nil
	})
	s.Release()
	assert.NoError(t, s.Run(t.Context(), slog.New(slog.DiscardHandler)))
}

func TestRunPassesTheContext(t *testing.T) {
	type key struct{}
	var s undo.Stack
	s.Push("look", func(ctx context.Context) error {
		assert.Equal(t, 7, ctx.Value(key{}))
		return nil
	})
	assert.NoError(t, s.Run(context.WithValue(t.Context(), key{}, 7), slog.New(slog.DiscardHandler)))
}

// TestStepsAddedWhileRunning, as by a reverse that needs several, are taken back at
// once, before those that are older.
func TestStepsAddedWhileRunning(t *testing.T) {
	var s undo.Stack
	var order []string
	note := func(name string) func(context.Context) error {
		return func(context.Context) error {
			order = append(order, name)
			return nil
		}
	}
	s.Push("first", note("first"))
	s.Push("second", func(ctx context.Context) error {
		s.Push("part", note("part"))
		return note("second")(ctx)
	})
	assert.NoError(t, s.Run(t.Context(), slog.New(slog.DiscardHandler)))
	assert.Equal(t, []string{"second", "part", "first"}, order)
	s.Push("again", note("again"))
	assert.NoError(t, s.Run(t.Context(), slog.New(slog.DiscardHandler)), "a stack may be used again")
	assert.Equal(t, "again", order[3])
}

// TestFailuresNameTheirStep, in the order in which they happened.
func TestFailuresNameTheirStep(t *testing.T) {
	var s undo.Stack
	for _, name := range []string{"older", "newer"} {
		s.Push(name, func(context.Context) error { return errors.New("stuck") })
	}
	assert.EqualError(t, s.Run(t.Context(), slog.New(slog.DiscardHandler)), "newer: stuck\nolder: stuck")
}
