package fakes

import (
	"bufio"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/device"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch/step"
	"virtlxcd/ports"
)

// running is a container that a test started.
type running struct {
	*Host
	order      ports.Order
	controller ports.Controller
	held       ports.Held
	path       string // of the first console
}

// started starts the container "web" with a program; the test's end closes
// what it holds.
func started(t *testing.T, h *Host, program string, change ...func(*ports.Order)) *running {
	t.Helper()
	r := &running{Host: h, order: order(t, h, "web", program)}
	for _, c := range change {
		c(&r.order)
	}
	h.look(func() { r.path = h.behind(r.order.HostTerminals[0]).(*terminal).path })
	var err error
	r.controller, err = NewControllers(h).Launch(t.Context(), r.order.Identity)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.controller.Close() })
	r.held, err = r.controller.Begin(t.Context(), r.order)
	require.NoError(t, err)
	t.Cleanup(func() { closeHeld(r.held) })
	require.NoError(t, r.controller.Proceed(t.Context(), r.order.Identity.UUID))
	return r
}

// told takes a report that must be there already.
func (r *running) told(t *testing.T) ports.Report {
	t.Helper()
	select {
	case report := <-r.controller.Reports():
		t.Cleanup(func() { closeHeld(report.Held) })
		return report
	default:
		require.Fail(t, "no report")
		return ports.Report{}
	}
}

func (r *running) attach(t *testing.T) io.ReadWriteCloser {
	t.Helper()
	stream, err := NewTerminals(r.Host).Attach(t.Context(), r.path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close() })
	return stream
}

func TestExitInitIsReported(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep")
	require.NoError(t, r.ExitInit("web", Killed(11)))
	assert.Equal(t, 11, r.told(t).Exit)
	assert.ErrorIs(t, r.ExitInit("web", 0), fault.NotFound)
}

func TestRebootKeepsLinksAndGroup(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep", func(o *ports.Order) { o.Namespaces.Net = true })
	link := device.Link{Kind: device.Bridge, Source: "virbr0", HostName: "vnet0", GuestName: "eth0"}
	_, err := NewLinks(r.Host).Connect(t.Context(), link, r.held.Network)
	require.NoError(t, err)
	pid := r.InitPID("web")
	require.NoError(t, r.RebootInit("web"))
	report := r.told(t)
	assert.Equal(t, ports.ReportRestarted, report.Kind)
	assert.NotEqual(t, pid, r.InitPID("web"))
	assert.Len(t, r.Links(), 1)
}

func TestRebootThatLosesTheNetworkLosesLinks(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep", func(o *ports.Order) { o.Namespaces.Net, o.WaitLinks = true, true })
	link := device.Link{Kind: device.Bridge, Source: "virbr0", HostName: "vnet0", GuestName: "eth0"}
	_, err := NewLinks(r.Host).Connect(t.Context(), link, r.held.Network)
	require.NoError(t, err)
	require.NoError(t, r.RebootInit("web"))
	report := r.told(t)
	require.Equal(t, ports.ReportRestartNeedsLinks, report.Kind)
	assert.Len(t, r.Links(), 1, "an open descriptor keeps the old namespace")
	closeHeld(r.held)
	assert.Empty(t, r.Links())
	_, err = NewLinks(r.Host).Connect(t.Context(), link, report.Held.Network)
	require.NoError(t, err)
	require.NoError(t, r.controller.Proceed(t.Context(), r.order.Identity.UUID))
	assert.Len(t, r.Links(), 1)
}

func TestRebootFailsWithoutItsProgram(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep")
	r.RemovePath("/bin/sleep")
	require.NoError(t, r.RebootInit("web"))
	assert.Equal(t, ports.ReportRestartFailed, r.told(t).Kind)
	assert.Zero(t, r.InitPID("web"))
}

