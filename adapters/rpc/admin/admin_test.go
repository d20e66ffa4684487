package admin

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/client"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
	"virtlxcd/domain/fault"
)

var (
	mainServer = protocol.AdminServer{Name: "virtlxcd"}
	nobody     = protocol.AdminServer{Name: "nobody"}
)

func clientOf(srv protocol.AdminServer, id uint64) protocol.AdminClient {
	return protocol.AdminClient{Srv: srv, ID: id}
}

// The program has a handler for every procedure of its table, and for nothing else.
func TestEveryProcedure(t *testing.T) {
	program := newStage(t).service.Program()
	assert.EqualValues(t, protocol.AdminProgram, program.Number)
	for _, row := range protocol.Procedures(protocol.AdminProgram)[1:] {
		require.NotNil(t, program.Procedure(row.Number), row.Name)
		assert.Equal(t, row.Wire, program.Procedure(row.Number).Name)
		assert.False(t, program.Procedure(row.Number).Open, "nothing comes before authentication")
	}
	for _, number := range []int32{-1, 0, 21, 1 << 30} {
		assert.Nil(t, program.Procedure(number), number)
	}
}

// Flags nobody knows are refused by the name of the function that is called, once
// server and client are found.
func TestUnknownFlags(t *testing.T) {
	s := newStage(t)
	s.join(t, s.main, access.Caller{}, rpc.Socket{})
	root, one := s.root(t), clientOf(mainServer, 1)
	for _, row := range []struct {
		procedure int32
		function  string
		args      protocol.Message
	}{
		{1, "adminDispatchConnectOpen", &protocol.AdminConnectOpenArgs{Flags: 4}},
		{4, "adminConnectListServers", &protocol.AdminConnectListServersArgs{Flags: 4}},
		{6, "adminServerGetThreadPoolParameters", &protocol.AdminServerGetThreadpoolParametersArgs{Srv: mainServer, Flags: 4}},
		{7, "adminServerSetThreadPoolParameters", &protocol.AdminServerSetThreadpoolParametersArgs{Srv: mainServer, Flags: 4}},
		{8, "adminServerListClients", &protocol.AdminServerListClientsArgs{Srv: mainServer, Flags: 4}},
		{9, "adminServerLookupClient", &protocol.AdminServerLookupClientArgs{Srv: mainServer, ID: 1, Flags: 4}},
		{10, "adminClientGetInfo", &protocol.AdminClientGetInfoArgs{Clnt: one, Flags: 4}},
		{11, "adminClientClose", &protocol.AdminClientCloseArgs{Clnt: one, Flags: 4}},
		{12, "adminServerGetClientLimits", &protocol.AdminServerGetClientLimitsArgs{Srv: mainServer, Flags: 4}},
		{13, "adminServerSetClientLimits", &protocol.AdminServerSetClientLimitsArgs{Srv: mainServer, Flags: 4}},
		{14, "adminConnectGetLoggingOutputs", &protocol.AdminConnectGetLoggingOutputsArgs{Flags: 4}},
		{15, "adminConnectGetLoggingFilters", &protocol.AdminConnectGetLoggingFiltersArgs{Flags: 4}},
		{16, "adminConnectSetLoggingOutputs", &protocol.AdminConnectSetLoggingOutputsArgs{Flags: 4}},
		{17, "adminConnectSetLoggingFilters", &protocol.AdminConnectSetLoggingFiltersArgs{Flags: 4}},
		{18, "adminServerUpdateTlsFiles", &protocol.AdminServerUpdateTLSFilesArgs{Srv: mainServer, Flags: 4}},
		{19, "adminConnectSetDaemonTimeout", &protocol.AdminConnectSetDaemonTimeoutArgs{Timeout: 3, Flags: 4}},
		{20, "adminConnectDaemonShutdown", &protocol.AdminConnectDaemonShutdownArgs{Flags: 5}},
	} {
		assert.Equal(t, &client.Error{
			Code: 8, Domain: 62, Level: 2, Message: "unsupported flags (0x4) in function " + row.function,
			Str1: row.function, Str2: "flags",
		}, root.refused(row.procedure, row.args))
	}
	root.must(protocol.AdminProcConnectLookupServer, &protocol.AdminConnectLookupServerArgs{Name: "admin", Flags: 4}, nil)
	assert.Empty(t, s.daemon.shutdown)
	assert.Nil(t, s.daemon.idle())
	outputs, _ := s.daemon.LogOutputs()
	assert.Equal(t, "2:stderr", outputs)
	assert.NotNil(t, s.main.Session(1))
	assert.Empty(t, s.log.String())
}

