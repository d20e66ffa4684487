package driver

import (
	"context"
	"io"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
)

// OpenConsole implements ports.Handles. It is no change and takes no gate, so
// several may be open, and one can be opened during a long change. The stream
// is the slave of a host terminal, which stays the same when the container
// restarts from inside. The caller closes it.
func (c *connection) OpenConsole(ctx context.Context, ref container.Ref, name string) (io.ReadWriteCloser, error) {
	if err := c.writable(callOpenConsole); err != nil {
		return nil, err
	}
	e, err := c.find(ctx, ref, access.OpenDevice)
	if err != nil {
		return nil, err
	}
	snapshot := e.Snapshot()
	if snapshot.Live == nil || !snapshot.Shown().Active() {
		return nil, fault.NotRunning()
	}
	console, err := pickConsole(snapshot.Live.Consoles, name)
	if err != nil {
		return nil, err
	}
	return c.driver.ports.Terminals.Attach(ctx, console.TTY)
}

// pickConsole finds a console by its alias ("console0", see openTerminals);
// without a name it is the first. The texts are those of the interface. Only
// consoles of the live definition have a terminal, so it is asked for those.
func pickConsole(consoles []device.Console, name string) (*device.Console, error) {
	for i := range consoles {
		console := &consoles[i]
		if name != "" && console.Alias != name {
			continue
		}
		if console.Kind != "pty" || console.TTY == "" {
			return nil, fault.New(fault.Internal, fault.Driver, "character device %s is not using a PTY", console.Alias)
		}
		return console, nil
	}
	if name == "" {
		name = "default"
	}
	return nil, fault.New(fault.Internal, fault.Driver, "cannot find console device '%s'", name)
}
