package front

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/settings"
	"virtlxcd/app/idle"
)

// world is all that surrounds a Daemon. It writes down what it is told, in order,
// and fails what it is told to fail.
type world struct {
	fail  map[string]error         // by what is written down
	block map[string]chan struct{} // these go on when the channel is closed, or ctx ends
	delay time.Duration            // of the host

	mu    sync.Mutex // guards what follows
	diary []string
	said  bytes.Buffer
}

func newWorld() *world {
	return &world{fail: map[string]error{}, block: map[string]chan struct{}{}}
}

func (w *world) note(ctx context.Context, format string, args ...any) error {
	line := fmt.Sprintf(format, args...)
	w.mu.Lock()
	w.diary = append(w.diary, line)
	w.mu.Unlock()
	if gate := w.block[line]; gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return w.fail[line]
}

func (w *world) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.diary, "; ")
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// Write is for the log.
func (w *world) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(text)
}

func (w *world) Recover(ctx context.Context) error          { return w.note(ctx, "recover") }
func (w *world) StartAutostarted(ctx context.Context) error { return w.note(ctx, "autostart") }
func (w *world) Reload(ctx context.Context) error           { return w.note(ctx, "definitions") }
func (w *world) Shutdown(ctx context.Context) error         { return w.note(ctx, "shutdown") }
func (w *world) StopAll(ctx context.Context, limit time.Duration) error {
	return w.note(ctx, "stop all in %s", limit)
}

func (w *world) Ready() error             { return w.note(context.Background(), "READY") }
func (w *world) Reloading() error         { return w.note(context.Background(), "RELOADING") }
func (w *world) Stopping() error          { return w.note(context.Background(), "STOPPING") }
func (w *world) Status(text string) error { return w.note(context.Background(), "STATUS %s", text) }

func (w *world) Daemon(ctx context.Context, operation, phase, extra string) error {
	return w.note(ctx, "hook %s %s %s", operation, phase, extra)
}
func (w *world) Refresh() error { return w.note(context.Background(), "refresh") }

func (w *world) MaxDelay(context.Context) (time.Duration, error) { return w.delay, w.fail["delay"] }

func (w *world) Watchdog(ctx context.Context, alive func(context.Context) error) { <-ctx.Done() }

// daemon is a Daemon in the world. Its sockets are those opened, if nobody else gave
// some, none.
func (w *world) daemon(t *testing.T, limit time.Duration) *Daemon {
	t.Helper()
	s := newStage(t)
	watch := idle.New(limit)
	return New(Parts{
		Cases: w, Notifier: w, Site: w, Host: w, Watchdog: w, Idle: watch,
		Sockets:        func() (*Sockets, error) { return &Sockets{}, w.note(context.Background(), "sockets") },
		Servers:        &Servers{Clients: rpc.New(rpc.DefaultOptions(), quiet()), Admin: rpc.New(rpc.DefaultOptions(), quiet())},
		Administration: NewAdministration(s.log, watch, quiet()), Configuration: s.config,
		Obey: func(settings.Daemon) { _ = w.note(context.Background(), "obey") },
		Log:  slog.New(slog.NewTextHandler(w, nil)),
	})
}

// run runs the daemon and returns how it ended.
func (w *world) run(ctx context.Context, d *Daemon) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, func() { _ = w.note(ctx, "begun") }) }()
	return ended
}

const (
	beginning = "hook start - start; sockets; recover; READY; begun; autostart"
	reloading = "RELOADING; refresh; hook reload begin SIGHUP; obey; definitions; READY"
	ending    = "STOPPING; hook shutdown - shutdown; shutdown"
)

func requireTold(t *testing.T, w *world, chapters ...string) {
	t.Helper()
	require.Equal(t, strings.Join(chapters, "; "), w.told())
}
