package remote

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc"
	"virtlxcd/adapters/rpc/protocol"
)

// cap1 is how clients name the container of the tests in arguments: the stale id
// must not matter.
var cap1 = protocol.Domain{Name: "cap1", UUID: protocol.UUID(uuidOf(cap1UUID)), ID: 99}

func TestFlags(t *testing.T) {
	const driver, api = 17, 20
	document := "<domain/>"
	tests := []struct {
		name      string
		procedure int32
		args      func(flags uint32) protocol.Message
		allowed   uint32
		function  string
	}{
		{"list", protocol.ProcConnectListAllDomains, func(f uint32) protocol.Message { return &protocol.ConnectListAllDomainsArgs{Flags: f} }, 0xffff, "lxcConnectListAllDomains"},
		{"define", protocol.ProcDomainDefineXMLFlags, func(f uint32) protocol.Message { return &protocol.DomainDefineXMLFlagsArgs{XML: document, Flags: f} }, 1, "lxcDomainDefineXMLFlags"},
		{"undefine", protocol.ProcDomainUndefineFlags, func(f uint32) protocol.Message { return &protocol.DomainUndefineFlagsArgs{Dom: cap1, Flags: f} }, 0, "lxcDomainUndefineFlags"},
		{"xml", protocol.ProcDomainGetXMLDesc, func(f uint32) protocol.Message { return &protocol.DomainGetXMLDescArgs{Dom: cap1, Flags: f} }, 11, "lxcDomainGetXMLDesc"},
		{"create", protocol.ProcDomainCreateXML, func(f uint32) protocol.Message { return &protocol.DomainCreateXMLArgs{XMLDesc: document, Flags: f} }, 18, "lxcDomainCreateXMLWithFiles"},
		{"create with files", protocol.ProcDomainCreateXMLWithFiles, func(f uint32) protocol.Message {
			return &protocol.DomainCreateXMLWithFilesArgs{XMLDesc: document, Flags: f}
		}, 18, "lxcDomainCreateXMLWithFiles"},
		{"start", protocol.ProcDomainCreateWithFlags, func(f uint32) protocol.Message { return &protocol.DomainCreateWithFlagsArgs{Dom: cap1, Flags: f} }, 2, "lxcDomainCreateWithFiles"},
		{"start with files", protocol.ProcDomainCreateWithFiles, func(f uint32) protocol.Message { return &protocol.DomainCreateWithFilesArgs{Dom: cap1, Flags: f} }, 2, "lxcDomainCreateWithFiles"},
		{"destroy", protocol.ProcDomainDestroyFlags, func(f uint32) protocol.Message { return &protocol.DomainDestroyFlagsArgs{Dom: cap1, Flags: f} }, 0, "lxcDomainDestroyFlags"},
		{"shutdown", protocol.ProcDomainShutdownFlags, func(f uint32) protocol.Message { return &protocol.DomainShutdownFlagsArgs{Dom: cap1, Flags: f} }, 12, "lxcDomainShutdownFlags"},
		{"reboot", protocol.ProcDomainReboot, func(f uint32) protocol.Message { return &protocol.DomainRebootArgs{Dom: cap1, Flags: f} }, 12, "lxcDomainReboot"},
		{"signal", protocol.ProcDomainSendProcessSignal, func(f uint32) protocol.Message {
			return &protocol.DomainSendProcessSignalArgs{Dom: cap1, PidValue: 1, Flags: f}
		}, 0, "lxcDomainSendProcessSignal"},
		{"state", protocol.ProcDomainGetState, func(f uint32) protocol.Message { return &protocol.DomainGetStateArgs{Dom: cap1, Flags: f} }, 0, "lxcDomainGetState"},
		{"managed save", protocol.ProcDomainHasManagedSaveImage, func(f uint32) protocol.Message {
			return &protocol.DomainHasManagedSaveImageArgs{Dom: cap1, Flags: f}
		}, 0, "lxcDomainHasManagedSaveImage"},
		{"console", protocol.ProcDomainOpenConsole, func(f uint32) protocol.Message { return &protocol.DomainOpenConsoleArgs{Dom: cap1, Flags: f} }, 0, "lxcDomainOpenConsole"},
		{"set metadata", protocol.ProcDomainSetMetadata, func(f uint32) protocol.Message { return &protocol.DomainSetMetadataArgs{Dom: cap1, Flags: f} }, 3, "lxcDomainSetMetadata"},
		{"get metadata", protocol.ProcDomainGetMetadata, func(f uint32) protocol.Message {
			return &protocol.DomainGetMetadataArgs{Dom: cap1, Flags: f}
		}, 3, "lxcDomainGetMetadata"},
	}
	p := open(t, &stub{containers: list(running(7)), console: &deafConsole{}}, how{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for bit := range 32 {
				flag := uint32(1) << bit
				failure := p.ask(test.procedure, test.args(flag), nil)
				if test.allowed&flag != 0 {
					require.Nil(t, failure, "flag %#x", flag)
					continue
				}
				require.NotNil(t, failure, "flag %#x", flag)
				require.Equal(t, fmt.Sprintf("unsupported flags (%#x) in function %s", flag, test.function), *failure.Message)
				require.Equal(t, []int32{8, driver, 0, 0}, []int32{failure.Code, failure.Domain, failure.Int1, failure.Int2})
				require.Equal(t, test.function, *failure.Str1)
				require.Equal(t, "flags", *failure.Str2)
			}
		})
	}
	failure := p.ask(protocol.ProcDomainGetMetadata, &protocol.DomainGetMetadataArgs{Dom: cap1, Flags: 3}, nil)
	require.NotNil(t, failure)
	assert.EqualValues(t, api, failure.Domain)
	assert.Equal(t, "virDomainGetMetadata", *failure.Str1)
	assert.Equal(t, "ctl", *failure.Str2)
}