// refusal is what counts of an error.
type refusal struct {
	code, domain int32
	message      string
}

func (a *asker) refusal(procedure int32, args protocol.Message) refusal {
	a.t.Helper()
	e := a.refused(procedure, args)
	if e.Code != 38 {
		assert.Equal(a.t, []int32{-1, -1}, []int32{e.Int1, e.Int2})
	}
	return refusal{e.Code, e.Domain, e.Message}
}

func TestUnknownServersAndClients(t *testing.T) {
	s := newStage(t)
	root := s.root(t)
	looked := refusal{95, 7, "Server not found: No server named 'nobody'"}
	matched := refusal{95, 62, "Server not found: no server with matching name 'nobody' found"}
	for procedure, args := range map[int32]protocol.Message{
		5:  &protocol.AdminConnectLookupServerArgs{Name: "nobody"},
		6:  &protocol.AdminServerGetThreadpoolParametersArgs{Srv: nobody, Flags: 1},
		8:  &protocol.AdminServerListClientsArgs{Srv: nobody},
		9:  &protocol.AdminServerLookupClientArgs{Srv: nobody, ID: 1},
		11: &protocol.AdminClientCloseArgs{Clnt: clientOf(nobody, 1)},
		12: &protocol.AdminServerGetClientLimitsArgs{Srv: nobody},
	} {
		assert.Equal(t, looked, root.refusal(procedure, args), procedure)
	}
	for procedure, args := range map[int32]protocol.Message{
		7:  &protocol.AdminServerSetThreadpoolParametersArgs{Srv: nobody, Flags: 1},
		10: &protocol.AdminClientGetInfoArgs{Clnt: clientOf(nobody, 1)},
		13: &protocol.AdminServerSetClientLimitsArgs{Srv: nobody},
		18: &protocol.AdminServerUpdateTLSFilesArgs{Srv: nobody},
	} {
		assert.Equal(t, matched, root.refusal(procedure, args), procedure)
	}
	const far = 1<<64 - 1
	assert.Equal(t, refusal{96, 7, "Client not found: No client with matching ID '18446744073709551615'"},
		root.refusal(9, &protocol.AdminServerLookupClientArgs{Srv: mainServer, ID: far}))
	assert.Equal(t, refusal{96, 7, "Client not found: No client with matching ID '0'"},
		root.refusal(11, &protocol.AdminClientCloseArgs{Clnt: clientOf(mainServer, 0), Flags: 1}))
	assert.Equal(t, refusal{96, 62, "Client not found: no client with matching id '7' found"},
		root.refusal(10, &protocol.AdminClientGetInfoArgs{Clnt: clientOf(mainServer, 7), Flags: 1}))
}

// ints are unsigned parameters, by name and value in turns.
func ints(list ...any) (params []protocol.TypedParam) {
	for i := 0; i < len(list); i += 2 {
		params = append(params, protocol.UintParam(list[i].(string), uint32(list[i+1].(int))))
	}
	return params
}

func TestRefusedParameters(t *testing.T) {
	s := newStage(t)
	root := s.root(t)
	for _, row := range []struct {
		workers bool
		params  []protocol.TypedParam
		want    refusal
	}{
		{true, ints("nWorkers", 3), refusal{74, 0, "argument unsupported: parameter 'nWorkers' not supported"}},
		{true, ints("nclients_max", 3), refusal{74, 0, "argument unsupported: parameter 'nclients_max' not supported"}},
		{true, ints("maxWorkers", 30, "", 3), refusal{74, 0, "argument unsupported: parameter '' not supported"}},
		{true, []protocol.TypedParam{protocol.IntParam("maxWorkers", 3)},
			refusal{8, 0, "invalid argument: invalid type 'int' for parameter 'maxWorkers', expected 'uint'"}},
		{true, []protocol.TypedParam{protocol.StringParam("minWorkers", "3")},
			refusal{8, 0, "invalid argument: invalid type 'string' for parameter 'minWorkers', expected 'uint'"}},
		{true, ints("maxWorkers", 30, "maxWorkers", 30),
			refusal{8, 0, "invalid argument: parameter 'maxWorkers' occurs multiple times"}},
		{true, ints("minWorkers", 21), refusal{8, 0, "invalid argument: minWorkers cannot be larger than maxWorkers"}},
		{true, ints("maxWorkers", 4), refusal{8, 0, "invalid argument: minWorkers cannot be larger than maxWorkers"}},
		{true, ints("maxWorkers", 0, "minWorkers", 0),
			refusal{8, 0, "invalid argument: maxWorkers cannot be 0: nothing would be served"}},
		{false, ints("nclients", 3), refusal{74, 0, "argument unsupported: parameter 'nclients' not supported"}},
		{false, ints("nclients_unauth_max", 5001),
			refusal{8, 7, "invalid argument: nclients_unauth_max cannot be larger than nclients_max"}},
		{false, ints("nclients_max", 0),
			refusal{8, 7, "invalid argument: nclients_unauth_max cannot be larger than nclients_max"}},
	} {
		if row.workers {
			assert.Equal(t, row.want, root.refusal(7, &protocol.AdminServerSetThreadpoolParametersArgs{Srv: mainServer, Params: row.params}))
		} else {
			assert.Equal(t, row.want, root.refusal(13, &protocol.AdminServerSetClientLimitsArgs{Srv: mainServer, Params: row.params}))
		}
	}
	assert.Equal(t, rpc.Workers{Min: 5, Max: 20, Prio: 5, Now: 5, Free: 5}, s.main.Workers())
	assert.Equal(t, rpc.Clients{Max: 5000, MaxAnonymous: 20}, s.main.Clients())
	assert.Empty(t, s.log.String())
}

