package driver

import (
	"context"
	"os"

	"virtlxcd/domain/fault"
	"virtlxcd/domain/policy"
	"virtlxcd/domain/usage"
)

// goneProcess stands for an init that had ended before the daemon could look.
// With it, what deals with ended containers need not ask for nil.
type goneProcess struct{ pid int }

// endedAlready is closed from the start.
var endedAlready = func() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}()

// gone is what a real handle answers for a process that has ended.
func (p goneProcess) gone() error {
	return fault.New(fault.NotFound, fault.Host, "process %d has ended", p.pid)
}

func (p goneProcess) PID() int                        { return p.pid }
func (p goneProcess) Start() uint64                   { return 0 }
func (p goneProcess) Signal(int) error                { return p.gone() }
func (p goneProcess) Catches(int) (bool, error)       { return false, p.gone() }
func (p goneProcess) Program() (string, error)        { return "", p.gone() }
func (p goneProcess) RequestRunlevel(byte) error      { return p.gone() }
func (p goneProcess) Namespaces() ([]*os.File, error) { return nil, p.gone() }
func (p goneProcess) Done() <-chan struct{}           { return endedAlready }
func (p goneProcess) Close() error                    { return nil }

// goneGroup stands for a control group that was removed behind the daemon's
// back: nothing can live in it, and clearing it up is done. Kill and Remove
// succeed, so clearing up takes its usual way; all else is NotFound.
type goneGroup struct{ path string }

// gone names the path, as the log is all that is left of the group.
func (g goneGroup) gone() error {
	return fault.New(fault.NotFound, fault.ControlGroup, "control group '%s' is gone", g.path)
}

func (g goneGroup) Path() string                                            { return g.path }
func (g goneGroup) Apply(context.Context, policy.Limits) error              { return g.gone() }
func (g goneGroup) AllowDevices(context.Context, []policy.DeviceRule) error { return g.gone() }
func (g goneGroup) Usage(context.Context) (usage.Usage, error)              { return usage.Usage{}, g.gone() }
func (g goneGroup) Freeze(context.Context) error                            { return g.gone() }
func (g goneGroup) Thaw(context.Context) error                              { return g.gone() }
func (g goneGroup) Signal(context.Context, int) error                       { return g.gone() }
func (g goneGroup) Kill(context.Context) error                              { return nil }
func (g goneGroup) Remove(context.Context) error                            { return nil }
