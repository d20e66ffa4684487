package protocol_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/protocol"
)

func TestTablesAreWhole(t *testing.T) {
	last := map[uint32]int{protocol.Program: 453, protocol.LxcProgram: 1, protocol.QemuProgram: 7, protocol.AdminProgram: 20}
	for _, program := range programs {
		table := protocol.Procedures(program)
		require.Len(t, table, last[program]+1)
		for number, p := range table[1:] {
			require.EqualValues(t, number+1, p.Number)
			require.NotEmpty(t, p.Name)
			assert.Equal(t, p.ServedBy == protocol.BySibling, p.Sibling != "", p.Name)
			if !p.Callable() {
				assert.True(t, strings.Contains(p.Name, "Event"), p.Name)
				assert.Nil(t, p.Args, p.Name)
				continue
			}
			assert.Nil(t, p.Event, p.Name)
			if p.ServedBy == protocol.ByNobody || p.ServedBy == protocol.ByDriver {
				assert.NotEmpty(t, p.Function, p.Name)
			}
		}
	}
}

func TestFind(t *testing.T) {
	assert.Nil(t, protocol.Find(protocol.Program, 0))
	assert.Nil(t, protocol.Find(protocol.Program, -1))
	assert.Nil(t, protocol.Find(protocol.Program, 454))
	assert.Nil(t, protocol.Find(0x12345678, 1))
	assert.Equal(t, "DOMAIN_GET_INFO", protocol.Find(protocol.Program, protocol.ProcDomainGetInfo).Wire)
}

func TestRowsOfNote(t *testing.T) {
	row := func(number int32) *protocol.Procedure { return protocol.Find(protocol.Program, number) }
	functions := map[int32]string{
		426: "virDomainGetMessages", 187: "virDomainSnapshotNum", 316: "virConnectDomainEventRegisterAny",
		349: "virDomainGetFSInfo", 351: "virDomainGetIOThreadInfo", 395: "virNodeGetSEVInfo", 443: "virDomainFDAssociate",
		253: "virDomainGetBlockIoTune", 262: "virDomainGetCPUStats", 12: "virDomainDestroy", 19: "virDomainGetOSType",
	}
	for number, function := range functions {
		assert.Equal(t, function, row(number).Function)
	}
	origins := map[int32]int32{426: 20, 5: 20, 187: 35, 192: 35, 274: 35, 413: 69, 421: 20, 118: 22, 36: 19, 71: 18, 139: 30, 126: 26}
	for number, origin := range origins {
		assert.Equal(t, origin, row(number).ErrorDomain, "procedure %d", number)
	}
	assert.Equal(t, "virtnetworkd", row(46).Sibling)
	assert.Equal(t, "virtnodedevd", row(447).Sibling)
	assert.Equal(t, protocol.ByEvent, row(453).ServedBy)
	assert.Equal(t, protocol.ReadStream, row(201).Stream)
	assert.Equal(t, protocol.Conditional, row(14).ReadOnly)
	assert.Equal(t, protocol.Refused, row(9).ReadOnly)
	assert.True(t, row(12).High)
	assert.False(t, row(9).High)
	assert.Equal(t, "domain:read domain:read_secure:XML_SECURE domain:read_secure:XML_MIGRATABLE", row(14).ACL)
	assert.Equal(t, "domain:getattr", row(273).Filter)
	for number, stage := range map[int32]protocol.Stage{66: protocol.Nothing, 70: protocol.Nothing, 1: protocol.Authenticated, 2: protocol.Authenticated, 16: protocol.Opened} {
		assert.Equal(t, stage, row(number).Needs, "procedure %d", number)
	}
	open := protocol.Find(protocol.LxcProgram, 1)
	assert.Equal(t, "virDomainLxcOpenNamespace", open.Function)
	assert.Zero(t, open.ErrorDomain)
}

// TestServersCount notices a row that changed hands.
func TestServersCount(t *testing.T) {
	counts := map[protocol.Server]int{}
	for _, p := range protocol.Procedures(protocol.Program)[1:] {
		counts[p.ServedBy]++
	}
	assert.Equal(t, map[protocol.Server]int{
		protocol.ByNobody: 157, protocol.ByDriver: 88, protocol.ByDaemon: 13, protocol.ByBoth: 1,
		protocol.BySibling: 141, protocol.ByEvent: 53,
	}, counts)
}
