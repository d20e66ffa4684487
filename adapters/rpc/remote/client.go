package remote

import (
	"context"
	"sync"
	"sync/atomic"

	"virtlxcd/adapters/rpc"
	"virtlxcd/domain/access"
	"virtlxcd/ports"
)

// opened is what a client got by opening its connection. It is replaced as a
// whole when the client's identity is. Requests keep the one that they were admitted
// with.
type opened struct {
	connection ports.Connection
	uri        string
	readOnly   bool
}

// client is what is known about one session.
// It lives as long as its session. current is set once for most clients, and read without
// a lock by every call.
type client struct {
	service *Service
	session *rpc.Session
	current atomic.Pointer[opened]

	authenticating atomic.Bool // the gatekeeper is being asked

	mu        sync.Mutex
	opening   bool               // an open has begun or succeeded
	callbacks map[int32]callback // by number
	legacy    map[int32]callback // by event, for clients of the old generation
}

// open connects as caller and remembers the result; the connection is closed
// when the session has ended.
// Opening again, which only a change of identity does, replaces the connection for later
// calls; the one before lives on for its subscriptions until the session ends. It may
// wait for the driver, so no lock is held. Of two at once the later one counts.
func (c *client) open(ctx context.Context, caller access.Caller, uri string) error {
	connection, err := c.service.connector.Connect(ctx, caller)
	if err != nil {
		return err
	}
	// Hooks run when calls have ended, so nobody uses the connection then.
	c.session.OnClose(func() {
		if err := connection.Close(); err != nil {
			c.service.log.Warn("cannot close connection", "client", c.session.ID(), "error", err)
		}
	})
	c.current.Store(&opened{connection: connection, uri: uri, readOnly: caller.ReadOnly})
	return nil
}

// claim admits one open at a time, and none after one that succeeded. Only openConnection
// asks; setIdentity opens again on purpose.
func (c *client) claim() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening {
		return false
	}
	c.opening = true
	return true
}

// disclaim lets the client try again after an open that failed.
func (c *client) disclaim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opening = false
}
