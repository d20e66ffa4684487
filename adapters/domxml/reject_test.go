package domxml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"virtlxcd/domain/container"
	"virtlxcd/domain/fault"
)

// sketch fills a sound document with what a test is about.
type sketch struct{ attrs, memory, os, body, devices string }

func (s sketch) String() string {
	if s.memory == "" {
		s.memory = "<memory>1000</memory>"
	}
	if s.os == "" {
		s.os = "<type>exe</type><init>/i</init>"
	}
	return "<domain type='lxc'" + s.attrs + "><name>a</name><uuid>11111111-2222-3333-4444-555555555555</uuid>" +
		s.memory + "<os>" + s.os + "</os>" + s.body + "<devices>" + s.devices + "</devices></domain>"
}

func body(text string) string    { return sketch{body: text}.String() }
func devices(text string) string { return sketch{devices: text}.String() }

// bare is a sound document around name, type and uuid.
func bare(open, name string) string {
	return open + "<name>" + name + "</name><memory>1</memory><os><type>exe</type><init>/i</init></os></domain>"
}

const (
	mac     = "<mac address='52:54:00:00:00:01'/>"
	bridge  = "<interface type='bridge'><source bridge='b'/>" + mac
	lxcAttr = " xmlns:n='http://libvirt.org/schemas/domain/lxc/1.0'"
)

func sharing(text string) string {
	return sketch{attrs: lxcAttr, body: "<n:namespace>" + text + "</n:namespace>"}.String()
}

func repeat(format string, n int) string { return strings.Repeat(format, n) }

type rejection struct {
	name, document string
	kind           fault.Kind
	area           fault.Area
	text           string
}

