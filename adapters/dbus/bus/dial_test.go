package bus_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/dbus/bus/bustest"
	"virtlxcd/domain/fault"
)

// descriptors counts those of this process that are open on path.
func descriptors(t *testing.T, path string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	n := 0
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && target == path {
			n++
		}
	}
	return n
}

func tempFile(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(t.TempDir() + "/passed")
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

// Any user may send signals with descriptors to any connection; nobody would close
// them here.
func TestDescriptorsNobodyAskedFor(t *testing.T) {
	d := bustest.Start(t)
	conn := serve(t, d)
	b := open(t, d.Address)
	signals, stop := b.Watch(bus.Match{Sender: name, Member: "Rang"})
	defer stop()
	require.Equal(t, bus.Connected, next(t, signals).Event)
	file := tempFile(t)
	forger := d.Connect(t)
	for _, to := range names(t, forger) {
		if to != conn.Names()[0] {
			for range 10 {
				forge(t, forger, to, place, name, "Rang", dbus.UnixFD(file.Fd()))
			}
		}
	}
	// What one connection has sent is passed on in order: this comes behind.
	require.NoError(t, forger.BusObject().Call(bus.Self+".GetId", 0).Err)
	require.NoError(t, conn.Emit(place, name+".Rang", "bare"))
	assert.Equal(t, []any{"bare"}, next(t, signals).Body)
	assert.Equal(t, 1, descriptors(t, file.Name()), "the test's own and no other")
}

// giver answers calls with descriptors.
type giver struct{ file *os.File }

func (g giver) One() (dbus.UnixFD, *dbus.Error) { return dbus.UnixFD(g.file.Fd()), nil }
func (g giver) Two() (dbus.UnixFD, dbus.UnixFD, *dbus.Error) {
	return dbus.UnixFD(g.file.Fd()), dbus.UnixFD(g.file.Fd()), nil
}
func (g giver) Beside() (dbus.UnixFD, string, *dbus.Error) {
	return dbus.UnixFD(g.file.Fd()), "and more", nil
}
func (g giver) Text() (string, *dbus.Error) { return "no descriptor", nil }
func (g giver) None() *dbus.Error           { return nil }
func (g giver) Refuse() *dbus.Error         { return dbus.NewError("org.example.Refused", nil) }

func TestCallFile(t *testing.T) {
	d := bustest.Start(t)
	conn := d.Connect(t)
	given := tempFile(t)
	require.NoError(t, conn.Export(giver{given}, place, name))
	bustest.Own(t, conn, name)
	b := open(t, d.Address)
	before := names(t, d.Connect(t))

	file, err := b.CallFile(t.Context(), name, place, name+".One")
	require.NoError(t, err)
	assert.Equal(t, 2, descriptors(t, given.Name()))
	_, err = file.WriteString("through")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	content, err := os.ReadFile(given.Name())
	require.NoError(t, err)
	assert.Equal(t, "through", string(content))
	assert.Len(t, names(t, d.Connect(t)), len(before)+1, "its connection has ended: only the test's new one is there")

	for _, method := range []string{"Two", "Beside", "Text", "None"} {
		file, err := b.CallFile(t.Context(), name, place, name+"."+method)
		require.ErrorIs(t, err, fault.System, method)
		assert.Nil(t, file)
		assert.ErrorContains(t, err, name+"."+method)
		assert.Equal(t, 1, descriptors(t, given.Name()), "%s: what came is closed", method)
	}
	_, err = b.CallFile(t.Context(), name, place, name+".Refuse")
	assert.Equal(t, "org.example.Refused", bus.ErrorName(err))
}

func TestCallFileWithoutAnswer(t *testing.T) {
	_, err := open(t, "unix:path="+t.TempDir()+"/none").CallFile(t.Context(), name, place, name+".One")
	require.ErrorIs(t, err, fault.System)
	assert.ErrorContains(t, err, "cannot reach the system bus")

	silent := pretend(t, func(*dialogue, *dbus.Message) {})
	b := bus.New(bus.Options{Address: silent.address}, quiet())
	short, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = b.CallFile(short, name, place, name+".One")
	require.ErrorIs(t, err, fault.Timeout)
	failed := make(chan error, 1)
	go func() {
		_, err := b.CallFile(context.Background(), name, place, name+".Last")
		failed <- err
	}()
	silent.asked(t, "Last")
	require.NoError(t, b.Close(), "it waits for the call, and ends it")
	require.ErrorIs(t, <-failed, fault.Aborted)
	_, err = b.CallFile(t.Context(), name, place, name+".One")
	require.ErrorIs(t, err, fault.System, "after Close")
}

// Addresses as dbus-daemon prints them and people write them.
func TestAddresses(t *testing.T) {
	d := bustest.Start(t)
	path := strings.TrimPrefix(d.Address, "unix:path=")
	escaped := ""
	for i := range len(path) {
		escaped += fmt.Sprintf("%%%02x", path[i])
	}
	for _, address := range []string{
		"unix:path=" + path, "unix:path=" + escaped, "unix:guid=00,path=" + path, "unix:path=" + path + ",guid=00",
		"unix:path=/nowhere;unix:path=" + path, "nonsense;unix:path=" + path, "unix:path=" + path + ";unix:path=/nowhere",
	} {
		_, err := open(t, address).Call(t.Context(), bus.Self, bus.SelfPath, bus.Self+".GetId")
		assert.NoError(t, err, address)
	}
	for _, address := range []string{
		"nonsense", "unix:", "unix:path=", "unix:path=" + path + ",abstract=x", "unix:path=%zz", "unix:abstract=vlx-nobody-listens",
		"pigeon:path=" + path, ";", "unix:path=/nowhere;nonsense",
	} {
		_, err := open(t, address).Call(t.Context(), bus.Self, bus.SelfPath, bus.Self+".GetId")
		require.ErrorIs(t, err, fault.System, address)
		assert.ErrorContains(t, err, "cannot reach the system bus", address)
	}
}