func TestSignalsFollowTheBehaviour(t *testing.T) {
	for name, c := range map[string]struct {
		behaviour Init
		signum    int
		want      ports.ReportKind // 0: nothing happens
	}{
		"caught, halts":     {Usual(), sigTERM, ports.ReportExited},
		"caught, reboots":   {Usual(), sigHUP, ports.ReportRestarted},
		"caught, goes on":   {Init{Catches: map[int]Reaction{sigTERM: GoesOn}}, sigTERM, 0},
		"not caught":        {Deaf(), sigTERM, 0},
		"cannot be caught":  {Deaf(), sigKILL, ports.ReportExited},
		"zero only asks":    {Usual(), 0, 0},
		"harmless for init": {Usual(), 17, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := hostWithPrograms(t)
			h.Init("/bin/sleep", c.behaviour)
			r := started(t, h, "/bin/sleep")
			require.NoError(t, r.order.Cgroup.Signal(t.Context(), c.signum))
			if c.want != 0 {
				assert.Equal(t, c.want, r.told(t).Kind)
				return
			}
			assert.Empty(t, r.controller.Reports())
			signals, err := r.Signals("web")
			require.NoError(t, err)
			if c.signum != 0 {
				assert.Equal(t, []int{c.signum}, signals)
			}
		})
	}
}

func TestDeathOfInitTakesItsChildren(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep")
	pid, err := r.Fork("web")
	require.NoError(t, err)
	process, err := NewProcesses(r.Host).Open(t.Context(), pid, 0)
	require.NoError(t, err)
	defer process.Close()
	require.NoError(t, r.OOMKill("web"))
	<-process.Done()
	used, err := r.order.Cgroup.Usage(t.Context())
	require.NoError(t, err)
	assert.False(t, used.Populated)
	assert.Equal(t, uint64(1), used.OOMKills)
}

func TestMissingInterpreterIsTold(t *testing.T) {
	h := hostWithPrograms(t)
	h.Init("/bin/sleep", Init{NoInterpreter: true})
	o := order(t, h, "web", "/bin/sleep")
	controller, err := NewControllers(h).Launch(t.Context(), o.Identity)
	require.NoError(t, err)
	defer controller.Close()
	held, err := controller.Begin(t.Context(), o)
	require.NoError(t, err)
	defer closeHeld(held)
	var failure *ports.StepError
	require.ErrorAs(t, controller.Proceed(t.Context(), o.Identity.UUID), &failure)
	assert.True(t, failure.Interpreter)
	assert.ErrorIs(t, failure, syscall.ENOENT)
}

func TestConsoleTalksToTheShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hostWithPrograms(t)
		h.Init("/bin/sleep", Init{Shell: true, Greeting: "welcome\r\n"})
		r := started(t, h, "/bin/sleep")
		console := r.attach(t)
		lines := bufio.NewReader(console)
		expectLine(t, lines, "welcome")
		for _, typed := range []string{"hello there\n", "carriage return\r", "in two ", "parts\n"} {
			_, err := io.WriteString(console, typed)
			require.NoError(t, err)
		}
		expectLine(t, lines, "got hello there")
		expectLine(t, lines, "got carriage return")
		expectLine(t, lines, "got in two parts")
		require.NoError(t, r.GuestWrites("web", 0, "by itself\r\n"))
		expectLine(t, lines, "by itself")

		_, err := io.WriteString(console, "exit 3\n")
		require.NoError(t, err)
		_, err = lines.ReadByte()
		assert.ErrorIs(t, err, io.EOF, "the end of the container ends the stream")
		_, err = io.WriteString(console, "anyone?\n")
		assert.Error(t, err)
		assert.Equal(t, Exited(3), r.told(t).Exit)
	})
}

func expectLine(t *testing.T, from *bufio.Reader, want string) {
	t.Helper()
	line, err := from.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, want, strings.TrimRight(line, "\r\n"))
}

func TestConsoleCloseUnblocksInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, hostWithPrograms(t), "/bin/sleep")
		console := r.attach(t)
		time.AfterFunc(time.Minute, func() { _ = console.Close() })
		_, err := console.Read(make([]byte, 1))
		assert.Error(t, err)
	})
}