var rejections = []rejection{
	// 35/20: not well formed
	{"unclosed", "<a>", fault.Malformed, fault.API, "(domain_definition):1: Premature end of data in tag a line 1\n<a>\n---^"},
	{"empty", "", fault.Malformed, fault.API, "(domain_definition):1: Document is empty\n\n^"},
	{"mismatch", "<domain type='lxc'>\n\t<name>x</nam>\n</domain>", fault.Malformed, fault.API,
		"(domain_definition):2: Opening and ending tag mismatch: name line 2 and nam\n\t<name>x</nam>\n\t-------------^"},
	{"second root", "<domain type='lxc'/><b/>", fault.Malformed, fault.API,
		"(domain_definition):1: Extra content at the end of the document\n<domain type='lxc'/><b/>\n--------------------^"},
	{"text", "text", fault.Malformed, fault.API, "(domain_definition):1: Start tag expected, '<' not found\ntext\n^"},
	{"twice", "<domain type='lxc' type='b'/>", fault.Malformed, fault.API,
		"(domain_definition):1: Attribute type redefined\n<domain type='lxc' type='b'/>\n-----------------------------^"},
	{"control character", "<domain>\x01</domain>", fault.Malformed, fault.API,
		"(domain_definition):1: invalid character value 1\n<domain>\x01</domain>\n--------^"},
	{"not utf-8", "<domain>\xff</domain>", fault.Malformed, fault.API,
		"(domain_definition):1: Input is not proper UTF-8\n<domain>?</domain>\n--------^"},
	{"nul", "<domain>\x00</domain>", fault.Malformed, fault.API,
		"(domain_definition):1: invalid character value 0\n<domain>?</domain>\n--------^"},

	// root, name, type
	{"root", "<foo/>", fault.BadDefinition, fault.Document, "expecting root element of 'domain', not 'foo'"},
	{"no name", "<domain type='lxc'/>", fault.NoName, fault.API, "name missing"},
	{"empty name", "<domain type='lxc'><name/></domain>", fault.NoName, fault.API, "name missing"},
	{"slash", bare("<domain type='lxc'>", "a/b"), fault.BadDefinition, fault.API, "name a/b cannot contain '/'"},
	{"newline", bare("<domain type='lxc'>", "a\nb"), fault.Malformed, fault.Document, "invalid char in name: \n"},
	{"uuid", "<domain type='lxc'><name>a</name><uuid>zz</uuid></domain>", fault.Internal, fault.API, "malformed uuid element"},
	{"no type", bare("<domain>", "a"), fault.Internal, fault.API, "missing domain type attribute"},
	{"bad type", bare("<domain type='zz'>", "a"), fault.UnsupportedConfig, fault.API, "invalid domain type zz"},
	{"kvm", bare("<domain type='kvm'>", "a"), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for ostype=exe arch=x86_64 domaintype=kvm "},
	{"title", body("<title>a\nb</title>"), fault.BadDefinition, fault.API, "Domain title can't contain newlines"},

	// memory
	{"no memory", sketch{memory: "<memory/>"}.String(), fault.BadDefinition, fault.API,
		"Memory size must be specified via <memory> or in the <numa> configuration"},
	{"memory 0", sketch{memory: "<memory>0</memory>"}.String(), fault.BadDefinition, fault.API,
		"Memory size must be specified via <memory> or in the <numa> configuration"},
	{"memory word", sketch{memory: "<memory>abc</memory>"}.String(), fault.BadDefinition, fault.Document,
		"Invalid value 'abc' for element or attribute './memory[1]'"},
	{"unit", sketch{memory: "<memory unit='q'>1</memory>"}.String(), fault.InvalidArgument, fault.Host, "unknown suffix 'q'"},
	{"unit of current", sketch{memory: "<memory>1</memory><currentMemory unit='zz'>1</currentMemory>"}.String(),
		fault.InvalidArgument, fault.Host, "unknown suffix 'zz'"},
	{"overflow", sketch{memory: "<memory unit='EiB'>99</memory>"}.String(), fault.Overflow, fault.Host, "value too large: 99EiB"},
	{"overflow 2", sketch{memory: "<memory unit='TiB'>99999999999999</memory>"}.String(), fault.Overflow, fault.Host,
		"value too large: 99999999999999TiB"},
	{"dumpCore", sketch{memory: "<memory dumpCore='x'>1</memory>"}.String(), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'dumpCore' in element 'memory': 'x'."},
	{"maxMemory", sketch{memory: "<maxMemory slots='2'>9</maxMemory><memory>1</memory>"}.String(), fault.UnsupportedConfig, fault.API,
		"memory hotplug tunables <maxMemory> are not supported by this hypervisor driver"},
	{"slots", sketch{memory: "<maxMemory>9</maxMemory><memory>1</memory>"}.String(), fault.BadDefinition, fault.API,
		"both maximum memory size and memory slot count must be specified"},

	// vcpu
	{"vcpu word", body("<vcpu>abc</vcpu>"), fault.BadDefinition, fault.API, "maximum vcpus count must be an integer"},
	{"vcpu 0", body("<vcpu>0</vcpu>"), fault.Internal, fault.API, "CPU IDs in <numa> exceed the <vcpu> count"},
	{"vcpu current", body("<vcpu current='3'>2</vcpu>"), fault.UnsupportedConfig, fault.API,
		"maximum vCPU count must not be less than current vCPU count"},
	{"vcpu current word", body("<vcpu current='x'>2</vcpu>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'current' in element 'vcpu': 'x'. Expected non-negative integer value"},
	{"placement", body("<vcpu placement='zz'>2</vcpu>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'placement' in element 'vcpu': 'zz'."},
	{"cpuset", body("<vcpu cpuset='x'>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap 'x'"},
	{"cpuset empty", body("<vcpu cpuset=''>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap ''"},
	{"cpuset far", body("<vcpu cpuset='20000'>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap '20000'"},
	{"cpuset backwards", body("<vcpu cpuset='3-1'>2</vcpu>"), fault.InvalidArgument, fault.Host, "Failed to parse bitmap '3-1'"},
	{"cpuset none", body("<vcpu cpuset='^1'>2</vcpu>"), fault.UnsupportedConfig, fault.API, "Invalid value of 'cpuset': ^1"},

	// tuning
	{"shares", body("<cputune><shares>1</shares></cputune>"), fault.UnsupportedConfig, fault.API,
		"Value of cputune 'shares' must be in range [2, 262144]"},
	{"period", body("<cputune><period>5</period></cputune>"), fault.UnsupportedConfig, fault.API,
		"Value of cputune 'period' must be in range [1000, 1000000]"},
	{"quota", body("<cputune><quota>5</quota></cputune>"), fault.UnsupportedConfig, fault.API,
		"Value of cputune 'quota' must be in range [1000, 17592186044415]"},
	{"shares word", body("<cputune><shares>x</shares></cputune>"), fault.BadDefinition, fault.API, "can't parse cputune shares value"},
	{"period word", body("<cputune><period>x</period></cputune>"), fault.BadDefinition, fault.API, "can't parse cputune period value"},
	{"quota word", body("<cputune><quota>x</quota></cputune>"), fault.BadDefinition, fault.API, "can't parse cputune quota value"},
	{"hard limit", body("<memtune><hard_limit>x</hard_limit></memtune>"), fault.BadDefinition, fault.Document,
		"Invalid value 'x' for element or attribute './memtune/hard_limit[1]'"},
	{"hard limit unit", body("<memtune><hard_limit unit='q'>1</hard_limit></memtune>"), fault.InvalidArgument, fault.Host, "unknown suffix 'q'"},
	{"hard limit overflow", body("<memtune><hard_limit>9007199254740992</hard_limit></memtune>"), fault.Overflow, fault.Host,
		"value too large: 9007199254740992"},
	{"weight", body("<blkiotune><weight>x</weight></blkiotune>"), fault.BadDefinition, fault.API, "can't parse blkiotune weight value"},
	{"block device twice", body("<blkiotune><device><path>/dev/a</path></device><device><path>/dev/a</path></device></blkiotune>"),
		fault.UnsupportedConfig, fault.API, "duplicate blkio device path '/dev/a'"},
	{"block device path", body("<blkiotune><device><weight>1</weight></device></blkiotune>"), fault.UnsupportedConfig, fault.API,
		"missing per-device path"},
	{"numa mode", body("<numatune><memory mode='zz'/></numatune>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'mode' in element 'memory': 'zz'."},
	{"resource", body("<resource/>"), fault.BadDefinition, fault.API, "missing <partition> in <resource>"},

	// os
	{"no os type", sketch{os: "<init>/i</init>"}.String(), fault.BadDefinition, fault.API, "an os <type> must be specified"},
	{"no init", sketch{os: "<type>exe</type><init/>"}.String(), fault.BadDefinition, fault.API, "init binary must be specified"},
	{"hvm", sketch{os: "<type>hvm</type>"}.String(), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for arch=x86_64 domaintype=lxc "},
	{"linux", sketch{os: "<type>linux</type>"}.String(), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for ostype=linux arch=x86_64 domaintype=lxc "},
	{"arch unknown", sketch{os: "<type arch='zz'>exe</type><init>/i</init>"}.String(), fault.UnsupportedConfig, fault.API,
		"Unknown architecture zz"},
	{"arch other", sketch{os: "<type arch='ppc64'>exe</type><init>/i</init>"}.String(), fault.InvalidArgument, fault.Capability,
		"could not find capabilities for ostype=exe arch=ppc64 domaintype=lxc "},
	{"initarg", sketch{os: "<type>exe</type><init>/i</init><initarg/>"}.String(), fault.BadDefinition, fault.API,
		"No data supplied for <initarg> element"},
	{"initenv name", sketch{os: "<type>exe</type><init>/i</init><initenv>v</initenv>"}.String(), fault.BadDefinition, fault.API,
		"No name supplied for <initenv> element"},
	{"initenv value", sketch{os: "<type>exe</type><init>/i</init><initenv name='A'/>"}.String(), fault.BadDefinition, fault.API,
		"No value supplied for <initenv name='A'> element"},

	// idmap, features, clock, actions, labels
	{"uid only", body("<idmap><uid start='0' target='1' count='1'/></idmap>"), fault.UnsupportedConfig, fault.API,
		"uid and gid should be mapped both"},
	{"no root", body("<idmap><uid start='1' target='1' count='1'/><gid start='0' target='1' count='1'/></idmap>"),
		fault.UnsupportedConfig, fault.API, "You must map the root user of container"},
	{"id word", body("<idmap><uid start='x' target='1' count='1'/></idmap>"), fault.BadDefinition, fault.API,
		"invalid idmap start/target/count settings"},
	{"id missing", body("<idmap><uid start='0' target='1'/></idmap>"), fault.BadDefinition, fault.API,
		"invalid idmap start/target/count settings"},
	{"feature", body("<features><foo/></features>"), fault.UnsupportedConfig, fault.API, "unexpected feature 'foo'"},
	{"policy", body("<features><capabilities policy='zz'/></features>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'policy' in element 'capabilities': 'zz'."},
	{"capability", body("<features><capabilities><foo/></capabilities></features>"), fault.UnsupportedConfig, fault.API,
		"unexpected capability feature 'foo'"},
	{"capability state", body("<features><capabilities><chown state='zz'/></capabilities></features>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'state' in element 'chown': 'zz'."},
	{"clock", body("<clock offset='zz'/>"), fault.UnsupportedConfig, fault.API, "unknown clock offset 'zz'"},
	{"timezone", body("<clock offset='timezone'/>"), fault.Internal, fault.API, "missing 'timezone' attribute for clock with offset='timezone'"},
	{"timer", body("<clock><timer name='zz'/></clock>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'name' in element 'timer': 'zz'."},
	{"timer name", body("<clock><timer/></clock>"), fault.BadDefinition, fault.Document, "Missing required attribute 'name' in element 'timer'"},
	{"on_poweroff", body("<on_poweroff>zz</on_poweroff>"), fault.UnsupportedConfig, fault.API, "unknown on_poweroff action: zz"},
	{"on_reboot", body("<on_reboot>coredump-restart</on_reboot>"), fault.UnsupportedConfig, fault.API, "unknown on_reboot action: coredump-restart"},
	{"on_crash", body("<on_crash>zz</on_crash>"), fault.UnsupportedConfig, fault.API, "unknown on_crash action: zz"},
	{"label type", body("<seclabel type='zz'/>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'type' in element 'seclabel': 'zz'."},
	{"label model", body("<seclabel/>"), fault.BadDefinition, fault.API, "missing security model in domain seclabel"},
	{"label text", body("<seclabel type='static' model='selinux'/>"), fault.BadDefinition, fault.API, "security label is missing"},
	{"label twice", body("<seclabel type='none'/><seclabel type='none'/>"), fault.Malformed, fault.API,
		"seclabel for model none is already provided"},

	// filesystems
	{"fs type", devices("<filesystem type='zz'/>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'type' in element 'filesystem': 'zz'."},
	{"fs mode", devices("<filesystem accessmode='zz'/>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'accessmode' in element 'filesystem': 'zz'."},
	{"fs driver", devices("<filesystem><driver type='zz'/><source dir='/s'/><target dir='/t'/></filesystem>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'type' in element 'driver': 'zz'."},
	{"fs target", devices("<filesystem><source dir='/s'/></filesystem>"), fault.NoTarget, fault.API, "/s"},
	{"fs source", devices("<filesystem><target dir='/t'/></filesystem>"), fault.NoSource, fault.API, "/t"},
	{"fs neither", devices("<filesystem/>"), fault.NoSource, fault.API, "source missing"},
	{"fs block", devices("<filesystem type='block'><source dir='/s'/><target dir='/t'/></filesystem>"), fault.NoSource, fault.API, "/t"},
	{"ram usage", devices("<filesystem type='ram'><source/><target dir='/t'/></filesystem>"), fault.BadDefinition, fault.API,
		"missing 'usage' attribute for RAM filesystem"},
	{"ram word", devices("<filesystem type='ram'><source usage='x'/><target dir='/t'/></filesystem>"), fault.BadDefinition, fault.API,
		"cannot parse usage 'x' for RAM filesystem"},
	{"ram unit", devices("<filesystem type='ram'><source usage='1' units='zz'/><target dir='/t'/></filesystem>"), fault.InvalidArgument, fault.Host,
		"unknown suffix 'zz'"},
	{"volume", devices("<filesystem type='volume'><source pool='p'/><target dir='/t'/></filesystem>"), fault.BadDefinition, fault.API,
		"'pool' and 'volume' must be specified together for 'pool' type source"},

	// interfaces
	{"link type", devices("<interface type='zz'/>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'type' in element 'interface': 'zz'."},
	{"bridge source", devices("<interface type='bridge'/>"), fault.BadDefinition, fault.API, "interface type='bridge' requires a 'source' element"},
	{"direct source", devices("<interface type='direct'/>"), fault.BadDefinition, fault.API, "interface type='direct' requires a 'source' element"},
	{"network source", devices("<interface type='network'/>"), fault.BadDefinition, fault.API, "interface type='network' requires a 'source' element"},
	{"bridge attribute", devices("<interface type='bridge'><source/></interface>"), fault.BadDefinition, fault.Document,
		"Missing required attribute 'bridge' in element 'source'"},
	{"direct mode", devices("<interface type='direct'><source dev='e' mode='zz'/></interface>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'mode' in element 'source': 'zz'."},
	{"mac", devices("<interface type='ethernet'><mac address='zz'/></interface>"), fault.BadDefinition, fault.API, "unable to parse mac address 'zz'"},
	{"mac dashes", devices("<interface type='ethernet'><mac address='52-54-00-00-00-01'/></interface>"), fault.BadDefinition, fault.API,
		"unable to parse mac address '52-54-00-00-00-01'"},
	{"multicast", devices("<interface type='ethernet'><mac address='01:00:00:00:00:01'/></interface>"), fault.BadDefinition, fault.API,
		"expected unicast mac address, found multicast '01:00:00:00:00:01'"},
	{"link state", devices(bridge + "<link state='zz'/></interface>"), fault.UnsupportedConfig, fault.API, "unknown interface link state 'zz'"},
	{"isolated", devices(bridge + "<port isolated='zz'/></interface>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'isolated' in element 'port': 'zz'."},
	{"mtu", devices(bridge + "<mtu size='x'/></interface>"), fault.BadDefinition, fault.API, "malformed mtu size"},
	{"ip", devices(bridge + "<ip address='zz'/></interface>"), fault.BadDefinition, fault.API, "Invalid address 'zz' in <ip>"},
	{"ip missing", devices(bridge + "<ip/></interface>"), fault.BadDefinition, fault.API, "Missing required address in <ip>"},
	{"ip family", devices(bridge + "<ip address='10.0.0.1' family='ipv6'/></interface>"), fault.BadDefinition, fault.API,
		"Invalid address '10.0.0.1' in <ip>"},
	{"prefix", devices(bridge + "<ip address='10.0.0.1' prefix='99'/></interface>"), fault.BadDefinition, fault.API, "Invalid prefix value '99' in <ip>"},
	{"prefix word", devices(bridge + "<ip address='10.0.0.1' prefix='x'/></interface>"), fault.BadDefinition, fault.API, "Invalid prefix value 'x' in <ip>"},
	{"peer", devices(bridge + "<ip address='10.0.0.1' peer='zz'/></interface>"), fault.InvalidArgument, fault.API, "Invalid peer 'zz' in <ip>"},
	{"route gateway", route("address='10.0.0.0'"), fault.BadDefinition, fault.Network,
		"guest interface: Missing required gateway attribute in route definition"},
	{"route address", route("gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Missing required address attribute in route definition"},
	{"route bad gateway", route("address='10.0.0.0' gateway='zz'"), fault.BadDefinition, fault.Network,
		"guest interface: Bad gateway address 'zz' in route definition"},
	{"route bad address", route("address='zz' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Bad network address 'zz' in route definition"},
	{"route bad netmask", route("address='10.0.0.0' netmask='zz' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Bad netmask address 'zz' in route definition"},
	{"route prefix", route("address='10.0.0.0' prefix='40' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Invalid prefix 40 specified in route definition, must be 0 - 32"},
	{"route metric 0", route("address='10.0.0.0' gateway='1.2.3.4' metric='0'"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'metric' in element 'route': Zero is not permitted"},
	{"route metric word", route("address='10.0.0.0' gateway='1.2.3.4' metric='x'"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'metric' in element 'route': 'x'. Expected non-negative integer value"},
	{"route ipv6", route("family='ipv6' address='10.0.0.0' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: ipv6 family specified for non-IPv6 address '10.0.0.0' in route definition"},
	{"route family", route("family='zz' address='10.0.0.0' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Unrecognized family 'zz' in route definition"},
	{"route no family", route("address='fd00::' prefix='64' gateway='fd00::1'"), fault.BadDefinition, fault.Network,
		"guest interface: No family specified for non-IPv4 address 'fd00::' in route definition"},
	{"route both", route("address='10.0.0.0' netmask='255.0.0.0' prefix='8' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Route definition cannot have both a prefix and a netmask"},
	{"route host", route("address='10.0.0.5' prefix='8' gateway='1.2.3.4'"), fault.BadDefinition, fault.Network,
		"guest interface: Address '10.0.0.5' in route definition is not a network address"},

	// consoles and other devices
	{"console type", devices("<console type='zz'/>"), fault.UnsupportedConfig, fault.API,
		"unknown type presented to host for character device: zz"},
	{"console target", devices("<console><target type='zz'/></console>"), fault.UnsupportedConfig, fault.API,
		"unknown target type 'zz' specified for character device"},
	{"second serial console", devices("<console/><console><target type='serial'/></console>"), fault.UnsupportedConfig, fault.API,
		"Only the first console can be a serial port"},
	{"console port", devices("<console><target port='zz'/></console>"), fault.BadDefinition, fault.API, "Invalid port number: zz"},
	{"channel", devices("<channel type='pty'/>"), fault.BadDefinition, fault.API, "target type must be specified for channel device"},
	{"disk type", devices("<disk type='zz'/>"), fault.BadDefinition, fault.Document, "Invalid value for attribute 'type' in element 'disk': 'zz'."},
	{"disk device", devices("<disk type='block' device='zz'/>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'device' in element 'disk': 'zz'."},
	{"disk source", devices("<disk><source dev='/x'/><target dev='sda'/></disk>"), fault.NoSource, fault.API, "sda"},
	{"disk target", devices("<disk type='block'><source dev='/x'/></disk>"), fault.NoTarget, fault.API, "/x"},
	{"disk bus", devices("<disk type='block'><source dev='/x'/><target dev='vda' bus='lxc'/></disk>"), fault.BadDefinition, fault.Document,
		"Invalid value for attribute 'bus' in element 'target': 'lxc'."},
	{"disk name", devices("<disk type='block'><source dev='/x'/><target dev='lxa'/></disk>"), fault.BadDefinition, fault.API,
		"Unknown disk name 'lxa' and no address specified"},
	{"disk floppy", devices("<disk type='block'><source dev='/x'/><target dev='fda'/></disk>"), fault.Internal, fault.API,
		"Invalid harddisk device name: fda"},
	{"disk twice", devices("<disk type='block'><source dev='a'/><target dev='vda'/></disk><disk type='block'><source dev='b'/><target dev='vda'/></disk>"),
		fault.BadDefinition, fault.API, "target 'vda' duplicated for disk sources 'a' and 'b'"},
	{"hostdev type", devices("<hostdev/>"), fault.BadDefinition, fault.API, "missing source address type"},
	{"hostdev mode", devices("<hostdev mode='zz'/>"), fault.UnsupportedConfig, fault.API, "unknown hostdev mode 'zz'"},
	{"hostdev source", devices("<hostdev mode='capabilities' type='misc'/>"), fault.BadDefinition, fault.API,
		"Missing <source> element in hostdev device"},
	{"hostdev char", devices("<hostdev mode='capabilities' type='misc'><source/></hostdev>"), fault.BadDefinition, fault.API,
		"Missing <char> element in hostdev character device"},
	{"input", devices("<input type='mouse' bus='ps2'/>"), fault.Internal, fault.API,
		"Input devices are not supported by this virtualization driver."},
	{"graphics", devices("<graphics type='vnc'/>"), fault.Internal, fault.API, "missing video model and cannot determine default"},
	{"video", devices("<video/>"), fault.Internal, fault.API, "missing video model and cannot determine default"},
	{"memballoon", devices("<memballoon/>"), fault.BadDefinition, fault.Document, "Missing required attribute 'model' in element 'memballoon'"},
	{"redirdev", devices("<redirdev bus='usb' type='tcp'/>"), fault.UnsupportedConfig, fault.API,
		"cannot add redirected USB device: USB is disabled for this domain"},
	{"memory device", devices("<memory model='dimm'/>"), fault.UnsupportedConfig, fault.API, "memory devices are not supported by this driver"},

	// shared namespaces
	{"share child", sharing("<n:foo/>"), fault.UnsupportedConfig, fault.Driver, "unsupported Namespace feature: foo"},
	{"share type", sharing("<n:sharenet type='zz' value='1'/>"), fault.Internal, fault.Driver, "Unknown LXC namespace source 'zz'"},
	{"share nothing", sharing("<n:sharenet/>"), fault.Internal, fault.Driver, "No lxc environment type specified"},
	{"share value", sharing("<n:sharenet type='name'/>"), fault.Internal, fault.Driver, "No lxc environment type specified"},
}

func route(attrs string) string { return devices(bridge + "<route " + attrs + "/></interface>") }

func TestRejections(t *testing.T) {
	for _, test := range rejections {
		t.Run(test.name, func(t *testing.T) {
			def, err := newCodec().Parse(test.document)
			require.Error(t, err)
			assert.Nil(t, def)
			var e *fault.Error
			require.True(t, errors.As(err, &e))
			assert.Equal(t, test.kind, e.Kind, e.Kind.Error())
			assert.Equal(t, test.area, e.Area)
			assert.Equal(t, test.text, e.Message())
		})
	}
}

// TestBombs holds documents that are small to send and dear to believe.
func TestBombs(t *testing.T) {
	attributes := &strings.Builder{}
	for i := range 300 {
		attributes.WriteString(" a" + strings.Repeat("b", i) + "='x'")
	}
	for name, document := range map[string]string{
		"entities":     `<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>` + bare("<domain type='lxc'>", "&b;"),
		"doctype":      "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>" + bare("<domain type='lxc'>", "a"),
		"entity":       bare("<domain type='lxc'>", "&foo;"),
		"depth":        body(repeat("<a>", 300) + repeat("</a>", 300)),
		"elements":     body(repeat("<a/>", 100_001)),
		"comments":     body("<a>" + repeat("<!---->", 100_001) + "</a>"),
		"attributes":   body("<a" + attributes.String() + "/>"),
		"size":         body("<description>" + repeat("x", 4<<20) + "</description>"),
		"growth":       body("<description>" + repeat("'", 3<<20) + "</description>"),
		"consoles":     devices(repeat("<console/>", 60_000)),
		"namespaces":   body(manyPrefixes(100)),
		"encoding":     `<?xml version="1.0" encoding="ISO-8859-1"?>` + bare("<domain type='lxc'>", "a"),
		"late prolog":  " <?xml version='1.0'?>" + bare("<domain type='lxc'>", "a"),
		"no prefix":    "<domain type='lxc' xmlns:p=''/>",
		"empty part":   "<domain type='lxc'><a:/></domain>",
		"empty part 2": "<domain type='lxc' :a='x'/>",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newCodec().Parse(document)
			require.ErrorIs(t, err, fault.Malformed)
			assert.Less(t, len(err.Error()), 4096, "an error is no echo")
		})
	}
}

func manyPrefixes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("<a xmlns:p" + strings.Repeat("q", i) + "='u'>")
	}
	return b.String() + repeat("</a>", n)
}

// TestManyOfEverything takes much longer if any step looks at all earlier
// nodes for each node.
func TestManyOfEverything(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		b.WriteString("<disk type='block'><source dev='x'/><target dev='vd" + number(i) + "'/></disk>")
	}
	def, err := newCodec().Parse(devices(b.String()))
	require.NoError(t, err)
	assert.Len(t, def.Unserved, 20_000)

	pieces := "<description>" + repeat("<![CDATA[x]]>", 200_000) + "</description>"
	def, err = newCodec().Parse(body(pieces))
	require.NoError(t, err)
	assert.Len(t, def.Description, 200_000)

	arguments := repeat("<initarg x='1'>a</initarg>", 40_000)
	def, err = newCodec().Parse(sketch{os: "<type>exe</type><init>/i</init>" + arguments}.String())
	require.NoError(t, err)
	assert.Len(t, def.Leftovers, 40_000)
	assert.NotEqual(t, container.UUID{}, def.UUID)
}

func number(i int) string {
	text := ""
	for range 4 {
		text += string(rune('a' + i%26))
		i /= 26
	}
	return text
}
