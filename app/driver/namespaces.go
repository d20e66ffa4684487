package driver

import (
	"context"
	"errors"
	"os"

	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// OpenNamespaces implements ports.Handles. The gate is held so that all of them
// are of one init: a reboot from inside replaces it. The caller closes the
// files, and may enter them with setns(2) as long as it has them.
func (c *connection) OpenNamespaces(ctx context.Context, ref container.Ref) (files []*os.File, err error) {
	wish := request{call: callOpenNames, ref: ref, permissions: []access.Permission{access.OpenNames}}
	err = c.change(ctx, wish, func(_ context.Context, e *entry) error {
		r := e.Data.run.Load()
		if r == nil {
			return fault.NotRunning()
		}
		files, err = r.process.Namespaces()
		if errors.Is(err, fault.NotFound) {
			return initUnavailable()
		}
		return err
	})
	return files, err
}

// initUnavailable is what clients know for an init that has just ended.
func initUnavailable() error {
	return fault.New(fault.WrongState, fault.Driver, "Init pid is not yet available")
}