func TestLimitsCanBeLifted(t *testing.T) {
	s := newStage(t)
	root := s.root(t)
	root.must(13, &protocol.AdminServerSetClientLimitsArgs{Srv: mainServer, Params: ints("nclients_unauth_max", 0, "nclients_max", 0)}, nil)
	assert.Equal(t, rpc.Clients{}, s.main.Clients())
	root.must(7, &protocol.AdminServerSetThreadpoolParametersArgs{Srv: mainServer}, nil) // changes nothing
	assert.Equal(t, rpc.Workers{Min: 5, Max: 20, Prio: 5, Now: 5, Free: 5}, s.main.Workers())
}

// Changes of single limits at the same time are all kept.
func TestChangesAtTheSameTime(t *testing.T) {
	s := newStage(t)
	var wait sync.WaitGroup
	for i, name := range []string{"minWorkers", "maxWorkers", "prioWorkers"} {
		root := s.root(t)
		wait.Go(func() {
			for n := range 50 {
				err := root.ask(7, &protocol.AdminServerSetThreadpoolParametersArgs{
					Srv: mainServer, Params: ints(name, n%3+[]int{2, 20, 50}[i])}, nil)
				assert.NoError(t, err)
			}
		})
	}
	wait.Wait()
	w := s.main.Workers()
	assert.Equal(t, []uint{3, 21, 51}, []uint{w.Min, w.Max, w.Prio})
}

func TestWorkersAtWork(t *testing.T) {
	s := newStage(t)
	s.main.SetWorkers(1, 2, 0)
	c := s.join(t, s.main, access.Caller{}, rpc.Socket{})
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() { c.Remote(context.Background(), 1, nil, nil) })
	}
	root := s.root(t)
	require.Eventually(t, func() bool {
		var got protocol.AdminServerGetThreadpoolParametersRet
		require.NoError(t, root.ask(6, &protocol.AdminServerGetThreadpoolParametersArgs{Srv: mainServer}, &got))
		return assert.ObjectsAreEqual(ints("minWorkers", 1, "maxWorkers", 2, "nWorkers", 2, "freeWorkers", 0,
			"prioWorkers", 0, "jobQueueDepth", 1), got.Params)
	}, patience, patience/1000)
	root.must(11, &protocol.AdminClientCloseArgs{Clnt: clientOf(mainServer, 1)}, nil)
	wait.Wait()
}

// A client without an account, one that has not authenticated, and one without a word
// yet are known all the same.
func TestClientInfo(t *testing.T) {
	s := newStage(t)
	s.join(t, s.main, access.Caller{UID: 33, GID: 100, PID: 77}, rpc.Socket{ReadOnly: true})
	s.join(t, s.main, access.Caller{UID: 4242, GID: 4243, PID: 78}, rpc.Socket{Authenticate: true})
	root := s.root(t)
	info := func(id uint64) []protocol.TypedParam {
		var got protocol.AdminClientGetInfoRet
		root.must(10, &protocol.AdminClientGetInfoArgs{Clnt: clientOf(mainServer, id)}, &got)
		return got.Params
	}
	web := []protocol.TypedParam{
		protocol.BooleanParam("readonly", true),
		protocol.IntParam("unix_user_id", 33), protocol.StringParam("unix_user_name", "web"),
		protocol.IntParam("unix_group_id", 100), protocol.StringParam("unix_group_name", "users"),
		protocol.IntParam("unix_process_id", 77),
	}
	assert.Equal(t, web, info(1))
	assert.Equal(t, []protocol.TypedParam{
		protocol.BooleanParam("readonly", false),
		protocol.IntParam("unix_user_id", 4242), protocol.IntParam("unix_group_id", 4243),
		protocol.IntParam("unix_process_id", 78),
	}, info(2))
	require.NoError(t, os.Truncate(s.service.users, 0)) // accounts are looked up when asked
	require.NoError(t, os.Remove(s.service.groups))
	assert.Equal(t, []protocol.TypedParam{web[0], web[1], web[3], web[5]}, info(1))
}

