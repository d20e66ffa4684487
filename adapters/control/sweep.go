package control

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/ports/hold"
)

// Sweep implements ports.ControllerSweeper. When ctx ends it returns what it has
// ended so far, with ctx's error. The spare one is left alone: nobody knows it yet.
// mine says which sockets belong to statuses that are known. A controller is dismissed
// one at a time; one that does not answer keeps Sweep until ctx ends.
func (c *Controllers) Sweep(ctx context.Context, mine func(socket string) bool) (ended []string, err error) {
	spare := c.spare.socket()
	entries, err := os.ReadDir(c.options.State)
	if err != nil {
		return nil, fault.Wrap(err, fault.System, "cannot list the control sockets in '%s'", c.options.State)
	}
	for _, entry := range entries {
		path := filepath.Join(c.options.State, entry.Name())
		if !strings.HasSuffix(path, socketSuffix) || path == spare || mine(path) {
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
// The question, Reclaim, names no container, so one that holds others answers Unknown.
// A socket without a process is removed and not counted. Connecting takes the place of
// a daemon that was connected, which the driver's lock keeps from being there.
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
	answer, err := controller.ask(ctx, &hold.Message{Kind: hold.Reclaim, Files: hold.NoFiles()})
	if err == nil {
		release(answer)
		return false
	}
	return errors.Is(err, fault.NotFound) // of ask: hung up
}

// socket is the spare controller's, which no status leads to either.
// It waits for one that is being made, or that would be swept as soon as it listens.
func (s *spare) socket() string {
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready == nil {
		return ""
	}
	return s.ready.ref.Socket
}
