package remote

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/adapters/rpc/xdr"
	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
	"virtlxcd/ports"
)

// keeper is a gatekeeper that does what it is told and remembers whom it was asked
// about.
type keeper struct {
	mu     sync.Mutex
	refuse error
	asked  []access.Caller
	wait   chan struct{} // not nil: it waits for a person, who answers by closing it
	asking chan struct{} // gets a token when it begins to wait
	gone   chan error    // gets the cause when the client went before the answer
}

func patientKeeper() *keeper {
	return &keeper{wait: make(chan struct{}), asking: make(chan struct{}, 1), gone: make(chan error, 1)}
}

func (k *keeper) Admit(ctx context.Context, caller access.Caller) error {
	k.mu.Lock()
	k.asked = append(k.asked, caller)
	refuse := k.refuse
	k.mu.Unlock()
	if k.wait == nil {
		return refuse
	}
	k.asking <- struct{}{}
	select {
	case <-k.wait:
		return refuse
	case <-ctx.Done():
		k.gone <- ctx.Err()
		return fault.New(fault.AuthFailed, fault.Access, "the client went")
	}
}

func (k *keeper) tell(refuse error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = refuse
}

func (k *keeper) callers() []access.Caller {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

func guarded(k ports.Gatekeeper, uid uint32) how {
	caller := access.Caller{UID: uid, GID: uid, PID: 4711, Start: 99}
	return how{caller: caller, socket: rpc.Socket{Authenticate: true}, keeper: k}
}

// noAccountUser is a user that no account database knows; nobody looks it up.
const noAccountUser = 4242

func (p *peer) methods() []protocol.AuthType {
	p.t.Helper()
	var answer protocol.AuthListRet
	p.must(protocol.ProcAuthList, nil, &answer)
	return answer.Types
}

func noAgent() error {
	return fault.New(fault.AuthUnavailable, fault.Access, "no polkit agent available to authenticate action '%s'", "org.libvirt.unix.manage")
}

// TestRecordedAuthentication replays the recordings of clients that are not root.
func TestRecordedAuthentication(t *testing.T) {
	for name, test := range map[string]struct {
		driver *stub
		keeper *keeper
		socket rpc.Socket
	}{
		"connect-polkit-ok":     {&stub{containers: list(ct9(), found(9378))}, &keeper{}, rpc.Socket{ReadOnly: true, Authenticate: true}},
		"connect-polkit-denied": {&stub{}, &keeper{refuse: noAgent()}, rpc.Socket{Authenticate: true}},
	} {
		t.Run(name, func(t *testing.T) {
			h := guarded(test.keeper, noAccountUser)
			h.socket = test.socket
			newReplay(t, test.driver, name, h, nil).run()
			caller := h.caller
			caller.ReadOnly = test.socket.ReadOnly
			assert.Equal(t, []access.Caller{caller}, test.keeper.callers())
		})
	}
}

// TestRootOnGuardedSocket: asking for the methods lets root in, and nothing else does.
func TestRootOnGuardedSocket(t *testing.T) {
	k := &keeper{refuse: noAgent()}
	p := connect(t, &stub{}, guarded(k, 0))
	code, from, message := p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)})
	assert.Equal(t, []any{int32(39), int32(7), "authentication required"}, []any{code, from, message})
	assert.Equal(t, []protocol.AuthType{protocol.AuthTypeNone}, p.methods())
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)}, nil)
	assert.Empty(t, k.callers())
}

// TestRootNeedNotWait sends both calls at once, as clients in a hurry do.
func TestRootNeedNotWait(t *testing.T) {
	p := connect(t, &stub{}, guarded(&keeper{}, 0))
	p.send(protocol.ProcAuthList, nil)
	p.send(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)})
	for range 2 {
		assert.Equal(t, frame.OK, p.receive().Header.Status)
	}
}

// TestNothingBeforeAuthentication calls everything there is.
func TestNothingBeforeAuthentication(t *testing.T) {
	driver := &stub{}
	k := &keeper{refuse: noAgent()}
	p := connect(t, driver, guarded(k, 1000))
	for _, program := range []uint32{protocol.Program, protocol.LxcProgram, protocol.QemuProgram} {
		for _, row := range protocol.Procedures(program) {
			if row.Number == 0 || !row.Callable() || row.Needs == protocol.Nothing {
				continue
			}
			failure := p.askOf(program, row.Number, nil, nil)
			require.NotNil(t, failure, row.Wire)
			require.Equal(t, "authentication required", *failure.Message, row.Wire)
			require.Equal(t, []int32{39, 7}, []int32{failure.Code, failure.Domain}, row.Wire)
		}
	}
	assert.Empty(t, driver.callers)
	assert.Empty(t, k.callers())
	assert.Equal(t, []protocol.AuthType{protocol.AuthTypePolkit}, p.methods())
}

