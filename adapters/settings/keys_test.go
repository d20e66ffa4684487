package settings

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/fault"
)

// texts are the problems without the common beginning "f:".
func texts(problems []error) (all []string) {
	for _, problem := range problems {
		text, _ := strings.CutPrefix(problem.Error(), "f:")
		all = append(all, text)
	}
	return all
}

func noticeTexts(notices []Notice) (all []string) {
	for _, n := range notices {
		text, _ := strings.CutPrefix(n.String(), "f:")
		all = append(all, text)
	}
	return all
}

// everyDaemonKey gives each key a value that is not its default.
const everyDaemonKey = `
unix_sock_group = "libvirt"
unix_sock_ro_perms = "0770"
unix_sock_rw_perms = '760'
unix_sock_admin_perms = """0750"""
unix_sock_dir = "/srv/run/../vlx/"
auth_unix_ro = "none"
auth_unix_rw = "none"
access_drivers = ["none", "polkit", "polkit",]
sasl_allowed_username_list = ["joe@*", "ann"]
max_clients = 4294967295
max_queued_clients = 0
max_anonymous_clients = 0
min_workers = 7
max_workers = 7
prio_workers = 0
max_client_requests = 1
keepalive_interval = -1
keepalive_count = 0
admin_min_workers = 0
admin_max_workers = 1
admin_max_clients = +2
admin_max_queued_clients = 3
admin_max_client_requests = 4
admin_keepalive_interval = 2147483647
admin_keepalive_count = 6
log_level = 1
log_filters = "1:rpc 3:util"
log_outputs = "1:file:/var/log/x"
audit_level = 2
audit_logging = 1
host_uuid = "AAAAAAAA-0000-1111-2222-333333333333"
host_uuid_source = "machine-id"
ovs_timeout = 4294967295
`

func TestEveryDaemonKey(t *testing.T) {
	d, notices, problems := parseDaemon([]byte(everyDaemonKey), "f")
	require.Empty(t, problems)
	assert.Equal(t, []string{
		"10: 'sasl_allowed_username_list' has no effect in virtlxcd",
		"34: 'ovs_timeout' has no effect in virtlxcd",
	}, noticeTexts(notices))
	for _, k := range daemonKeys {
		assert.True(t, d.Given(k.name), k.name)
		before := DefaultDaemon()
		assert.False(t, k.same(&before, &d), "%s has its default", k.name)
	}
	d.origin = origin{}
	assert.Equal(t, Daemon{
		UnixSockGroup: "libvirt", UnixSockROPerms: 0o770, UnixSockRWPerms: 0o760, UnixSockAdminPerms: 0o750,
		UnixSockDir: "/srv/vlx", AuthUnixRO: AuthNone, AuthUnixRW: AuthNone, AccessDrivers: []string{"polkit"},
		SASLAllowedUsernames: []string{"joe@*", "ann"},
		MaxClients:           4294967295, MinWorkers: 7, MaxWorkers: 7, MaxClientRequests: 1,
		AdminMaxWorkers: 1, AdminMaxClients: 2, AdminMaxQueuedClients: 3, AdminMaxClientRequests: 4,
		AdminKeepaliveInterval: 2147483647 * time.Second, AdminKeepaliveCount: 6,
		LogLevel: 1, LogFilters: "1:rpc 3:util", LogOutputs: "1:file:/var/log/x",
		AuditLevel: 2, AuditLogging: true,
		HostUUID: "aaaaaaaa-0000-1111-2222-333333333333", HostUUIDSource: "machine-id",
		OVSTimeout: 4294967295 * time.Second,
	}, d)
}

const everyDriverKey = `
log_with_libvirtd = 1
security_driver = "none"
security_default_confined = 0
security_require_confined = 0
shutdown_timeout = 0
machined = 0
`

func TestEveryDriverKey(t *testing.T) {
	d, notices, problems := parseDriver([]byte(everyDriverKey), "f")
	require.Empty(t, problems)
	assert.Empty(t, notices)
	for _, k := range driverKeys {
		assert.True(t, d.Given(k.name), k.name)
	}
	d.origin = origin{}
	assert.Equal(t, Driver{LogWithDaemon: true, SecurityDriver: "none"}, d)
}

