package remote

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/protocol"
	"virtlxcd/domain/container"
)

// many are n stopped containers.
func many(n int) []*container.Snapshot {
	all := make([]*container.Snapshot, n)
	for i := range all {
		var uuid container.UUID
		binary.BigEndian.PutUint32(uuid[:], uint32(i))
		all[i] = stopped(fmt.Sprintf("container-%d", i), uuid.String())
	}
	return all
}

func TestListAll(t *testing.T) {
	off := stopped("cap2", cap2UUID)
	p := open(t, &stub{containers: list(running(7), off)}, how{})
	one, two := objectOf(running(7).Identity), objectOf(off.Identity)
	tests := []struct {
		name string
		args protocol.ConnectListAllDomainsArgs
		want protocol.ConnectListAllDomainsRet
	}{
		{"all", protocol.ConnectListAllDomainsArgs{NeedResults: 1}, protocol.ConnectListAllDomainsRet{Domains: []protocol.Domain{one, two}, Ret: 2}},
		{"any truth", protocol.ConnectListAllDomainsArgs{NeedResults: -5}, protocol.ConnectListAllDomainsRet{Domains: []protocol.Domain{one, two}, Ret: 2}},
		{"active", protocol.ConnectListAllDomainsArgs{NeedResults: 1, Flags: 1}, protocol.ConnectListAllDomainsRet{Domains: []protocol.Domain{one}, Ret: 1}},
		{"inactive", protocol.ConnectListAllDomainsArgs{NeedResults: 1, Flags: 2}, protocol.ConnectListAllDomainsRet{Domains: []protocol.Domain{two}, Ret: 1}},
		{"paused", protocol.ConnectListAllDomainsArgs{NeedResults: 1, Flags: 32}, protocol.ConnectListAllDomainsRet{}},
		{"count", protocol.ConnectListAllDomainsArgs{Flags: 3}, protocol.ConnectListAllDomainsRet{Ret: 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var answer protocol.ConnectListAllDomainsRet
			p.must(protocol.ProcConnectListAllDomains, &test.args, &answer)
			assert.Equal(t, test.want, answer)
		})
	}
}

func TestFilterBits(t *testing.T) {
	seen := map[container.Filter]bool{}
	for bit := range 16 {
		filter := filterOf(1 << bit)
		require.False(t, seen[filter], "bit %d", bit)
		require.NotEqual(t, container.Filter{}, filter, "bit %d", bit)
		seen[filter] = true
	}
	assert.Equal(t, container.Filter{OtherState: true, Autostart: true, NoCheckpoint: true}, filterOf(1<<7|1<<10|1<<15))
}

// The listing is encoded without the generated type; both must agree.
func TestListingIsTheMessage(t *testing.T) {
	all := append(many(20), running(7))
	want := protocol.ConnectListAllDomainsRet{Ret: uint32(len(all))}
	for _, s := range all {
		want.Domains = append(want.Domains, objectOf(s.Identity))
	}
	expected, err := want.AppendXDR([]byte("front"))
	require.NoError(t, err)
	got, err := (&listing{found: all, wanted: true}).AppendXDR([]byte("front"))
	require.NoError(t, err)
	assert.Equal(t, expected, got)
	assert.LessOrEqual(t, len(got), len("front")+listingSize(all))
}

func TestOldLists(t *testing.T) {
	p := open(t, &stub{containers: append(many(3), running(7))}, how{})
	var ids protocol.ConnectListDomainsRet
	p.must(protocol.ProcConnectListDomains, &protocol.ConnectListDomainsArgs{Maxids: 100}, &ids)
	assert.Equal(t, []int32{7}, ids.Ids)
	p.must(protocol.ProcConnectListDomains, &protocol.ConnectListDomainsArgs{}, &ids)
	assert.Empty(t, ids.Ids)
	var names protocol.ConnectListDefinedDomainsRet
	p.must(protocol.ProcConnectListDefinedDomains, &protocol.ConnectListDefinedDomainsArgs{Maxnames: 2}, &names)
	assert.Equal(t, []string{"container-0", "container-1"}, names.Names)
	var count protocol.ConnectNumOfDefinedDomainsRet
	p.must(protocol.ProcConnectNumOfDefinedDomains, nil, &count)
	assert.EqualValues(t, 3, count.Num)
	p.must(protocol.ProcConnectNumOfDomains, nil, &count)
	assert.EqualValues(t, 1, count.Num)

	_, from, message := p.refused(protocol.ProcConnectListDomains, &protocol.ConnectListDomainsArgs{Maxids: -1})
	assert.Equal(t, "maxids in virConnectListDomains must be zero or greater", message)
	assert.EqualValues(t, 20, from)
	_, from, message = p.refused(protocol.ProcConnectListDefinedDomains, &protocol.ConnectListDefinedDomainsArgs{Maxnames: 16385})
	assert.Equal(t, "internal error: maxnames > REMOTE_DOMAIN_LIST_MAX", message)
	assert.EqualValues(t, 7, from)
}

func TestTooManyContainers(t *testing.T) {
	p := open(t, &stub{containers: make([]*container.Snapshot, protocol.DomainListMax+1)}, how{})
	code, _, message := p.refused(protocol.ProcConnectListAllDomains, &protocol.ConnectListAllDomainsArgs{NeedResults: 1})
	assert.EqualValues(t, 39, code)
	assert.Equal(t, "Too many domains '16385' for limit '16384'", message)
}