func TestConsoleKeepsTheTail(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/sleep")
	require.NoError(t, r.GuestWrites("web", 0, strings.Repeat("x", ringSize)+"the end"))
	got := make([]byte, ringSize)
	_, err := io.ReadFull(r.attach(t), got)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(got), "the end"))
}

func TestFrozenInitReadsAfterTheThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hostWithPrograms(t)
		h.Init("/bin/sleep", Usual())
		r := started(t, h, "/bin/sleep")
		console := r.attach(t)
		require.NoError(t, r.order.Cgroup.Freeze(t.Context()))
		_, err := io.WriteString(console, "hello\n")
		require.NoError(t, err)
		time.AfterFunc(time.Hour, func() { assert.NoError(t, r.order.Cgroup.Thaw(t.Context())) })
		began := time.Now()
		expectLine(t, bufio.NewReader(console), "got hello")
		assert.Equal(t, time.Hour, time.Since(began))
	})
}

func TestTypingBlocksWhenNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, hostWithPrograms(t), "/bin/sleep")
		require.NoError(t, r.order.Cgroup.Freeze(t.Context()))
		console := r.attach(t)
		time.AfterFunc(time.Hour, func() { _ = console.Close() })
		n, err := console.Write(make([]byte, typedSize+1))
		assert.Error(t, err)
		assert.Equal(t, typedSize, n)
	})
}

func TestKillControllerLeavesInit(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/speak")
	held, err := r.controller.Reclaim(t.Context(), r.order.Identity.UUID)
	require.NoError(t, err)
	defer closeHeld(held)
	require.NoError(t, r.KillController("web"))
	_, open := <-r.controller.Reports()
	assert.False(t, open)
	require.NoError(t, r.GuestWrites("web", 0, "in between\r\n"))

	fresh, err := NewControllers(r.Host).Launch(t.Context(), r.order.Identity)
	require.NoError(t, err)
	defer fresh.Close()
	require.NoError(t, fresh.Restore(t.Context(), r.order, held))
	lines := bufio.NewReader(r.attach(t))
	expectLine(t, lines, "hello")
	expectLine(t, lines, "in between")
	require.NoError(t, r.ExitInit("web", Exited(4)))
	assert.Zero(t, (<-fresh.Reports()).Exit, "init was not its child")
}

func TestRestoreWithoutMastersLosesConsoles(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/speak")
	held, err := r.controller.Reclaim(t.Context(), r.order.Identity.UUID)
	require.NoError(t, err)
	defer closeHeld(held)
	require.NoError(t, r.KillController("web"))
	fresh, err := NewControllers(r.Host).Launch(t.Context(), r.order.Identity)
	require.NoError(t, err)
	defer fresh.Close()
	short := held
	short.Terminals = nil
	require.NoError(t, fresh.Restore(t.Context(), r.order, short))
	assert.NotContains(t, r.String(), "console 0 of web")
	require.NoError(t, fresh.Abandon(t.Context(), r.order.Identity.UUID))
}

func TestProceedWaitsForTheFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hostWithPrograms(t)
		o := order(t, h, "web", "/bin/sleep")
		controller, err := NewControllers(h).Launch(t.Context(), o.Identity)
		require.NoError(t, err)
		defer controller.Close()
		held, err := controller.Begin(t.Context(), o)
		require.NoError(t, err)
		defer closeHeld(held)
		require.NoError(t, o.Cgroup.Freeze(t.Context()))
		time.AfterFunc(time.Hour, func() { assert.NoError(t, o.Cgroup.Thaw(t.Context())) })
		began := time.Now()
		require.NoError(t, controller.Proceed(t.Context(), o.Identity.UUID))
		assert.Equal(t, time.Hour, time.Since(began))
	})
}

