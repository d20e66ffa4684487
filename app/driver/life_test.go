package driver_test

import (
	"bufio"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
	"virtlxcd/domain/lifecycle"
	"virtlxcd/fakes"
	"virtlxcd/ports"
)

func TestStartShowsWhatRuns(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		off := r.host.String()
		identity, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		require.NoError(t, err)
		s, err := r.client.Lookup(r.ctx, container.Ref{By: container.ByID, ID: identity.ID})
		require.NoError(t, err)
		assert.Equal(t, identity, s.Identity)
		assert.Equal(t, lifecycle.Running, s.State)
		assert.Equal(t, r.host.InitPID("web"), s.InitPID)
		assert.Equal(t, "/machine", s.Live.Partition)
		assert.Empty(t, s.Config.Partition, "chosen for this run only")
		assert.Equal(t, "vnet0", s.Live.Links[0].HostName)
		assert.Equal(t, "eth0", s.Live.Links[0].GuestName)
		assert.Equal(t, "webnet", s.Live.Links[1].HostName)
		for i, console := range s.Live.Consoles {
			assert.Equal(t, "console"+string(rune('0'+i)), console.Alias)
			assert.NotEmpty(t, console.TTY)
			assert.Empty(t, s.Config.Consoles[i].TTY)
		}
		assert.Len(t, r.host.Links(), 2)

		_, used, err := r.client.Info(r.ctx, named("web"))
		require.NoError(t, err)
		assert.NotZero(t, used.Memory)
		_, err = r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		assert.ErrorContains(t, err, "Domain is already running")

		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, off, r.host.String())
		_, used, err = r.client.Info(r.ctx, named("web"))
		require.NoError(t, err)
		assert.Zero(t, used)
		assert.Equal(t, []string{"web defined 0", "web started 0 running", "web stopped 1"}, r.happened())
	})
}

func TestAtMostTwoStatusesAreWrittenForAStart(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		r.host.ForgetOps()
		r.start("web")
		writes := 0
		for _, op := range r.host.Ops() {
			if op == "Store.SaveStatus" {
				writes++
			}
		}
		assert.Equal(t, 2, writes)
	})
}

// TestStatusComesFirst: a daemon killed during a start leaves a trace of it.
func TestStatusComesFirst(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		r.host.ForgetOps()
		r.start("web")
		ops := r.host.Ops()
		at := func(op string) int {
			for i, known := range ops {
				if known == op {
					return i
				}
			}
			t.Fatalf("%s was not called", op)
			return 0
		}
		assert.Less(t, at("Controllers.Launch"), at("Store.SaveStatus"), "it says who holds the container")
		for _, op := range []string{"Cgroups.Create", "Controller.Begin", "Links.Connect"} {
			assert.Less(t, at("Store.SaveStatus"), at(op))
		}
	})
}

func TestCreate(t *testing.T) {
	bench(t, func(r *rig) {
		empty := r.host.String()
		r.create(plain("web", 1), ports.StartOptions{})
		_, err := r.client.Create(r.ctx, document(plain("web", 1)), ports.StartOptions{})
		assert.ErrorContains(t, err, "domain 'web' is already active")
		_, err = r.client.Create(r.ctx, document(plain("web", 9)), ports.StartOptions{})
		assert.ErrorContains(t, err, "domain 'web' already exists with uuid")
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Equal(t, empty, r.host.String())

		r.define(plain("db", 2))
		variant := plain("db", 2)
		variant.Description = "this once"
		r.create(variant, ports.StartOptions{})
		assert.Equal(t, "running booted persistent", r.state("db"))
		s, err := r.client.State(r.ctx, named("db"))
		require.NoError(t, err)
		assert.Equal(t, "this once", s.Live.Description)
		assert.Empty(t, s.Config.Description)
		assert.Equal(t, []string{"web started 0 running", "web stopped 1", "db defined 0", "db started 0 running"}, r.happened())
	})
}

