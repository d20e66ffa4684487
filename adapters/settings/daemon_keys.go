package settings

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// daemonKeys are all keys of virtlxcd.conf that mean something. A new key needs a line
// here, a field and a default in Daemon, a paragraph in defaults/virtlxcd.conf and one in
// virtlxcd.conf(5); tests notice what is missing. Problems are told in the order of the
// file, differences in the order of this table.
var daemonKeys = slices.Concat(socketKeys, serverKeys, adminKeys, recordKeys)

// socketKeys say who may connect. All need a restart: sockets exist once, and who came in
// under the old rules is there.
var socketKeys = []key[Daemon]{
	keyAt("unix_sock_group", restart, readText, func(d *Daemon) *string { return &d.UnixSockGroup }),
	keyAt("unix_sock_ro_perms", restart, readMode, func(d *Daemon) *os.FileMode { return &d.UnixSockROPerms }),
	keyAt("unix_sock_rw_perms", restart, readMode, func(d *Daemon) *os.FileMode { return &d.UnixSockRWPerms }),
	keyAt("unix_sock_admin_perms", restart, readMode, func(d *Daemon) *os.FileMode { return &d.UnixSockAdminPerms }),
	keyAt("unix_sock_dir", restart, readSocketDir, func(d *Daemon) *string { return &d.UnixSockDir }),
	keyAt("auth_unix_ro", restart, readAuth, func(d *Daemon) *Auth { return &d.AuthUnixRO }),
	keyAt("auth_unix_rw", restart, readAuth, func(d *Daemon) *Auth { return &d.AuthUnixRW }),
	keyAt("access_drivers", restart, readAccessDrivers, func(d *Daemon) *[]string { return &d.AccessDrivers }),
	keyAt("sasl_allowed_username_list", inert, readTexts, func(d *Daemon) *[]string { return &d.SASLAllowedUsernames }),
}

// serverKeys: a server without a place for a client, a worker or a request would
// never answer, so these are at least 1.
var serverKeys = []key[Daemon]{
	keyAt("max_clients", live, between(1, math.MaxUint32), func(d *Daemon) *uint { return &d.MaxClients }),
	keyAt("max_queued_clients", restart, readUint, func(d *Daemon) *uint { return &d.MaxQueuedClients }),
	keyAt("max_anonymous_clients", live, readUint, func(d *Daemon) *uint { return &d.MaxAnonymousClients }),
	keyAt("min_workers", live, readUint, func(d *Daemon) *uint { return &d.MinWorkers }),
	keyAt("max_workers", live, between(1, math.MaxUint32), func(d *Daemon) *uint { return &d.MaxWorkers }),
	keyAt("prio_workers", live, readUint, func(d *Daemon) *uint { return &d.PrioWorkers }),
	keyAt("max_client_requests", live, between(1, math.MaxUint32), func(d *Daemon) *uint { return &d.MaxClientRequests }),
	keyAt("keepalive_interval", live, readInterval, func(d *Daemon) *time.Duration { return &d.KeepaliveInterval }),
	keyAt("keepalive_count", live, readUint, func(d *Daemon) *uint { return &d.KeepaliveCount }),
}

// adminKeys are the same for the server of administrators. It has no workers for calls
// that go before others, and nobody in it is anonymous.
var adminKeys = []key[Daemon]{
	keyAt("admin_min_workers", live, readUint, func(d *Daemon) *uint { return &d.AdminMinWorkers }),
	keyAt("admin_max_workers", live, between(1, math.MaxUint32), func(d *Daemon) *uint { return &d.AdminMaxWorkers }),
	keyAt("admin_max_clients", live, between(1, math.MaxUint32), func(d *Daemon) *uint { return &d.AdminMaxClients }),
	keyAt("admin_max_queued_clients", restart, readUint, func(d *Daemon) *uint { return &d.AdminMaxQueuedClients }),
	keyAt("admin_max_client_requests", live, between(1, math.MaxUint32), func(d *Daemon) *uint { return &d.AdminMaxClientRequests }),
	keyAt("admin_keepalive_interval", live, readInterval, func(d *Daemon) *time.Duration { return &d.AdminKeepaliveInterval }),
	keyAt("admin_keepalive_count", live, readUint, func(d *Daemon) *uint { return &d.AdminKeepaliveCount }),
}

// recordKeys are about what is written down, and about the host itself.
var recordKeys = []key[Daemon]{
	keyAt("log_level", live, readLogLevel, func(d *Daemon) *uint { return &d.LogLevel }),
	keyAt("log_filters", live, readText, func(d *Daemon) *string { return &d.LogFilters }),
	keyAt("log_outputs", live, readText, func(d *Daemon) *string { return &d.LogOutputs }),
	keyAt("audit_level", restart, between(0, 2), func(d *Daemon) *uint { return &d.AuditLevel }),
	keyAt("audit_logging", live, readBool, func(d *Daemon) *bool { return &d.AuditLogging }),
	keyAt("host_uuid", restart, readHostUUID, func(d *Daemon) *string { return &d.HostUUID }),
	keyAt("host_uuid_source", restart, readUUIDSource, func(d *Daemon) *string { return &d.HostUUIDSource }),
	keyAt("ovs_timeout", inert, readSeconds, func(d *Daemon) *time.Duration { return &d.OVSTimeout }),
}

