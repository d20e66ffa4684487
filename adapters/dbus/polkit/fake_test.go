package polkit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"virtlxcd/domain/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// check is a question as the daemon gets it.
type check struct {
	subject subject
	action  string
	details map[string]string
	flags   uint32
	ticket  string
}

// daemon is a policy daemon behind a bus. answer serves each check; it may wait, as
// the real one does for a person, until the ticket is taken back.
type daemon struct {
	t      *testing.T
	answer func(ctx context.Context, c check) (verdict, error)

	mu     sync.Mutex
	checks []check
	taken  []string // tickets taken back
	deaf   bool     // does not answer that either
}

func (d *daemon) Call(ctx context.Context, destination, path, method string, args ...any) ([]any, error) {
	assert.Equal(d.t, []string{service, object}, []string{destination, path})
	switch method {
	case checkMethod:
		return d.check(ctx, args)
	case stopMethod:
		return d.stop(ctx, args[0].(string))
	}
	assert.Fail(d.t, "unknown method", method)
	return nil, errors.New("unknown method")
}

func (d *daemon) check(ctx context.Context, args []any) ([]any, error) {
	assert.Equal(d.t, "(sa{sv})sa{ss}us", dbus.SignatureOf(args...).String())
	c := check{args[0].(subject), args[1].(string), maps.Clone(args[2].(map[string]string)), args[3].(uint32), args[4].(string)}
	d.mu.Lock()
	d.checks = append(d.checks, c)
	d.mu.Unlock()
	got, err := d.answer(ctx, c)
	if err != nil {
		return nil, err
	}
	details := map[string]string{}
	if got.dismissed {
		details["polkit.dismissed"] = "true"
	}
	return []any{[]any{got.authorized, got.challenge, details}}, nil
}

func (d *daemon) stop(ctx context.Context, ticket string) ([]any, error) {
	if d.deaf {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken = append(d.taken, ticket)
	return nil, ctx.Err()
}

func (d *daemon) seen() (checks []check, taken []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.checks, d.taken
}

// always answers every check alike.
func always(got verdict) func(context.Context, check) (verdict, error) {
	return func(context.Context, check) (verdict, error) { return got, nil }
}

func failing(err error) func(context.Context, check) (verdict, error) {
	return func(context.Context, check) (verdict, error) { return verdict{}, err }
}

// hanging does not answer.
func hanging(ctx context.Context, _ check) (verdict, error) {
	<-ctx.Done()
	return verdict{}, ctx.Err()
}

// person answers what rules leave open after some time; nobody waits for less.
func person(after time.Duration, got verdict) func(context.Context, check) (verdict, error) {
	return func(ctx context.Context, c check) (verdict, error) {
		if c.flags == justAnswer {
			return verdict{challenge: true}, nil
		}
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			return got, nil
		case <-ctx.Done():
			return verdict{}, ctx.Err()
		}
	}
}

func authority(t *testing.T, answer func(context.Context, check) (verdict, error)) (*Authority, *daemon) {
	d := &daemon{t: t, answer: answer}
	return New(d, slog.New(slog.DiscardHandler)), d
}

var alice = access.Caller{UID: 1000, GID: 100, PID: 4711, Start: 99}