// TestWrongTypes: no key takes a value of a type that is not its own.
func TestWrongTypes(t *testing.T) {
	words := []string{"1", `"x"`, `["x"]`}
	accepting := func(problemsOf func(file string) []error, key string) (types int) {
		for _, word := range words {
			problems := problemsOf("\n" + key + " = " + word)
			typed := false
			for _, text := range texts(problems) {
				assert.True(t, strings.HasPrefix(text, "2: "), "no place: %s", text)
				assert.Contains(t, text, "'"+key+"'", "no key")
				typed = typed || strings.Contains(text, "expected a")
			}
			if !typed {
				types++
			}
		}
		return types
	}
	daemon := func(file string) []error { _, _, problems := parseDaemon([]byte(file), "f"); return problems }
	driver := func(file string) []error { _, _, problems := parseDriver([]byte(file), "f"); return problems }
	for _, k := range daemonKeys {
		assert.Equal(t, 1, accepting(daemon, k.name), k.name)
	}
	for _, k := range driverKeys {
		assert.Equal(t, 1, accepting(driver, k.name), k.name)
	}
}

func TestBadDaemonValues(t *testing.T) {
	for line, want := range map[string]string{
		`unix_sock_group = 5`:                                "expected a string for 'unix_sock_group' parameter",
		`access_drivers = "polkit"`:                          "expected a string list for 'access_drivers' parameter",
		`access_drivers = ["polkit", 5]`:                     "expected a string list for 'access_drivers' parameter",
		`access_drivers = [["polkit"]]`:                      "expected a string list for 'access_drivers' parameter",
		`access_drivers = ["none","selinux"]`:                `unknown access driver "selinux" in 'access_drivers' parameter; there are "none" and "polkit"`,
		`audit_logging = "yes"`:                              "expected a bool for 'audit_logging' parameter",
		`audit_logging = 2`:                                  "value for 'audit_logging' parameter must be 0 or 1",
		`audit_logging = -1`:                                 "value for 'audit_logging' parameter must be 0 or 1",
		`max_clients = -5`:                                   "expected an unsigned integer for 'max_clients' parameter",
		`max_clients = 4294967296`:                           "value for 'max_clients' parameter must be in range 1:4294967295",
		`max_clients = 18446744073709551617`:                 "value for 'max_clients' parameter must be in range 1:4294967295",
		`max_clients = 0`:                                    "value for 'max_clients' parameter must be in range 1:4294967295",
		`max_workers = 0`:                                    "value for 'max_workers' parameter must be in range 1:4294967295",
		`max_client_requests = 0`:                            "value for 'max_client_requests' parameter must be in range 1:4294967295",
		`keepalive_interval = "5"`:                           "expected a signed integer for 'keepalive_interval' parameter",
		`keepalive_interval = 2147483648`:                    "value for 'keepalive_interval' parameter must be in range -2147483648:2147483647",
		`keepalive_interval = -2147483649`:                   "value for 'keepalive_interval' parameter must be in range -2147483648:2147483647",
		`keepalive_count = -1`:                               "expected an unsigned integer for 'keepalive_count' parameter",
		`log_level = 5`:                                      "value for 'log_level' parameter must be in range 0:4",
		`audit_level = 3`:                                    "value for 'audit_level' parameter must be in range 0:2",
		`ovs_timeout = "x"`:                                  "expected an unsigned integer for 'ovs_timeout' parameter",
		`unix_sock_ro_perms = 0777`:                          "expected a string for 'unix_sock_ro_perms' parameter",
		`unix_sock_ro_perms = "9zz"`:                         `value "9zz" for 'unix_sock_ro_perms' parameter must be an octal mode from "0000" to "0777"`,
		`unix_sock_rw_perms = ""`:                            `value "" for 'unix_sock_rw_perms' parameter must be an octal mode from "0000" to "0777"`,
		`unix_sock_rw_perms = "-1"`:                          `value "-1" for 'unix_sock_rw_perms' parameter must be an octal mode from "0000" to "0777"`,
		`unix_sock_admin_perms = "1000"`:                     `value "1000" for 'unix_sock_admin_perms' parameter must be an octal mode from "0000" to "0777"`,
		`unix_sock_admin_perms = "7_7"`:                      `value "7_7" for 'unix_sock_admin_perms' parameter must be an octal mode from "0000" to "0777"`,
		`unix_sock_dir = "run"`:                              `value "run" for 'unix_sock_dir' parameter is not an absolute path`,
		`unix_sock_dir = ""`:                                 `value "" for 'unix_sock_dir' parameter is not an absolute path`,
		`auth_unix_rw = "kerberos"`:                          `unsupported auth "kerberos" for 'auth_unix_rw' parameter; there are "none" and "polkit"`,
		`auth_unix_ro = ""`:                                  `unsupported auth "" for 'auth_unix_ro' parameter; there are "none" and "polkit"`,
		"auth_unix_ro = \"\"\"a\nb\"\"\"":                    `unsupported auth "a\nb" for 'auth_unix_ro' parameter; there are "none" and "polkit"`,
		`host_uuid = "x"`:                                    `value "x" for 'host_uuid' parameter is not a UUID`,
		`host_uuid = "00000000-0000-0000-0000-000000000000"`: `value "00000000-0000-0000-0000-000000000000" for 'host_uuid' parameter must not have all digits equal`,
		`host_uuid = "ffffFFFF-ffff-ffff-ffff-ffffffffffff"`: `value "ffffFFFF-ffff-ffff-ffff-ffffffffffff" for 'host_uuid' parameter must not have all digits equal`,
		`host_uuid_source = "dmi"`:                           `value "dmi" for 'host_uuid_source' parameter must be "smbios" or "machine-id"`,
		`max_clients = 10`:                                   "'max_anonymous_clients' parameter (20 by default) must not be above 'max_clients' (10)",
		`max_anonymous_clients = 5001`:                       "'max_anonymous_clients' parameter (5001) must not be above 'max_clients' (5000 by default)",
		`min_workers = 21`:                                   "'min_workers' parameter (21) must not be above 'max_workers' (20 by default)",
		`max_workers = 2; min_workers = 3`:                   "'min_workers' parameter (3) must not be above 'max_workers' (2)",
		`admin_max_workers = 1; admin_min_workers = 2`:       "'admin_min_workers' parameter (2) must not be above 'admin_max_workers' (1)",
	} {
		_, _, problems := parseDaemon([]byte("# first\n"+line), "f")
		require.Equal(t, []string{"2: " + want}, texts(problems), line)
		require.ErrorIs(t, problems[0], fault.InvalidArgument, line)
	}
	long := strings.Repeat("x", 200)
	_, _, problems := parseDaemon([]byte(`unix_sock_dir = "/`+long+`"; auth_unix_ro = "`+long+`"`), "f")
	require.Len(t, problems, 2)
	assert.ErrorContains(t, problems[0], "too long for the path of a socket")
	assert.Less(t, len(problems[1].Error()), 200)
	_, _, problems = parseDaemon([]byte(`unix_sock_dir = "/`+long[:86]+`"`), "f")
	assert.Empty(t, problems, "107 bytes is just what fits")
}

