package fakes

import (
	"io"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"virtlxcd/domain/container"
	"virtlxcd/domain/device"
	"virtlxcd/domain/launch/step"
	"virtlxcd/domain/policy"
	"virtlxcd/ports"
	"virtlxcd/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all says that every port is implemented.
var (
	_ ports.Store       = (*Store)(nil)
	_ ports.Codec       = (*Codec)(nil)
	_ ports.Entropy     = (*Entropy)(nil)
	_ ports.HostInfo    = (*HostInfo)(nil)
	_ ports.Access      = (*Access)(nil)
	_ ports.Cgroups     = (*Cgroups)(nil)
	_ ports.Cgroup      = (*Cgroup)(nil)
	_ ports.Links       = (*Links)(nil)
	_ ports.Terminals   = (*Terminals)(nil)
	_ ports.Processes   = (*Processes)(nil)
	_ ports.Process     = (*Process)(nil)
	_ ports.Controllers = (*Controllers)(nil)
	_ ports.Controller  = (*Controller)(nil)
	_ ports.Notifier    = (*Notifier)(nil)
)

// tidyHost is a host on which the check must leave nothing open.
func tidyHost(t *testing.T) *Host {
	h := NewHost()
	t.Cleanup(func() {
		require.Empty(t, h.OpenFiles(), "left open")
		h.Boot()
	})
	return h
}

func TestStoreContract(t *testing.T) {
	porttest.TestStore(t, func(t *testing.T) porttest.StoreHarness {
		h := tidyHost(t)
		return porttest.StoreHarness{
			Store:        NewStore(h),
			Reopen:       func(*testing.T) ports.Store { return NewStore(h) },
			StripUUID:    func(_ *testing.T, name string) { h.StripUUID(name) },
			Damage:       func(_ *testing.T, name string) { h.DamageDefinition(name) },
			DamageStatus: func(_ *testing.T, name string) { h.DamageStatus(name) },
			Fill: func(*testing.T) func() {
				h.FillDisk(true)
				return func() { h.FillDisk(false) }
			},
			NewBoot: func(*testing.T) ports.Store {
				h.Boot()
				return NewStore(h)
			},
		}
	})
}

func TestEntropyContract(t *testing.T) {
	porttest.TestEntropy(t, func(t *testing.T) porttest.EntropyHarness {
		return porttest.EntropyHarness{Entropy: NewEntropy(tidyHost(t))}
	})
}

func TestHostInfoContract(t *testing.T) {
	porttest.TestHostInfo(t, func(t *testing.T) porttest.HostInfoHarness {
		return porttest.HostInfoHarness{HostInfo: NewHostInfo(tidyHost(t))}
	})
}

func TestTerminalsContract(t *testing.T) {
	porttest.TestTerminals(t, func(t *testing.T) porttest.TerminalsHarness {
		return porttest.TerminalsHarness{Terminals: NewTerminals(tidyHost(t))}
	})
}

// child is a process of the host as the suites want it.
func child(h *Host, behaviour Init, in *group) porttest.Child {
	var p *process
	h.look(func() { p = h.spawn("/bin/sleep", behaviour, in) })
	return porttest.Child{
		PID: p.pid, Start: p.start, Program: p.program, Ended: p.done,
		End: func() { h.look(func() { h.die(p, Killed(sigKILL)) }) },
	}
}

func TestCgroupsContract(t *testing.T) {
	porttest.TestCgroups(t, func(t *testing.T) porttest.CgroupsHarness {
		h := tidyHost(t)
		return porttest.CgroupsHarness{
			Cgroups: NewCgroups(h), Partition: "/vlxtest",
			Spawn: func(_ *testing.T, in ports.Cgroup) porttest.Child {
				return child(h, Usual(), h.groups[in.Path()])
			},
			Limits: func(_ *testing.T, of ports.Cgroup) policy.Limits { return h.Limits(of.Path()) },
		}
	})
}

func TestProcessesContract(t *testing.T) {
	porttest.TestProcesses(t, func(t *testing.T) porttest.ProcessesHarness {
		h := tidyHost(t)
		return porttest.ProcessesHarness{
			Processes: NewProcesses(h),
			Start: func(_ *testing.T, catches ...int) porttest.Child {
				behaviour := Init{Catches: map[int]Reaction{}}
				for _, signum := range catches {
					behaviour.Catches[signum] = GoesOn
				}
				return child(h, behaviour, nil)
			},
			NoFifo: func(*testing.T) porttest.Child { return child(h, Deaf(), nil) },
			Fifo: func(*testing.T) (porttest.Child, func() []byte) {
				started := child(h, Init{Control: true}, nil)
				p := h.procs[started.PID]
				return started, func() []byte { return p.requests[0] }
			},
		}
	})
}

func TestLinksContract(t *testing.T) {
	porttest.TestLinks(t, func(t *testing.T) porttest.LinksHarness {
		h := tidyHost(t)
		return porttest.LinksHarness{
			Links: NewLinks(h), Bridge: "virbr0",
			Netns: func(t *testing.T) *os.File {
				file := h.hand("network of a check", &netns{name: t.Name()})
				t.Cleanup(func() { file.Close() }) // the check may have dropped it
				return file
			},
			Drop: func(t *testing.T, file *os.File) { require.NoError(t, file.Close()) },
			Host: func(*testing.T) (seen []porttest.SeenLink) {
				for _, l := range h.Links() {
					seen = append(seen, hostEnd(l))
				}
				return seen
			},
			Guest: func(_ *testing.T, file *os.File) (seen []porttest.SeenLink) {
				h.look(func() { seen = h.guestEnds(h.behind(file)) })
				return seen
			},
		}
	})
}

func hostEnd(l Link) porttest.SeenLink {
	seen := porttest.SeenLink{Name: l.HostName, Index: l.Index, Up: true, MTU: l.MTU, Addresses: l.HostSide}
	if l.Kind == device.Bridge {
		seen.Bridge = l.Source
	}
	return seen
}

func (h *Host) guestEnds(net any) (seen []porttest.SeenLink) {
	for _, l := range h.links {
		if l.net == net {
			seen = append(seen, porttest.SeenLink{
				Name: l.wish.GuestName, MAC: l.wish.MAC, Up: l.guestUp(), MTU: l.wish.MTU,
				Addresses: append([]netip.Prefix(nil), prefixes(l.wish.Addresses)...),
			})
		}
	}
	return seen
}

// orderPaths are the programs that orders run.
var orderPaths = map[porttest.InitKind]string{
	porttest.Sleeps: "/bin/sleep", porttest.Exits3: "/bin/exit3", porttest.Absent: "/bin/absent",
	porttest.Speaks: "/bin/speak", porttest.Reboots: "/bin/reboot",
}

func hostWithPrograms(t *testing.T) *Host {
	h := tidyHost(t)
	h.AddPath("/bin/sleep", "/bin/exit3", "/bin/speak", "/bin/reboot")
	h.Init("/bin/sleep", Deaf())
	h.Init("/bin/exit3", Init{AtOnce: true, Status: Exited(3)})
	h.Init("/bin/speak", Init{Shell: true, Greeting: "hello\r\n"})
	h.Init("/bin/reboot", Init{Shell: true})
	return h
}

// order is a plan as small as the fakes take: a root, a terminal, a program.
func order(t *testing.T, h *Host, name, program string) ports.Order {
	t.Helper()
	uuid, err := NewEntropy(h).NewUUID()
	require.NoError(t, err)
	group, err := NewCgroups(h).Create(t.Context(), "/machine", name)
	require.NoError(t, err)
	terminal, err := NewTerminals(h).Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Master.Close() })
	return ports.Order{
		Identity: container.Identity{Name: name, UUID: uuid, ID: container.NoID},
		Prepare: step.List{
			{Code: step.OpenTree, Path: "/", Slot: 0},
			{Code: step.NewMount, Source: "devpts", Slot: 1},
			{Code: step.OpenTerminal, Value: 1, Slot: 2},
		},
		Enter: step.List{
			{Code: step.Pivot, Slot: 0, Path: "/"},
			{Code: step.Attach, Slot: 1, Path: "/dev/pts"},
			{Code: step.Wait},
			{Code: step.Exec, Path: program, Words: []string{program}},
		},
		Slots: 3, Terminals: []int{2}, HostTerminals: []*os.File{terminal.Master}, Cgroup: group,
	}
}

func TestControllersContract(t *testing.T) {
	porttest.TestControllers(t, func(t *testing.T) porttest.ControllersHarness {
		h := hostWithPrograms(t)
		return porttest.ControllersHarness{
			Controllers: NewControllers(h),
			Again:       func(*testing.T) ports.Controllers { return NewControllers(h) },
			Order: func(t *testing.T, wanted porttest.Wanted) ports.Order {
				made := order(t, h, wanted.Name, orderPaths[wanted.Init])
				made.Namespaces.Net, made.WaitLinks = wanted.Network, wanted.WaitLinks
				return made
			},
			Kill: func(_ *testing.T, ref container.Controller) {
				h.look(func() { h.die(h.procs[ref.PID], Killed(sigKILL)) })
			},
			Console: func(t *testing.T, of ports.Order) io.ReadWriteCloser {
				var path string
				h.look(func() { path = h.behind(of.HostTerminals[0]).(*terminal).path })
				stream, err := NewTerminals(h).Attach(t.Context(), path)
				require.NoError(t, err)
				return stream
			},
		}
	})
}
