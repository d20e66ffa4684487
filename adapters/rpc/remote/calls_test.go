package remote

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/frame"
	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/access"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/host"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/domain/usage"
	"virtlxcd/ports"
)

func TestFeatures(t *testing.T) {
	p := open(t, &stub{}, how{})
	for feature := int32(-1); feature < 30; feature++ {
		var answer protocol.ConnectSupportsFeatureRet
		p.must(protocol.ProcConnectSupportsFeature, &protocol.ConnectSupportsFeatureArgs{Feature: feature}, &answer)
		present := feature >= 8 && feature <= 10 || feature >= 14 && feature <= 16
		assert.Equal(t, ofBool(present), answer.Supported, "feature %d", feature)
	}
}

func TestSecondOpenKeepsTheFirst(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	name := "lxc:///"
	code, from, message := p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name})
	assert.Equal(t, "internal error: connection already open", message)
	assert.Equal(t, []int32{1, 7}, []int32{code, from})
	var uri protocol.ConnectGetURIRet
	p.must(protocol.ProcConnectGetURI, nil, &uri)
	assert.Equal(t, defaultURI, uri.URI)
	assert.Len(t, driver.callers, 1)
	assert.Zero(t, driver.closings())
}

func TestOpenRefusedByTheDriver(t *testing.T) {
	driver := &stub{fail: fault.Denied("LXC")}
	p := connect(t, driver, how{})
	name := defaultURI
	code, from, message := p.refused(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name})
	assert.Equal(t, "access denied: 'LXC' denied access", message)
	assert.Equal(t, []int32{88, 55}, []int32{code, from})
	driver.fail = nil
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name}, nil)
	p.conn.Close()
	<-p.done
	assert.Equal(t, 1, driver.closings())
}

func TestNothingIsAnsweredAfterClose(t *testing.T) {
	driver := &stub{}
	p := open(t, driver, how{})
	p.send(protocol.ProcConnectClose, nil)
	closing := p.serial
	p.conn.Write(frame.AppendHeader(nil, frame.Header{Program: protocol.Program, Version: 1, Procedure: 3}))
	answer := p.receive()
	assert.Equal(t, closing, answer.Header.Serial)
	assert.Equal(t, frame.OK, answer.Header.Status)
	err := p.reader.Read(new(frame.Packet))
	assert.Error(t, err)
	<-p.done
	assert.Equal(t, 1, driver.closings())
}

func TestNodeAndVersions(t *testing.T) {
	p := open(t, &stub{}, how{})
	var version protocol.ConnectGetVersionRet
	p.must(protocol.ProcConnectGetVersion, nil, &version)
	assert.EqualValues(t, 6018044, version.HvVer)
	var library protocol.ConnectGetLibVersionRet
	p.must(protocol.ProcConnectGetLibVersion, nil, &library)
	assert.EqualValues(t, 12005000, library.LibVer)
	assert.Equal(t, "12.5.0", APIVersion.String())
	var kind protocol.ConnectGetTypeRet
	p.must(protocol.ProcConnectGetType, nil, &kind)
	assert.Equal(t, "LXC", kind.Type)
	var host protocol.ConnectGetHostnameRet
	p.must(protocol.ProcConnectGetHostname, nil, &host)
	assert.Equal(t, "rpcbox", host.Hostname)
	var secure protocol.ConnectIsSecureRet
	p.must(protocol.ProcConnectIsSecure, nil, &secure)
	assert.EqualValues(t, 1, secure.Secure)
	var capabilities protocol.ConnectGetCapabilitiesRet
	p.must(protocol.ProcConnectGetCapabilities, nil, &capabilities)
	assert.Equal(t, "<capabilities arch='x86_64'/>\n", capabilities.Capabilities)
}

