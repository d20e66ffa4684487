package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/domain/audit"
	"virtlxcd/domain/container"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kernel stands for the real one.
type kernel struct {
	mu     sync.Mutex
	texts  []string
	kinds  []uint16
	fail   error
	closed bool
	gate   chan struct{} // if set, every send takes one
}

func (k *kernel) send(kind uint16, text string) error {
	if k.gate != nil {
		<-k.gate
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	k.texts, k.kinds = append(k.texts, text), append(k.kinds, kind)
	return nil
}

func (k *kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return nil
}

func (k *kernel) failing(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

func newLog() (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})), &out
}

func stopped(pid int) audit.Record {
	return audit.Stopped(container.Identity{Name: "web", ID: pid}, pid, audit.Shutdown)
}

const stopText = `virt=lxc op=stop reason=shutdown vm="web" uuid=00000000-0000-0000-0000-000000000000 vm-pid=`

func TestRecordsArriveInOrder(t *testing.T) {
	k := &kernel{}
	log, out := newLog()
	a := start(k, "/x", false, log)
	for i := range 100 {
		a.Record(stopped(i))
	}
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	require.Len(t, k.texts, 100)
	for i, text := range k.texts {
		assert.Equal(t, stopText+strconv.Itoa(i)+` exe="/x" hostname=? addr=? terminal=? res=success`, text)
		assert.Equal(t, uint16(2500), k.kinds[i])
	}
	assert.True(t, k.closed)
	assert.Empty(t, out.String())
}

func TestAlsoLog(t *testing.T) {
	log, out := newLog()
	a := start(nil, "/x", true, log)
	defer a.Close()
	a.Record(stopped(1))
	failed := audit.Started(&container.Definition{}, container.Identity{Name: "a b"}, 0, audit.Booted, false)
	a.Record(failed[len(failed)-1])
	a.SetAlsoLog(false)
	a.Record(stopped(2))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	assert.Equal(t, `level=INFO msg=`+strconv.Quote("success=yes "+stopText+"1"), lines[0])
	assert.True(t, strings.HasPrefix(lines[1], `level=WARN msg="success=no virt=lxc op=start reason=booted vm=612062 uuid=`), lines[1])
}

// TestFailuresAreToldOnce: at their begin, and at their end with their number.
func TestFailuresAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{fail: errors.New("no room")}
		log, out := newLog()
		a := start(k, "/x", false, log)
		for i := range 3 {
			a.Record(stopped(i))
		}
		synctest.Wait()
		assert.Equal(t, "level=WARN msg=\"cannot write to the audit trail\" error=\"no room\"\n", out.String())
		out.Reset()
		k.failing(nil)
		a.Record(stopped(3))
		a.Record(stopped(4))
		synctest.Wait()
		assert.Equal(t, "level=WARN msg=\"audit records were lost\" count=3\n", out.String())
		assert.Len(t, k.texts, 2)
		require.NoError(t, a.Close())
	})
}

// TestRecordNeverWaits for a kernel that takes nothing, and nothing more than
// what did not fit is lost.
func TestRecordNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{gate: make(chan struct{})}
		log, out := newLog()
		a := start(k, "/x", false, log)
		a.Record(stopped(0))
		synctest.Wait() // that one is with the kernel
		for i := range waiting + 5 {
			a.Record(stopped(1 + i))
		}
		close(k.gate)
		require.NoError(t, a.Close())
		assert.Len(t, k.texts, 1+waiting)
		assert.Equal(t, "level=WARN msg=\"audit records were lost\" count=5\n", out.String())
	})
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kernel{gate: make(chan struct{})}
		log, out := newLog()
		a := start(k, "/x", false, log)
		for i := range 3 {
			a.Record(stopped(i))
		}
		begun := time.Now()
		require.ErrorContains(t, a.Close(), "does not take")
		assert.Equal(t, farewell, time.Since(begun))
		close(k.gate) // the writer ends as soon as it can
		<-a.done
		assert.True(t, k.closed)
		assert.NotContains(t, out.String(), "cannot write")
	})
}

func TestLevelZeroWritesNothing(t *testing.T) {
	log, out := newLog()
	a, err := New(Options{}, log)
	require.NoError(t, err)
	a.Record(stopped(1))
	require.NoError(t, a.Close())
	assert.Nil(t, a.kernel)
	assert.Empty(t, out.String())
}