func TestSASLIsNotBuiltIn(t *testing.T) {
	_, _, problems := parseDaemon([]byte(`auth_unix_ro = "sasl"`), "f")
	require.Equal(t, []string{`1: 'auth_unix_ro' asks for "sasl", but SASL is not built in; there are "none" and "polkit"`}, texts(problems))
	assert.ErrorIs(t, problems[0], fault.UnsupportedConfig)
}

func TestBadDriverValues(t *testing.T) {
	for line, want := range map[string]string{
		`security_driver = "selinux"`:  `'security_driver' asks for "selinux", which is not supported by this build; there is "none"`,
		`security_driver = "apparmor"`: `'security_driver' asks for "apparmor", which is not supported by this build; there is "none"`,
		`security_driver = "smack"`:    `unknown security driver "smack" in 'security_driver' parameter; known are "none", "selinux" and "apparmor"`,
		`security_driver = ""`:         `unknown security driver "" in 'security_driver' parameter; known are "none", "selinux" and "apparmor"`,
		`security_require_confined = 1`: `'security_require_confined' cannot be met: ` +
			`Security driver "none" cannot create confined guests`,
		`shutdown_timeout = -1`:         "expected an unsigned integer for 'shutdown_timeout' parameter",
		`shutdown_timeout = 4294967296`: "value for 'shutdown_timeout' parameter must be in range 0:4294967295",
		`machined = 5`:                  "value for 'machined' parameter must be 0 or 1",
		`log_with_libvirtd = []`:        "expected a bool for 'log_with_libvirtd' parameter",
	} {
		_, _, problems := parseDriver([]byte("\n\n"+line), "f")
		require.Equal(t, []string{"3: " + want}, texts(problems), line)
	}
	_, _, problems := parseDriver([]byte("security_driver = \"smack\"\nsecurity_require_confined = 1"), "f")
	assert.Len(t, problems, 1, "nothing is said about a driver that is not known")
}