// networkKeys are those of the daemons that serve TCP and TLS. Files made for these are
// read by this daemon too, so the keys are worth a word of their own. The list is that of
// virtproxyd.conf.
var networkKeys = []string{
	"listen_tls", "listen_tcp", "tls_port", "tcp_port", "listen_addr", "auth_tcp", "auth_tls", "tcp_min_ssf",
	"key_file", "cert_file", "ca_file", "crl_file", "tls_no_sanity_certificate", "tls_no_verify_certificate",
	"tls_allowed_dn_list", "tls_priority",
}

// foreignToDaemon says why a key that is not ours has no effect. Unknown keys are notices,
// not errors: files are shared by daemons of different versions. The text follows the
// quoted key in a notice: "'tls_port' is not used by ...".
func foreignToDaemon(name string) string {
	isName := func(k key[Driver]) bool { return k.name == name }
	switch {
	case slices.Contains(networkKeys, name):
		return "is not used by virtlxcd, which serves neither TCP nor TLS"
	case name == "keepalive_required", name == "admin_keepalive_required":
		return "is an old name without effect"
	case slices.ContainsFunc(driverKeys, isName):
		return "belongs in lxc.conf and has no effect here"
	}
	return "is not a key that virtlxcd knows: it has no effect"
}

// longestSocketPath is what sun_path of unix(7) holds, less the final NUL.
const longestSocketPath = 107

// readSocketDir does not look whether the directory is there: it may be made before the
// daemon starts again. The administrators' socket has the longest name of the three, so
// it is the one that is measured.
func readSocketDir(e *entry) (string, error) {
	dir, err := readText(e)
	switch {
	case err != nil:
		return "", err
	case !filepath.IsAbs(dir):
		return "", e.wrong(fault.InvalidArgument, "value %s for '%s' parameter is not an absolute path", shown(dir), e.key)
	}
	// Clean first: "/run//libvirt/" is no other directory, and no change on reload.
	dir = filepath.Clean(dir)
	if len(filepath.Join(dir, "virtlxcd-admin-sock")) > longestSocketPath {
		return "", e.wrong(fault.InvalidArgument, "value %s for '%s' parameter is too long for the path of a socket", shown(dir), e.key)
	}
	return dir, nil
}

// readAuth refuses SASL by name: to take it for polkit or none would let the wrong ones in.
func readAuth(e *entry) (Auth, error) {
	name, err := readText(e)
	if err != nil {
		return 0, err
	}
	switch name {
	case "polkit":
		return AuthPolkit, nil
	case "none":
		return AuthNone, nil
	// Other daemons of the family take it.
	case "sasl":
		return 0, e.wrong(fault.UnsupportedConfig, `'%s' asks for "sasl", but SASL is not built in; there are "none" and "polkit"`, e.key)
	}
	return 0, e.wrong(fault.InvalidArgument, `unsupported auth %s for '%s' parameter; there are "none" and "polkit"`, shown(name), e.key)
}

// readAccessDrivers: "none" stands for no driver and may stand beside others. A list of
// "none" alone is nil, as an empty one: two ways to say the same never differ on reload.
func readAccessDrivers(e *entry) ([]string, error) {
	names, err := readTexts(e)
	if err != nil {
		return nil, err
	}
	var drivers []string
	for _, name := range names {
		switch {
		case name == "none", slices.Contains(drivers, name):
		case name == PolkitAccess:
			drivers = append(drivers, name)
		default:
			return nil, e.wrong(fault.InvalidArgument, `unknown access driver %s in '%s' parameter; there are "none" and "polkit"`,
				shown(name), e.key)
		}
	}
	return drivers, nil
}

// readLogLevel takes 0 for "not said", as other daemons of the family do.
func readLogLevel(e *entry) (uint, error) {
	level, err := between(0, 4)(e)
	if level == 0 {
		level = DefaultDaemon().LogLevel
	}
	return level, err
}

// readHostUUID takes "" for none. A UUID of equal digits is what firmware without one shows,
// and many hosts would have it.
func readHostUUID(e *entry) (string, error) {
	written, err := readText(e)
	if err != nil || written == "" {
		return "", err
	}
	uuid, err := container.ParseUUID(written)
	if err != nil {
		return "", e.wrong(fault.InvalidArgument, "value %s for '%s' parameter is not a UUID", shown(written), e.key)
	}
	// Comparing canonical texts makes another spelling of one UUID no change.
	canonical := uuid.String()
	if strings.Trim(canonical, canonical[:1]+"-") == "" {
		return "", e.wrong(fault.InvalidArgument, "value %s for '%s' parameter must not have all digits equal", shown(written), e.key)
	}
	return canonical, nil
}

// readUUIDSource does not look whether the source has one: without, the host has none.
func readUUIDSource(e *entry) (string, error) {
	source, err := readText(e)
	if err == nil && source != UUIDFromSMBIOS && source != UUIDFromMachineID {
		err = e.wrong(fault.InvalidArgument, `value %s for '%s' parameter must be "smbios" or "machine-id"`, shown(source), e.key)
	}
	return source, err
}