func TestListClients(t *testing.T) {
	s := newStage(t)
	const clients = 300
	for range clients {
		s.join(t, s.main, access.Caller{}, rpc.Socket{})
	}
	root := s.root(t)
	var count, all protocol.AdminServerListClientsRet
	root.must(8, &protocol.AdminServerListClientsArgs{Srv: mainServer}, &count)
	assert.Equal(t, protocol.AdminServerListClientsRet{Ret: clients}, count)
	root.must(8, &protocol.AdminServerListClientsArgs{Srv: mainServer, NeedResults: 1}, &all)
	assert.EqualValues(t, clients, all.Ret)
	for i, got := range all.Clients {
		session := s.main.Session(uint64(i + 1))
		assert.Equal(t, protocol.AdminClient{Srv: mainServer, ID: session.ID(), Timestamp: session.Since().Unix()}, got)
		var found protocol.AdminServerLookupClientRet
		root.must(9, &protocol.AdminServerLookupClientArgs{Srv: mainServer, ID: got.ID}, &found)
		assert.Equal(t, got, found.Clnt)
	}
	var servers protocol.AdminConnectListServersRet
	root.must(4, &protocol.AdminConnectListServersArgs{}, &servers)
	assert.Equal(t, protocol.AdminConnectListServersRet{Ret: 2}, servers)
	failure := bodyOf(tooMany("clients", 16385, protocol.AdminClientListMax))
	assert.Equal(t, "internal error: 16385 clients are more than the 16384 of one answer", *failure.Message)
}

// A client is disconnected at once, also in the middle of a call; an administrator may
// be the one.
func TestCloseClient(t *testing.T) {
	s := newStage(t)
	c := s.join(t, s.main, access.Caller{}, rpc.Socket{})
	ended := make(chan error, 1)
	go func() { ended <- c.Remote(context.Background(), 1, nil, nil) }()
	root := s.root(t)
	root.must(11, &protocol.AdminClientCloseArgs{Clnt: clientOf(mainServer, 1)}, nil)
	require.Error(t, <-ended)
	<-c.Done()
	assert.Contains(t, s.log.String(), `msg="client disconnected" server=virtlxcd client=1 uid=0 pid=1`)
	require.Error(t, root.ask(11, &protocol.AdminClientCloseArgs{Clnt: clientOf(protocol.AdminServer{Name: "admin"}, 1)}, nil))
	<-root.c.Done()
	s.root(t).must(1, &protocol.AdminConnectOpenArgs{}, nil)
}

func TestLogging(t *testing.T) {
	s := newStage(t)
	root := s.root(t)
	set := func(text *string) {
		root.must(16, &protocol.AdminConnectSetLoggingOutputsArgs{Outputs: text}, nil)
		root.must(17, &protocol.AdminConnectSetLoggingFiltersArgs{Filters: text}, nil)
	}
	text, empty := "1:x", ""
	set(&text)
	var outputs protocol.AdminConnectGetLoggingOutputsRet
	var filters protocol.AdminConnectGetLoggingFiltersRet
	root.must(14, &protocol.AdminConnectGetLoggingOutputsArgs{}, &outputs)
	root.must(15, &protocol.AdminConnectGetLoggingFiltersArgs{}, &filters)
	assert.Equal(t, protocol.AdminConnectGetLoggingOutputsRet{Outputs: text, Noutputs: 1}, outputs)
	assert.Equal(t, protocol.AdminConnectGetLoggingFiltersRet{Filters: &text, Nfilters: 1}, filters)
	for _, none := range []*string{nil, &empty} {
		set(&text)
		set(none)
		root.must(15, &protocol.AdminConnectGetLoggingFiltersArgs{}, &filters)
		assert.Equal(t, protocol.AdminConnectGetLoggingFiltersRet{}, filters)
		root.must(14, &protocol.AdminConnectGetLoggingOutputsArgs{}, &outputs)
		assert.Empty(t, outputs.Outputs)
	}
	s.daemon.refuse(fault.New(fault.InvalidArgument, fault.Host, "Malformed format for filter 'x'"))
	assert.Equal(t, refusal{8, 0, "invalid argument: Malformed format for filter 'x'"},
		root.refusal(17, &protocol.AdminConnectSetLoggingFiltersArgs{Filters: &text}))
	failed := fault.Wrap(syscall.EACCES, fault.System, "cannot open /x")
	failed.Area = fault.Host
	s.daemon.refuse(failed)
	assert.Equal(t, refusal{38, 0, "cannot open /x: Permission denied"},
		root.refusal(16, &protocol.AdminConnectSetLoggingOutputsArgs{Outputs: &text}))
	assert.Equal(t, 5, strings.Count(s.log.String(), "log filters changed"), "what fails is not a change")
	assert.Equal(t, 5, strings.Count(s.log.String(), "log outputs changed"))
}