func TestKillDaemonClosesAndContainersLiveOn(t *testing.T) {
	r := started(t, hostWithPrograms(t), "/bin/speak")
	console := r.attach(t)
	ref := r.controller.Ref()
	r.KillDaemon()
	assert.Empty(t, r.OpenFiles())
	_, err := console.Read(make([]byte, 1))
	assert.Error(t, err)
	assert.NotZero(t, r.InitPID("web"))
	require.NoError(t, r.ExitInit("web", Exited(0)))
	again, err := NewControllers(r.Host).Adopt(t.Context(), ref)
	require.NoError(t, err)
	defer again.Close()
	assert.Equal(t, ports.ReportExited, (<-again.Reports()).Kind)
}

func TestBootLeavesTheDiskOnly(t *testing.T) {
	h := hostWithPrograms(t)
	require.NoError(t, NewStore(h).SaveDefinition(t.Context(), &definition{Name: "web"}))
	facts, err := NewHostInfo(h).Facts(t.Context())
	require.NoError(t, err)
	before := h.String()
	started(t, h, "/bin/sleep")
	assert.NotEqual(t, before, h.String())
	h.Boot()
	assert.Equal(t, before, h.String())
	after, err := NewHostInfo(h).Facts(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, facts.BootID, after.BootID)
}

func TestPlansMustFitTogether(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*ports.Order)
		errno   syscall.Errno
		entered bool
		index   int
	}{
		"slot never filled":       {func(o *ports.Order) { o.Prepare[2].Value = 7 }, syscall.EBADF, false, 2},
		"slot out of range":       {func(o *ports.Order) { o.Slots = 1 }, syscall.EBADF, false, 1},
		"terminal without a slot": {func(o *ports.Order) { o.Terminals[0] = 9 }, syscall.EBADF, false, 0},
		"attach of nothing":       {func(o *ports.Order) { o.Enter[1].Slot = 9 }, syscall.EBADF, true, 1},
		"missing source":          {addEnter(step.Op{Code: step.Bind, Source: "/nope", Path: "/x"}), syscall.ENOENT, true, 2},
		"source that is optional": {addEnter(step.Op{Code: step.Bind, Source: "/nope", Path: "/x", Flags: step.Optional}), 0, true, 0},
		"source in proc":          {addEnter(step.Op{Code: step.Bind, Source: "/proc/sys", Path: "/x"}), 0, true, 0},
		"covered by a tmpfs":      {addEnter(step.Op{Code: step.Mount, Source: "tmpfs", Path: "/bin"}), syscall.ENOENT, true, 4},
		"does not execute":        {func(o *ports.Order) { o.Enter = o.Enter[:3] }, syscall.ENOEXEC, true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := hostWithPrograms(t)
			o := order(t, h, "web", "/bin/sleep")
			c.change(&o)
			failure := try(t, h, o)
			if c.errno == 0 {
				require.Nil(t, failure)
				return
			}
			require.NotNil(t, failure)
			assert.Equal(t, []any{c.errno, c.entered, c.index}, []any{failure.Err, failure.Entered, failure.Index})
		})
	}
}

// addEnter puts an operation before Wait.
func addEnter(op step.Op) func(*ports.Order) {
	return func(o *ports.Order) {
		o.Enter = append(step.List{o.Enter[0], o.Enter[1], op}, o.Enter[2:]...)
	}
}

// try starts and kills, and returns what failed.
func try(t *testing.T, h *Host, o ports.Order) (failure *ports.StepError) {
	t.Helper()
	controller, err := NewControllers(h).Launch(t.Context(), o.Identity)
	require.NoError(t, err)
	defer controller.Close()
	held, err := controller.Begin(t.Context(), o)
	if err == nil {
		defer closeHeld(held)
		err = controller.Proceed(t.Context(), o.Identity.UUID)
	}
	require.NoError(t, controller.Abandon(t.Context(), o.Identity.UUID))
	if err != nil {
		require.ErrorAs(t, err, &failure)
	}
	return failure
}
