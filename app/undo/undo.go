// Package undo collects how to take back what was done, for use cases of many
// steps of which any may fail.
package undo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Stack holds the reverses of the steps done so far. The zero value is ready.
// It belongs to one goroutine.
type Stack struct {
	steps []reverse
}

type reverse struct {
	name string
	run  func(context.Context) error
}

// Push adds the reverse of a step that has just succeeded. Name says in the log
// what could not be taken back.
func (s *Stack) Push(name string, run func(context.Context) error) {
	s.steps = append(s.steps, reverse{name, run})
}

// Run takes everything back, last step first, and forgets it. A reverse that
// fails does not stop the others; the failures are logged and returned joined.
func (s *Stack) Run(ctx context.Context, log *slog.Logger) error {
	var failures []error
	for len(s.steps) > 0 {
		last := s.steps[len(s.steps)-1]
		s.steps = s.steps[:len(s.steps)-1]
		if err := last.run(ctx); err != nil {
			log.Error("cannot take back a step", "step", last.name, "error", err)
			failures = append(failures, fmt.Errorf("%s: %w", last.name, err))
		}
	}
	return errors.Join(failures...)
}

// Release forgets everything: the whole has succeeded.
func (s *Stack) Release() { s.steps = nil }
