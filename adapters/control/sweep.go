package control

import (
	"context"
	"errors"
	"math"
	"path/filepath"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// Sweep implements ports.ControllerSweeper.
func (c *Controllers) Sweep(ctx context.Context, mine func(socket string) bool) (ended []string, err error) {
	spare := c.spare.socket()
	paths, err := filepath.Glob(filepath.Join(c.options.State, "*.sock"))
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot list control sockets")
	}
	for _, path := range paths {
		if path == spare || mine(path) {
			continue
		}
		if c.dismiss(ctx, path) {
			ended = append(ended, path)
		}
	}
	return ended, ctx.Err()
}

// dismiss acknowledges whatever a controller has to report, after which one
// that holds nothing ends. One that answers a further question holds something.
func (c *Controllers) dismiss(ctx context.Context, path string) (ended bool) {
	name := filepath.Base(path)
	connection, err := c.dial(name)
	if err != nil {
		if errors.Is(err, unix.ECONNREFUSED) {
			unix.Unlinkat(int(c.sockets.Fd()), name, 0)
		}
		return false
	}
	controller := newController(container.Controller{Socket: path}, connection, c)
	defer controller.Close()
	if controller.Acknowledge(math.MaxUint64) != nil {
		return false
	}
	held, err := controller.Reclaim(ctx, container.UUID{})
	if err == nil {
		closeHeld(&held)
		return false
	}
	return ctx.Err() == nil && controller.isGone()
}

// socket is the spare controller's, which no status leads to either.
func (s *spare) socket() string {
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready == nil {
		return ""
	}
	return s.ready.ref.Socket
}
