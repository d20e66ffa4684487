// Package settings knows where the daemon's files are and reads the two that its
// administrator writes, virtlxcd.conf and lxc.conf.
package settings

import "path/filepath"

// Paths are the places other programs of the interface know. Directories are
// named as such; modes are those the files are made with. Who makes a file makes the
// directory: here nothing is touched.
type Paths struct {
	DaemonConfig string // virtlxcd.conf, optional
	DriverConfig string // lxc.conf, optional
	Definitions  string // directory of NAME.xml
	Autostart    string // directory of links to them
	Hooks        string // directory of programs

	Run         string // directory of the sockets, 0755
	Socket      string // for clients that may do everything
	ReadOnly    string // socket for clients that may look
	Admin       string // socket for the daemon's administration
	PIDFile     string // 0644, locked
	Common      string // directory shared by sibling daemons, 0700
	SystemToken string // 0600, their shared secret
	State       string // directory of what runs, 0755
	HostDevices string // directory, 0755

	Log       string // directory of NAME.log, 0755
	DaemonLog string // 0600
	Journal   string // socket of the system's journal
	Library   string // directory made by the package, not used
}

// PathsBelow returns the paths with prefix before each: "" for the host's own,
// a directory for a daemon that leaves the host's alone. Keep it short and absolute: the
// path of a socket has 107 bytes at most (unix(7)). Nothing is looked up: the same prefix
// always gives the same paths.
func PathsBelow(prefix string) Paths {
	etc := filepath.Join(prefix, "/etc/libvirt")
	run := filepath.Join(prefix, "/run/libvirt")
	log := filepath.Join(prefix, "/var/log/libvirt")
	in := filepath.Join
	return Paths{
		DaemonConfig: in(etc, "virtlxcd.conf"),
		DriverConfig: in(etc, "lxc.conf"),
		Definitions:  in(etc, "lxc"),
		Autostart:    in(etc, "lxc/autostart"),
		Hooks:        in(etc, "hooks"),

		Run:         run,
		Socket:      in(run, "virtlxcd-sock"),
		ReadOnly:    in(run, "virtlxcd-sock-ro"),
		Admin:       in(run, "virtlxcd-admin-sock"),
		PIDFile:     in(prefix, "/run/virtlxcd.pid"),
		Common:      in(run, "common"),
		SystemToken: in(run, "common/system.token"),
		State:       in(run, "lxc"),
		HostDevices: in(run, "hostdevmgr"),

		Log:       in(log, "lxc"),
		DaemonLog: in(log, "virtlxcd.log"),
		Journal:   in(prefix, "/run/systemd/journal/socket"),
		Library:   in(prefix, "/var/lib/libvirt/lxc"),
	}
}
