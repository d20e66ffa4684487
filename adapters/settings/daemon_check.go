package settings

import (
	"strconv"

	"virtlxcd/domain/fault"
)

// complete fills in defaults that depend on other keys. A default never contradicts what
// was given: who lowers max_workers need not know of min_workers. It runs before check,
// so that check judges the values that would count.
func (d *Daemon) complete() (notices []Notice) {
	if !d.Given("min_workers") {
		d.MinWorkers = min(d.MinWorkers, d.MaxWorkers)
	}
	if !d.Given("admin_min_workers") {
		d.AdminMinWorkers = min(d.AdminMinWorkers, d.AdminMaxWorkers)
	}
	// Where nobody has to show who he is, the mode of the socket is all that
	// protects the host. The original leaves it at 0777; here only root gets in
	// unless the file says otherwise.
	if d.AuthUnixRW == AuthNone && !d.Given("unix_sock_rw_perms") {
		d.UnixSockRWPerms = 0o700
		e := entry{file: d.origin.file, line: d.origin.lines["auth_unix_rw"]}
		notices = append(notices, e.notice("'auth_unix_rw' is \"none\": "+
			"sockets made by the daemon let only root in as 'unix_sock_rw_perms' is not given"))
	}
	return notices
}

// check finds keys that do not fit together. It speaks of values, so pairs of which one
// could not be read are left out: that was said already. A pair is told once, at the line
// of the first of the two that was given.
func (d *Daemon) check() (problems []error) {
	for _, pair := range []struct {
		lowKey, highKey string
		low, high       uint
	}{
		// Clients that have not shown who they are count among all.
		{"max_anonymous_clients", "max_clients", d.MaxAnonymousClients, d.MaxClients},
		{"min_workers", "max_workers", d.MinWorkers, d.MaxWorkers},
		{"admin_min_workers", "admin_max_workers", d.AdminMinWorkers, d.AdminMaxWorkers},
	} {
		if pair.low <= pair.high {
			continue
		}
		err := d.origin.wrong(fault.InvalidArgument, []string{pair.lowKey, pair.highKey},
			"'%s' parameter (%s) must not be above '%s' (%s)",
			pair.lowKey, d.whence(pair.lowKey, pair.low), pair.highKey, d.whence(pair.highKey, pair.high))
		if err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// whence tells a default apart: its key is nowhere in the file. So who lowered one key of
// a pair sees why the other one is in the way.
func (d *Daemon) whence(key string, number uint) string {
	if d.Given(key) {
		return strconv.FormatUint(uint64(number), 10)
	}
	return strconv.FormatUint(uint64(number), 10) + " by default"
}
