package control

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"virtlxcd/adapters/control/wire"
	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
	"virtlxcd/ports/hold"
)

var uuid = container.UUID{1, 15: 2}

// group is a control group with descriptors to enter it.
type group struct {
	ports.Cgroup
	unified *os.File
	tasks   []*os.File
	err     error
}

func (g *group) Entry() (*os.File, []*os.File, error) { return g.unified, g.tasks, g.err }
func (g *group) Mounts() []ports.CgroupDir            { return nil }

func orderFor(t *testing.T) ports.Order {
	return ports.Order{
		Identity: container.Identity{Name: "vlxa", UUID: uuid, ID: 1},
		Prepare:  step.List{{Code: step.OpenTree, Path: "/srv"}}, Enter: step.List{{Code: step.Pivot}},
		Slots: 2, Terminals: []int{1}, WaitLinks: true,
		Namespaces:    step.Namespaces{Net: true},
		IDMap:         policy.IDMap{Users: []policy.IDRange{{Start: 0, Target: 1000, Count: 10}}},
		HostTerminals: []*os.File{memory(t, "host")}, Files: []*os.File{memory(t, "passed")},
	}
}

func TestBeginSendsAllThatAStartNeeds(t *testing.T) {
	c, p := converse(t, true)
	c.complaints = memory(t, "log")
	c.parent.image = memory(t, "image")
	c.network = memory(t, "network")
	order := orderFor(t)
	entry := &group{unified: memory(t, "unified"), tasks: []*os.File{memory(t, "tasks"), memory(t, "more")}}
	order.Cgroup = entry
	process := memory(t, "process")
	var request *hold.Message
	done := meanwhile(t, func() {
		request = p.next()
		reply := plain(hold.Begun)
		reply.UUID, reply.PID, reply.Start = request.UUID, 77, 5
		reply.Files.Process, reply.Files.Terminals = number(process), []hold.FD{number(process)}
		p.send(reply)
	})
	want := script(&order)
	held, err := c.Begin(t.Context(), order)
	<-done
	require.NoError(t, err)
	defer closeHeld(&held)
	defer release(request)
	assert.Equal(t, hold.Begin, request.Kind)
	assert.EqualValues(t, uuid, request.UUID)
	for _, pair := range [][2]int{
		{descriptor(c.complaints), int(request.Files.Log)}, {descriptor(c.parent.image), int(request.Files.Image)},
		{descriptor(order.HostTerminals[0]), int(request.Files.Hosts[0])}, {descriptor(order.Files[0]), int(request.Files.Passed[0])},
		{descriptor(process), descriptor(held.Process)}, {descriptor(process), descriptor(held.Terminals[0])},
		{descriptor(held.Plan), int(request.Files.Plan)}, {descriptor(order.HostTerminals[0]), descriptor(held.Hosts[0])},
	} {
		assert.Equal(t, inode(t, pair[0]), inode(t, pair[1]))
	}
	assert.NotEqual(t, hold.None, request.Files.Network)
	assert.NotEqual(t, hold.None, request.Files.Unified)
	assert.Len(t, request.Files.Tasks, 2)
	assert.ErrorIs(t, entry.unified.Close(), os.ErrClosed, "what was opened for it is closed")
	assert.ErrorIs(t, entry.tasks[1].Close(), os.ErrClosed)
	assert.Nil(t, c.network, "it is given away")
	assert.Equal(t, 77, held.PID)
	assert.EqualValues(t, 5, held.Start)

	encoded := make([]byte, 1000)
	n, err := held.Plan.ReadAt(encoded, 0)
	require.Error(t, err, "the end")
	got, err := step.Decode(encoded[:n])
	require.NoError(t, err)
	want.Groups = nil
	assert.Equal(t, want, got)
	_, err = held.Plan.WriteAt([]byte("x"), 0)
	assert.ErrorIs(t, err, unix.EPERM, "it is sealed")
}