func TestKernelVersion(t *testing.T) {
	tests := map[string]uint64{
		"6.18.44": 6018044, "5.10.0-30-amd64": 5010000, "6.1": 6001000, "7": 7000000, "6.1-rc3": 6001000, "6.1.9+": 6001009,
	}
	for release, number := range tests {
		version, err := kernelVersion(release)
		require.NoError(t, err, release)
		assert.Equal(t, number, version.Number(), release)
	}
	for _, release := range []string{"", "x", ".1", "99999999999.1.1"} {
		_, err := kernelVersion(release)
		assert.EqualError(t, err, "Unknown release: "+release)
	}
}

func TestLifecycle(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	p := open(t, driver, how{})
	steps := []struct {
		procedure int32
		args      protocol.Message
		call      string
	}{
		{protocol.ProcDomainCreate, &protocol.DomainCreateArgs{Dom: cap1}, "start cap1"},
		{protocol.ProcDomainSuspend, &protocol.DomainSuspendArgs{Dom: cap1}, "suspend cap1"},
		{protocol.ProcDomainResume, &protocol.DomainResumeArgs{Dom: cap1}, "resume cap1"},
		{protocol.ProcDomainShutdown, &protocol.DomainShutdownArgs{Dom: cap1}, "shutdown cap1"},
		{protocol.ProcDomainReboot, &protocol.DomainRebootArgs{Dom: cap1}, "reboot cap1"},
		{protocol.ProcDomainDestroy, &protocol.DomainDestroyArgs{Dom: cap1}, "destroy cap1"},
		{protocol.ProcDomainUndefine, &protocol.DomainUndefineArgs{Dom: cap1}, "undefine cap1"},
		{protocol.ProcDomainSetAutostart, &protocol.DomainSetAutostartArgs{Dom: cap1, Autostart: 5}, "autostart true cap1"},
		{protocol.ProcDomainSetAutostart, &protocol.DomainSetAutostartArgs{Dom: cap1}, "autostart false cap1"},
		{protocol.ProcDomainSendProcessSignal, &protocol.DomainSendProcessSignalArgs{Dom: cap1, PidValue: -1, Signum: 15}, "signal -1 15 cap1"},
	}
	for _, step := range steps {
		driver.calls = nil
		p.must(step.procedure, step.args, nil)
		assert.Equal(t, []string{step.call}, driver.calls)
	}
	p.must(protocol.ProcDomainShutdownFlags, &protocol.DomainShutdownFlagsArgs{Dom: cap1, Flags: 4}, nil)
	assert.Equal(t, ports.Asking{InitControl: true}, driver.asking)
	p.must(protocol.ProcDomainReboot, &protocol.DomainRebootArgs{Dom: cap1, Flags: 12}, nil)
	assert.Equal(t, ports.Asking{InitControl: true, BySignal: true}, driver.asking)

	code, from, message := p.refused(protocol.ProcDomainSendProcessSignal, &protocol.DomainSendProcessSignalArgs{Dom: cap1})
	assert.Equal(t, "pid_value in virDomainSendProcessSignal must not be zero", message)
	assert.Equal(t, []int32{8, 20}, []int32{code, from})
}

func TestStarting(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	p := open(t, driver, how{})
	var made protocol.DomainCreateXMLRet
	p.must(protocol.ProcDomainCreateXML, &protocol.DomainCreateXMLArgs{XMLDesc: "<domain/>", Flags: 18}, &made)
	assert.Equal(t, protocol.Domain{Name: "cap1", UUID: cap1.UUID, ID: 7}, made.Dom)
	assert.Equal(t, ports.StartOptions{AutoDestroy: true, Validate: true}, driver.options)
	assert.Equal(t, []string{"create <domain/>"}, driver.calls)

	var started protocol.DomainCreateWithFlagsRet
	p.must(protocol.ProcDomainCreateWithFlags, &protocol.DomainCreateWithFlagsArgs{Dom: cap1, Flags: 2}, &started)
	assert.Equal(t, made.Dom, started.Dom)
	assert.True(t, driver.options.AutoDestroy)

	var defined protocol.DomainDefineXMLFlagsRet
	p.must(protocol.ProcDomainDefineXMLFlags, &protocol.DomainDefineXMLFlagsArgs{XML: "<domain/>", Flags: 1}, &defined)
	assert.Equal(t, made.Dom, defined.Dom)
	assert.True(t, driver.validate)
	p.must(protocol.ProcDomainDefineXML, &protocol.DomainDefineXMLArgs{XML: "<domain/>"}, &defined)
	assert.False(t, driver.validate)
}