func TestAllProblemsOfAFile(t *testing.T) {
	d, _, problems := parseDaemon([]byte("max_workers = 0\nlog_level = 9 ; audit_level = []\nmin_workers = 30\nmin_workers = 'x'\nmax_clients=3"), "f")
	assert.Equal(t, []string{
		"1: value for 'max_workers' parameter must be in range 1:4294967295",
		"2: value for 'log_level' parameter must be in range 0:4",
		"2: expected an unsigned integer for 'audit_level' parameter",
		"5: 'max_anonymous_clients' parameter (20 by default) must not be above 'max_clients' (3)",
	}, texts(problems), "min_workers is not compared with a bad max_workers, and given twice the first counts")
	assert.EqualValues(t, 20, d.MaxWorkers, "a bad value leaves the default")
	joined := join(problems)
	assert.ErrorIs(t, joined, fault.InvalidArgument)
	assert.Len(t, strings.Split(joined.Error(), "\n"), 4)
}

func TestNotices(t *testing.T) {
	long := strings.Repeat("k", 5000)
	d, notices, problems := parseDaemon([]byte(`tls_port = "16514"
listen_tls = nonsense`), "f")
	assert.Len(t, problems, 1, "the syntax counts for unknown keys, too")
	assert.Empty(t, notices)

	d, notices, problems = parseDaemon([]byte(`tls_port = "16514"
listen_tls = [99999999999999999999]
keepalive_required = "x"
admin_keepalive_required = 1
mx_clients = 5
shutdown_timeout = 5
log_level = 2
log_level = "three"
mx_clients = 6
`+long+" = 1"), "f")
	require.Empty(t, problems)
	assert.Equal(t, []string{
		"1: 'tls_port' is not used by virtlxcd, which serves neither TCP nor TLS",
		"2: 'listen_tls' is not used by virtlxcd, which serves neither TCP nor TLS",
		"3: 'keepalive_required' is an old name without effect",
		"4: 'admin_keepalive_required' is an old name without effect",
		"5: 'mx_clients' is not a key that virtlxcd knows: it has no effect",
		"6: 'shutdown_timeout' belongs in lxc.conf and has no effect here",
		"8: 'log_level' was given in line 7 already: this one does not count",
		"9: 'mx_clients' was given in line 5 already: this one does not count",
		"10: '" + long[:64] + "...' is not a key that virtlxcd knows: it has no effect",
	}, noticeTexts(notices))
	assert.EqualValues(t, 2, d.LogLevel)
	assert.True(t, d.Given("log_level"))
	assert.False(t, d.Given("log_filters"))

	_, notices, problems = parseDriver([]byte("max_clients = 1\nuser = 'x'\nsecurity_default_confined = 1"), "f")
	require.Empty(t, problems)
	assert.Equal(t, []string{
		"1: 'max_clients' belongs in virtlxcd.conf and has no effect here",
		"2: 'user' is not a key that the driver knows: it has no effect",
		"3: 'security_default_confined' has no effect without a security driver",
	}, noticeTexts(notices))
	assert.Equal(t, "f: all", Notice{File: "f", Text: "all"}.String())
}