// Every call that no handler serves is answered as not supported, in the words of
// the table, whatever its arguments.
func TestNotSupported(t *testing.T) {
	service := New(&stub{}, printer{}, Options{})
	handlers := map[uint32]served{protocol.Program: service.remoteHandlers(), protocol.LxcProgram: lxcHandlers()}
	p := open(t, &stub{}, how{})
	for _, program := range []uint32{protocol.Program, protocol.LxcProgram, protocol.QemuProgram} {
		for _, row := range protocol.Procedures(program) {
			if _, ok := handlers[program][row.Number]; ok || row.Number == 0 || !row.Callable() {
				continue
			}
			failure := p.askOf(program, row.Number, emptyArgs(&row), nil)
			require.NotNil(t, failure, row.Wire)
			require.Equal(t, "this function is not supported by the connection driver: "+row.Function, *failure.Message)
			require.Equal(t, "this function is not supported by the connection driver: %1$s", *failure.Str1)
			require.Equal(t, row.Function, *failure.Str2)
			require.Equal(t, []int32{3, row.ErrorDomain, -1, -1}, []int32{failure.Code, failure.Domain, failure.Int1, failure.Int2})
			require.NotEmpty(t, row.Function, row.Wire)
		}
	}
}

func emptyArgs(row *protocol.Procedure) protocol.Message {
	if row.Args == nil {
		return nil
	}
	return row.Args()
}

// Which functions may not be called is the table's business; every one of them has
// to be refused before anything else is looked at.
func TestReadOnly(t *testing.T) {
	driver := &stub{containers: list(running(7))}
	byFlag := connect(t, driver, how{})
	name := defaultURI
	byFlag.must(protocol.ProcConnectOpen, &protocol.ConnectOpenArgs{Name: &name, Flags: 1}, nil)
	bySocket := open(t, driver, how{socket: rpc.Socket{ReadOnly: true}})
	for _, p := range []*peer{byFlag, bySocket} {
		for _, program := range []uint32{protocol.Program, protocol.LxcProgram, protocol.QemuProgram} {
			for _, row := range protocol.Procedures(program) {
				if row.Number == 0 || !row.Callable() || row.ReadOnly != protocol.Refused {
					continue
				}
				failure := p.askOf(program, row.Number, emptyArgs(&row), nil)
				require.NotNil(t, failure, row.Wire)
				require.Equal(t, "operation forbidden: read only access prevents "+row.Function, *failure.Message)
				require.Equal(t, []int32{29, row.ErrorDomain}, []int32{failure.Code, failure.Domain})
			}
		}
		for _, flags := range []uint32{1, 8, 9, 1 | 1<<31} {
			code, from, message := p.refused(protocol.ProcDomainGetXMLDesc, &protocol.DomainGetXMLDescArgs{Dom: cap1, Flags: flags})
			require.Equal(t, "operation forbidden: virDomainGetXMLDesc with secure flag", message)
			require.Equal(t, []int32{29, 20}, []int32{code, from})
		}
		p.must(protocol.ProcDomainGetXMLDesc, &protocol.DomainGetXMLDescArgs{Dom: cap1, Flags: 2}, new(protocol.DomainGetXMLDescRet))
	}
	require.Len(t, driver.callers, 2)
	assert.True(t, driver.callers[0].ReadOnly)
	assert.True(t, driver.callers[1].ReadOnly)
	assert.Equal(t, []string{"definition cap1", "definition cap1"}, driver.calls)
}

func TestCallsBeforeOpening(t *testing.T) {
	p := connect(t, &stub{}, how{})
	for _, row := range protocol.Procedures(protocol.Program) {
		if row.Number == 0 || !row.Callable() || row.Needs != protocol.Opened {
			continue
		}
		code, from, message := p.refused(row.Number, emptyArgs(&row))
		require.Equal(t, "internal error: hypervisor connection not open", message, row.Wire)
		require.Equal(t, []int32{1, 7}, []int32{code, from})
	}
	var feature protocol.ConnectSupportsFeatureRet
	p.must(protocol.ProcConnectSupportsFeature, &protocol.ConnectSupportsFeatureArgs{Feature: 10}, &feature)
	assert.EqualValues(t, 1, feature.Supported)
	_, _, message := p.refused(protocol.ProcConnectSupportsFeature, &protocol.ConnectSupportsFeatureArgs{Feature: 14})
	assert.Equal(t, "internal error: hypervisor connection not open", message)
}

func TestUndecodable(t *testing.T) {
	p := open(t, &stub{}, how{})
	for _, row := range protocol.Procedures(protocol.Program) {
		if row.Number == 0 || !row.Callable() || row.Args == nil {
			continue
		}
		code, from, message := p.refused(row.Number, nil)
		require.Equal(t, "Unable to decode message payload", message, row.Wire)
		require.Equal(t, []int32{39, 7}, []int32{code, from})
	}
}

func TestEventsAreNoCalls(t *testing.T) {
	for _, program := range New(&stub{}, printer{}, Options{}).Programs() {
		for _, row := range protocol.Procedures(program.Number) {
			found := program.Procedure(row.Number)
			require.Equal(t, row.Number != 0 && row.Callable(), found != nil, row.Wire)
		}
		for _, number := range []int32{-1, 0, math.MinInt32, math.MaxInt32, 100000} {
			require.Nil(t, program.Procedure(number))
		}
	}
}