func TestFailedStarts(t *testing.T) {
	missing := web()
	missing.Init.Path = "/sbin/missing"
	noBridge := web()
	noBridge.Links[1].Source = "br-none"
	noConsole := web()
	noConsole.Consoles = nil
	for name, definition := range map[string]*container.Definition{
		"init": missing, "bridge": noBridge, "console": noConsole,
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.host.AddRoot("/srv/web")
				before := r.host.String()
				_, err := r.client.Create(r.ctx, document(definition), ports.StartOptions{})
				require.Error(t, err)
				assert.Equal(t, "unknown to clients", r.state("web"))
				assert.Equal(t, before, r.host.String())

				r.define(definition)
				before = r.host.String()
				_, err = r.client.Start(r.ctx, named("web"), ports.StartOptions{})
				require.Error(t, err)
				assert.Equal(t, "shutoff failed persistent", r.state("web"))
				assert.Equal(t, before, r.host.String())
				assert.Equal(t, []string{"web defined 0"}, r.happened())
				r.define(web())
				r.start("web")
			})
		})
	}
}

func TestFailedStepNamesTheObject(t *testing.T) {
	bench(t, func(r *rig) {
		definition := web()
		definition.Init.Path = "/sbin/missing"
		r.define(definition)
		_, err := r.client.Start(r.ctx, named("web"), ports.StartOptions{})
		assert.ErrorContains(t, err, "/sbin/missing")
	})
}

func TestFilesArePassedAndStayTheCallers(t *testing.T) {
	bench(t, func(r *rig) {
		reader, writer, err := os.Pipe()
		require.NoError(t, err)
		r.create(plain("web", 1), ports.StartOptions{Files: []*os.File{reader, writer}})
		assert.NoError(t, reader.Close(), "not closed by the driver")
		assert.NoError(t, writer.Close())
	})
}

func TestSuspendAndResume(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		assert.ErrorContains(t, r.client.Suspend(r.ctx, named("web")), "domain is not running")
		assert.ErrorContains(t, r.client.Resume(r.ctx, named("web")), "domain is not running")
		r.start("web")
		r.happened()
		err := r.client.Resume(r.ctx, named("web"))
		assert.ErrorContains(t, err, "domain is already running")
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		assert.Equal(t, "paused user persistent", r.state("web"))
		require.NoError(t, r.client.Suspend(r.ctx, named("web")), "paused stays paused")
		require.NoError(t, r.client.Resume(r.ctx, named("web")))
		assert.Equal(t, "running unpaused persistent", r.state("web"))
		require.NoError(t, r.client.Suspend(r.ctx, named("web")))
		begun := time.Now()
		require.NoError(t, r.client.Destroy(r.ctx, named("web")))
		assert.Zero(t, time.Since(begun), "a paused container is not asked")
		assert.Equal(t, []string{
			"web suspended 0 running", "web resumed 0 running", "web suspended 0 running", "web stopped 1",
		}, r.happened())
	})
}

func TestDestroyWaitsOnlyForThoseWhoListen(t *testing.T) {
	patient := fakes.Init{Catches: map[int]fakes.Reaction{15: fakes.GoesOn}}
	for name, test := range map[string]struct {
		init fakes.Init
		want time.Duration
	}{
		"ends on SIGTERM":    {fakes.Usual(), 0},
		"deaf":               {fakes.Deaf(), 0},
		"ignores what it is": {patient, 1600 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.host.Init("/sbin/init", test.init)
				r.create(plain("web", 1), ports.StartOptions{})
				_, err := r.host.Fork("web")
				require.NoError(t, err)
				begun := time.Now()
				require.NoError(t, r.client.Destroy(r.ctx, named("web")))
				assert.Equal(t, test.want, time.Since(begun))
				assert.Equal(t, []string{"web started 0 running", "web stopped 1"}, r.happened())
				assert.ErrorIs(t, r.client.Destroy(r.ctx, named("web")), fault.NotFound)
			})
		})
	}
}

func TestDestroyOfOff(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(plain("web", 1))
		assert.ErrorContains(t, r.client.Destroy(r.ctx, named("web")), "domain is not running")
	})
}

