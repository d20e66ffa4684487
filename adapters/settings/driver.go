package settings

import (
	"slices"
	"time"

	"virtlxcd/domain/fault"
)

// NoSecurityDriver is the one security driver of this build: none.
const NoSecurityDriver = "none"

// Driver is what lxc.conf says; lxc.conf(5) is about it. It is a value, as Daemon is.
type Driver struct {
	// LogWithDaemon lets controllers log where the daemon does, not into the
	// container's own log. The key keeps the original's name, log_with_libvirtd.
	LogWithDaemon           bool
	SecurityDriver          string // NoSecurityDriver
	SecurityDefaultConfined bool   // no effect without a security driver
	SecurityRequireConfined bool   // always false: nothing here could confine

	// ShutdownTimeout is how long containers have to end by themselves when the
	// host shuts down. 0: they are stopped at once.
	ShutdownTimeout time.Duration
	// Machined says whether containers are registered with systemd-machined.
	Machined bool

	origin origin
}

// DefaultDriver is what counts without a file, as defaults/lxc.conf shows it.
func DefaultDriver() Driver {
	return Driver{SecurityDriver: NoSecurityDriver, ShutdownTimeout: time.Minute, Machined: true}
}

// Given says whether the file has the key, with whatever value.
func (d *Driver) Given(key string) bool { return d.origin.given(key) }

// Rejected is as for Daemon.
func (d *Driver) Rejected(key string, err error) error { return d.origin.rejected(key, err) }

// DifferDriver is as DifferDaemon. What is live counts for containers that start
// from then on. Both lists are in the order of the table.
func DifferDriver(before, after Driver) (live, restart []string) {
	return differ(&before, &after, driverKeys)
}

// driverKeys are all keys of lxc.conf. What is live is looked up when it is needed, so a
// reload has nothing to apply.
var driverKeys = []key[Driver]{
	keyAt("log_with_libvirtd", live, readBool, func(d *Driver) *bool { return &d.LogWithDaemon }),
	keyAt("security_driver", restart, readSecurityDriver, func(d *Driver) *string { return &d.SecurityDriver }),
	keyAt("security_default_confined", restart, readBool, func(d *Driver) *bool { return &d.SecurityDefaultConfined }),
	keyAt("security_require_confined", restart, readBool, func(d *Driver) *bool { return &d.SecurityRequireConfined }),
	keyAt("shutdown_timeout", live, readSeconds, func(d *Driver) *time.Duration { return &d.ShutdownTimeout }),
	keyAt("machined", restart, readBool, func(d *Driver) *bool { return &d.Machined }),
}

// foreignToDriver says why a key that is not ours has no effect. The two files lie side
// by side, so a key in the wrong one is the likely mistake.
func foreignToDriver(name string) string {
	if slices.ContainsFunc(daemonKeys, func(k key[Daemon]) bool { return k.name == name }) {
		return "belongs in virtlxcd.conf and has no effect here"
	}
	return "is not a key that the driver knows: it has no effect"
}

// readSecurityDriver tells a driver that this build lacks from one that nobody knows.
// Containers that somebody wanted confined do not run unconfined.
func readSecurityDriver(e *entry) (string, error) {
	name, err := readText(e)
	if err != nil {
		return "", err
	}
	switch name {
	case NoSecurityDriver:
		return name, nil
	case "selinux", "apparmor":
		return "", e.wrong(fault.UnsupportedConfig, `'%s' asks for "%s", which is not supported by this build; there is "none"`, e.key, name)
	}
	return "", e.wrong(fault.InvalidArgument, `unknown security driver %s in '%s' parameter; known are "none", "selinux" and "apparmor"`,
		shown(name), e.key)
}

// check finds keys that do not fit together, and one that has no effect. The text after
// the colon is the original's: a search for it finds the reason.
func (d *Driver) check() (notices []Notice, problems []error) {
	if d.SecurityRequireConfined {
		err := d.origin.wrong(fault.UnsupportedConfig, []string{"security_require_confined", "security_driver"},
			`'security_require_confined' cannot be met: Security driver "none" cannot create confined guests`)
		if err != nil {
			problems = append(problems, err)
		}
	}
	if d.SecurityDefaultConfined {
		e := entry{file: d.origin.file, line: d.origin.lines["security_default_confined"]}
		notices = append(notices, e.notice("'security_default_confined' has no effect without a security driver"))
	}
	return notices, problems
}