// TestANetworkMadeAhead belongs to the host's user namespace: with a map of ids
// it would not do, and without a network of its own nobody wants it.
func TestANetworkMadeAhead(t *testing.T) {
	for _, row := range []struct {
		namespaces step.Namespaces
		want       bool
	}{{step.Namespaces{Net: true}, true}, {step.Namespaces{Net: true, User: true}, false}, {step.Namespaces{}, false}} {
		c := &Controller{network: memory(t, "network")}
		assert.Equal(t, row.want, c.networkFor(&ports.Order{Namespaces: row.namespaces}) != nil, "%+v", row.namespaces)
		assert.Equal(t, row.want, c.network == nil, "it is kept for another")
	}
}

func TestRefusals(t *testing.T) {
	stepFailure := hold.Failure{Errno: uint32(unix.ENOENT), Index: 7, Entered: true, Interpreter: true}
	ask := map[string]func(*Controller) error{
		"Begin":   func(c *Controller) error { _, err := c.Begin(t.Context(), orderFor(t)); return err },
		"Proceed": func(c *Controller) error { return c.Proceed(t.Context(), uuid) },
		"Reclaim": func(c *Controller) error { _, err := c.Reclaim(t.Context(), uuid); return err },
		"Restore": func(c *Controller) error {
			return c.Restore(t.Context(), orderFor(t), ports.Held{Process: memory(t, "pidfd")})
		},
		"Abandon": func(c *Controller) error { return c.Abandon(t.Context(), uuid) },
	}
	for _, row := range []struct {
		request string
		reply   hold.Kind
		want    error
	}{
		{"Begin", hold.NotBegun, unix.ENOENT}, {"Proceed", hold.NotRun, unix.ENOENT},
		{"Proceed", hold.Unknown, fault.NotFound}, {"Reclaim", hold.Unknown, fault.NotFound},
		{"Restore", hold.Unknown, fault.NotFound}, {"Abandon", hold.Unknown, nil},
		{"Begin", hold.Kind(999), fault.Internal}, {"Reclaim", hold.Kind(0), fault.Internal},
	} {
		c, p := converse(t, true)
		end, abandoned := sendingEnd(t)
		meanwhile(t, func() {
			reply := plain(row.reply)
			reply.Failure, reply.Files.Log = stepFailure, end
			p.answers(reply)
			unix.Close(int(end))
		})
		err := ask[row.request](c)
		assert.ErrorIs(t, err, row.want, "%s: %d", row.request, row.reply)
		var failed *ports.StepError
		if errors.As(err, &failed) {
			assert.Equal(t, ports.StepError{Entered: true, Index: 7, Errno: 2, Interpreter: true, Err: unix.ENOENT}, *failed)
		}
		assert.True(t, abandoned(), "what an unwanted reply brings is closed")
	}
}

// TestEveryRequestEndsWithTheController: none waits for ever for one that died.
func TestEveryRequestEndsWithTheController(t *testing.T) {
	for name, ask := range map[string]func(*Controller) error{
		"Begin":   func(c *Controller) error { _, err := c.Begin(t.Context(), orderFor(t)); return err },
		"Proceed": func(c *Controller) error { return c.Proceed(t.Context(), uuid) },
		"Reclaim": func(c *Controller) error { _, err := c.Reclaim(t.Context(), uuid); return err },
		"Restore": func(c *Controller) error {
			return c.Restore(t.Context(), orderFor(t), ports.Held{Process: memory(t, "pidfd")})
		},
	} {
		c, p := converse(t, true)
		meanwhile(t, func() { release(p.next()); p.hangUp() })
		assert.ErrorIs(t, ask(c), fault.NotFound, "%s: it dies after the request", name)
		assert.ErrorIs(t, ask(c), fault.NotFound, "%s: it is dead", name)
		assert.NoError(t, c.Abandon(t.Context(), uuid), "what was begun died with it")
		assert.ErrorIs(t, c.Acknowledge(1), fault.NotFound)
		_, open := <-c.Reports()
		assert.False(t, open)
	}
}

