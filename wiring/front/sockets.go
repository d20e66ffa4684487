package front

import (
	"errors"
	"log/slog"
	"path/filepath"

	"virtlxcd/adapters/settings"
	"virtlxcd/adapters/systemd"
)

// Names of the units whose sockets the service manager passes (sd_listen_fds(3): without
// FileDescriptorName= a descriptor has its unit's name).
const (
	fullUnit     = "virtlxcd.socket"
	readOnlyUnit = "virtlxcd-ro.socket"
	adminUnit    = "virtlxcd-admin.socket"
)

// SocketUnits are all of them: what systemd.Receive is to take over.
var SocketUnits = []string{fullUnit, readOnlyUnit, adminUnit}

// Sockets are where clients come in, by what they may do. A role without a socket is not
// served; one may have several, as a unit may list several addresses.
type Sockets struct {
	Full, ReadOnly, Admin []*systemd.Listener
}

// Open takes the sockets that the service manager passed, or else makes those of
// the configuration. Keys that say how own sockets are made do not count for passed
// ones, and that is said; max_queued_clients counts for both (listen(2) may be repeated).
// All or none: those made before one that fails are unlinked again.
func Open(passed map[string][]*systemd.Listener, config settings.Daemon, paths settings.Paths, log *slog.Logger) (*Sockets, error) {
	if len(passed) == 0 {
		return own(config, paths, log)
	}
	for _, key := range settings.SocketKeys {
		if config.Given(key) {
			log.Warn("a setting is ignored: the service manager made the sockets", "key", key)
		}
	}
	s := &Sockets{Full: passed[fullUnit], ReadOnly: passed[readOnlyUnit], Admin: passed[adminUnit]}
	return s, s.setBacklogs(config)
}

// own makes the sockets. A directory given by the file has to exist; the usual one is
// made. A daemon below a prefix keeps its own directory unless the file gives one.
func own(config settings.Daemon, paths settings.Paths, log *slog.Logger) (*Sockets, error) {
	if config.OpenToEveryone() {
		log.Warn("every user of this host may do everything: auth_unix_rw is \"none\" and unix_sock_rw_perms lets others write")
	}
	s := &Sockets{}
	at := func(path string) string {
		if !config.Given("unix_sock_dir") {
			return path
		}
		return filepath.Join(config.UnixSockDir, filepath.Base(path))
	}
	for _, door := range []struct {
		into    *[]*systemd.Listener
		path    string
		options systemd.ListenOptions
	}{
		{&s.Full, paths.Socket, systemd.ListenOptions{Mode: config.UnixSockRWPerms, Backlog: int(config.MaxQueuedClients)}},
		{&s.ReadOnly, paths.ReadOnly, systemd.ListenOptions{Mode: config.UnixSockROPerms, Backlog: int(config.MaxQueuedClients)}},
		{&s.Admin, paths.Admin, systemd.ListenOptions{Mode: config.UnixSockAdminPerms, Backlog: int(config.AdminMaxQueuedClients)}},
	} {
		door.options.Group = config.UnixSockGroup
		door.options.MakeDir = !config.Given("unix_sock_dir")
		listener, err := systemd.Listen(at(door.path), door.options)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		*door.into = append(*door.into, listener)
	}
	return s, nil
}

// setBacklogs sets how many clients may wait at passed sockets, which came with a number
// of the service manager's.
func (s *Sockets) setBacklogs(config settings.Daemon) (err error) {
	for _, one := range append(append([]*systemd.Listener{}, s.Full...), s.ReadOnly...) {
		err = errors.Join(err, one.SetBacklog(int(config.MaxQueuedClients)))
	}
	for _, one := range s.Admin {
		err = errors.Join(err, one.SetBacklog(int(config.AdminMaxQueuedClients)))
	}
	return err
}

// Close closes all; own ones vanish from the file system, passed ones stay with the
// service manager. Again it is an error of each.
func (s *Sockets) Close() (err error) {
	for _, role := range [][]*systemd.Listener{s.Full, s.ReadOnly, s.Admin} {
		for _, one := range role {
			err = errors.Join(err, one.Close())
		}
	}
	return err
}
