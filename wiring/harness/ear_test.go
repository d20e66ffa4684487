package harness

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
)

// ear writes down what a daemon announces, so that scripts can wait for what
// happens by itself.
type ear struct {
	t          *testing.T
	connection ports.Connection

	mu      sync.Mutex // guards what follows
	heard   []string
	taken   int // by take
	awaited int // by await
	changed chan struct{}
}

func listenTo(t *testing.T, m *Machine) *ear {
	e := &ear{t: t, changed: make(chan struct{})}
	var err error
	e.connection, err = m.daemon.Driver.Connect(context.Background(), access.Caller{})
	require.NoError(t, err)
	for _, kind := range []ports.EventKind{ports.LifecycleEvent, ports.RebootEvent, ports.MetadataEvent} {
		_, err := e.connection.Subscribe(context.Background(), ports.Subscription{Kind: kind, Deliver: e.hear})
		require.NoError(t, err)
	}
	return e
}

func (e *ear) close() { require.NoError(e.t, e.connection.Close()) }

var changes = [...]string{"defined", "undefined", "started", "suspended", "resumed", "stopped"}

func (e *ear) hear(event ports.Event) {
	what := ""
	switch event.Kind {
	case ports.LifecycleEvent:
		what = fmt.Sprintf("%s %d", changes[event.Change.Kind], event.Change.Detail)
	case ports.RebootEvent:
		what = "rebooted"
	case ports.MetadataEvent:
		what = strings.TrimSpace(fmt.Sprintf("metadata %d %s", event.Metadata, event.Namespace))
	}
	text := event.Container.Name + " " + what
	if event.Container.ID != container.NoID {
		text += fmt.Sprintf(", id %d", event.Container.ID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, text)
	close(e.changed)
	e.changed = make(chan struct{})
}

// await waits for an event that begins with text and was not awaited yet, nor
// any after it.
func (e *ear) await(text string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		found, changed := e.next(text)
		if found {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			require.Fail(e.t, "never heard: "+text, "%v", e.heard)
		}
	}
}

func (e *ear) next(text string) (found bool, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := e.awaited; i < len(e.heard); i++ {
		if strings.HasPrefix(e.heard[i], text) {
			e.awaited = i + 1
			return true, nil
		}
	}
	return false, e.changed
}

// take returns what was heard since it was last called.
func (e *ear) take() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := e.heard[e.taken:]
	e.taken = len(e.heard)
	return strings.Join(append(fresh[:len(fresh):len(fresh)], ""), "\n")
}