func TestARequestThatIsGivenUp(t *testing.T) {
	c, p := converse(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	end, abandoned := sendingEnd(t)
	meanwhile(t, func() {
		request := p.next()
		release(request)
		cancel()
		abandon := p.next() // it has given up
		late := plain(hold.Begun)
		late.UUID, late.Files.Process = request.UUID, end
		p.send(late)
		unix.Close(int(end))
		reply := plain(hold.Abandoned)
		reply.UUID = abandon.UUID
		p.send(reply)
	})
	_, err := c.Begin(ctx, orderFor(t))
	assert.ErrorIs(t, err, fault.Aborted)
	assert.ErrorIs(t, err, context.Canceled)
	assert.NoError(t, c.Abandon(t.Context(), uuid), "the late answer is not taken for this one's")
	assert.True(t, abandoned(), "and what it brought is closed")
}

// TestGivingUpInTheMomentOfTheAnswer loses no descriptor, whoever is first.
func TestGivingUpInTheMomentOfTheAnswer(t *testing.T) {
	c, p := converse(t, true)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		end, abandoned := sendingEnd(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			reply := plain(hold.Reclaimed)
			reply.Files.Process = end
			request := p.next()
			reply.UUID = request.UUID
			go cancel()
			p.send(reply)
			unix.Close(int(end))
		}()
		held, err := c.Reclaim(ctx, uuid)
		<-done
		cancel()
		if err == nil {
			closeHeld(&held)
		}
		require.True(t, abandoned())
	}
}

func TestRestoreFindsTheProcess(t *testing.T) {
	sleeper := exec.Command("/bin/sleep", "1000")
	require.NoError(t, sleeper.Start())
	pid, start := sleeper.Process.Pid, startTime(sleeper.Process.Pid)
	c, p := converse(t, true)
	meanwhile(t, func() {
		request := p.answers(plain(hold.Restored))
		assert.Equal(t, pid, request.PID)
		assert.NotEqual(t, hold.None, request.Files.Process)
		assert.NotEqual(t, hold.None, request.Files.Plan, "a new one is made")
		assert.Len(t, request.Files.Hosts, 1, "the order's")
	})
	require.NoError(t, c.Restore(t.Context(), orderFor(t), ports.Held{PID: pid, Start: start}))

	err := c.Restore(t.Context(), orderFor(t), ports.Held{PID: pid, Start: start + 1})
	assert.ErrorIs(t, err, fault.NotFound)
	assert.ErrorContains(t, err, "is another one now")
	require.NoError(t, sleeper.Process.Kill())
	_ = sleeper.Wait()
	assert.ErrorIs(t, c.Restore(t.Context(), orderFor(t), ports.Held{PID: pid, Start: start}), fault.NotFound)
}

func TestMoreDescriptorsThanAMessageCarries(t *testing.T) {
	c, _ := converse(t, true)
	order := orderFor(t)
	for range wire.MaxFiles {
		order.Files = append(order.Files, order.Files[0])
	}
	_, err := c.Begin(t.Context(), order)
	assert.ErrorIs(t, err, fault.UnsupportedConfig)
	assert.ErrorContains(t, err, "256 descriptors")
	assert.Empty(t, c.waiting)
}

func TestAGroupThatCannotBeEntered(t *testing.T) {
	c, _ := converse(t, true)
	order := orderFor(t)
	order.Cgroup = &group{err: fault.New(fault.NotFound, fault.Driver, "the group is gone")}
	_, err := c.Begin(t.Context(), order)
	assert.EqualError(t, err, "the group is gone")
	assert.ErrorIs(t, c.Restore(t.Context(), order, ports.Held{Process: memory(t, "pidfd")}), fault.NotFound)
}