// Files reach the driver only with the calls that are for files, and nobody keeps
// them open.
func TestStartingWithFiles(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	p := open(t, driver, how{})
	calls := []struct {
		procedure int32
		args      protocol.Message
		passed    int
	}{
		{protocol.ProcDomainCreateWithFiles, &protocol.DomainCreateWithFilesArgs{Dom: cap1}, 2},
		{protocol.ProcDomainCreateXMLWithFiles, &protocol.DomainCreateXMLWithFilesArgs{XMLDesc: "<domain/>"}, 2},
		{protocol.ProcDomainCreateWithFlags, &protocol.DomainCreateWithFlagsArgs{Dom: cap1}, 0},
		{protocol.ProcDomainCreateXML, &protocol.DomainCreateXMLArgs{XMLDesc: "<domain/>"}, 0},
	}
	for _, call := range calls {
		files := nullFiles(t, 2)
		p.serial++
		packet := frame.AppendHeaderFDs(nil, frame.Header{
			Program: protocol.Program, Version: 1, Procedure: call.procedure, Type: frame.CallWithFDs, Serial: p.serial,
		}, len(files))
		packet, err := call.args.AppendXDR(packet)
		require.NoError(t, err)
		require.NoError(t, frame.Finish(packet))
		driver.settle()
		require.NoError(t, frame.Write(p.conn, packet, files))
		for _, file := range files {
			file.Close()
		}
		require.Equal(t, frame.OK, p.receive().Header.Status)
		assert.Len(t, driver.files, call.passed)
		for _, file := range driver.options.Files {
			_, err := file.Stat()
			assert.ErrorIs(t, err, os.ErrClosed)
		}
	}
}

func TestInformation(t *testing.T) {
	off := stopped("cap2", cap2UUID)
	off.Autostart, off.Updated = true, true
	driver := &stub{containers: list(running(7), off), usage: usage.Usage{CPU: 12345, Memory: 10<<20 + 5}}
	p := open(t, driver, how{})
	cap2 := protocol.Domain{Name: "cap2", UUID: protocol.UUID(uuidOf(cap2UUID))}
	var info protocol.DomainGetInfoRet
	p.must(protocol.ProcDomainGetInfo, &protocol.DomainGetInfoArgs{Dom: cap1}, &info)
	assert.Equal(t, protocol.DomainGetInfoRet{State: 1, MaxMem: 65536, Memory: 10240, NrVirtCPU: 1, CPUTime: 12345}, info)
	p.must(protocol.ProcDomainGetInfo, &protocol.DomainGetInfoArgs{Dom: cap2}, &info)
	assert.Equal(t, protocol.DomainGetInfoRet{State: 5, MaxMem: 65536, Memory: 32768, NrVirtCPU: 2}, info)

	for _, test := range []struct {
		procedure int32
		one, two  int32
	}{
		{protocol.ProcDomainIsActive, 1, 0}, {protocol.ProcDomainIsPersistent, 1, 1},
		{protocol.ProcDomainIsUpdated, 0, 1}, {protocol.ProcDomainGetAutostart, 0, 1},
	} {
		var answer protocol.DomainIsActiveRet
		p.must(test.procedure, &protocol.DomainIsActiveArgs{Dom: cap1}, &answer)
		assert.Equal(t, test.one, answer.Active, "procedure %d", test.procedure)
		p.must(test.procedure, &protocol.DomainIsActiveArgs{Dom: cap2}, &answer)
		assert.Equal(t, test.two, answer.Active, "procedure %d", test.procedure)
	}
	var memory protocol.DomainGetMaxMemoryRet
	p.must(protocol.ProcDomainGetMaxMemory, &protocol.DomainGetMaxMemoryArgs{Dom: cap2}, &memory)
	assert.EqualValues(t, 65536, memory.Memory)
	var labels protocol.DomainGetSecurityLabelListRet
	p.must(protocol.ProcDomainGetSecurityLabelList, &protocol.DomainGetSecurityLabelListArgs{Dom: cap1}, &labels)
	assert.Equal(t, protocol.DomainGetSecurityLabelListRet{}, labels)
}

