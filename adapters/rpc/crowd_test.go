package rpc

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// crowd is many clients of one socket, of which this side knows nothing but the
// descriptors: what memory grows is the server's.
type crowd struct {
	t    testing.TB
	addr unix.SockaddrUnix
	fds  []int
}

// newCrowd makes sure that this process may have so many descriptors more.
func newCrowd(t testing.TB, path string, descriptors int) *crowd {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if wanted := uint64(descriptors + 1000); limit.Cur < wanted {
		raised := unix.Rlimit{Cur: wanted, Max: max(limit.Max, wanted)}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
			t.Skipf("needs %d descriptors, has %d and may not raise that: %v", wanted, limit.Cur, err)
		}
		t.Cleanup(func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	}
	c := &crowd{t: t, addr: unix.SockaddrUnix{Name: path}}
	t.Cleanup(c.leave)
	return c
}

// join connects one more client; false if the socket's backlog is full.
func (c *crowd) join() bool {
	c.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(c.t, err)
	err = unix.Connect(fd, &c.addr)
	if err == unix.EAGAIN {
		unix.Close(fd)
		return false
	}
	require.NoError(c.t, err)
	require.NoError(c.t, unix.SetNonblock(fd, false))
	c.fds = append(c.fds, fd)
	return true
}

// joinAll connects clients as fast as the server takes them.
func (c *crowd) joinAll(clients int) {
	c.t.Helper()
	for len(c.fds) < clients {
		if !c.join() {
			runtime.Gosched()
		}
	}
}

// callAll makes one call by each client.
func (c *crowd) callAll(packet []byte) {
	c.t.Helper()
	answer := make([]byte, len(packet))
	for _, fd := range c.fds {
		_, err := unix.Write(fd, packet)
		require.NoError(c.t, err)
		n, err := unix.Read(fd, answer)
		require.NoError(c.t, err)
		require.Equal(c.t, len(packet), n)
	}
}

func (c *crowd) leave() {
	for _, fd := range c.fds {
		unix.Close(fd)
	}
	c.fds = nil
}

// resident is the memory this process occupies, in bytes.
func resident(t testing.TB) int {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}

// median is how long a call takes in the middle of many.
func median(t testing.TB, conn net.Conn, packet []byte) time.Duration {
	t.Helper()
	times := make([]time.Duration, 2001)
	for i := range times {
		start := time.Now()
		require.NoError(t, roundTrips(conn, packet, 1))
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// Many clients that have made a call and are silent now cost little, and the one that
// works does not notice them.
func TestIdleClients(t *testing.T) {
	const idle, budget = 5000, 20_000 // clients, bytes for each
	options := DefaultOptions()
	options.MaxClients = idle + 1
	var occupied atomic.Int64
	options.Occupied = func(delta int) { occupied.Add(int64(delta)) }
	bench := newBench(options)
	bench.session, bench.gone = make(chan *Session, idle+1), make(chan struct{}, idle+1)
	path := bench.listen(t, Socket{})
	worker := dial(t, path)
	packet := encoded(callHeader(procEchoInline, 1), make([]byte, 36))
	crowd := newCrowd(t, path, 2*idle)
	alone := median(t, worker.conn, packet)
	before := resident(t)

	crowd.joinAll(idle)
	crowd.callAll(packet)
	each := (resident(t) - before) / idle
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	crowded := median(t, worker.conn, packet)
	t.Logf("%d idle clients: %d bytes each (heap %d, stacks %d); a call alone %v, among them %v",
		idle, each, stats.HeapInuse/idle, stats.StackInuse/idle, alone, crowded)
	if !raced {
		assert.Less(t, each, budget)
		assert.Less(t, crowded, 4*alone+time.Millisecond)
	}
	assert.EqualValues(t, idle+1, occupied.Load())
	assert.EqualValues(t, idle+1, bench.server.Clients().Now)

	crowd.leave()
	for range idle {
		<-bench.gone
	}
	worker.quiet()
}

// Ten thousand attempts at a server of five thousand places: those with a place are
// served, the others wait or are refused by the kernel, and all is well afterwards.
func TestStampede(t *testing.T) {
	const attempts, places = 10_000, 5000
	bench := newBench(DefaultOptions())
	bench.session, bench.gone = make(chan *Session, attempts+2), make(chan struct{}, attempts+2)
	path := bench.listen(t, Socket{})
	worker := dial(t, path)
	worker.quiet()
	crowd := newCrowd(t, path, attempts+places)
	for i := range attempts {
		if i < places-1 {
			crowd.joinAll(i + 1)
		} else {
			crowd.join()
		}
	}
	for range places {
		<-bench.session
	}
	worker.quiet()
	assert.EqualValues(t, places, bench.server.Clients().Now, "nobody above the bound is served")
	assert.Empty(t, bench.session)
	assert.Greater(t, len(crowd.fds), places, "somebody waits")

	came := len(crowd.fds)
	crowd.leave()
	for range came {
		<-bench.gone
	}
	worker.quiet()
	dial(t, path).quiet()
	t.Logf("%d attempts: %d served, %d waited, %d refused", attempts, places-1, came-places+1, attempts-came)
}

func BenchmarkAmongIdleClients(b *testing.B) {
	const idle = 5000
	options := DefaultOptions()
	options.MaxClients = idle + 1
	bench := newBench(options)
	bench.session, bench.gone = make(chan *Session, idle+1), make(chan struct{}, idle+1)
	path := bench.listen(b, Socket{})
	worker := dial(b, path)
	require.NoError(b, worker.conn.SetDeadline(time.Time{}))
	crowd := newCrowd(b, path, 2*idle)
	crowd.joinAll(idle)
	packet := encoded(callHeader(procEchoLow, 1), make([]byte, 36))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, roundTrips(worker.conn, packet, b.N))
}

func TestBacklog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	require.NoError(t, Backlog(listener, 3))
	crowd := newCrowd(t, path, 100)
	for crowd.join() {
		require.Less(t, len(crowd.fds), 100)
	}
	assert.Len(t, crowd.fds, 3+1) // the kernel is generous by one
	require.NoError(t, listener.Close())
	assert.ErrorIs(t, Backlog(listener, 3), net.ErrClosed)
	assert.Error(t, Backlog(&exhausted{}, 3))
}
