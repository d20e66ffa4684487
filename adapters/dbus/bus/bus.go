// Package bus owns the daemon's one connection to the system bus.
//
// The connection is made when it is first needed. While somebody watches it is
// made again whenever it is lost; otherwise by the next call. Nobody is served
// by a second connection, so a host with a slow or absent bus is asked once,
// not once for every part of the daemon.
//
// Lock order: Bus.mu, then watch.mu. Neither is held over I/O.
package bus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"virtlxcd/domain/fault"
)

// The bus's own name and object.
// See "Message Bus Messages" in the D-Bus specification.
const (
	Self     = "org.freedesktop.DBus"
	SelfPath = "/org/freedesktop/DBus"
)

// standard is where the system bus listens unless the environment says otherwise.
// /var/run/dbus is the address in the specification; it is a link to this one.
const standard = "unix:path=/run/dbus/system_bus_socket"

// closeLimit is how long Close waits for what a bus that does not read any more
// holds up: the connection's library cannot take a write back.
const closeLimit = 2 * time.Second

// Options say which bus.
// The zero value is what daemons want.
type Options struct {
	// Address as in dbus-daemon(1) ("unix:path=..."). Empty: the system bus.
	Address string
}

// Bus is a connection that may come and go. All methods are safe from any
// goroutine.
// Its goroutines (the attempt, the keeper, calls, rules being made known) are Close's to
// wait for.
type Bus struct {
	address string
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	session  *session // nil: not connected
	dialing  *attempt
	attempts uint64 // that have ended
	failure  error  // of the last attempt
	failed   time.Time
	watches  map[*watch]struct{}
	keeping  bool
	closed   bool
}

// New returns a bus. Nothing is connected before the first Call or Watch.
// DBUS_SYSTEM_BUS_ADDRESS is looked at now and not later. log is told of lost
// connections and of a bus that refuses to be watched.
func New(options Options, log *slog.Logger) *Bus {
	if options.Address == "" {
		options.Address = os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")
	}
	if options.Address == "" {
		options.Address = standard
	}
	b := &Bus{address: options.Address, log: log, watches: map[*watch]struct{}{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Close ends the connection and all watches; calls that wait fail.
// Watch channels are closed. Timeout if the bus has stopped reading and holds up what
// was being sent: the goroutines then end with the process. Closing again waits again.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	s, watches := b.session, b.watches
	b.session, b.watches = nil, nil
	b.mu.Unlock()
	b.cancel()
	for w := range watches {
		w.close()
	}
	ended := make(chan struct{})
	go func() {
		if s != nil {
			_ = s.conn.Close()
		}
		b.wg.Wait()
		close(ended)
	}()
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	select {
	case <-ended:
		return nil
	case <-limit.C:
		return fault.New(fault.Timeout, fault.Host, "the system bus does not take what it was sent")
	}
}

// Call calls a method, named with its interface, and waits for the reply as
// long as ctx lasts. Arguments are Go values of the wished D-Bus types. It
// connects if there is no connection; System if there is no bus. The D-Bus name
// of an error that the other side answered is kept: ErrorName.
// Timeout if ctx reached its deadline, or the bus or the service says that there was no
// answer in time; Aborted if ctx was cancelled; System for every other failure. Structures
// in the result are []any, variants dbus.Variant. Descriptors cannot be passed: CallFile.
func (b *Bus) Call(ctx context.Context, destination, path, method string, args ...any) ([]any, error) {
	s, err := b.connect(ctx, false)
	if err != nil {
		return nil, err
	}
	body, err := s.call(ctx, destination, path, method, args...)
	if err != nil {
		return nil, callFailed(ctx, err, destination, method)
	}
	return body, nil
}

// Property reads one property of an object.
// It calls org.freedesktop.DBus.Properties.Get. The value is unwrapped from its variant;
// its type is whatever the service sent. Errors are those of Call, and System for an
// answer that is no single variant.
func (b *Bus) Property(ctx context.Context, destination, path, iface, name string) (any, error) {
	body, err := b.Call(ctx, destination, path, "org.freedesktop.DBus.Properties.Get", iface, name)
	if err != nil {
		return nil, err
	}
	if len(body) == 1 {
		if value, ok := body[0].(dbus.Variant); ok {
			return value.Value(), nil
		}
	}
	return nil, fault.New(fault.System, fault.Host, "'%s' gave a malformed answer for property '%s'", destination, name)
}

// ErrorName is the D-Bus name of the error in err; empty if there is none.
// It is what the D-Bus specification calls the error's name, such as
// "org.freedesktop.DBus.Error.ServiceUnknown". Errors that arose on this side have none.
func ErrorName(err error) string {
	var answered dbus.Error
	if errors.As(err, &answered) {
		return answered.Name
	}
	var pointed *dbus.Error
	if errors.As(err, &pointed) {
		return pointed.Name
	}
	return ""
}

// callFailed says who could not do what.
// The three names are what buses and services say when somebody did not answer in time.
func callFailed(ctx context.Context, err error, destination, method string) error {
	if ended := ctx.Err(); ended != nil {
		return Ended(ended, "'%s' did not answer to '%s'", destination, method)
	}
	kind := fault.System
	switch ErrorName(err) {
	case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.TimedOut", "org.freedesktop.DBus.Error.Timeout":
		kind = fault.Timeout
	}
	wrapped := fault.Wrap(err, kind, "call of '%s' at '%s' failed", method, destination)
	wrapped.Area = fault.Host
	return wrapped
}

// Ended is the failure of what a context's end cut short: Timeout at its deadline,
// else Aborted.
// It is exported for the packages beside this one, which wait for signals too.
func Ended(err error, format string, args ...any) error {
	kind := fault.Aborted
	if errors.Is(err, context.DeadlineExceeded) {
		kind = fault.Timeout
	}
	wrapped := fault.Wrap(err, kind, format, args...)
	wrapped.Area = fault.Host
	return wrapped
}
