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