func TestStates(t *testing.T) {
	tests := []struct {
		state         lifecycle.State
		reason        lifecycle.Reason
		number, cause int32
	}{
		{lifecycle.Running, lifecycle.Unknown, 1, 0},
		{lifecycle.Running, lifecycle.Booted, 1, 1},
		{lifecycle.Running, lifecycle.Unpaused, 1, 5},
		{lifecycle.Paused, lifecycle.ByUser, 3, 1},
		{lifecycle.Paused, lifecycle.Unknown, 3, 0},
		{lifecycle.Off, lifecycle.Unknown, 5, 0},
		{lifecycle.Off, lifecycle.ShutDown, 5, 1},
		{lifecycle.Off, lifecycle.Destroyed, 5, 2},
		{lifecycle.Off, lifecycle.Crashed, 5, 3},
		{lifecycle.Off, lifecycle.FailedReason, 5, 6},
		{lifecycle.Starting, lifecycle.Unknown, 5, 0},
	}
	for _, test := range tests {
		s := running(7)
		s.State, s.Reason = test.state, test.reason
		p := open(t, &stub{containers: list(s)}, how{})
		var answer protocol.DomainGetStateRet
		p.must(protocol.ProcDomainGetState, &protocol.DomainGetStateArgs{Dom: cap1}, &answer)
		assert.Equal(t, protocol.DomainGetStateRet{State: test.number, Reason: test.cause}, answer, "%v %v", test.state, test.reason)
	}
}

// A snapshot without a definition is a mistake elsewhere and must not bring a
// client down.
func TestNoDefinition(t *testing.T) {
	p := open(t, &stub{containers: list(&container.Snapshot{Identity: running(7).Identity})}, how{})
	for _, procedure := range []int32{protocol.ProcDomainGetInfo, protocol.ProcDomainGetMaxMemory} {
		code, _, message := p.refused(procedure, &protocol.DomainGetInfoArgs{Dom: cap1})
		assert.EqualValues(t, 1, code)
		assert.Equal(t, "internal error: no definition of 'cap1' is known", message)
	}
}

// What the driver says reaches the client through every call.
func TestFaultsReachTheClient(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	p := open(t, driver, how{})
	driver.fail = fault.Wrap(syscall.EIO, fault.System, "cannot do")
	service := New(driver, printer{}, Options{})
	silent := map[int32]bool{ // do not ask the driver
		protocol.ProcConnectOpen: true, protocol.ProcConnectClose: true, protocol.ProcAuthList: true,
		protocol.ProcAuthPolkit: true, protocol.ProcAuthSASLInit: true, protocol.ProcAuthSASLStart: true,
		protocol.ProcAuthSASLStep: true, protocol.ProcConnectSupportsFeature: true, protocol.ProcConnectGetType: true,
		protocol.ProcConnectGetLibVersion: true, protocol.ProcConnectGetURI: true, protocol.ProcConnectIsSecure: true,
		protocol.ProcConnectRegisterCloseCallback: true, protocol.ProcConnectUnregisterCloseCallback: true,
		protocol.ProcNodeGetSecurityModel: true, protocol.ProcDomainSendProcessSignal: true,
		protocol.ProcConnectDomainEventCallbackDeregisterAny: true, protocol.ProcConnectDomainEventDeregisterAny: true,
		protocol.ProcConnectDomainEventDeregister: true,
	}
	for number := range service.remoteHandlers() {
		if silent[number] {
			continue
		}
		row := protocol.Find(protocol.Program, number)
		failure := p.ask(number, emptyArgs(row), nil)
		require.NotNil(t, failure, row.Wire)
		require.Equal(t, "cannot do: Input/output error", *failure.Message, row.Wire)
		require.Equal(t, []int32{38, 17, 5}, []int32{failure.Code, failure.Domain, failure.Int1})
	}
	driver.fail = errors.New("odd")
	_, _, message := p.refused(protocol.ProcDomainSuspend, &protocol.DomainSuspendArgs{Dom: cap1})
	assert.Equal(t, "internal error: odd", message)
}