func TestRefusals(t *testing.T) {
	k := &keeper{}
	p := connect(t, &stub{}, guarded(k, 1000))
	for _, test := range []struct {
		refuse  error
		code    int32
		message string
	}{
		{fault.New(fault.AuthFailed, fault.Access, "access denied by policy"), 45, "authentication failed: access denied by policy"},
		{fault.New(fault.AuthCancelled, fault.Access, "user cancelled authentication process"), 79,
			"authentication cancelled: user cancelled authentication process"},
		{noAgent(), 94, "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'"},
		{&fault.Error{Kind: fault.AuthUnavailable, Err: fault.New(fault.Timeout, fault.Access, "polkit does not answer")}, 94,
			"authentication unavailable: polkit does not answer"},
	} {
		k.tell(test.refuse)
		code, from, message := p.refused(protocol.ProcAuthPolkit, nil)
		assert.Equal(t, test.message, message)
		assert.Equal(t, []int32{test.code, 60}, []int32{code, from})
		_, _, message = p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)})
		assert.Equal(t, "authentication required", message)
	}
	k.tell(nil) // the client may try again
	var answer protocol.AuthPolkitRet
	p.must(protocol.ProcAuthPolkit, nil, &answer)
	assert.EqualValues(t, 1, answer.Complete)
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)}, nil)

	asked := len(k.callers())
	code, _, _ := p.refused(protocol.ProcAuthPolkit, nil)
	assert.EqualValues(t, 1, code, "there is nothing more to ask")
	assert.Len(t, k.callers(), asked)
	assert.Equal(t, []protocol.AuthType{protocol.AuthTypeNone}, p.methods())
}

// TestWrongMethods: nothing that a client may call instead lets it in.
func TestWrongMethods(t *testing.T) {
	p := connect(t, &stub{}, guarded(&keeper{}, 1000))
	for _, call := range []struct {
		procedure int32
		args      protocol.Message
	}{
		{protocol.ProcAuthSASLInit, nil},
		{protocol.ProcAuthSASLStart, &protocol.AuthSASLStartArgs{Mech: "PLAIN"}},
		{protocol.ProcAuthSASLStep, &protocol.AuthSASLStepArgs{}},
	} {
		code, from, message := p.refused(call.procedure, call.args)
		assert.Equal(t, []any{int32(45), int32(7), "authentication failed: authentication failed"}, []any{code, from, message})
	}
	_, _, message := p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)})
	assert.Equal(t, "authentication required", message)
}

// TestNobodyToAsk: a guarded socket without a gatekeeper lets nobody in, not even root.
func TestNobodyToAsk(t *testing.T) {
	p := connect(t, &stub{}, guarded(nil, 0))
	code, _, _ := p.refused(protocol.ProcAuthList, nil)
	assert.EqualValues(t, 45, code)
	code, _, _ = p.refused(protocol.ProcAuthPolkit, nil)
	assert.EqualValues(t, 1, code)
	_, _, message := p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)})
	assert.Equal(t, "authentication required", message)
}

// TestClientsThatAreAlreadyIn have nothing to ask the gatekeeper.
func TestClientsThatAreAlreadyIn(t *testing.T) {
	k := &keeper{refuse: noAgent()}
	p := connect(t, &stub{}, how{caller: access.Caller{UID: 1000}, keeper: k})
	assert.Equal(t, []protocol.AuthType{protocol.AuthTypeNone}, p.methods())
	code, _, _ := p.refused(protocol.ProcAuthPolkit, nil)
	assert.EqualValues(t, 1, code)
	assert.Empty(t, k.callers())
}

// TestWhilePersonIsAsked the connection lives, and asks nobody a second time.
func TestWhilePersonIsAsked(t *testing.T) {
	k := patientKeeper()
	p := connect(t, &stub{}, guarded(k, 1000))
	p.send(protocol.ProcAuthPolkit, nil)
	first := p.serial
	<-k.asking
	code, _, _ := p.refused(protocol.ProcAuthPolkit, nil)
	assert.EqualValues(t, 45, code)
	assert.Equal(t, []protocol.AuthType{protocol.AuthTypePolkit}, p.methods())
	assert.Len(t, k.callers(), 1)

	close(k.wait)
	answer := p.receive()
	assert.Equal(t, first, answer.Header.Serial)
	var complete protocol.AuthPolkitRet
	require.NoError(t, complete.DecodeXDR(xdr.NewDecoder(answer.Payload)))
	assert.EqualValues(t, 1, complete.Complete)
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)}, nil)
}

// TestClientGoesBeforeTheAnswer: nobody is to be bothered for it any longer.
func TestClientGoesBeforeTheAnswer(t *testing.T) {
	k := patientKeeper()
	p := connect(t, &stub{}, guarded(k, 1000))
	p.send(protocol.ProcAuthPolkit, nil)
	<-k.asking
	require.NoError(t, p.conn.Close())
	require.ErrorIs(t, <-k.gone, context.Canceled)
	<-p.done
}