func TestDaemon(t *testing.T) {
	s := newStage(t)
	root := s.root(t)
	var version protocol.AdminConnectGetLibVersionRet
	root.must(3, nil, &version) // also without having opened anything
	assert.EqualValues(t, 9000000, version.LibVer)
	for range 3 {
		root.must(1, &protocol.AdminConnectOpenArgs{}, nil)
	}
	root.must(19, &protocol.AdminConnectSetDaemonTimeoutArgs{Timeout: 30}, nil)
	assert.EqualValues(t, 30, *s.daemon.idle())
	for _, preserve := range []bool{true, false} {
		args := &protocol.AdminConnectDaemonShutdownArgs{}
		if preserve {
			args.Flags = 1
		}
		root.must(20, args, nil)
		assert.Equal(t, preserve, <-s.daemon.shutdown)
	}
	root.must(2, nil, nil)
	<-root.c.Done()
	failure := s.root(t).refused(protocol.AdminProcConnectLookupServer, nil)
	assert.Equal(t, "Unable to decode message payload", failure.Message)
	assert.EqualValues(t, 39, failure.Code)
}

func TestAdmit(t *testing.T) {
	assert.NoError(t, Admit(access.Caller{}))
	assert.NoError(t, Admit(access.Caller{UID: uint32(os.Geteuid()), PID: 7}))
	other := uint32(os.Geteuid() + 1)
	err := Admit(access.Caller{UID: other, PID: 7})
	assert.ErrorIs(t, err, fault.AccessDenied)
	assert.EqualError(t, err, fmt.Sprintf("disallowing client 7 with uid %d", other))
}

// FuzzCalls sends any arguments to any procedure: there is one answer to each call.
func FuzzCalls(f *testing.F) {
	name, one := "virtlxcd", clientOf(mainServer, 1)
	for number, args := range map[int32]protocol.Message{
		1: &protocol.AdminConnectOpenArgs{}, 4: &protocol.AdminConnectListServersArgs{NeedResults: 1},
		5: &protocol.AdminConnectLookupServerArgs{Name: name}, 6: &protocol.AdminServerGetThreadpoolParametersArgs{Srv: mainServer},
		7:  &protocol.AdminServerSetThreadpoolParametersArgs{Srv: mainServer, Params: ints("maxWorkers", 30)},
		8:  &protocol.AdminServerListClientsArgs{Srv: mainServer, NeedResults: 1},
		10: &protocol.AdminClientGetInfoArgs{Clnt: one}, 11: &protocol.AdminClientCloseArgs{Clnt: one},
		13: &protocol.AdminServerSetClientLimitsArgs{Srv: mainServer, Params: ints("nclients_max", 30)},
		16: &protocol.AdminConnectSetLoggingOutputsArgs{Outputs: &name}, 17: &protocol.AdminConnectSetLoggingFiltersArgs{},
		19: &protocol.AdminConnectSetDaemonTimeoutArgs{},
	} {
		data, err := args.AppendXDR(nil)
		require.NoError(f, err)
		f.Add(number, data)
	}
	s := newStage(f)
	f.Fuzz(func(t *testing.T, number int32, data []byte) {
		root := s.root(t)
		if number == protocol.AdminProcConnectDaemonShutdown || number == protocol.AdminProcClientClose {
			return // would need somebody to take notice, or disconnect us
		}
		err := root.ask(number, raw(data), nil)
		var failure *client.Error
		if err != nil {
			require.ErrorAs(t, err, &failure)
		}
	})
}