func TestDerivedDefaults(t *testing.T) {
	for file, want := range map[string]struct {
		perms  os.FileMode
		open   bool
		notice int
	}{
		``:                      {0o777, false, 0},
		`auth_unix_ro = "none"`: {0o777, false, 0},
		`auth_unix_rw = "none"`: {0o700, false, 1},
		`auth_unix_rw = "none"; unix_sock_rw_perms = "0777"`: {0o777, true, 0},
		`unix_sock_rw_perms = "0772"; auth_unix_rw = "none"`: {0o772, true, 0},
		`auth_unix_rw = "none"; unix_sock_rw_perms = "0775"`: {0o775, false, 0},
		`unix_sock_rw_perms = "0770"`:                        {0o770, false, 0},
	} {
		d, notices, problems := parseDaemon([]byte(file), "f")
		require.Empty(t, problems, file)
		assert.Equal(t, want.perms, d.UnixSockRWPerms, file)
		assert.Equal(t, want.open, d.OpenToEveryone(), file)
		assert.Len(t, notices, want.notice, file)
		assert.Equal(t, d.AuthUnixRW == AuthNone, d.OpenWithMode(0o666), file)
	}
	d, _, problems := parseDaemon([]byte("max_workers = 2\nadmin_max_workers = 1\nlog_level = 0"), "f")
	require.Empty(t, problems, "a minimum that nobody asked for gives way")
	assert.EqualValues(t, 2, d.MinWorkers)
	assert.EqualValues(t, 1, d.AdminMinWorkers)
	assert.EqualValues(t, 3, d.LogLevel, "0 leaves the default")
}

func TestDifferences(t *testing.T) {
	all, _, _ := parseDaemon([]byte(everyDaemonKey), "f")
	now, later := DifferDaemon(DefaultDaemon(), all)
	assert.Equal(t, []string{
		"max_clients", "max_anonymous_clients", "min_workers", "max_workers", "prio_workers", "max_client_requests",
		"keepalive_interval", "keepalive_count", "admin_min_workers", "admin_max_workers", "admin_max_clients",
		"admin_max_client_requests", "admin_keepalive_interval", "admin_keepalive_count",
		"log_level", "log_filters", "log_outputs", "audit_logging",
	}, now)
	assert.Equal(t, []string{
		"unix_sock_group", "unix_sock_ro_perms", "unix_sock_rw_perms", "unix_sock_admin_perms", "unix_sock_dir",
		"auth_unix_ro", "auth_unix_rw", "access_drivers", "max_queued_clients", "admin_max_queued_clients",
		"audit_level", "host_uuid", "host_uuid_source",
	}, later)
	assert.Len(t, daemonKeys, len(now)+len(later)+2, "but for what has no effect")

	now, later = DifferDaemon(all, all)
	assert.Empty(t, append(now, later...))

	changed, _, problems := parseDriver([]byte("log_with_libvirtd=1;shutdown_timeout=1;machined=0"), "f")
	require.Empty(t, problems)
	now, later = DifferDriver(DefaultDriver(), changed)
	assert.Equal(t, []string{"log_with_libvirtd", "shutdown_timeout"}, now)
	assert.Equal(t, []string{"machined"}, later)
}

func TestRejected(t *testing.T) {
	cause := errors.New("no such group")
	d, _, _ := parseDaemon([]byte("\nunix_sock_group = 'x'"), "f")
	assert.NoError(t, d.Rejected("unix_sock_group", nil))
	err := d.Rejected("unix_sock_group", cause)
	assert.EqualError(t, err, "f:2: value for 'unix_sock_group' parameter: no such group")
	assert.ErrorIs(t, err, cause)
	assert.EqualError(t, d.Rejected("log_filters", cause), "value for 'log_filters' parameter: no such group")
	driver := DefaultDriver()
	assert.EqualError(t, driver.Rejected("machined", cause), "value for 'machined' parameter: no such group")
	assert.False(t, driver.Given("machined"))
}

func TestSocketKeysAreKeys(t *testing.T) {
	for _, name := range SocketKeys {
		d, _, _ := parseDaemon([]byte(name+" = '0700'"), "f")
		assert.True(t, d.Given(name))
		found := false
		for _, k := range daemonKeys {
			found = found || k.name == name
		}
		assert.True(t, found, name)
	}
	assert.Equal(t, "polkit", DefaultDaemon().AuthUnixRW.String())
	assert.Equal(t, "none", AuthNone.String())
}
