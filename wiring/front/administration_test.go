package front

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/app/idle"
	"virtlxcd/domain/fault"
)

func TestAdministratorsChangeTheLog(t *testing.T) {
	s := newStage(t)
	a := NewAdministration(s.log, idle.New(0), quiet())
	require.NoError(t, a.SetLogFilters("1:rpc 4:util"))
	filters, n := a.LogFilters()
	assert.Equal(t, "1:*rpc* 4:*util* ", filters)
	assert.Equal(t, 2, n)
	require.ErrorIs(t, a.SetLogFilters("9:x"), fault.InvalidArgument)
	require.NoError(t, a.SetLogOutputs("4:stderr"))
	require.ErrorIs(t, a.SetLogOutputs("1:file:/nowhere/at/all"), fault.System)
	outputs, n := a.LogOutputs()
	assert.Equal(t, "4:stderr", outputs, "what failed changed nothing")
	assert.Equal(t, 1, n)
	assert.Equal(t, remote.APIVersion.Number(), a.Version())
}

// TestTheLongestTimeout: seconds are not counted in too few bits.
func TestTheLongestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := idle.New(time.Second)
		a := NewAdministration(nil, watch, quiet())
		a.SetTimeout(4294967295)
		assert.Equal(t, 4294967295*time.Second, watch.Limit())
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case <-watch.Expired():
			t.Error("the old limit counted")
		default:
		}
		a.SetTimeout(0)
		time.Sleep(5000000000 * time.Second)
		synctest.Wait()
		assert.Zero(t, watch.Limit())
		select {
		case <-watch.Expired():
			t.Error("0 is never")
		default:
		}
	})
}

func TestServersHaveTheirLimits(t *testing.T) {
	config := configured(t, `
max_clients = 11
max_anonymous_clients = 10
min_workers = 2
max_workers = 3
prio_workers = 4
admin_max_clients = 5
admin_min_workers = 6
admin_max_workers = 7
`)
	watch := idle.New(0)
	service := remote.New(nil, nil, remote.Options{Log: quiet()})
	s := NewServers(config, service, NewAdministration(nil, watch, quiet()), watch, quiet())
	clients, workers := s.Clients.Clients(), s.Clients.Workers()
	assert.Equal(t, []uint{11, 10, 2, 3, 4}, []uint{clients.Max, clients.MaxAnonymous, workers.Min, workers.Max, workers.Prio})
	clients, workers = s.Admin.Clients(), s.Admin.Workers()
	assert.Equal(t, []uint{5, 0, 6, 7, 0}, []uint{clients.Max, clients.MaxAnonymous, workers.Min, workers.Max, workers.Prio})

	s.Apply(configured(t, "max_clients = 4294967295\nmin_workers = 0\nmax_workers = 1\nadmin_max_workers = 9\n"))
	clients, workers = s.Clients.Clients(), s.Clients.Workers()
	assert.Equal(t, []uint{4294967295, 20, 0, 1, 5}, []uint{clients.Max, clients.MaxAnonymous, workers.Min, workers.Max, workers.Prio})
	assert.EqualValues(t, 9, s.Admin.Workers().Max)
	assert.EqualValues(t, 5000, s.Admin.Clients().Max, "what the new file does not say is the default again")
}
