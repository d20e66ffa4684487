package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"virtlxcd/adapters/access"
	"virtlxcd/adapters/audit"
	"virtlxcd/adapters/control"
	"virtlxcd/adapters/dbus/bus"
	"virtlxcd/adapters/dbus/login"
	"virtlxcd/adapters/dbus/machines"
	"virtlxcd/adapters/dbus/polkit"
	"virtlxcd/adapters/domxml"
	"virtlxcd/adapters/hooks"
	"virtlxcd/adapters/linux/cgroup"
	"virtlxcd/adapters/linux/netlink"
	"virtlxcd/adapters/linux/proc"
	"virtlxcd/adapters/linux/process"
	"virtlxcd/adapters/rpc/remote"
	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/store"
	"virtlxcd/adapters/systemd"
	"virtlxcd/app/idle"
	"virtlxcd/domain/container"
	"virtlxcd/ports"
	"virtlxcd/wiring/front"
)

// emulator is what definitions name as their emulator if nothing was written:
// the path tools expect. It is shown and never executed: what runs is Config.Controller.
const emulator = "/usr/lib/libvirt/libvirt_lxc"

// newCodec knows which machine definitions without <arch> are for: the one it runs on
// (uname(2)).
func newCodec(entropy ports.Entropy) (*domxml.Codec, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return domxml.New(entropy, domxml.Options{Arch: unix.ByteSliceToString(name.Machine[:]), Emulator: emulator}), nil
}

// newStore makes the directories and takes the lock of the state directory. Busy if another
// daemon works there.
func newStore(in *inputs, codec ports.Codec) (*store.Store, func(), error) {
	paths := store.Paths{Config: in.paths.Definitions, Autostart: in.paths.Autostart, State: in.paths.State, Log: in.paths.Log}
	s, err := store.New(paths, codec, in.log)
	if err != nil {
		return nil, nil, err
	}
	return s, closing(in.log, "store", s), nil
}

// groupBase keeps the groups of a daemon below a prefix apart from the host's: two
// daemons must never sweep each other's. The same prefix gives the same group, so that
// the next daemon finds what the last one left.
func groupBase(prefix string) string {
	if prefix == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(prefix))
	return "/vlx-" + hex.EncodeToString(sum[:4])
}

// newCgroups fails where no version of control groups is mounted.
func newCgroups(in *inputs) (*cgroup.Cgroups, func(), error) {
	c, err := cgroup.New(cgroup.Options{Base: groupBase(in.config.Prefix)}, in.log)
	if err != nil {
		return nil, nil, err
	}
	return c, closing(in.log, "control groups", c), nil
}

// newControllers starts controllers in a control group of theirs, so that they are not
// frozen, charged or killed with their containers. Their sockets lie below State, where
// the next daemon finds them.
func newControllers(in *inputs, groups *cgroup.Cgroups, configuration *front.Configuration) (*control.Controllers, func(), error) {
	c, err := control.New(control.Options{
		Program: in.config.Controller, State: filepath.Join(in.paths.State, "controllers"), Log: in.paths.Log,
		Group: groups.ControllersGroup, Home: groups.HomeTasks, Shared: in.sharedLog(configuration),
	}, in.log)
	if err != nil {
		return nil, nil, err
	}
	return c, closing(in.log, "controllers", c), nil
}

// sharedLog opens the daemon's own log for controllers if they are to use it: the
// first file it writes, else its standard error, which the journal gets under a service
// manager. Nil without an error: they are to use a log of their container's. The caller
// closes the file. What an administrator set meanwhile counts.
func (in *inputs) sharedLog(configuration *front.Configuration) func() (*os.File, error) {
	return func() (*os.File, error) {
		if !configuration.SharesLog() {
			return nil, nil
		}
		outputs, _ := in.out.Outputs() // "1:file:/var/log/x 3:stderr": no path holds a blank
		for output := range strings.FieldsSeq(outputs) {
			if parts := strings.SplitN(output, ":", 3); len(parts) == 3 && parts[1] == "file" {
				// It may have been moved away since: a start does not fail for that.
				return os.OpenFile(parts[2], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			}
		}
		return standardError()
	}
}

// standardError is a duplicate. To open /proc/self/fd/2 fails for a socket, and a socket
// is what a service manager gives the daemon.
func standardError() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(unix.Stderr), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "standard error"), nil
}

// newLinks takes the network namespace that the daemon runs in for the host's.
func newLinks(in *inputs) (*netlink.Links, func(), error) {
	l, err := netlink.New(in.log)
	if err != nil {
		return nil, nil, err
	}
	return l, closing(in.log, "links", l), nil
}

// newProcesses fails on kernels that know no pidfds: UnsupportedOperation.
func newProcesses(in *inputs) (*process.Processes, func(), error) {
	p, err := process.New()
	if err != nil {
		return nil, nil, err
	}
	return p, closing(in.log, "processes", p), nil
}

// newHost honours what the configuration says about the host's uuid: host_uuid, or where
// to look for it (host_uuid_source). It was checked when the file was read.
func newHost(in *inputs) (*proc.Host, error) {
	var uuid container.UUID
	if text := in.daemon.HostUUID; text != "" {
		var err error
		if uuid, err = container.ParseUUID(text); err != nil {
			return nil, err
		}
	}
	h := proc.New("/")
	h.SetUUID(uuid, in.daemon.HostUUIDSource == settings.UUIDFromMachineID)
	return h, nil
}

// newBus connects to the system bus when it is needed first: a host need not have one.
func newBus(in *inputs) (*bus.Bus, func()) {
	b := bus.New(bus.Options{}, in.log)
	return b, closing(in.log, "D-Bus connection", b)
}