func TestLookups(t *testing.T) {
	p := open(t, &stub{containers: list(running(7))}, how{})
	var found protocol.DomainLookupByIDRet
	p.must(protocol.ProcDomainLookupByID, &protocol.DomainLookupByIDArgs{ID: 7}, &found)
	assert.Equal(t, protocol.Domain{Name: "cap1", UUID: cap1.UUID, ID: 7}, found.Dom)
	p.must(protocol.ProcDomainLookupByUUID, &protocol.DomainLookupByUUIDArgs{UUID: cap1.UUID}, &found)
	p.must(protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: "cap1"}, &found)

	none := protocol.Domain{Name: "gone"}
	tests := []struct {
		procedure  int32
		args       protocol.Message
		code, from int32
		message    string
	}{
		{protocol.ProcDomainLookupByID, &protocol.DomainLookupByIDArgs{ID: 8}, 42, 17, "Domain not found: No domain with matching id 8"},
		{protocol.ProcDomainLookupByID, &protocol.DomainLookupByIDArgs{ID: -1}, 8, 20, "id in virDomainLookupByID must be zero or greater"},
		{protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{}, 42, 17, "Domain not found: No domain with matching name ''"},
		{protocol.ProcDomainLookupByUUID, &protocol.DomainLookupByUUIDArgs{}, 42, 17, "Domain not found: No domain with matching uuid '00000000-0000-0000-0000-000000000000'"},
		{protocol.ProcDomainSuspend, &protocol.DomainSuspendArgs{Dom: none}, 42, 17, "Domain not found: no domain with matching uuid '00000000-0000-0000-0000-000000000000' (gone)"},
	}
	for _, test := range tests {
		code, from, message := p.refused(test.procedure, test.args)
		assert.Equal(t, test.message, message)
		assert.Equal(t, []int32{test.code, test.from}, []int32{code, from})
	}
}

func TestLongNamesAreAnswered(t *testing.T) {
	p := open(t, &stub{}, how{})
	name := strings.Repeat("a", protocol.StringMax)
	code, _, message := p.refused(protocol.ProcDomainLookupByName, &protocol.DomainLookupByNameArgs{Name: name})
	assert.EqualValues(t, 42, code)
	assert.Len(t, message, protocol.StringMax)
}

// outsider is a connection that may be open and nothing more.
type outsider struct{ stub }

func (o *outsider) Connect(context.Context, access.Caller) (ports.Connection, error) { return o, nil }

func (*outsider) NodeFacts(context.Context) (*host.Facts, error) {
	return nil, fault.Denied("LXC")
}

// TestWhoMayConnectMayKnow what host this is and of which version.
func TestWhoMayConnectMayKnow(t *testing.T) {
	driver := &outsider{}
	p := connectTo(t, &driver.stub, driver, how{})
	p.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: new(defaultURI)}, nil)
	var version protocol.ConnectGetVersionRet
	p.must(protocol.ProcConnectGetVersion, nil, &version)
	assert.EqualValues(t, 6018044, version.HvVer)
	var hostname protocol.ConnectGetHostnameRet
	p.must(protocol.ProcConnectGetHostname, nil, &hostname)
	assert.Equal(t, "rpcbox", hostname.Hostname)
	for _, procedure := range []int32{protocol.ProcNodeGetInfo, protocol.ProcConnectGetCapabilities, protocol.ProcNodeGetSecurityModel} {
		code, _, _ := p.refused(procedure, nil)
		assert.EqualValues(t, 88, code)
	}
}
