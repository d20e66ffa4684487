package access

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

func TestAllowAll(t *testing.T) {
	callers := []access.Caller{{}, {UID: 1000, GID: 1000, PID: 4711, Start: 9}, {UID: 0xffffffff, ReadOnly: true}}
	for _, caller := range callers {
		for _, permission := range []access.Permission{access.ConnectGetattr, access.Start, access.ReadSecure, "unknown.right"} {
			assert.NoError(t, AllowAll().Check(context.Background(), caller, permission, ports.AccessObject{}))
			assert.NoError(t, AllowAll().Check(context.Background(), caller, permission, ports.AccessObject{Name: "web"}))
		}
	}
}