func TestAsking(t *testing.T) {
	none, both := ports.Asking{}, ports.Asking{InitControl: true, BySignal: true}
	control, signal := ports.Asking{InitControl: true}, ports.Asking{BySignal: true}
	all := map[int]fakes.Reaction{1: fakes.GoesOn, 15: fakes.GoesOn, 38: fakes.GoesOn, 39: fakes.GoesOn}
	sysv := fakes.Init{Control: true, Catches: all}
	systemd := fakes.Init{Program: "/usr/lib/systemd/systemd", Catches: all}
	shell := fakes.Init{Catches: all}
	for name, test := range map[string]struct {
		init   fakes.Init
		how    ports.Asking
		reboot bool
		want   []int // signals
		refuse bool
	}{
		"signal, shutdown":          {shell, signal, false, []int{15}, false},
		"signal, reboot":            {shell, signal, true, []int{1}, false},
		"signal, systemd":           {systemd, signal, false, []int{15}, false},
		"any, shell":                {shell, none, false, []int{15}, false},
		"any, shell, reboot":        {shell, none, true, []int{1}, false},
		"any, systemd":              {systemd, none, false, []int{38}, false},
		"any, systemd, reboot":      {systemd, none, true, []int{39}, false},
		"control without it":        {shell, control, false, nil, true},
		"control or signal without": {shell, both, true, nil, true},
		"control refused, systemd":  {systemd, control, true, nil, true},
		"signal, though it has one": {sysv, signal, false, []int{15}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bench(t, func(r *rig) {
				r.host.Init("/sbin/init", test.init)
				r.create(plain("web", 1), ports.StartOptions{})
				ask := r.client.Shutdown
				if test.reboot {
					ask = r.client.Reboot
				}
				err := ask(r.ctx, named("web"), test.how)
				if test.refuse {
					assert.ErrorIs(t, err, fault.UnsupportedOperation)
					assert.ErrorContains(t, err, "Container does not provide an initctl pipe")
				} else {
					assert.NoError(t, err)
				}
				got, err := r.host.Signals("web")
				require.NoError(t, err)
				assert.Equal(t, test.want, got)
			})
		})
	}
}

func TestAskingByInitControl(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Init{Control: true})
		r.create(plain("web", 1), ports.StartOptions{})
		r.happened()
		require.NoError(t, r.client.Reboot(r.ctx, named("web"), ports.Asking{}))
		assert.Equal(t, []string{"web rebooted running"}, r.happened())
		require.NoError(t, r.client.Shutdown(r.ctx, named("web"), ports.Asking{InitControl: true}))
		assert.Equal(t, []string{"web stopped 0"}, r.happened())
	})
}

func TestSignal(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Deaf())
		r.define(plain("web", 1))
		send := func(pid int64, signum uint) error { return r.client.Signal(r.ctx, named("web"), pid, signum) }
		assert.ErrorContains(t, send(1, 15), "domain is not running")
		assert.ErrorContains(t, send(1, 65), "signum value 65 is out of range")
		r.start("web")
		err := send(2, 15)
		assert.ErrorIs(t, err, fault.UnsupportedArgument)
		assert.ErrorContains(t, err, "Only the init process may be killed")
		assert.ErrorIs(t, send(1, 65), fault.InvalidArgument)
		for _, signum := range []uint{0, 10, 64} {
			assert.NoError(t, send(1, signum))
		}
		got, err := r.host.Signals("web")
		require.NoError(t, err)
		assert.Equal(t, []int{10, 64}, got, "0 only tests")
		r.host.Fail("Process.Signal", os.ErrPermission)
		assert.ErrorContains(t, send(1, 12), "Unable to send 12 signal to process")
	})
}

func TestConsoles(t *testing.T) {
	bench(t, func(r *rig) {
		r.host.Init("/sbin/init", fakes.Usual())
		r.define(web())
		_, err := r.client.OpenConsole(r.ctx, named("web"), "")
		assert.ErrorContains(t, err, "domain is not running")
		r.start("web")
		for _, name := range []string{"", "console0", "console2"} {
			console, err := r.client.OpenConsole(r.ctx, named("web"), name)
			require.NoError(t, err)
			_, err = console.Write([]byte("hello\n"))
			require.NoError(t, err)
			answer, err := bufio.NewReader(console).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "got hello\r\n", answer)
			require.NoError(t, console.Close())
		}
		_, err = r.client.OpenConsole(r.ctx, named("web"), "console3")
		assert.ErrorContains(t, err, "cannot find console device 'console3'")
		assert.ErrorIs(t, err, fault.Internal)
	})
}

func TestNamespaces(t *testing.T) {
	bench(t, func(r *rig) {
		r.define(web())
		_, err := r.client.OpenNamespaces(r.ctx, named("web"))
		assert.ErrorContains(t, err, "domain is not running")
		r.start("web")
		files, err := r.client.OpenNamespaces(r.ctx, named("web"))
		require.NoError(t, err)
		assert.NotEmpty(t, files)
		for _, file := range files {
			assert.NoError(t, file.Close())
		}
	})
}
