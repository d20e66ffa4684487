package remote

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
)

func identity(params ...protocol.TypedParam) *protocol.ConnectSetIdentityArgs {
	return &protocol.ConnectSetIdentityArgs{Params: params}
}

func TestIdentity(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	callback := p.subscribe(0, nil)
	p.must(protocol.ProcConnectSetIdentity, identity(
		protocol.StringParam("user-name", "alice"), protocol.ULLongParam("unix-user-id", 1000),
		protocol.ULLongParam("unix-group-id", 100), protocol.LLongParam("process-id", 77),
		protocol.ULLongParam("process-time", 5), protocol.StringParam("selinux-context", "x"),
	), nil)
	require.Len(t, driver.callers, 2)
	assert.Equal(t, access.Caller{UID: 1000, GID: 100, PID: 77, Start: 5}, driver.callers[1])

	p.must(protocol.ProcConnectSetIdentity, identity(protocol.ULLongParam("unix-user-id", math.MaxUint64)), nil)
	assert.Equal(t, access.Caller{UID: noAccount, GID: noAccount}, driver.callers[2], "what is not told is nobody's")

	p.must(protocol.ProcConnectSetIdentity, identity(
		protocol.ULLongParam("unix-user-id", 1000), protocol.StringParam("system.token", "00112233445566778899aabbccddeeff"),
	), nil)
	assert.Equal(t, access.Caller{UID: 1000, GID: noAccount}, driver.callers[3], "no token makes a user root")

	var uri protocol.ConnectGetURIRet
	p.must(protocol.ProcConnectGetURI, nil, &uri)
	assert.Equal(t, defaultURI, uri.URI)
	p.must(protocol.ProcConnectDomainEventCallbackDeregisterAny,
		&protocol.ConnectDomainEventCallbackDeregisterAnyArgs{CallbackID: callback}, nil)
	p.conn.Close()
	<-p.done
	assert.Equal(t, 4, driver.closings(), "every connection is closed in the end")
}

func TestIdentityRefused(t *testing.T) {
	uid := protocol.ULLongParam("unix-user-id", 0)
	root := how{}
	tests := []struct {
		name    string
		how     how
		args    *protocol.ConnectSetIdentityArgs
		code    int32
		from    int32
		message string
	}{
		{"read-only socket", how{socket: rpc.Socket{ReadOnly: true}}, identity(uid), 29, 20, "operation forbidden: read only access prevents virConnectSetIdentity"},
		{"not root", how{caller: access.Caller{UID: 1000}}, identity(uid), 88, 55, "access denied: 'LXC' denied access"},
		{"unknown name", root, identity(protocol.StringParam("shoe-size", "44")), 74, 0, "argument unsupported: parameter 'shoe-size' not supported"},
		{"wrong type", root, identity(protocol.StringParam("unix-user-id", "0")), 8, 0, "invalid argument: invalid type 'string' for parameter 'unix-user-id', expected 'ullong'"},
		{"twice", root, identity(uid, uid), 8, 0, "invalid argument: parameter 'unix-user-id' occurs multiple times"},
		{"flags", root, &protocol.ConnectSetIdentityArgs{Flags: 4}, 8, 17, "unsupported flags (0x4) in function virConnectSetIdentity"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			driver := &stub{}
			p := open(t, driver, test.how)
			code, from, message := p.refused(protocol.ProcConnectSetIdentity, test.args)
			assert.Equal(t, test.message, message)
			assert.Equal(t, []int32{test.code, test.from}, []int32{code, from})
			assert.Len(t, driver.callers, 1)
		})
	}
}