// newMachines leaves the host's registry alone under a prefix, or if told to (machined of
// lxc.conf). Containers then run in groups that the daemon makes.
func newMachines(in *inputs, b *bus.Bus, groups *cgroup.Cgroups) (ports.Machines, func()) {
	if in.config.Prefix != "" || !in.driver.Machined {
		return machines.None(), func() {}
	}
	m := machines.New(b, machines.Options{Weight: groups.Weight}, in.log)
	return m, closing(in.log, "machines", m)
}

// newAuthority asks polkit over the bus, for connections as for single rights.
func newAuthority(b *bus.Bus, in *inputs) *polkit.Authority { return polkit.New(b, in.log) }

// newAccess asks about single rights only if access_drivers says so: it takes a call over
// the bus for each.
func newAccess(in *inputs, authority *polkit.Authority) ports.Access {
	if in.fineGrained() {
		return access.NewPolkit(authority, in.log)
	}
	return access.AllowAll()
}

// fineGrained says whether single rights are asked about.
func (in *inputs) fineGrained() bool {
	return slices.Contains(in.daemon.AccessDrivers, settings.PolkitAccess)
}

// newService lets reads wait only where access checks can make them: otherwise they are
// answered by the goroutine that reads from the client, which costs least.
func newService(in *inputs, connector ports.Connector, codec ports.Codec, gatekeeper ports.Gatekeeper) *remote.Service {
	return remote.New(connector, codec, remote.Options{Log: in.log, QuickReads: !in.fineGrained(), Gatekeeper: gatekeeper})
}

// newAudit fails only where audit_level insists on a trail and there is none; the error
// names the key, which is what an administrator has to change.
func newAudit(in *inputs) (*audit.Audit, func(), error) {
	a, err := audit.New(audit.Options{Level: int(in.daemon.AuditLevel), AlsoLog: in.daemon.AuditLogging}, in.log)
	if err != nil {
		return nil, nil, in.daemon.Rejected("audit_level", err)
	}
	return a, closing(in.log, "audit trail", a), nil
}

// newHooks looks for programs once; a reload looks again.
func newHooks(in *inputs) *hooks.Hooks { return hooks.New(in.paths.Hooks, in.log) }

// newNotifier takes the service manager's variables out of the environment: no container
// and no hook is to speak for the daemon.
func newNotifier(in *inputs) *systemd.Notifier { return systemd.NewNotifier(in.log) }

// newEscrow owns the descriptors that an earlier daemon left with the service manager.
func newEscrow(in *inputs, notifier *systemd.Notifier) *systemd.Escrow {
	return systemd.NewEscrow(notifier, in.received.Stored, in.log)
}

// newIdle begins to count; Run occupies it until the start is over.
func newIdle(in *inputs) *idle.Watch { return idle.New(in.config.Timeout) }

// newInhibitor is nil under a prefix: the host's going down is not held up then.
func newInhibitor(in *inputs, b *bus.Bus) (*login.Inhibitor, func()) {
	if in.config.Prefix != "" {
		return nil, func() {}
	}
	l := login.New(b, in.log)
	return l, closing(in.log, "shutdown lock", l)
}

// patience is the host's, for a daemon that may know of it: 0, as long as it takes, for
// one below a prefix.
type patience struct{ lock *login.Inhibitor }

func newHostPatience(lock *login.Inhibitor) front.Host { return patience{lock} }

func (p patience) MaxDelay(ctx context.Context) (time.Duration, error) {
	if p.lock == nil {
		return 0, nil
	}
	return p.lock.MaxDelay(ctx)
}

// newObey is what reloads change beyond the log, the servers and containers to come.
func newObey(trail *audit.Audit) front.Obey {
	return func(config settings.Daemon) { trail.SetAlsoLog(config.AuditLogging) }
}

// newConfiguration is what was loaded before there were parts.
func newConfiguration(in *inputs) *front.Configuration {
	return front.NewConfiguration(in.files, in.daemon, in.driver, in.log)
}

// newAdministration lets administrators change log and idle time.
func newAdministration(in *inputs, watch *idle.Watch) *front.Administration {
	return front.NewAdministration(in.out, watch, in.log)
}

// newServers is front's, with all that comes from inputs.
func newServers(in *inputs, service *remote.Service, administration *front.Administration, watch *idle.Watch) *front.Servers {
	return front.NewServers(in.daemon, service, administration, watch, in.log)
}

// newSockets puts off making sockets until the rest is there: clients choose a daemon by
// the sockets they find, so these come last.
func newSockets(in *inputs) front.Opener {
	return func() (*front.Sockets, error) { return front.Open(in.received.Sockets, in.daemon, in.paths, in.log) }
}

func newLog(in *inputs) *slog.Logger { return in.log }

// closing is the clean-up of a part. One that does not close cleanly is no reason to leave
// the others open, nor for the daemon to fail at its end: it is logged.
func closing(log *slog.Logger, what string, c io.Closer) func() {
	return func() {
		if err := c.Close(); err != nil {
			log.Warn("not closed cleanly", "what", what, "error", err)
		}
	}
}

// newDaemon lets the daemon hear when the host goes down. A shutdown that was called off
// (begins false) needs no answer: what was stopped stays so.
func newDaemon(parts front.Parts, lock *login.Inhibitor) *front.Daemon {
	d := front.New(parts)
	if lock != nil {
		lock.OnShutdown(func(begins bool) {
			if begins {
				d.HostStops()
			}
		})
	}
	return d
}
